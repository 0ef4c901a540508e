# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module asks, returns and fails with; the cluster is a ConfigMap and one replica."""

from __future__ import annotations

import json
import typing as t
from contextlib import contextmanager

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.splithorizon.registry.plugins.module_utils import _horizon_pods
from ansible_collections.splithorizon.registry.plugins.module_utils._dns import Answer
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import Lookup, NodeView, Server
from ansible_collections.splithorizon.registry.plugins.modules import split_horizon
from fake_cluster import FakeCluster

if t.TYPE_CHECKING:
    from collections.abc import Iterator

NAME, TARGET = "harbor.example.com", "envoy.gw.svc.k8s.home"
RULE = f"rewrite stop name exact {NAME} {TARGET}"
COREFILE = f".:53 {{\n    {RULE}\n    kubernetes k8s.home\n    reload\n}}\n"
TALOS = {"config.k8s.io/owning-inventory": "talos-bootstrap-manifests-inventory"}
ANSWERS = {f"{NAME}.": ("10.96.0.9",), f"{TARGET}.": ("10.96.0.9",)}
Json = dict[str, t.Any]
Run = t.Callable[..., Json]


def config_map(corefile: str, annotations: dict[str, str] | None = None) -> Json:
    metadata = {"namespace": "kube-system", "name": "coredns", "annotations": annotations or {}}
    return {"kind": "ConfigMap", "metadata": metadata, "data": {"Corefile": corefile}}


def pod() -> Json:
    metadata = {"namespace": "kube-system", "name": "coredns-1", "labels": {"k8s-app": "kube-dns"}}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": "w1", "containers": []}, "status": ready}


@pytest.fixture
def asked() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: list[tuple[str, str]]) -> Run:
    """Run the module; what it printed."""

    @contextmanager
    def forward(_namespace: str, _pod: str, _port: int) -> Iterator[None]:
        yield None

    def ask_outside(name: str, *, resolver: str | None) -> Server:
        return Server(address=resolver or "own", lookup=Lookup(name=f"{name}.", a=("203.0.113.7",)))

    def run_module(*objects: Json, answers: dict[str, tuple[str, ...]] = ANSWERS, **args: t.Any) -> Json:
        def ask(_connection: None, name: str, *, rdtype: str) -> Answer:
            asked.append((name, rdtype))
            found = answers.get(name, ()) if rdtype == "A" else ()
            return Answer(rcode="NOERROR" if name in answers else "NXDOMAIN", addresses=found)

        cluster = FakeCluster(pod(), *(objects or (config_map(COREFILE),)))
        monkeypatch.setattr(cluster, "forward", forward, raising=False)
        monkeypatch.setattr(split_horizon, "Cluster", lambda _params: cluster)
        monkeypatch.setattr(split_horizon, "ask_outside", ask_outside)
        monkeypatch.setattr(_horizon_pods, "ask", ask)
        with patch_module_args({"name": NAME, **args}), pytest.raises(SystemExit):
            split_horizon.main()
        return t.cast("Json", json.loads(capsys.readouterr().out))

    return run_module


def test_it_holds(run: Run, asked: list[tuple[str, str]]) -> None:
    found = run(target=TARGET, namespaces=["a", "b"], resolver="192.0.2.53", fail_on_mismatch=True)
    assert (found["verdict"], found["holds"], found["reasons"], found["notes"]) == ("split", True, [], [])
    assert (found["changed"], found["name"], found["expected"]) == (False, NAME, ["10.96.0.9"])
    assert found["outside"] == {"resolver": "192.0.2.53", "gets": ["203.0.113.7"], "error": None}
    (replica,) = found["pods"]
    assert (replica["pod"], replica["node"], replica["gets"], replica["error"]) == (
        "coredns-1",
        "w1",
        ["10.96.0.9"],
        None,
    )
    names = [f"{NAME}.{path}." for path in ("a.svc.k8s.home", "b.svc.k8s.home", "svc.k8s.home", "k8s.home")]
    assert [each["name"] for each in replica["lookups"]] == [*names, f"{NAME}."]
    assert asked == [(name, kind) for name in (*names, f"{NAME}.", f"{TARGET}.") for kind in ("A", "AAAA")]
    assert found["drawing"][-1] == "split horizon holds"
    assert found["page"].startswith(f"## {NAME}\n")


def test_a_rewrite_that_talos_took_away_is_told_by_name(run: Run) -> None:
    answers = {**ANSWERS, f"{NAME}.": ("203.0.113.7",)}
    own = config_map(COREFILE.replace(f"    {RULE}\n", ""), TALOS)
    found = run(own, answers=answers, target=TARGET)
    assert found["verdict"] == "single"
    assert found["reasons"][0].startswith("the rewrite is gone: the ConfigMap is Talos's own again")
    assert RULE in found["reasons"][0]
    failed = run(own, answers=answers, target=TARGET, fail_on_mismatch=True)
    assert failed["failed"]
    assert failed["msg"].startswith(f"split horizon of {NAME}: the rewrite is gone")


def test_a_corefile_that_is_not_there_is_a_note_where_all_is_well(run: Run) -> None:
    other = {"kind": "ConfigMap", "metadata": {"namespace": "a", "name": "b"}}
    found = run(other, target=TARGET)
    assert found["holds"]
    assert "there is no such ConfigMap" in found["notes"][0]


def test_without_a_target_the_corefile_is_not_read(run: Run) -> None:
    assert run(config_map("not a Corefile {"), outside=False)["verdict"] == "split"


def test_nodes_are_asked_with_talosctl(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def views(_self: object, nodes: list[str], name: str) -> tuple[NodeView, ...]:
        assert name == NAME
        return tuple(NodeView(node=node, hosts=("10.96.1.1",)) for node in nodes)

    monkeypatch.setattr(split_horizon.HorizonReader, "views", views)
    found = run(target=TARGET, nodes=["10.5.0.2"])
    assert found["verdict"] == "broken"
    assert (found["nodes"][0]["gets"], found["nodes"][0]["by"]) == (["10.96.1.1"], "/etc/hosts")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"name": "10.0.0.1"}, "option name"),
        ({"target": "one-label"}, "option target"),
        ({"resolver": "dns.example.com"}, "option resolver"),
        ({"nodes": ["a,b"]}, "nodes[0]"),
    ],
)
def test_bad_input(run: Run, asked: list[tuple[str, str]], args: Json, says: str) -> None:
    found = run(**args)
    assert found["failed"]
    assert says in found["msg"]
    assert asked == []
