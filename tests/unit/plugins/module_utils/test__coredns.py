# SPDX-License-Identifier: GPL-3.0-or-later
"""Every replica is asked, a Corefile that CoreDNS does not take is noticed, and a concurrent edit is never lost."""

from __future__ import annotations

import socket
import struct
import threading
import typing as t
from contextlib import contextmanager

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import (
    CoreDns,
    Refused,
    Reload,
    Replica,
    dns_port,
    domain_of,
    image_version,
    metric_values,
    ready_pods,
    summary,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_map import (
    WRITE_ATTEMPTS,
    CorefileMap,
    managed_by,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    Conflict,
    NotReady,
    RegistryError,
    Unreachable,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import (
    RewritePlan,
    plan_rewrite,
    plan_rewrites,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import rewrite
from dns import message, rrset

if t.TYPE_CHECKING:
    from collections.abc import Iterator

NAME, TARGET = "harbor.example.com", "envoy.gateway.svc.cluster.local"
IP, OUTSIDE = "10.96.44.7", "203.0.113.7"
COREFILE = ".:53 {\n    kubernetes cluster.local\n    reload\n}\n"
AUTOPATH = COREFILE.replace("reload", "autopath @kubernetes\n    reload")
Json = dict[str, t.Any]


def pod(
    name: str, *, ready: bool = True, owner: tuple[str, str] = ("ReplicaSet", "coredns-1"), **metadata: t.Any
) -> Json:
    return {
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "ownerReferences": [{"kind": owner[0], "name": owner[1]}],
            **metadata,
        },
        "spec": {"nodeName": f"node-of-{name}", "containers": [{"ports": []}]},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


class FakeCluster:
    """Pods that answer from tables, and one ConfigMap. Everything done to it is in ``calls``."""

    def __init__(self, text: str = COREFILE, pods: t.Sequence[Json] = ()) -> None:
        self.calls: list[str] = []
        self.pods = list(pods)
        self.config_map: Json | None = {
            "metadata": {"resourceVersion": "1"},
            "data": {"Corefile": text, "NodeHosts": ""},
        }
        self.answers: dict[str, dict[str, str]] = {}
        self.metrics: dict[str, str] = {}
        self.edited_meanwhile = 0
        self.rolls_out = True

    def get(self, api: str, kind: str, namespace: str, name: str) -> Json | None:
        if kind == "ReplicaSet":
            return {"metadata": {"ownerReferences": [{"kind": "Deployment", "name": name.rpartition("-")[0]}]}}
        return self.config_map

    def list(self, api: str, kind: str, namespace: str, *, selector: str) -> t.Sequence[Json]:
        return self.pods

    def merge(self, api: str, kind: str, namespace: str, name: str, body: Json) -> Json:
        assert self.config_map is not None
        current = self.config_map["metadata"]
        if self.edited_meanwhile:
            self.edited_meanwhile -= 1
            current["resourceVersion"] = str(int(current["resourceVersion"]) + 1)
        if body["metadata"]["resourceVersion"] != current["resourceVersion"]:
            raise Conflict("the object has been modified")
        self.calls.append("write")
        self.config_map["data"].update(body["data"])
        current["resourceVersion"] = str(int(current["resourceVersion"]) + 1)
        return {"metadata": dict(current)}

    def pod_text(self, namespace: str, name: str, port: int, path: str) -> str | None:
        assert (port, path) == (9153, "/metrics")
        return self.metrics.get(name)

    def restart(self, kind: str, namespace: str, name: str, *, stamp: str) -> None:
        self.calls.append(f"restart {kind} {name}")

    def wait_rolled_out(self, kind: str, namespace: str, name: str, *, seconds: float) -> None:
        if not self.rolls_out:
            raise NotReady("waited")

    @contextmanager
    def forward(self, namespace: str, name: str, port: int) -> Iterator[socket.socket]:
        if name not in self.answers:
            raise Unreachable("refused", where=name)
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=self._serve, args=(theirs, self.answers[name]), daemon=True)
        thread.start()
        with ours, theirs:
            yield ours
            ours.shutdown(socket.SHUT_RDWR)
            thread.join(5)

    @staticmethod
    def _serve(connection: socket.socket, answers: dict[str, str]) -> None:
        while head := connection.recv(2, socket.MSG_WAITALL):
            question = message.from_wire(connection.recv(*struct.unpack("!H", head), socket.MSG_WAITALL))
            answer = message.make_response(question)
            name = question.question[0].name
            if address := answers.get(name.to_text()):
                answer.answer = [rrset.from_text(name, 30, "IN", "A", address)]
            wire = answer.to_wire()
            connection.sendall(struct.pack("!H", len(wire)) + wire)


def coredns(cluster: FakeCluster) -> CoreDns:
    return CoreDns(t.cast("t.Any", cluster), namespace="kube-system", selector="k8s-app=kube-dns")


def corefile(cluster: FakeCluster, **where: str) -> CorefileMap:
    place = {"namespace": "kube-system", "name": "coredns", "key": "Corefile", **where}
    return CorefileMap(t.cast("t.Any", cluster), **place)


def plan(text: str, *, present: bool = True) -> RewritePlan:
    return plan_rewrite(text=text, name=NAME, target=TARGET if present else None, present=present)


def settle(cluster: FakeCluster, planned: RewritePlan, **before: Reload) -> list[Replica]:
    """Settle with a clock of its own: after three looks the time is over."""
    now = iter(range(100))
    return coredns(cluster).settle(
        planned,
        before=before,
        seconds=3,
        clock=lambda: next(now),
        sleep=lambda seconds: cluster.calls.append("sleep"),
    )


def answers(bare: str, expanded: str = "") -> dict[str, str]:
    return {f"{NAME}.": bare, f"{NAME}.default.svc.cluster.local.": expanded, f"{TARGET}.": IP}


# The ConfigMap


def test_edit_writes_once_and_keeps_other_keys() -> None:
    cluster = FakeCluster()
    planned, metadata = corefile(cluster).edit(plan)
    assert cluster.config_map == {
        "metadata": {"resourceVersion": "2"},
        "data": {"Corefile": planned.after, "NodeHosts": ""},
    }
    assert metadata["resourceVersion"] == "2"
    again, _metadata = corefile(cluster).edit(plan)
    assert not again.changes
    assert cluster.calls == ["write"]


def test_concurrent_edit_is_planned_anew() -> None:
    cluster = FakeCluster()
    cluster.edited_meanwhile = WRITE_ATTEMPTS - 1
    assert corefile(cluster).edit(plan)[0].changes
    assert cluster.calls == ["write"]


def test_concurrent_edits_without_end_are_an_error() -> None:
    cluster = FakeCluster()
    cluster.edited_meanwhile = 1000
    with pytest.raises(Conflict):
        corefile(cluster).edit(plan)
    assert cluster.edited_meanwhile == 1000 - WRITE_ATTEMPTS
    assert cluster.calls == []


def test_put_back() -> None:
    cluster = FakeCluster()
    planned, metadata = corefile(cluster).edit(plan)
    assert "is back" in corefile(cluster).put_back(planned, metadata)
    assert cluster.config_map is not None
    assert cluster.config_map["data"]["Corefile"] == COREFILE
    assert "could not be put back" in corefile(cluster).put_back(planned, metadata)


def test_missing_config_map_and_key() -> None:
    cluster = FakeCluster()
    with pytest.raises(BadInput) as error:
        corefile(cluster, key="corefile").read()
    assert "Corefile, NodeHosts" in error.value.cure
    cluster.config_map = {"metadata": {}}
    with pytest.raises(BadInput):
        corefile(cluster).read()
    cluster.config_map = None
    with pytest.raises(BadInput) as error:
        corefile(cluster).read()
    assert error.value.where == "ConfigMap kube-system/coredns, key Corefile"


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        ({}, ""),
        ({"labels": {"k8s-app": "kube-dns"}, "annotations": None}, ""),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
        ({"annotations": {"config.k8s.io/owning-inventory": "x"}}, "Talos (talosctl upgrade-k8s)"),
        (
            {"labels": {"app.kubernetes.io/managed-by": "Helm", "helm.toolkit.fluxcd.io/name": "coredns"}},
            "Flux (HelmRelease)",
        ),
    ],
)
def test_owner(metadata: Json, owner: str) -> None:
    assert managed_by(metadata) == owner


