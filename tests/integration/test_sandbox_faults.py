# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's faults: each is there while it lasts and gone afterwards, and ``reseed`` undoes anything else."""

from __future__ import annotations

import json
import typing as t

import pytest

from sandbox.faults import ALIAS, UNPARSABLE, Faults
from sandbox.model import CLUSTERS, REGISTRY_NAME
from sandbox.workloads import coredns, harbor
from sandbox.workloads.era import ERAS

if t.TYPE_CHECKING:
    from sandbox.inside import Inside

pytestmark = pytest.mark.sandbox

NAMES = [cluster.name for cluster in CLUSTERS]
ADDED_HOST = {"machine": {"network": {"extraHostEntries": [{"ip": "192.0.2.9", "aliases": ["other.example.com"]}]}}}


@pytest.fixture
def alpha(sandbox: Inside) -> Faults:
    return Faults(sandbox, "alpha")


def object_of(faults: Faults, kind: str, namespace: str, name: str) -> dict[str, t.Any] | None:
    text = faults.inside.kubectl(faults.name, "-n", namespace, "get", kind, name, "-o", "json", "--ignore-not-found")
    return t.cast("dict[str, t.Any]", json.loads(text)) if text else None


def corefile(faults: Faults) -> str | None:
    found = object_of(faults, "configmap", "kube-system", "coredns")
    return found["data"]["Corefile"] if found else None


def test_no_corefile(alpha: Faults) -> None:
    before = corefile(alpha)
    with alpha.without_corefile():
        assert corefile(alpha) is None
    assert corefile(alpha) == before


def test_a_corefile_that_does_not_parse(alpha: Faults) -> None:
    before = corefile(alpha)
    with alpha.corefile(UNPARSABLE):
        assert corefile(alpha) == UNPARSABLE
    assert corefile(alpha) == before


def test_no_harbor_config(alpha: Faults) -> None:
    namespace = alpha.model.harbor_namespace
    with alpha.without_harbor_config():
        assert object_of(alpha, "configmap", namespace, "harbor-core") is None
    assert object_of(alpha, "configmap", namespace, "harbor-core") is not None


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("expired", "certificate has expired"),
        ("wrong-name", "no alternative certificate subject name"),
        ("untrusted", "unable to get local issuer certificate"),
        ("expiring", ""),
    ],
)
def test_certificates_as_clients_see_them(alpha: Faults, fault: str, words: str) -> None:
    address = f"{REGISTRY_NAME}:443:{alpha.model.gateway_address}"
    curl = ("curl", "-sS", "-m", "5", "--resolve", address, "--cacert", str(alpha.inside.places.ca), "-o", "/dev/null")
    with alpha.certificate(fault):
        done = alpha.inside.run(*curl, f"https://{REGISTRY_NAME}/v2/")
    assert words in done.stderr
    assert bool(done.returncode) is bool(words)
    assert alpha.inside.run(*curl, f"https://{REGISTRY_NAME}/v2/").returncode == 0


def test_an_alias_that_selects_nothing(alpha: Faults) -> None:
    namespace, name = ALIAS
    before = (object_of(alpha, "service", namespace, name) or {}).get("spec")
    with alpha.alias_to_nothing():
        found = object_of(alpha, "service", namespace, name)
        assert found is not None
        selector = ",".join(f"{key}={value}" for key, value in found["spec"]["selector"].items())
        pods = alpha.inside.kubectl("alpha", "-n", namespace, "get", "pods", "-l", selector, "-o", "name")
        assert pods == ""
    assert (object_of(alpha, "service", namespace, name) or {}).get("spec") == before


def test_a_node_that_refuses(alpha: Faults) -> None:
    node = alpha.model.nodes[0]
    with alpha.node(node.name, "before-read", message="not now"):
        refused = alpha.inside.talosctl("alpha", "-n", node.address, "read", "/etc/hosts")
    assert "not now" in refused.stderr
    assert alpha.inside.talosctl("alpha", "-n", node.address, "read", "/etc/hosts").returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_reseed_undoes_what_a_run_may_have_left(sandbox: Inside, name: str) -> None:
    faults = Faults(sandbox, name)
    namespace, node = faults.model.harbor_namespace, faults.model.nodes[0]
    change = json.dumps({"data": {"EXT_ENDPOINT": "https://elsewhere.example.com"}})
    sandbox.kubectl(name, "-n", namespace, "patch", "configmap", "harbor-core", "--type=merge", "-p", change)
    patch = ("patch", "mc", "--mode", "try", "--timeout", "10m", "-p", json.dumps(ADDED_HOST))
    assert sandbox.talosctl(name, "-n", node.address, *patch).returncode == 0
    faults.reseed()
    found = object_of(faults, "configmap", namespace, "harbor-core")
    assert found is not None
    assert found["data"]["EXT_ENDPOINT"] == harbor.config_maps(name)[0]["data"]["EXT_ENDPOINT"]
    assert corefile(faults) == coredns.corefile(name)
    hosts = sandbox.talosctl(name, "-n", node.address, "read", "/etc/hosts").stdout
    assert ERAS[name].internal in hosts
    assert "other.example.com" not in hosts
    pull = ("image", "pull", ERAS[name].image)
    assert sandbox.talosctl(name, "-n", node.address, *pull).returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_reseed_of_the_start_changes_nothing(sandbox: Inside, name: str) -> None:
    faults = Faults(sandbox, name)
    faults.reseed()

    def generations() -> str:
        columns = "jsonpath={range .items[*]}{.metadata.name} {.metadata.generation}{'\\n'}{end}"
        return sandbox.kubectl(name, "get", "deployments,daemonsets", "-A", "-o", columns)

    before = generations()
    faults.reseed()
    assert generations() == before
