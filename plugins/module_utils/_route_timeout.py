# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: how long requests of the registry's name may take at the gateway, and a policy that takes the limit away.

Envoy ends a request after 15 s where nobody says otherwise, which cuts the pull of a large layer. What somebody does
say stays: a route's ``timeouts``, or ``timeout.http.requestTimeout`` of a BackendTrafficPolicy for the route, its
listener or its Gateway. A policy of our own is for one HTTPRoute, so neither the route nor another name is touched.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._selectors import Target, attached

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = ["API_VERSION", "KIND", "RoutePlan", "is_ours", "plan_timeouts", "routes_of", "title"]

API_VERSION, KIND = "gateway.envoyproxy.io/v1alpha1", "BackendTrafficPolicy"
OURS = {"app.kubernetes.io/managed-by": "splithorizon.registry"}
SUFFIX = "no-request-timeout"
ENVOY_DEFAULT = "15s"
ENOUGH_SECONDS = 600
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, kw_only=True)
class RoutePlan:
    """Policies to make and to take away, and what the reader should know. ``shown`` tells of each route's rules."""

    add: tuple[Json, ...] = ()
    remove: tuple[Json, ...] = ()
    shown: tuple[Json, ...] = ()
    notes: tuple[str, ...] = ()


def routes_of(routes: Iterable[Json], *, hostname: str, gateway: tuple[str, str]) -> tuple[list[Json], list[Json]]:
    """The HTTPRoutes of a Gateway (namespace, name) that name the host, and those that take it among others."""
    of_gateway = [one for one in routes if any(_is_parent(parent, one, gateway) for parent in _parents(one))]
    own = [one for one in of_gateway if hostname in (one["spec"].get("hostnames") or [])]
    shared = [one for one in of_gateway if one not in own and _takes(one["spec"].get("hostnames") or [], hostname)]
    return own, shared


def _parents(route: Json) -> list[Json]:
    return route["spec"].get("parentRefs") or []


def _is_parent(parent: Json, route: Json, gateway: tuple[str, str]) -> bool:
    namespace = parent.get("namespace", route["metadata"]["namespace"])
    return (parent.get("kind", "Gateway"), namespace, parent["name"]) == ("Gateway", *gateway)


def _takes(hostnames: Sequence[str], hostname: str) -> bool:
    return not hostnames or any(one.startswith("*.") and hostname.endswith(one[1:]) for one in hostnames)


def is_ours(policy: Json) -> bool:
    return OURS.items() <= (policy["metadata"].get("labels") or {}).items()


def plan_timeouts(
    *,
    routes: Sequence[Json],
    policies: Sequence[Json],
    hostname: str,
    gateway: tuple[str, str],
    labels: dict[str, str] | None = None,
    present: bool = True,
) -> RoutePlan:
    """Policies by which requests for ``hostname`` may take as long as they need.

    ``policies`` are all BackendTrafficPolicies, ``labels`` those of the Gateway. Conflict where a policy of somebody
    else's for the route leaves the limit as it is: two for one route do not go together.
    """
    own, shared = routes_of(routes, hostname=hostname, gateway=gateway)
    ours = [one for one in policies if is_ours(one)]
    if not present:
        return RoutePlan(remove=tuple(one for route in own for one in attached(ours, Target.of(route))))
    target = Target(kind="Gateway", namespace=gateway[0], name=gateway[1], labels=labels or {})
    add: list[Json] = []
    shown: list[Json] = []
    notes: list[str] = []
    for route in own:
        found = _of_route(route, policies, target)
        shown.append({"namespace": route["metadata"]["namespace"], "name": route["metadata"]["name"], "rules": found})
        notes += [note for rule in found if (note := _too_short(route, rule))]
        if any(rule["timeout"] == ENVOY_DEFAULT and not rule["by"] for rule in found):
            add.append(_policy(route, policies, target))
    if not own:
        notes.append(_nobody(hostname, gateway, shared))
    return RoutePlan(add=tuple(add), shown=tuple(shown), notes=tuple(notes))


