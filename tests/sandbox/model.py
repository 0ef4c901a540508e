# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sandbox consists of: the only place where its names and addresses stand."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CLUSTERS",
    "DOMAIN",
    "KUBERNETES",
    "REGISTRY_NAME",
    "STAGES",
    "TALOS",
    "ClusterModel",
    "NodeModel",
    "by_name",
]

KUBERNETES = "v1.36.3"
TALOS = "v1.13.0"
DOMAIN = "cluster.local"
REGISTRY_NAME = "harbor.example.com"

# What the sandbox comes up in; each stage needs those before it.
STAGES = ("network", "control-plane", "nodes", "workloads")


@dataclass(frozen=True)
class NodeModel:
    """One Talos node. Pods on it get addresses of ``pod_range``.

    ``talos`` is the version that it plays; its configuration is of the version TALOS.
    """

    name: str
    address: str
    pod_range: str
    control_plane: bool = False
    talos: str = TALOS


@dataclass(frozen=True)
class ClusterModel:
    """One cluster, as the rest of the world sees it.

    ``lan_address`` is the router's side of the cluster's cable: default gateway and upstream DNS of its nodes.
    ``image_name`` is the registry as image references name it.
    ``balanced`` gives Services (namespace, name) of type LoadBalancer their address; a Service that Envoy Gateway
    made for a Gateway gets ``gateway_address``.
    """

    name: str
    lan_address: str
    prefix: int
    nodes: tuple[NodeModel, ...]
    pod_range: str
    service_range: str
    dns_service: str
    gateway_address: str
    harbor_namespace: str
    image_name: str
    balanced: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def api_address(self) -> str:
        return self.nodes[0].address

    @property
    def api_url(self) -> str:
        return f"https://{self.api_address}:6443"

    @property
    def kubernetes_service(self) -> str:
        """ClusterIP of default/kubernetes: the first address of the service range."""
        return str(ipaddress.ip_network(self.service_range)[1])

    @property
    def balancer_addresses(self) -> tuple[str, ...]:
        return (self.gateway_address, *self.balanced.values())

    def node(self, name: str) -> NodeModel:
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"cluster {self.name} has no node {name}")


CLUSTERS: tuple[ClusterModel, ...] = (
    ClusterModel(
        name="alpha",
        lan_address="10.5.0.1",
        prefix=24,
        nodes=(
            NodeModel("alpha-cp-1", "10.5.0.2", "10.244.1.0/24", control_plane=True),
            NodeModel("alpha-worker-1", "10.5.0.3", "10.244.2.0/24"),
            NodeModel("alpha-worker-2", "10.5.0.4", "10.244.3.0/24"),
        ),
        pod_range="10.244.0.0/16",
        service_range="10.96.0.0/16",
        dns_service="10.96.0.10",
        gateway_address="203.0.113.7",
        harbor_namespace="default",
        image_name=REGISTRY_NAME,
    ),
    ClusterModel(
        name="beta",
        lan_address="192.168.1.1",
        prefix=24,
        nodes=(NodeModel("beta-1", "192.168.1.98", "10.42.1.0/24", control_plane=True),),
        pod_range="10.42.0.0/16",
        service_range="10.43.0.0/16",
        dns_service="10.43.0.10",
        gateway_address="192.168.1.110",
        harbor_namespace="harbor",
        image_name="192.168.1.105",
        balanced={("harbor", "harbor"): "192.168.1.105"},
    ),
)


def by_name(name: str) -> ClusterModel:
    for cluster in CLUSTERS:
        if cluster.name == name:
            return cluster
    raise KeyError(f"no cluster {name}: there are {', '.join(c.name for c in CLUSTERS)}")
