# SPDX-License-Identifier: GPL-3.0-or-later
"""``site.yml`` on what cannot be right: one clear error for each host it concerns, and nothing changed anywhere.

Two faults a run, one in each cluster, so that a run shows too that neither hides the other. Starts and ends in the
HTTP era. What single modules refuse is tested without a sandbox, beside their planners.
"""

from __future__ import annotations

import json
import typing as t
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from integration.site_state import everything
from sandbox.faults import UNPARSABLE, Faults
from sandbox.model import by_name
from sandbox.recap import changed, failures
from sandbox.workloads import coredns

if t.TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sandbox.inside import Inside

pytestmark = pytest.mark.sandbox

Break = t.Callable[[Faults], "AbstractContextManager[None]"]

CONTRADICTION = "    rewrite name exact harbor.example.com elsewhere.default.svc.cluster.local\n"


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong: ``host`` says ``words``. ``settings`` are of its cluster, or of it if it is a node."""

    host: str
    words: tuple[str, ...]
    settings: dict[str, t.Any] = field(default_factory=dict)
    fault: Break | None = None

    @property
    def cluster(self) -> str:
        return self.host.partition("-")[0]

    @property
    def whom(self) -> list[str]:
        nodes = [node.name for node in by_name(self.cluster).nodes]
        return [self.host] if self.host in nodes else [self.cluster, *nodes]


def unfit(cluster: str, *nodes: str) -> Wrong:
    """What a cluster says of nodes that cannot be changed."""
    return Wrong(cluster, ("nothing was changed", *nodes))


def contradicted(faults: Faults) -> AbstractContextManager[None]:
    first, rest = coredns.corefile(faults.name).split("\n", 1)
    return faults.corefile(f"{first}\n{CONTRADICTION}{rest}")


RUNS: dict[str, list[Wrong]] = {
    "names with a scheme": [
        Wrong(
            "alpha",
            ("registry_name", "'https://harbor.example.com' is no DNS name", "without scheme"),
            {"registry_name": "https://harbor.example.com"},
        ),
        Wrong(
            "beta",
            ("registry_image_names", "http://192.168.1.105", "without scheme"),
            {"registry_image_names": ["http://192.168.1.105"]},
        ),
    ],
    "an endpoint without a scheme, an address that is none": [
        Wrong(
            "alpha",
            ("registry_http_external_url", "'192.168.1.105'", "http:// or https://"),
            {"registry_http_external_url": "192.168.1.105"},
        ),
        Wrong(
            "beta",
            ("registry_node_host_address", "'10.5.0.300' is no IP address"),
            {"registry_node_host_address": "10.5.0.300"},
        ),
    ],
    "two names that contradict each other, a kubeconfig that is not there": [
        Wrong(
            "alpha",
            ("registry_internal_name", "the same as registry_name"),
            {"registry_internal_name": "harbor.example.com"},
        ),
        Wrong(
            "beta",
            ("registry_kubeconfig", "no file /nowhere/kubeconfig"),
            {"registry_kubeconfig": "/nowhere/kubeconfig"},
        ),
    ],
    "a context and a talosconfig that are not there": [
        Wrong("alpha", ("registry_context", "no context 'gamma'", "It has:", "beta"), {"registry_context": "gamma"}),
        Wrong(
            "beta",
            ("registry_talosconfig", "no file /nowhere/talosconfig"),
            {"registry_talosconfig": "/nowhere/talosconfig"},
        ),
    ],
    "nodes that cannot be changed": [
        Wrong(
            "alpha-worker-1",
            ("node 10.5.0.3", "staged", "reboot the node"),
            fault=lambda faults: faults.pending("alpha-worker-1", "staged"),
        ),
        Wrong("alpha-worker-2", ("node 10.5.0.99", "Check the node, its network"), {"talos_address": "10.5.0.99"}),
        unfit("alpha", "alpha-worker-1, alpha-worker-2"),
        Wrong(
            "beta-1",
            ("node 192.168.1.98", "try or a staged one is pending", "Wait until a try is over"),
            fault=lambda faults: faults.pending("beta-1", "try"),
        ),
        unfit("beta", "beta-1"),
    ],
    "a node of a cluster that is not there": [
        Wrong(
            "alpha-worker-2",
            ("registry_cluster is 'gamma'", "It has: alpha, beta"),
            {"registry_cluster": "gamma"},
        )
    ],
    "a try that is shorter than its checks": [
        Wrong(
            "beta-1",
            ("nodes_try_timeout", "after 60 s", "its checks may take", "Give it more"),
            {"nodes_try_timeout": 60},
        )
    ],
    "Corefiles: none, and one that does not parse": [
        Wrong(
            "alpha",
            ("ConfigMap kube-system/coredns", "no such ConfigMap", "Name the one"),
            fault=lambda faults: faults.without_corefile(),
        ),
        Wrong(
            "beta",
            ("ConfigMap kube-system/coredns, key Corefile", "ends before", "closed by '}'"),
            fault=lambda faults: faults.corefile(UNPARSABLE),
        ),
    ],
    "a contradicting rule, no Harbor where it should be": [
        Wrong("alpha", ("Corefile", "line 2", "elsewhere.default.svc.cluster.local"), fault=contradicted),
        Wrong("beta", ("ConfigMap harbor/harbor-core",), fault=lambda faults: faults.without_harbor_config()),
    ],
    "certificates: expired, and of another name": [
        Wrong("alpha", ("harbor.example.com", "expired"), fault=lambda faults: faults.certificate("expired")),
        Wrong("beta", ("not for", "harbor.example.com"), fault=lambda faults: faults.certificate("wrong-name")),
    ],
    "an untrusted certificate, a Gateway that is not there": [
        Wrong("alpha", ("harbor.example.com", "trust"), fault=lambda faults: faults.certificate("untrusted")),
        Wrong(
            "beta",
            ("Gateway envoy-gateway/nobody", "no such Gateway", "The cluster has: envoy-gateway/envoy-gateway"),
            {"registry_gateway_name": "nobody"},
        ),
    ],
    "an alias away from the pods, a reader's credentials": [
        Wrong(
            "alpha",
            ("in namespace envoy-gateway-system, not in default", "Set registry_alias_namespace"),
            {"registry_alias_namespace": "default"},
        ),
        Wrong("beta-1", ("node 192.168.1.98", "role os:admin"), {"registry_talos_context": "beta-reader"}),
        unfit("beta", "beta-1"),
    ],
}


def inventory(wrongs: list[Wrong], folder: Path) -> Path:
    """A second inventory, whose settings of a host win over those of the first one's groups."""
    hosts: dict[str, dict[str, t.Any]] = {}
    for wrong in wrongs:
        for host in wrong.whom if wrong.settings else ():
            hosts.setdefault(host, {}).update(wrong.settings)
    path = folder / "wrong.json"
    path.write_text(json.dumps({"all": {"hosts": hosts}}))
    return path


@pytest.mark.parametrize("name", RUNS)
def test_one_clear_error_before_any_change(sandbox: Inside, tmp_path: Path, name: str) -> None:
    wrongs = RUNS[name]
    concerned = {wrong.cluster for wrong in wrongs}
    only = ["--limit", ":".join(f"{cluster}_cluster" for cluster in concerned)]
    with ExitStack() as stack:
        for wrong in wrongs:
            if wrong.fault:
                stack.enter_context(wrong.fault(Faults(sandbox, wrong.cluster)))
        before = everything(sandbox, *concerned)
        done = sandbox.playbook("site.yml", "-i", str(inventory(wrongs, tmp_path)), *only)
        assert everything(sandbox, *concerned) == before
    said = failures(done.stdout)
    assert done.returncode == 2, done.stdout[-6000:]
    assert changed(done.stdout) == 0
    assert {host: len(messages) for host, messages in said.items()} == {wrong.host: 1 for wrong in wrongs}, said
    for wrong in wrongs:
        assert [word for word in wrong.words if word not in said[wrong.host][0]] == [], said[wrong.host][0]
