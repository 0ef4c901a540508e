# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: the HelmReleases of Flux, in whichever version the cluster serves."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = ["failure", "find_release", "merge_patch", "refuse_suspended"]

KIND = "HelmRelease"
VERSIONS = tuple(f"helm.toolkit.fluxcd.io/{version}" for version in ("v2", "v2beta2", "v2beta1"))


def find_release(cluster: Cluster, namespace: str, name: str) -> Json | None:
    """The HelmRelease of this name; None where there is none, or no Flux."""
    return next((found for one in VERSIONS if (found := cluster.get(one, KIND, namespace, name))), None)


def refuse_suspended(release: Json) -> None:
    """Conflict where Flux would not roll a change out."""
    if release["spec"].get("suspend"):
        namespace, name = release["metadata"]["namespace"], release["metadata"]["name"]
        cure = f"flux resume helmrelease -n {namespace} {name}"
        raise Conflict("is suspended: Flux would not roll a change out", where=f"{KIND} {namespace}/{name}", cure=cure)


def failure(release: Json) -> str:
    """What Flux says is wrong with a release; empty where it says nothing."""
    conditions = release.get("status", {}).get("conditions") or []
    said = [one.get("message", "") for one in conditions if one["type"] == "Ready" and one["status"] == "False"]
    return said[0] if said else ""


def merge_patch(before: t.Any, after: t.Any) -> t.Any:
    """The JSON merge patch (RFC 7386) that makes one of the other; lists are given whole."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return after
    changed = {key: merge_patch(before.get(key), after[key]) for key in after if before.get(key) != after[key]}
    return {**changed, **{key: None for key in before if key not in after}}
