# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a name → the verdict: one file for each case, in the folder of its verdict."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import (
    Horizons,
    Lookup,
    NodeView,
    PodView,
    Server,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon_verdict import judge, lost_rewrite
from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import Owner

CASES = sorted((Path(__file__).parent / "data" / "horizon").glob("*/*.yaml"))
NAME, TARGET = "harbor.example.com", "envoy.gw.svc.cluster.local"
QUESTIONS = {"default": f"{NAME}.default.svc.cluster.local.", "bare": f"{NAME}."}


def lookup(name: str, answer: list[str] | str) -> Lookup:
    if isinstance(answer, str):
        return Lookup(name=name, rcode=answer) if answer.isupper() else Lookup(name=name, problem=answer)
    v4, v6 = (tuple(ip for ip in answer if (":" in ip) is is_v6) for is_v6 in (False, True))
    return Lookup(name=name, a=v4, aaaa=v6, rcode="NOERROR")


def of_pods(name: str, answers: dict[str, t.Any], form: str) -> Lookup:
    found = lookup(name, answers.get(form, "NXDOMAIN"))
    return replace(found, rcode_six=answers.get("six", found.rcode))


def pod_view(pod: str, answers: dict[str, t.Any] | str, *, target: str) -> PodView:
    if isinstance(answers, str):
        return PodView(pod=pod, node="n", problem=answers)
    lookups = tuple(of_pods(name, answers, form) for form, name in QUESTIONS.items())
    of_target = lookup(f"{target}.", answers.get("target", "NXDOMAIN")) if target else None
    return PodView(pod=pod, node="n", lookups=lookups, target=of_target)


def node_view(node: str, found: dict[str, t.Any] | str) -> NodeView:
    if isinstance(found, str):
        return NodeView(node=node, problem=found)
    servers = (Server(address=ip, lookup=lookup(f"{NAME}.", it)) for ip, it in found.get("resolvers", {}).items())
    return NodeView(
        node=node,
        hosts=tuple(found.get("hosts", ())),
        resolvers=tuple(servers),
        host_dns=found.get("host_dns", False),
    )


def horizons(case: dict[str, t.Any]) -> Horizons:
    outside = Server(address="192.0.2.53", lookup=lookup(f"{NAME}.", case["outside"])) if "outside" in case else None
    target = case.get("target", TARGET)
    return Horizons(
        name=NAME,
        target=target,
        pods=tuple(pod_view(pod, answers, target=target) for pod, answers in case["pods"].items()),
        nodes=tuple(node_view(node, found) for node, found in case.get("nodes", {}).items()),
        outside=outside,
        lacks=case.get("lacks", ""),
        unplanned=case.get("unplanned", ""),
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_verdict(path: Path) -> None:
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = judge(horizons(case))
    assert (found.verdict, found.holds) == (path.parent.name, path.parent.name == "split")
    assert found.reasons == tuple(case.get("reasons", ()))
    assert found.notes == tuple(case.get("notes", ()))


@pytest.mark.parametrize(
    ("owner", "says", "says_not"),
    [
        (
            Owner(title="Talos (talosctl upgrade-k8s)", writer="talos", written="2026-11-21T20:00:00Z"),
            "the rewrite is gone: the ConfigMap is Talos's own again since 2026-11-21T20:00:00Z, as",
            "belongs",
        ),
        (Owner(title="Talos (talosctl upgrade-k8s)", writer="kubectl"), "Talos's own again, as", "since"),
        (
            Owner(title="Flux (HelmRelease a/b)", evidence="a label", cure="Give it as source"),
            "it belongs to Flux (HelmRelease a/b) (a label). Cure: Give it as source; ansible-playbook",
            "is gone",
        ),
        (Owner(), "lacks 'one' and 'two'. Cure: ansible-playbook splithorizon.registry.dns", "is gone"),
    ],
)
def test_what_is_told_of_a_corefile_without_the_rewrite(owner: Owner, says: str, says_not: str) -> None:
    told = lost_rewrite(where="ConfigMap a/b, key c", lines=["one", "two"], owner=owner)
    assert says in told
    assert says_not not in told
    assert "ConfigMap a/b, key c lacks 'one' and 'two'" in told
    assert "splithorizon.registry.dns" in told
