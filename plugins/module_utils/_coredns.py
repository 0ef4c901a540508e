# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: CoreDNS in a cluster: its Corefile, what each of its pods answers, and whether it took a new Corefile.

Each replica is asked by itself, through a port-forward: a question to the Service goes to any of them. Such a question
comes from the pod's own loopback, so ``autopath``, which goes by the address of the asking pod, plays no part in it.
"""

from __future__ import annotations

import datetime
import re
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._dns import ask
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    NotReady,
    RegistryError,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_servers import DNS_PORT
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import DEFAULT_DOMAIN, expanded_name

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_draft import Planned

__all__ = [
    "CoreDns",
    "Refused",
    "Reload",
    "Replica",
    "dns_port",
    "domain_of",
    "image_version",
    "metric_values",
    "ready_pods",
    "summary",
]

METRICS_PORT = 9153
POLL_SECONDS = 2.0
# The label of the add-on's manifest, and kubespray's.
NODE_LOCAL = "k8s-app in (node-local-dns, nodelocaldns)"


class Refused(NotReady):
    """CoreDNS did not take the Corefile it was given."""


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What one CoreDNS pod answers for the bare name, the name in a pod's search domain, and the target."""

    pod: str
    node: str
    name: str = ""
    bare: tuple[str, ...] = ()
    expanded: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    problem: str = ""

    @property
    def shown(self) -> dict[str, t.Any]:
        """As modules return it."""
        return {
            "pod": self.pod,
            "node": self.node,
            "name": self.name,
            "bare": list(self.bare),
            "expanded": list(self.expanded),
        }


@dataclass(frozen=True, kw_only=True)
class Reload:
    """A pod's own account of its configuration: how often a reload failed, and which version it runs."""

    failed: float = 0.0
    version: frozenset[str] = frozenset()


class CoreDns:
    """The CoreDNS pods in one namespace that match a label selector."""

    def __init__(self, cluster: Cluster, *, namespace: str, selector: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._selector = selector

    def pods(self) -> list[Json]:
        """The ready pods; NotReady where there is none."""
        pods = ready_pods(self._cluster.list("v1", "Pod", self._namespace, selector=self._selector))
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

    def reloads(self) -> dict[str, Reload]:
        """What the pods' metrics say of their configuration; pods without metrics are left out."""
        states = {}
        for pod in self.pods():
            name = pod["metadata"]["name"]
            metrics = self._cluster.pod_text(self._namespace, name, METRICS_PORT, "/metrics")
            if metrics is not None:
                failed = metric_values(metrics, "coredns_reload_failed_total")
                version = metric_values(metrics, "coredns_reload_version_info")
                states[name] = Reload(failed=sum(failed.values()), version=frozenset(version))
        return states

    def version(self) -> tuple[int, ...] | None:
        """The oldest version that runs, by the tags of the images; None where they do not tell."""
        pods = self._cluster.list("v1", "Pod", self._namespace, selector=self._selector)
        images = [str(each.get("image", "")) for pod in pods for each in pod.get("spec", {}).get("containers", [])]
        versions = [version for image in images if "coredns" in image and (version := image_version(image))]
        return min(versions, default=None)

    def node_local(self) -> bool:
        """Whether NodeLocal DNSCache runs: pods ask it, and it sends on to CoreDNS only the cluster's own names."""
        return bool(self._cluster.list("v1", "Pod", self._namespace, selector=NODE_LOCAL))

    def settle(
        self,
        plan: RewritePlan,
        *,
        before: Mapping[str, Reload],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> list[Replica]:
        """Wait until every pod answers by the new Corefile. Refused where CoreDNS does not take it.

        ``before`` is what ``reloads`` said before the Corefile was changed.
        """
        end = clock() + seconds
        if not plan.reloads:
            self._restart(seconds)
        while True:
            replicas, problem = self._look(plan, before=before)
            if not problem:
                return replicas
            if clock() >= end:
                raise NotReady(
                    f"after {seconds:g} s not every CoreDNS pod answers by the new Corefile: {problem}",
                    cure="See the logs of those pods, then run again",
                )
            sleep(POLL_SECONDS)

    def _look(self, plan: RewritePlan, *, before: Mapping[str, Reload]) -> tuple[list[Replica], str]:
        """What every pod answers now, and what is still missing."""
        replicas: list[Replica] = []
        late: list[Replica] = []
        try:
            now = self.reloads() if plan.reloads else {}
            for each in plan.each:
                if each.question is None:
                    continue
                name, target = each.question
                found = self.ask(name=name, target=target or None, domain=each.cluster_domain)
                late += [replica for replica in found if not _is_settled(replica, each, before, now)]
                replicas += found
        except NotReady as error:
            return [], str(error)
        _raise_if_refused(before, now)
        unproven = plan.removed and not any(each.question and each.removed for each in plan.each)
        if not late and unproven and _run_the_old(before, now):
            return replicas, "its metrics speak of the old one"
        return replicas, summary(replicas) if late else ""

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
                )
        except RegistryError as error:
            return Replica(**who, problem=str(error))

    def _restart(self, seconds: float) -> None:
        """Roll the pods' Deployments or DaemonSets: without the reload plugin a Corefile is read at start only."""
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for kind, name in sorted({self._owner(pod) for pod in self.pods()}):
            self._cluster.restart(kind, self._namespace, name, stamp=stamp)
            try:
                self._cluster.wait_rolled_out(kind, self._namespace, name, seconds=seconds)
            except NotReady as error:
                raise Refused(f"its pods do not come up: {error.problem}", where=f"{kind} {name}") from error

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


def _raise_if_refused(before: Mapping[str, Reload], now: Mapping[str, Reload]) -> None:
    for pod, state in now.items():
        if state.failed > before.get(pod, Reload()).failed:
            raise Refused(
                "CoreDNS does not take the new Corefile (coredns_reload_failed_total went up)",
                where=f"pod {pod}",
                cure="Its log says why",
            )


def _run_the_old(before: Mapping[str, Reload], now: Mapping[str, Reload]) -> bool:
    return any(state.version and now.get(pod, Reload()).version == state.version for pod, state in before.items())


def _is_settled(replica: Replica, plan: Planned, before: Mapping[str, Reload], now: Mapping[str, Reload]) -> bool:
    if replica.problem:
        return False
    if plan.rules:
        expanded = replica.expanded == replica.target or not plan.autopath
        return bool(replica.target) and replica.bare == replica.target and expanded
    # Another resolver may know the name by the same address, or the target is not known: then only the version tells.
    version = now.get(replica.pod, Reload()).version
    known = plan.question is not None and plan.question[1]
    return bool(known and replica.bare != replica.target) or version != before.get(replica.pod, Reload()).version


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
    return "; ".join(
        f"{each.pod}: "
        + (each.problem or f"name {_list(each.bare)}, expanded {_list(each.expanded)}, target {_list(each.target)}")
        for each in replicas
    )


def _list(addresses: Iterable[str]) -> str:
    return ", ".join(addresses) or "no address"