# The pods


def test_only_ready_pods_that_stay_are_asked() -> None:
    pods = [pod("b"), pod("a"), pod("c", ready=False), pod("d", deletionTimestamp="now"), {"metadata": {"name": "e"}}]
    assert [each["metadata"]["name"] for each in ready_pods(pods)] == ["a", "b"]
    with pytest.raises(NotReady):
        coredns(FakeCluster(pods=pods[2:])).pods()


def test_every_pod_is_asked_and_one_that_does_not_answer_is_no_end() -> None:
    cluster = FakeCluster(pods=[pod("a"), pod("b")])
    cluster.answers = {"a": answers(IP, IP)}
    first, second = coredns(cluster).ask(name=NAME, target=TARGET, domain="cluster.local")
    assert first == Replica(pod="a", node="node-of-a", name=NAME, bare=(IP,), expanded=(IP,), target=(IP,))
    assert first.shown == {
        "pod": "a",
        "node": "node-of-a",
        "name": NAME,
        "bare": [IP],
        "expanded": [IP],
    }
    assert second == Replica(pod="b", node="node-of-b", name=NAME, problem="b: refused")


def test_port_of_a_pod() -> None:
    assert dns_port(pod("a")) == 53
    other = pod("a")
    other["spec"]["containers"][0]["ports"] = [
        {"name": "dns", "containerPort": 1053},
        {"name": "dns-tcp", "containerPort": 5353},
    ]
    assert dns_port(other) == 5353


