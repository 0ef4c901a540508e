# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: objects of Tekton and CronJobs in a cluster, in whichever API version it serves them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import owner_of
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_findings import Finding, changed_lines
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_objects import (
    KINDS,
    TektonObject,
    read_objects,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_plan import plan_object
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import render
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_scalars import applied

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json
    from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_plan import Note, Wanted

__all__ = ["ClusterPlan", "TektonCluster"]

# Runs are read for the values that they gave to parameters, and never written.
_EVIDENCE = {"TaskRun": "tekton.dev", "PipelineRun": "tekton.dev"}
_CLUSTER_WIDE = frozenset({"ClusterTask"})


@dataclass(kw_only=True)
class ClusterPlan:
    """``after``: the objects that change, as they are to be; ``owners``: who may take a change back, by object."""

    objects: list[str] = field(default_factory=list)
    after: list[Json] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    done: list[Finding] = field(default_factory=list)
    unsure: list[Finding] = field(default_factory=list)
    without_credentials: list[Finding] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)


class TektonCluster:
    """``namespaces``: whose objects; all of them where it is empty."""

    def __init__(self, cluster: Cluster, *, namespaces: Sequence[str]) -> None:
        self._cluster = cluster
        self._namespaces: Sequence[str | None] = namespaces or [None]

    def plan(self, wanted: Wanted) -> ClusterPlan:
        """What becomes of the objects; BadInput where the cluster knows none of Tekton's kinds."""
        plan = ClusterPlan()
        readings = read_objects(list(self._objects()))
        for reading in readings:
            found = reading.object
            if found.is_run:
                continue
            planned = plan_object(reading, wanted)
            plan.objects.append(found.where)
            plan.unsure += [_finding(found, note) for note in planned.unsure]
            plan.done += [_finding(found, note) for note in planned.done]
            plan.without_credentials += [_finding(found, note) for note in planned.without_credentials]
            if planned.edits:
                after = applied(found.tree, planned.edits)
                before_lines, after_lines = changed_lines(render(found.tree["spec"]), render(after["spec"]))
                plan.after.append(after)
                plan.changes.append(Change(what=found.where, before=before_lines, after=after_lines))
                owner = owner_of(found.tree["metadata"]).title
                plan.owners |= {found.where: owner} if owner else {}
        return plan

    def write(self, objects: Sequence[Json]) -> None:
        """Put the objects in the place of those that were read; none where the server refuses one of them."""
        check_mode = self._cluster.dry_run
        try:
            self._cluster.dry_run = True
            self._replace(objects)
        finally:
            self._cluster.dry_run = check_mode
        if not check_mode:
            self._replace(objects)

    def _replace(self, objects: Sequence[Json]) -> None:
        for each in objects:
            self._cluster.replace(each)

    def _objects(self) -> Iterator[TektonObject]:
        kinds = {**KINDS, **_EVIDENCE}
        served = {group: self._cluster.served(group) for group in sorted(set(kinds.values()))}
        if not served["tekton.dev"]:
            cure = "Give the context of a cluster with Tekton, or path for files"
            raise BadInput("this cluster has no Tekton", where="tekton.dev", cure=cure)
        for kind, group in kinds.items():
            version = served[group].get(kind)
            if version:
                yield from self._of_kind(kind, version)

    def _of_kind(self, kind: str, version: str) -> Iterator[TektonObject]:
        for namespace in [None] if kind in _CLUSTER_WIDE else self._namespaces:
            for each in self._cluster.list(version, kind, namespace):
                metadata = each["metadata"]
                name = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
                yield TektonObject(where=f"{kind} {name}", tree={"apiVersion": version, "kind": kind, **each})


def _finding(found: TektonObject, note: Note) -> Finding:
    value: t.Any = found.tree
    for part in note.path:
        value = value[part]
    line = value.count("\n", 0, note.span[0]) + 1 if isinstance(value, str) else 1
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in note.path).lstrip(".")
    return Finding(kind=note.kind, where=f"{found.where}, {path}", line=line, text=note.text, reason=note.reason)
