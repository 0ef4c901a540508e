# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Whether a Talos node is healthy: what `talosctl service` prints and what Kubernetes says of the node → troubles.

Only reads, by requests that leave a pending ``try`` armed: the list of services, and nodes of the Kubernetes API.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["KUBELET", "KubernetesNode", "Service", "kubernetes_node", "node_troubles", "parse_services", "troubles"]

Json = dict[str, t.Any]

KUBELET = "kubelet"
ON_EVERY_NODE = ("apid", "machined", "containerd", "cri")
CONTROL_PLANE = "controlplane"
ETCD = "etcd"

# NODE SERVICE STATE HEALTH LAST-CHANGE LAST-EVENT; the last one may go on over further, indented lines.
_ROW = re.compile(r"^(\S+)\s+(\S+)\s+(\S+)\s+(OK|Fail|\?)\s")


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service of Talos's: its state, and its health as ``OK``, ``Fail`` or ``?``."""

    state: str
    health: str

    @property
    def is_well(self) -> bool:
        return (self.state, self.health) == ("Running", "OK")


@dataclass(frozen=True, kw_only=True)
class KubernetesNode:
    """A node as Kubernetes has it; ``trouble`` says why it is not ready, or is empty."""

    name: str
    trouble: str
    unschedulable: bool


def parse_services(stdout: str) -> dict[str, Service]:
    """`talosctl service` of one node → service: how it is."""
    rows = filter(None, map(_ROW.match, stdout.splitlines()))
    return {row[2]: Service(state=row[3], health=row[4]) for row in rows}


def troubles(services: Mapping[str, Service], *, machine_type: str | None) -> list[str]:
    """Services that are not as on a healthy node. The kubelet's absence is none: such nodes have no Kubernetes."""
    wanted = [*ON_EVERY_NODE, *([ETCD] if machine_type == CONTROL_PLANE or ETCD in services else [])]
    if KUBELET in services:
        wanted.append(KUBELET)
    return [
        f"service {name} is {_told(services.get(name))}"
        for name in wanted
        if name not in services or not services[name].is_well
    ]


def _told(service: Service | None) -> str:
    if service is None:
        return "not there"
    if service.state != "Running":
        return service.state.lower()
    return "running, and not healthy" + (" yet" if service.health == "?" else "")


def kubernetes_node(nodes: Iterable[Json], address: str) -> KubernetesNode | None:
    """The Kubernetes node that has the address (or host name) that talosctl knows it by."""
    for node in nodes:
        status = node.get("status", {})
        if any(one.get("address") == address for one in status.get("addresses", ())):
            return KubernetesNode(
                name=node["metadata"]["name"],
                trouble=_not_ready(status),
                unschedulable=bool(node.get("spec", {}).get("unschedulable")),
            )
    return None


def node_troubles(node: KubernetesNode | None, address: str) -> list[str]:
    """What Kubernetes has against the node."""
    if node is None:
        return [f"its kubelet runs, and no Kubernetes node has the address {address}"]
    return [f"Kubernetes node {node.name} is not ready{node.trouble}"] if node.trouble else []


def _not_ready(status: Json) -> str:
    """Empty where the node is ready; else `` (why)``."""
    ready = next((one for one in status.get("conditions", ()) if one.get("type") == "Ready"), None)
    if ready is None:
        return " (it has not said so yet)"
    if ready.get("status") == "True":
        return ""
    return f" ({ready.get('message') or ready.get('reason') or 'no reason given'})"