def test_settled_when_every_pod_answers() -> None:
    cluster = FakeCluster(pods=[pod("a"), pod("b")])
    cluster.answers = {"a": answers(IP), "b": answers(IP)}
    assert [each.pod for each in settle(cluster, plan(COREFILE))] == ["a", "b"]
    assert cluster.calls == []


@pytest.mark.parametrize(
    ("text", "second"),
    [(COREFILE, answers(OUTSIDE)), (AUTOPATH, answers(IP, OUTSIDE)), (COREFILE, {f"{NAME}.": ""}), (COREFILE, {})],
    ids=["another address", "expanded name elsewhere", "no address at all", "target unknown"],
)
def test_not_settled_while_one_pod_answers_otherwise(text: str, second: dict[str, str]) -> None:
    cluster = FakeCluster(pods=[pod("a"), pod("b")])
    cluster.answers = {"a": answers(IP, IP), "b": second}
    with pytest.raises(NotReady) as error:
        settle(cluster, plan(text))
    assert not isinstance(error.value, Refused)
    assert "b: name" in error.value.problem
    assert cluster.calls == ["sleep", "sleep"]


def test_failed_reload_is_refused_at_once() -> None:
    cluster = FakeCluster(pods=[pod("a")])
    cluster.answers = {"a": answers(OUTSIDE)}
    cluster.metrics = {"a": "coredns_reload_failed_total 3\n"}
    with pytest.raises(Refused) as error:
        settle(cluster, plan(COREFILE), a=Reload(failed=2))
    assert error.value.where == "pod a"
    assert cluster.calls == []
    with pytest.raises(NotReady) as later:
        settle(cluster, plan(COREFILE), a=Reload(failed=3))
    assert not isinstance(later.value, Refused)


def test_taken_out_is_settled_by_another_answer_or_another_version() -> None:
    cluster = FakeCluster(pods=[pod("a"), pod("b")])
    cluster.answers = {"a": answers(OUTSIDE), "b": answers(IP)}
    planned = plan(plan(COREFILE).after, present=False)
    assert planned.each[0].removed == (TARGET,)
    old, new = (f'coredns_reload_version_info{{hash="sha512",value="{value}"}} 1\n' for value in ("1", "2"))
    cluster.metrics = {"a": old, "b": old}
    before = coredns(cluster).reloads()
    with pytest.raises(NotReady):
        settle(cluster, planned, **before)
    cluster.metrics["b"] = new
    assert len(settle(cluster, planned, **before)) == 2


def test_each_name_is_asked_for() -> None:
    other = "git.example.com"
    wanted = [rewrite(name=name, target=TARGET) for name in (NAME, other)]
    planned = plan_rewrites(text=COREFILE, wanted=wanted)
    cluster = FakeCluster(pods=[pod("a"), pod("b")])
    cluster.answers = {name: answers(IP) | {f"{other}.": IP} for name in "ab"}
    assert [(each.name, each.pod) for each in settle(cluster, planned)] == [
        (NAME, "a"),
        (NAME, "b"),
        (other, "a"),
        (other, "b"),
    ]
    cluster.answers["b"][f"{other}."] = OUTSIDE
    with pytest.raises(NotReady):
        settle(cluster, planned)


