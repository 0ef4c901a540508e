# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: CoreDNS in a cluster: what each of its pods answers, measures and logs.

Each replica is asked by itself, through a port-forward: a question to the Service goes to any of them. Such a question
comes from the pod's own loopback, so ``autopath``, which goes by the address of the asking pod, plays no part in it.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._dns import Answer, ask
from ansible_collections.splithorizon.registry.plugins.module_utils._endpoints import PodPort, through_pod
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    NotReady,
    RegistryError,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._http import Client, Origin
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import is_rolled_out
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_servers import DNS_PORT
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import DEFAULT_DOMAIN, expanded_name

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = [
    "CoreDns",
    "Replica",
    "dns_port",
    "domain_of",
    "image_version",
    "metric_values",
    "ready_pods",
    "summary",
]

OK = 200
NO_ERROR = "NOERROR"
METRICS_SECONDS = 5.0
LOG_LINES = 200
# The label of the add-on's manifest, and kubespray's.
NODE_LOCAL = "k8s-app in (node-local-dns, nodelocaldns)"


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What one CoreDNS pod answers for the bare name, the name in a pod's search domain, and the target.

    ``six`` and ``target_six`` are the answers for IPv6 addresses (AAAA), None where they were not asked for.
    """

    pod: str
    node: str
    name: str = ""
    bare: tuple[str, ...] = ()
    expanded: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    six: Answer | None = None
    target_six: Answer | None = None
    problem: str = ""

    @property
    def six_problem(self) -> str:
        """Why clients that ask for IPv6 addresses too would not get to the target, empty where they would.

        Without such an address the answer has to be empty, and no NXDOMAIN: musl takes that for the whole name's.
        """
        if self.six is None or self.target_six is None:
            return ""
        if self.six.addresses != self.target_six.addresses:
            expected = _list(self.target_six.addresses)
            return f"{_list(self.six.addresses)} for the name's AAAA, not {expected} as for the target's"
        return "" if self.six.rcode == NO_ERROR else f"{self.six.rcode} for the name's AAAA, not an empty answer"

    @property
    def shown(self) -> dict[str, t.Any]:
        """As modules return it."""
        return {
            "pod": self.pod,
            "node": self.node,
            "name": self.name,
            "bare": list(self.bare),
            "expanded": list(self.expanded),
            "aaaa": list(self.six.addresses) if self.six else [],
        }


class CoreDns:
    """The CoreDNS pods in one namespace that match a label selector."""

    def __init__(self, cluster: Cluster, *, namespace: str, selector: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._selector = selector

    def all_pods(self) -> list[Json]:
        """Ready or not."""
        return self._cluster.list("v1", "Pod", self._namespace, selector=self._selector)

    def pods(self) -> list[Json]:
        """The ready pods; NotReady where there is none."""
        pods = ready_pods(self.all_pods())
        if not pods:
            raise NotReady(
                "no CoreDNS pod is ready",
                where=f"namespace {self._namespace}, selector {self._selector}",
                cure="Give the selector of the CoreDNS pods, or see why they are not ready",
            )
        return pods

    def ask(self, *, name: str, target: str | None, domain: str) -> list[Replica]:
        """What every ready pod answers."""
        return [self._ask(pod, name, target, domain) for pod in self.pods()]

    def answer(self, pod: Json, name: str) -> Answer | None:
        """What one pod answers for a name (no final dot); None where it does not answer."""
        try:
            with self._cluster.forward(self._namespace, pod["metadata"]["name"], dns_port(pod)) as connection:
                return ask(connection, f"{name}.")
        except RegistryError:
            return None

    def metrics(self, pod: Json, port: int) -> str | None:
        """A pod's metrics; None where nothing answers there."""
        target = PodPort(namespace=self._namespace, pod=pod["metadata"]["name"], port=port)
        client = Client(way=through_pod(self._cluster, target), seconds=METRICS_SECONDS)
        try:
            answer = client.send("GET", Origin(scheme="http", host="localhost", port=port), "/metrics")
        except (RegistryError, OSError):
            return None
        return answer.body.decode(errors="replace") if answer.status == OK else None

    def log(self, pod: Json, *, seconds: float | None = None) -> str:
        """The end of a pod's log, of the last ``seconds`` only where given; empty where it is not to be had."""
        since = "" if seconds is None else str(max(1, round(seconds)))
        how = {"container": _container(pod), "tailLines": str(LOG_LINES), "sinceSeconds": since}
        return self._cluster.pod_log(self._namespace, pod["metadata"]["name"], how) or ""

    def owners(self) -> list[tuple[str, str]]:
        """Kind and name of what the ready pods belong to, and what can be restarted."""
        return sorted({self._owner(pod) for pod in self.pods()})

    def restart(self, kind: str, name: str, *, stamp: str) -> None:
        """Have a Deployment or DaemonSet replace its pods, one after the other."""
        self._cluster.restart(kind, self._namespace, name, stamp=stamp)

    def rolled_out(self, kind: str, name: str) -> bool:
        """Whether all pods of a Deployment or DaemonSet are new and ready."""
        found = self._cluster.get("apps/v1", kind, self._namespace, name)
        return found is not None and is_rolled_out(found)

    def version(self) -> tuple[int, ...] | None:
        """The oldest version that runs, by the tags of the images; None where they do not tell."""
        containers = [each for pod in self.all_pods() for each in pod.get("spec", {}).get("containers", [])]
        images = [str(each.get("image", "")) for each in containers]
        versions = [version for image in images if "coredns" in image and (version := image_version(image))]
        return min(versions, default=None)

    def node_local(self) -> bool:
        """Whether NodeLocal DNSCache runs: pods ask it, and it sends on to CoreDNS only the cluster's own names."""
        return bool(self._cluster.list("v1", "Pod", self._namespace, selector=NODE_LOCAL))

    def _ask(self, pod: Json, name: str, target: str | None, domain: str) -> Replica:
        metadata = pod["metadata"]
        who = {"pod": metadata["name"], "node": pod["spec"].get("nodeName", ""), "name": name}
        try:
            with self._cluster.forward(self._namespace, metadata["name"], dns_port(pod)) as connection:
                return Replica(
                    **who,
                    bare=ask(connection, f"{name}.").addresses,
                    expanded=ask(connection, expanded_name(name, domain)).addresses,
                    target=ask(connection, f"{target}.").addresses if target else (),
                    six=ask(connection, f"{name}.", rdtype="AAAA"),
                    target_six=ask(connection, f"{target}.", rdtype="AAAA") if target else None,
                )
        except RegistryError as error:
            return Replica(**who, problem=str(error))

    def _owner(self, pod: Json) -> tuple[str, str]:
        for owner in pod["metadata"].get("ownerReferences", []):
            if owner["kind"] == "DaemonSet":
                return "DaemonSet", str(owner["name"])
            if owner["kind"] == "ReplicaSet":
                found = self._cluster.get("apps/v1", "ReplicaSet", self._namespace, owner["name"]) or {"metadata": {}}
                for above in found["metadata"].get("ownerReferences", []):
                    return str(above["kind"]), str(above["name"])
        raise NotReady(
            "its Corefile has no reload plugin, and no Deployment or DaemonSet owns it that could be restarted",
            where=f"pod {self._namespace}/{pod['metadata']['name']}",
            cure="Restart CoreDNS by hand",
        )


