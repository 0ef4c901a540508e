# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: where the proxies of a Gateway are, and on which ports they listen, as the Service generated for it says.

The generated Service has the labels of its pods and the ports of their containers in every mode of Envoy Gateway: a
proxy for each Gateway, one for all of a GatewayClass (mergeGateways), proxies beside each Gateway (GatewayNamespace),
with or without privileged ports shifted by 10000. So nothing of this is guessed.
"""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict, NotReady

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = ["ENVOY_GATEWAY", "GATEWAY_NAME", "HTTPS", "Exposure", "advice", "alias_ports", "check_place", "exposure_of"]

ENVOY_GATEWAY = {"app.kubernetes.io/managed-by": "envoy-gateway", "app.kubernetes.io/component": "proxy"}
# What every implementation puts on what it deploys for a Gateway.
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
OWNER = "gateway.envoyproxy.io/owning-gateway"
OWNER_NAME, OWNER_NAMESPACE, OWNER_CLASS = f"{OWNER}-name", f"{OWNER}-namespace", f"{OWNER}class"
COMPONENT = "app.kubernetes.io/component"
HTTP, HTTPS = 80, 443
HASH_LENGTH = 8


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """The generated Service of a Gateway, and how its pods are selected.

    ``mode``: ``gateway``, ``merged``, ``gateway_namespace``, ``other`` (no Envoy Gateway) or ``given``. ``selector`` is
    empty where the Service has none. ``ports`` are those of the pods by those of the Service. ``stable``: the name of
    the Service does not follow from a hash, so that it can be relied on as it is.
    """

    mode: str
    namespace: str
    service: str
    stable: bool
    selector: Mapping[str, str]
    ports: Mapping[int, int | str]

    @property
    def results(self) -> Json:
        """As the module returns it."""
        generated = {"namespace": self.namespace, "service": self.service, "stable": self.stable, "mode": self.mode}
        found = {"selector": dict(self.selector), "ports": {str(port): target for port, target in self.ports.items()}}
        return {**found, "generated": generated} if self.service else found


def exposure_of(services: Sequence[Json], gateway: Json) -> Exposure:
    """The Service among ``services`` that was generated for a Gateway; an error that says what is missing otherwise."""
    namespace, name = gateway["metadata"]["namespace"], gateway["metadata"]["name"]
    gateway_class = gateway["spec"]["gatewayClassName"]
    where = f"Gateway {namespace}/{name}"
    own = {OWNER_NAME: name, OWNER_NAMESPACE: namespace}
    for labels, hashed in ((own, f"{namespace}/{name}"), ({OWNER_CLASS: gateway_class}, gateway_class)):
        for service in _labelled(services, ENVOY_GATEWAY | labels):
            return _exposure(service, {COMPONENT: ENVOY_GATEWAY[COMPONENT], **labels}, hashed)
    for service in _labelled(services, {GATEWAY_NAME: name}):
        if service["metadata"]["namespace"] == namespace:
            return _exposure(service, service["spec"].get("selector") or {}, "")
    why = _not_programmed(gateway)
    raise NotReady(
        f"no Service was generated for it{f' ({why})' if why else ''}",
        where=where,
        cure="Check that the Gateway is programmed, and that its controller runs",
    )


def _labelled(services: Iterable[Json], labels: Mapping[str, str]) -> list[Json]:
    return [one for one in services if labels.items() <= (one["metadata"].get("labels") or {}).items()]


def _exposure(service: Json, selector: Mapping[str, str], hashed: str) -> Exposure:
    metadata, labels = service["metadata"], service["metadata"].get("labels") or {}
    mode = "merged" if OWNER_CLASS in selector else "gateway_namespace" if GATEWAY_NAME in labels else "gateway"
    digest = hashlib.sha256(hashed.encode()).hexdigest()[:HASH_LENGTH]
    tcp = [port for port in service["spec"].get("ports") or [] if port.get("protocol", "TCP") == "TCP"]
    return Exposure(
        mode=mode if hashed else "other",
        namespace=metadata["namespace"],
        service=metadata["name"],
        stable=not (hashed and str(metadata["name"]).endswith(f"-{digest}")),
        selector=selector,
        ports={int(port["port"]): port.get("targetPort", port["port"]) for port in tcp},
    )


def _not_programmed(gateway: Json) -> str:
    for condition in (gateway.get("status") or {}).get("conditions") or []:
        if condition["type"] in {"Accepted", "Programmed"} and condition["status"] != "True":
            return (
                f"{condition['type']} is {condition['status']}: {condition.get('message') or condition.get('reason')}"
            )
    return ""


def alias_ports(exposure: Exposure) -> dict[int, int | str]:
    """The ports that the alias needs; BadInput where the gateway does not serve HTTPS on its port."""
    if HTTPS not in exposure.ports:
        have = ", ".join(map(str, exposure.ports)) or "none"
        raise BadInput(
            f"it has no port {HTTPS} (it has {have})",
            where=f"Service {exposure.namespace}/{exposure.service}",
            cure=f"Give the Gateway a listener for HTTPS on port {HTTPS}",
        )
    return {port: exposure.ports[port] for port in (HTTP, HTTPS) if port in exposure.ports}


def check_place(exposure: Exposure, *, namespace: str, name: str) -> None:
    """Refuse an alias that could not select the pods."""
    if exposure.namespace != namespace:
        raise Conflict(
            f"the gateway's pods are in namespace {exposure.namespace}, not in {namespace}",
            where=f"Service {namespace}/{name}",
            cure=f"Set registry_alias_namespace to {exposure.namespace}: a Service selects pods of its own namespace",
        )
    if not exposure.selector and exposure.service != name:
        raise Conflict(
            "the gateway has no pods of its own that an alias could select",
            where=f"Service {exposure.namespace}/{exposure.service}",
            cure=f"Its name is steady: set registry_alias_name to {exposure.service}",
        )


def advice(exposure: Exposure, *, name: str) -> str:
    """The better way to a steady name, in a sentence; empty where the alias is the way, or is that Service itself."""
    generated = f"{exposure.namespace}/{exposure.service}"
    if exposure.service == name:
        return ""
    if exposure.stable:
        return (
            f"Service {generated} has a steady name already, and follows the Gateway's ports by itself: "
            f"registry_alias_name={exposure.service} would do without an alias"
        )
    return (
        f"The generated Service {generated} can have a steady name itself, from Envoy Gateway 1.1 on: "
        "EnvoyProxy spec.provider.kubernetes.envoyService.name. That makes a new Service, with a new address unless "
        "that is pinned (spec.addresses of the Gateway, or the load balancer's annotation)"
    )
