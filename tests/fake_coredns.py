# SPDX-License-Identifier: GPL-3.0-or-later
"""CoreDNS pods for unit tests of clients: they answer DNS and metrics from tables. One ConfigMap is their Corefile."""

from __future__ import annotations

import socket
import struct
import threading
import typing as t
from contextlib import contextmanager

from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import CoreDns
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_map import CorefileMap
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict, Unreachable
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan, plan_rewrite
from dns import message, rcode, rrset

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME, TARGET = "harbor.example.com", "envoy.gateway.svc.cluster.local"
CONTROL, API = "kubernetes.default.svc.cluster.local", "10.96.0.1"
IP, OUTSIDE = "10.96.44.7", "203.0.113.7"
COREFILE = ".:53 {\n    kubernetes cluster.local\n    prometheus :9153\n    reload\n}\n"
AUTOPATH = COREFILE.replace("reload", "autopath @kubernetes\n    reload")
METRICS_PORT = 9153
NX = "NXDOMAIN"
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
        "spec": {"nodeName": f"node-of-{name}", "containers": [{"name": "coredns", "ports": []}]},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def down(name: str, **state: Json) -> Json:
    """A pod whose container has ended."""
    found = pod(name, ready=False)
    found["status"]["containerStatuses"] = [{"state": state or {"waiting": {"reason": "CrashLoopBackOff"}}}]
    return found


class FakeCoreDns:
    """Pods that answer from tables, and one ConfigMap. Everything done to it is in ``calls``.

    ``answers``: pod → name with its final dot, and `` AAAA`` for IPv6 → address, ``NX``, or empty for no address.
    ``writers`` change the ConfigMap's data, one before each write of ours. ``after_restart`` is done at a restart.
    """

    def __init__(self, text: str = COREFILE, pods: t.Sequence[Json] = ()) -> None:
        self.calls: list[str] = []
        self.pods = list(pods)
        self.config_map: Json | None = {
            "metadata": {"resourceVersion": "1"},
            "data": {"Corefile": text, "NodeHosts": ""},
        }
        self.answers: dict[str, dict[str, str]] = {}
        self.metrics: dict[str, str] = {}
        self.logs: dict[str, str] = {}
        self.writers: list[Callable[[Json], None]] = []
        self.after_restart: Callable[[], None] = lambda: None
        self.rolls_out = True

    def get(self, api: str, kind: str, namespace: str, name: str) -> Json | None:
        if kind == "ReplicaSet":
            return {"metadata": {"ownerReferences": [{"kind": "Deployment", "name": name.rpartition("-")[0]}]}}
        if kind == "ConfigMap":
            return self.config_map
        ready = 1 if self.rolls_out else 0
        status = {"updatedReplicas": 1, "replicas": 1, "availableReplicas": ready}
        if kind == "DaemonSet":
            status = {"desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": ready}
        return {"kind": kind, "metadata": {}, "spec": {"replicas": 1}, "status": status}

    def list(self, api: str, kind: str, namespace: str, *, selector: str) -> t.Sequence[Json]:
        return self.pods

    def merge(self, api: str, kind: str, namespace: str, name: str, body: Json) -> Json:
        assert self.config_map is not None
        current = self.config_map["metadata"]
        if self.writers:
            self.writers.pop(0)(self.config_map["data"])
            current["resourceVersion"] = str(int(current["resourceVersion"]) + 1)
        if body["metadata"]["resourceVersion"] != current["resourceVersion"]:
            raise Conflict("the object has been modified")
        self.calls.append("write")
        self.config_map["data"].update(body["data"])
        current["resourceVersion"] = str(int(current["resourceVersion"]) + 1)
        return {"metadata": dict(current)}

    def pod_log(self, namespace: str, name: str, how: Json) -> str | None:
        assert how["container"] == "coredns"
        return self.logs.get(name)

    def restart(self, kind: str, namespace: str, name: str, *, stamp: str) -> None:
        self.calls.append(f"restart {kind} {name}")
        self.after_restart()

    @contextmanager
    def forward(self, namespace: str, name: str, port: int) -> Iterator[socket.socket]:
        table: t.Any = self.metrics.get(name) if port == METRICS_PORT else self.answers.get(name)
        if table is None:
            raise Unreachable("refused", where=name)
        ours, theirs = socket.socketpair()
        serve = _serve_metrics if port == METRICS_PORT else _serve_dns
        thread = threading.Thread(target=serve, args=(theirs, table), daemon=True)
        thread.start()
        with ours, theirs:
            yield ours
            ours.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _serve_metrics(connection: socket.socket, text: str) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(4096)
    assert request.startswith(b"GET /metrics ")
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())


def _serve_dns(connection: socket.socket, answers: dict[str, str]) -> None:
    while head := connection.recv(2, socket.MSG_WAITALL):
        question = message.from_wire(connection.recv(*struct.unpack("!H", head), socket.MSG_WAITALL))
        answer = message.make_response(question)
        name, kind = question.question[0].name, question.question[0].rdtype.name
        found = answers.get(name.to_text() + ("" if kind == "A" else f" {kind}"), "")
        if found == NX:
            answer.set_rcode(rcode.NXDOMAIN)
        elif found:
            answer.answer = [rrset.from_text(name, 30, "IN", kind, found)]
        wire = answer.to_wire()
        connection.sendall(struct.pack("!H", len(wire)) + wire)


def coredns(cluster: FakeCoreDns) -> CoreDns:
    return CoreDns(t.cast("t.Any", cluster), namespace="kube-system", selector="k8s-app=kube-dns")


def corefile(cluster: FakeCoreDns, **where: str) -> CorefileMap:
    place = {"namespace": "kube-system", "name": "coredns", "key": "Corefile", **where}
    return CorefileMap(t.cast("t.Any", cluster), **place)


def plan(text: str, *, present: bool = True) -> RewritePlan:
    return plan_rewrite(text=text, name=NAME, target=TARGET if present else None, present=present)


def answers(bare: str, expanded: str = "", **more: str) -> dict[str, str]:
    """What a pod answers; ``six`` and ``target_six`` for the name's AAAA and the target's."""
    return {
        f"{NAME}.": bare,
        f"{NAME}. AAAA": more.get("six", ""),
        f"{NAME}.default.svc.cluster.local.": expanded,
        f"{TARGET}.": IP,
        f"{TARGET}. AAAA": more.get("target_six", ""),
        f"{CONTROL}.": more.get("control", API),
    }