def domain_of(target: str | None) -> str:
    """The cluster's domain as the name of a Service tells it: ``a.b.svc.cluster.local`` → ``cluster.local``."""
    return (target or "").partition(".svc.")[2] or DEFAULT_DOMAIN


def ready_pods(pods: Iterable[Json]) -> list[Json]:
    """The pods that are ready and not on their way out, by name."""
    ready = []
    for pod in pods:
        conditions = pod.get("status", {}).get("conditions", [])
        is_ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        if is_ready and not pod["metadata"].get("deletionTimestamp"):
            ready.append(pod)
    return sorted(ready, key=lambda pod: str(pod["metadata"]["name"]))


def dns_port(pod: Json) -> int:
    """The port a CoreDNS pod takes DNS over TCP on: the one named dns-tcp, else 53."""
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
    return next((int(port["containerPort"]) for port in ports if port.get("name") == "dns-tcp"), DNS_PORT)


def _container(pod: Json) -> str:
    """The container of a pod that is CoreDNS: there may be others beside it."""
    containers = pod.get("spec", {}).get("containers", [])
    named = [str(each["name"]) for each in containers if "coredns" in str(each.get("image", ""))]
    return (named or [str(each.get("name", "")) for each in containers] or [""])[0]


def image_version(image: str) -> tuple[int, ...] | None:
    """The version in an image's tag: ``registry.k8s.io/coredns/coredns:v1.14.7`` → ``(1, 14, 7)``."""
    found = re.search(r":v?(\d+)\.(\d+)\.(\d+)[^/:]*$", image.partition("@")[0])
    return tuple(map(int, found.groups())) if found else None


def metric_values(metrics: str, name: str) -> dict[str, float]:
    """The values of one metric in the Prometheus text format, by label text (``{hash="…"}``, or empty)."""
    found = re.finditer(rf"^{re.escape(name)}(\{{.*\}})?\s+(\S+)", metrics, re.MULTILINE)
    return {match[1] or "": float(match[2]) for match in found}


def summary(replicas: Iterable[Replica]) -> str:
    """What each replica answers, on one line."""
    return "; ".join(f"{each.pod}: {_said(each)}" for each in replicas)


def _said(replica: Replica) -> str:
    if replica.problem:
        return replica.problem
    answers = {"name": replica.bare, "expanded": replica.expanded, "target": replica.target}
    said = ", ".join(f"{what} {_list(addresses)}" for what, addresses in answers.items())
    return f"{said}, {replica.six_problem}" if replica.six_problem else said


def _list(addresses: Iterable[str]) -> str:
    return ", ".join(addresses) or "no address"