def _of_route(route: Json, policies: Sequence[Json], gateway: Target) -> list[Json]:
    """For each rule what limits it and who says so, nobody where it is Envoy's own."""
    return [_of_rule(rule, route, policies, gateway) for rule in route["spec"].get("rules") or [{}]]


def _of_rule(rule: Json, route: Json, policies: Sequence[Json], gateway: Target) -> Json:
    timeouts = rule.get("timeouts") or {}
    # Without retries the limit of the backend is that of the request, as Envoy Gateway reads it.
    own = (None if "retry" in rule else timeouts.get("backendRequest")) or timeouts.get("request")
    if own is not None:
        return {"timeout": own, "by": str(Target.of(route))}
    for policy in _effective(rule, route, policies, gateway):
        limit = _limit(policy)
        if limit is not None:
            return {"timeout": limit, "by": title(policy)}
        if not policy["spec"].get("mergeType"):
            break  # the most specific takes the place of the others, as a whole
    return {"timeout": ENVOY_DEFAULT, "by": ""}


def _effective(rule: Json, route: Json, policies: Sequence[Json], gateway: Target) -> list[Json]:
    """The policy that counts at each level that has one, the most specific first."""
    target = Target.of(route)
    sections = [parent["sectionName"] for parent in _parents(route) if parent.get("sectionName")]
    levels = [
        attached(policies, target, section=rule["name"]) if rule.get("name") else [],
        attached(policies, target),
        *(attached(policies, gateway, section=section) for section in sections),
        attached(policies, gateway),
    ]
    return [level[0] for level in levels if level]


def _limit(policy: Json) -> str | None:
    found = ((policy["spec"].get("timeout") or {}).get("http") or {}).get("requestTimeout")
    return None if found is None else str(found)


def _policy(route: Json, policies: Sequence[Json], gateway: Target) -> Json:
    metadata, target = route["metadata"], Target.of(route)
    for policy in attached(policies, target):
        problem = f"requests of {target} end after {ENVOY_DEFAULT}, which cuts large layers"
        raise Conflict(
            f"{problem}, and a second policy for it would not count",
            where=title(policy),
            cure='Set spec.timeout.http.requestTimeout: "0s" in it, or gateway_alias_route_timeout: false to leave it',
        )
    inherits = bool(_effective({}, route, policies, gateway))
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"namespace": metadata["namespace"], "name": f"{metadata['name']}-{SUFFIX}", "labels": dict(OURS)},
        "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": metadata["name"]}],
            # Else what the Gateway's policy says would not count for this route any more.
            **({"mergeType": "StrategicMerge"} if inherits else {}),
            "timeout": {"http": {"requestTimeout": "0s"}},
        },
    }


def _too_short(route: Json, rule: Json) -> str:
    seconds = _seconds(rule["timeout"])
    if not rule["by"] or seconds == 0 or seconds >= ENOUGH_SECONDS:
        return ""
    return (
        f"requests of {Target.of(route)} end after {rule['timeout']}, as {rule['by']} says, so that a layer that takes "
        "longer is cut. It is left as it is"
    )


def _seconds(duration: str) -> float:
    """A duration of Gateway API (``1h30m``, ``500ms``) in seconds."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|h|m|s)", duration))


def _nobody(hostname: str, gateway: tuple[str, str], shared: Sequence[Json]) -> str:
    if not shared:
        return (
            f"no HTTPRoute of Gateway {'/'.join(gateway)} names {hostname}: how long its requests may take is not known"
        )
    names = ", ".join(str(Target.of(one)) for one in shared)
    return (
        f"{hostname} shares {names} with other names, which is left as it is: if requests end after {ENVOY_DEFAULT} "
        'there, give the registry an HTTPRoute of its own, with timeouts.request: "0s"'
    )


def title(policy: Json) -> str:
    """A policy as people call it."""
    return f"{KIND} {policy['metadata']['namespace']}/{policy['metadata']['name']}"