def test_rules_nobody_asks_for_are_gone_when_another_version_runs() -> None:
    text = COREFILE.replace("reload", "rewrite name a.example.com b.c.svc.cluster.local\n    reload")
    planned = plan_rewrites(text=text, wanted=[], exact=True)
    cluster = FakeCluster(pods=[pod("a")])
    old, new = (f'coredns_reload_version_info{{hash="sha512",value="{value}"}} 1\n' for value in ("1", "2"))
    cluster.metrics = {"a": old}
    before = coredns(cluster).reloads()
    with pytest.raises(NotReady):
        settle(cluster, planned, **before)
    cluster.metrics = {"a": new}
    assert settle(cluster, planned, **before) == []


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("registry.k8s.io/coredns/coredns:v1.14.7", (1, 14, 7)),
        ("rancher/mirrored-coredns-coredns:1.8.3", (1, 8, 3)),
        ("host:5000/eks/coredns:v1.11.1-eksbuild.4", (1, 11, 1)),
        ("coredns/coredns:1.12.0@sha256:0123", (1, 12, 0)),
        ("coredns/coredns@sha256:0123", None),
        ("host:5000/coredns", None),
        ("coredns/coredns:latest", None),
    ],
)
def test_version_by_the_tag(image: str, version: tuple[int, ...] | None) -> None:
    assert image_version(image) == version


def test_oldest_version_counts() -> None:
    pods = [pod("a"), pod("b")]
    assert coredns(FakeCluster(pods=pods)).version() is None
    for each, tag in zip(pods, ("1.10.0", "1.9.4"), strict=True):
        containers = each["spec"]["containers"]
        containers[0]["image"] = f"coredns/coredns:{tag}"
        containers.append({"image": "example.com/sidecar:1.0.0"})
    assert coredns(FakeCluster(pods=pods)).version() == (1, 9, 4)


def test_without_reload_plugin_the_owner_is_restarted() -> None:
    cluster = FakeCluster(COREFILE.replace("reload", ""), [pod("a"), pod("b"), pod("c", owner=("DaemonSet", "dns"))])
    cluster.answers = {name: answers(IP) for name in "abc"}
    settle(cluster, plan(COREFILE.replace("reload", "")))
    assert cluster.calls == ["restart DaemonSet dns", "restart Deployment coredns"]


def test_pods_that_do_not_come_up_are_a_refusal() -> None:
    cluster = FakeCluster(pods=[pod("a")])
    cluster.rolls_out = False
    with pytest.raises(Refused):
        settle(cluster, plan(COREFILE.replace("reload", "")))


def test_pod_without_owner_cannot_be_restarted() -> None:
    cluster = FakeCluster(pods=[pod("a", owner=("Node", "n"))])
    with pytest.raises(RegistryError) as error:
        settle(cluster, plan(COREFILE.replace("reload", "")))
    assert "Restart CoreDNS by hand" in error.value.cure


def test_metrics() -> None:
    metrics = (
        "# HELP coredns_reload_failed_total Counter\ncoredns_reload_failed_total 2\n"
        'coredns_reload_version_info{hash="sha512",value="ab"} 1\ncoredns_reload_failed_total_other 7\n'
    )
    assert metric_values(metrics, "coredns_reload_failed_total") == {"": 2.0}
    assert metric_values(metrics, "coredns_reload_version_info") == {'{hash="sha512",value="ab"}': 1.0}
    assert metric_values(metrics, "absent") == {}


# The probe's judgement


def replica(pod: str, bare: str = IP, expanded: str = "", target: str = IP, problem: str = "") -> Replica:
    return Replica(
        pod=pod,
        node="n",
        bare=(bare,) if bare else (),
        expanded=(expanded,) if expanded else (),
        target=(target,) if target else (),
        problem=problem,
    )


def test_domain_of_a_target() -> None:
    assert domain_of("a.b.svc.k8s.home") == "k8s.home"
    assert domain_of("lb.example.com") == "cluster.local"
    assert domain_of(None) == "cluster.local"


def test_summary_is_one_line() -> None:
    text = summary([replica("a"), replica("b", problem="gone")])
    assert text == f"a: name {IP}, expanded no address, target {IP}; b: gone"
