# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: a Gateway, the proxies behind it, and what stands between them and the pods of a cluster."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import ready_pods
from ansible_collections.splithorizon.registry.plugins.module_utils._envoy_gateway import (
    ENVOY_GATEWAY,
    GATEWAY_NAME,
    HTTPS,
    Exposure,
    exposure_of,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotReady
from ansible_collections.splithorizon.registry.plugins.module_utils._gateway_policies import (
    access_notes,
    refuse_clients,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._network_policies import (
    Proxies,
    cilium_gateway_notes,
    cilium_notes,
    names_notes,
    network_notes,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._route_timeout import API_VERSION as ENVOY_API
from ansible_collections.splithorizon.registry.plugins.module_utils._route_timeout import routes_of

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = ["GATEWAY_API", "GATEWAY_SPEC", "GatewayReader", "given_exposure", "policy_notes", "proxy_pods"]

GATEWAY_API = "gateway.networking.k8s.io/v1"
CILIUM_API = "cilium.io/v2"
GATEWAY_SPEC: dict[str, t.Any] = {
    "type": "dict",
    "options": {"namespace": {"type": "str", "required": True}, "name": {"type": "str", "required": True}},
}


class GatewayReader:
    """One Gateway of a cluster."""

    def __init__(self, cluster: Cluster, *, namespace: str, name: str) -> None:
        self._cluster = cluster
        self.namespace, self.name = namespace, name

    def gateway(self) -> Json:
        """The Gateway; BadInput where there is none."""
        found = self._cluster.get(GATEWAY_API, "Gateway", self.namespace, self.name)
        if found is None:
            others = self._cluster.list(GATEWAY_API, "Gateway", None)
            names = ", ".join(sorted(f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in others))
            where = f"Gateway {self.namespace}/{self.name}"
            raise BadInput("there is no such Gateway", where=where, cure=f"The cluster has: {names or 'none'}")
        return found

    def exposure(self, gateway: Json) -> Exposure:
        """Where its proxies are, and on which ports."""
        labels = ",".join(f"{key}={value}" for key, value in ENVOY_GATEWAY.items())
        services = self._cluster.list("v1", "Service", None, selector=labels)
        try:
            return exposure_of(services, gateway)
        except NotReady:
            others = self._cluster.list("v1", "Service", self.namespace, selector=f"{GATEWAY_NAME}={self.name}")
            return exposure_of([*services, *others], gateway)

    def notes(self, gateway: Json, *, hostname: str) -> list[str]:
        """What may keep pods from the registry; Conflict for what certainly does."""
        refuse_clients(gateway, self._cluster.list(ENVOY_API, "ClientTrafficPolicy", None), hostname=hostname)
        access = self._cluster.list(ENVOY_API, "SecurityPolicy", None)
        if not access:
            return []
        routes = self._cluster.list(GATEWAY_API, "HTTPRoute", None)
        own, shared = routes_of(routes, hostname=hostname, gateway=(self.namespace, self.name))
        return access_notes(gateway, [*own, *shared], access)


def given_exposure(*, namespace: str, selector: Mapping[str, str], ports: Mapping[str, t.Any]) -> Exposure:
    """Pods that the user names, and the ports of theirs by those of the Service."""
    numbers = {}
    for port, target in ports.items():
        for one in (port, target):
            if not str(one).isdigit():
                raise BadInput(f"{one!r} is no port", where="option ports", cure='Write it as {"443": 10443}')
        numbers[int(port)] = int(target)
    return Exposure(mode="given", namespace=namespace, service="", stable=False, selector=selector, ports=numbers)


def proxy_pods(cluster: Cluster, exposure: Exposure) -> list[Json]:
    """The pods that the alias selects, ready ones; NotReady where there is none."""
    selector = ",".join(f"{key}={value}" for key, value in exposure.selector.items())
    pods = ready_pods(cluster.list("v1", "Pod", exposure.namespace, selector=selector))
    if not pods:
        raise NotReady(
            "no pod with these labels is ready, so the alias would lead nowhere",
            where=f"namespace {exposure.namespace}, {selector}",
            cure="Check that the Gateway is programmed, and why its pods are not ready",
        )
    return pods


def policy_notes(cluster: Cluster, exposure: Exposure, *, gateway: Json | None, hostname: str) -> list[str]:
    """What network policies would do to pods that come through the alias."""
    addresses = ((gateway or {}).get("status") or {}).get("addresses") or []
    pods = proxy_pods(cluster, exposure) if exposure.selector else []
    proxies = Proxies(
        namespace=exposure.namespace,
        labels=pods[0]["metadata"].get("labels") or {} if pods else {},
        port=exposure.ports.get(HTTPS, HTTPS),
        addresses=[str(one["value"]) for one in addresses],
    )
    cilium = [
        *cluster.list(CILIUM_API, "CiliumNetworkPolicy", None),
        *cluster.list(CILIUM_API, "CiliumClusterwideNetworkPolicy", None),
    ]
    return [
        *network_notes(cluster.list("networking.k8s.io/v1", "NetworkPolicy", None), proxies),
        *(cilium_notes(cilium, proxies) if exposure.selector else cilium_gateway_notes(cilium, proxies)),
        *names_notes(cilium, hostname=hostname, proxies=proxies),
    ]
