# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the alias Service of a gateway's pods, beside what is there."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._envoy_gateway import (
    ENVOY_GATEWAY,
    Exposure,
    alias_ports,
    check_place,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = ["AliasPlan", "plan_absent", "plan_alias"]

PORT_NAMES = {80: "http", 443: "https"}


@dataclass(frozen=True, kw_only=True)
class AliasPlan:
    """What the Service is and what it becomes, None for no Service; only what is ours of it.

    ``patch`` is what brings it about on a Service that is there, as a JSON merge patch of its ``spec``.
    """

    before: Json | None
    after: Json | None
    patch: Json | None = None

    @property
    def changes(self) -> bool:
        return self.before != self.after


def plan_alias(current: Json | None, exposure: Exposure, *, namespace: str, name: str) -> AliasPlan:
    """The Service ``name`` in ``namespace`` for the pods of ``exposure``; Conflict where it cannot be it."""
    check_place(exposure, namespace=namespace, name=name)
    ports = alias_ports(exposure)
    if current is not None and exposure.service == name:  # the generated one: nothing to add
        return AliasPlan(before=None, after=None)
    after: Json = {"type": "ClusterIP", "selector": dict(exposure.selector), "ports": _as_ports(ports)}
    if current is None:
        return AliasPlan(before=None, after=after)
    _refuse_foreign(current, f"Service {namespace}/{name}")
    spec = current["spec"]
    before = _ours(spec)
    if before["type"] == "ClusterIP" and _selects(spec, exposure.selector) and _has(before["ports"], after["ports"]):
        return AliasPlan(before=before, after=before)
    gone = dict.fromkeys(spec.get("selector") or {})
    kept = [one for one in spec.get("ports") or [] if one.get("protocol", "TCP") != "TCP" or one["port"] not in ports]
    patch: Json = {**after, "selector": {**gone, **exposure.selector}, "ports": [*kept, *after["ports"]]}
    if spec.get("externalName"):
        patch["externalName"] = None
    return AliasPlan(before=before, after={**after, "ports": [*map(_as_wanted, kept), *after["ports"]]}, patch=patch)


def plan_absent(current: Json | None) -> AliasPlan:
    """No Service of that name; one that is generated for a Gateway stays."""
    if current is None or _is_generated(current):
        return AliasPlan(before=None, after=None)
    return AliasPlan(before=_ours(current["spec"]), after=None)


def _ours(spec: Json) -> Json:
    """What of a Service the alias is about."""
    ports = [_as_wanted(one) for one in spec.get("ports") or []]
    return {"type": spec.get("type", "ClusterIP"), "selector": spec.get("selector") or {}, "ports": ports}


def _as_ports(ports: Mapping[int, int | str]) -> list[Json]:
    return [
        {"name": PORT_NAMES.get(port, f"port-{port}"), "port": port, "protocol": "TCP", "targetPort": target}
        for port, target in ports.items()
    ]


def _as_wanted(port: Json) -> Json:
    return {key: port[key] for key in ("name", "port", "protocol", "targetPort") if key in port}


def _selects(spec: Json, selector: Mapping[str, str]) -> bool:
    return (spec.get("selector") or {}).items() >= selector.items()


def _has(there: list[Json], wanted: list[Json]) -> bool:
    """Whatever the ports are called."""
    pairs = {(one["port"], one.get("targetPort"), one.get("protocol", "TCP")) for one in there}
    return pairs >= {(one["port"], one["targetPort"], one["protocol"]) for one in wanted}


def _is_generated(service: Json) -> bool:
    metadata = service["metadata"]
    labels = metadata.get("labels") or {}
    return bool(metadata.get("ownerReferences")) or ENVOY_GATEWAY.items() <= labels.items()


def _refuse_foreign(service: Json, where: str) -> None:
    if _is_generated(service):
        raise Conflict(
            "it is generated for another Gateway", where=where, cure="Set registry_alias_name to a free name"
        )
    if service["spec"].get("clusterIP") == "None":
        raise Conflict(
            "it is headless, so clients would go to the pods' own addresses, where port 443 is closed",
            where=where,
            cure="Delete it, or set registry_alias_name to a free name",
        )
