# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: the buildkitd workloads of a cluster, and what would change in the buildkitd.toml of each."""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_find import KINDS, find
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_map import BuildkitMap

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_find import Workload
    from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_wanted import Entry
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster

__all__ = ["differs", "workloads"]


def workloads(cluster: Cluster, namespace: str | None = None) -> list[Workload]:
    """Every Deployment, StatefulSet and DaemonSet that runs buildkitd; by default of all namespaces."""

    @functools.cache
    def keys_of(of: str, name: str) -> tuple[str, ...]:
        found = cluster.get("v1", "ConfigMap", of, name) or {}
        return tuple(found.get("data") or ())

    return [one for kind in KINDS for one in find(kind, cluster.list("apps/v1", kind, namespace), keys_of)]


def differs(cluster: Cluster, workload: Workload, wanted: Sequence[Entry]) -> bool:
    """Whether its text would change, or a restart is due. One without a text has nothing to be changed."""
    if not workload.config_map:
        return False
    found = BuildkitMap(cluster, namespace=workload.namespace, name=workload.config_map, key=workload.key)
    planned = found.plan(wanted)
    return workload.due or planned.before != planned.after
