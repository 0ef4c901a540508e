# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: which objects label selectors match, and which objects policies of Envoy Gateway are attached to."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = ["Target", "attached", "matches", "oldest_first"]

GATEWAY_API = "gateway.networking.k8s.io"


@dataclass(frozen=True, kw_only=True)
class Target:
    """An object of Gateway API that policies can be attached to."""

    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Json) -> Target:
        metadata = found["metadata"]
        namespace, labels = metadata["namespace"], metadata.get("labels") or {}
        return cls(kind=found["kind"], namespace=namespace, name=metadata["name"], labels=labels)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def matches(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches. An empty one matches all, None nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return wanted.items() <= labels.items() and all(
        _holds(each, labels) for each in selector.get("matchExpressions") or []
    )


def _holds(expression: Json, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False


def oldest_first(policies: Iterable[Json]) -> list[Json]:
    """In the order in which they win where several are attached to the same object."""
    return sorted(
        policies,
        key=lambda one: (
            one["metadata"].get("creationTimestamp") or "9",
            one["metadata"]["namespace"],
            one["metadata"]["name"],
        ),
    )


def attached(policies: Sequence[Json], target: Target, *, section: str | None = None) -> list[Json]:
    """The policies attached to all of ``target``, or to its listener or rule ``section``, the one that wins first."""
    return [policy for policy in oldest_first(policies) if _is_attached(policy, target, section)]


def _is_attached(policy: Json, target: Target, section: str | None) -> bool:
    spec, same = policy.get("spec") or {}, policy["metadata"]["namespace"] == target.namespace
    references = [spec["targetRef"]] if spec.get("targetRef") else spec.get("targetRefs") or []
    if any(
        same and _is_named(one, target) and (one.get("name"), one.get("sectionName")) == (target.name, section)
        for one in references
    ):
        return True
    if section is not None:
        return False
    return any(
        _is_named(one, target) and (same or _from_elsewhere(one)) and matches(one, target.labels)
        for one in spec.get("targetSelectors") or []
    )


def _is_named(reference: Json, target: Target) -> bool:
    return (reference.get("group") or GATEWAY_API, reference.get("kind")) == (GATEWAY_API, target.kind)


def _from_elsewhere(selector: Json) -> bool:
    """Whether it may select in other namespaces than its own: which ones a ReferenceGrant decides, is not looked at."""
    return bool((selector.get("namespaces") or {}).get("from", "Same") != "Same")
