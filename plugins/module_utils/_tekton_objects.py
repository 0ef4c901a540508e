# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what runs programs in objects of Tekton and CronJobs, and which values are known of their parameters.

Objects are found by their shape, in both API versions: a mapping with ``steps`` is a Task's, one with ``tasks`` a
Pipeline's, wherever they stand (``taskSpec``, ``resourcetemplates``). Runs tell values of parameters too.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import Path, Tree

__all__ = ["KINDS", "RUNS", "Call", "Given", "Reading", "Scope", "Step", "TektonObject", "read_objects"]

RUNS: t.Final = frozenset({"TaskRun", "PipelineRun", "Run", "CustomRun"})
_TEKTON_KINDS = frozenset({"Task", "ClusterTask", "Pipeline", "StepAction"})
# Kind → the group that it must be of.
KINDS: t.Final = {
    **dict.fromkeys(_TEKTON_KINDS, "tekton.dev"),
    "TriggerTemplate": "triggers.tekton.dev",
    "CronJob": "batch",
}
_CONTAINERS = ("steps", "sidecars", "containers", "initContainers")


@dataclass(frozen=True, kw_only=True)
class TektonObject:
    """``where`` is how messages name it. ``tree``: its data."""

    where: str
    tree: Mapping[str, Tree]

    @property
    def kind(self) -> str:
        return str(self.tree.get("kind", ""))

    @property
    def is_run(self) -> bool:
        return self._group == "tekton.dev" and self.kind in RUNS

    @property
    def is_editable(self) -> bool:
        return KINDS.get(self.kind) == self._group

    @property
    def key(self) -> tuple[str, str, str]:
        """(kind, namespace, name) by which others refer to it."""
        metadata = _mapping(self.tree.get("metadata"))
        kind = "Task" if self.kind == "ClusterTask" else self.kind
        return kind, str(metadata.get("namespace") or ""), str(metadata.get("name") or "")

    @property
    def _group(self) -> str:
        return str(self.tree.get("apiVersion", "")).partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Given:
    """A value of a parameter, where it stands, and the scope whose variables it may hold."""

    value: Tree
    path: Path
    scope: Scope


@dataclass(eq=False, kw_only=True)
class Scope:
    """The parameters that texts of one Task, Pipeline, StepAction, template or run may refer to.

    ``own``: its own declarations, with their defaults; ``given``: what callers give.
    """

    own: dict[str, Given] = field(default_factory=dict)
    given: dict[str, list[Given]] = field(default_factory=dict)
    parent: Scope | None = None

    def values(self, name: str) -> list[Given]:
        """What a parameter may be; empty where no text tells."""
        found = [*self.given.get(name, ())]
        if name in self.own:
            found.append(self.own[name])
        known = [each for each in found if each.value not in ("", None)]
        return known or (self.parent.values(name) if self.parent and name not in self.own else [])


@dataclass(frozen=True, kw_only=True)
class Step:
    """What runs a program: a step, a sidecar, a container, a StepAction. ``environment``: with a stepTemplate's."""

    path: Path
    node: Mapping[str, Tree]
    scope: Scope
    environment: Mapping[str, Given]
    task: Path


@dataclass(frozen=True, kw_only=True)
class Call:
    """Where a Task, Pipeline or StepAction is given parameters. ``target``: its kind and name."""

    target: tuple[str, str]
    params: Mapping[str, Given]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All that was found in one object. ``scopes``: those that declare parameters."""

    object: TektonObject
    steps: list[Step] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    scope: Scope = field(default_factory=Scope)
    scopes: list[Scope] = field(default_factory=list)


def read_objects(objects: Iterable[TektonObject]) -> list[Reading]:
    """Each object's steps and calls, every scope with the values that the calls of all objects give."""
    readings = [_read(each) for each in objects]
    called = [reading for reading in readings if reading.object.is_editable]
    for reading in readings:
        _kind, namespace, _name = reading.object.key
        for call in reading.calls:
            for each in called:
                kind, of_namespace, name = each.object.key
                # A file may leave its namespace to kustomize.
                if (kind, name) == call.target and (of_namespace == namespace or not (of_namespace and namespace)):
                    _give(each.scope, call.params)
    return readings


def parameters(node: Mapping[str, Tree], path: Path, scope: Scope, *, value: str = "value") -> dict[str, Given]:
    """The parameters that a mapping gives (``value``) or declares (``default``)."""
    found: dict[str, Given] = {}
    for index, item in enumerate(_list(node.get("params"))):
        if isinstance(item, dict) and "name" in item:
            given = Given(value=item.get(value), path=(*path, "params", index, value), scope=scope)
            found[str(item["name"])] = given
    return found


def _read(each: TektonObject) -> Reading:
    reading = Reading(object=each)
    spec = each.tree.get("spec")
    if not isinstance(spec, dict):
        return reading
    if each.kind == "StepAction":
        _declare(reading, reading.scope, spec, ("spec",))
        _add_step(reading, spec, ("spec",), reading.scope, task=("spec",))
    else:
        _walk(reading, spec, ("spec",), reading.scope)
    return reading


def _walk(reading: Reading, node: Tree, path: Path, scope: Scope) -> None:
    if isinstance(node, list):
        for index, item in enumerate(node):
            _walk(reading, item, (*path, index), scope)
    if not isinstance(node, dict):
        return
    if {"steps", "tasks", "resourcetemplates"} & node.keys():
        scope = _scope_of(reading, node, path, scope)
    _call(reading, node, path, scope)
    for name in _CONTAINERS:
        for index, item in enumerate(_list(node.get(name))):
            if isinstance(item, dict):
                _add_step(reading, item, (*path, name, index), scope, task=path, template=node.get("stepTemplate"))
    for key, value in node.items():
        inner = scope
        if key in {"taskSpec", "pipelineSpec"}:
            inner = Scope(parent=scope)
            _give(inner, parameters(node, path, scope))
        _walk(reading, value, (*path, key), inner)


def _scope_of(reading: Reading, node: Mapping[str, Tree], path: Path, scope: Scope) -> Scope:
    """The scope of a Task, Pipeline or template: that of the object itself, or one within what surrounds it."""
    if path == ("spec",):
        own = reading.scope
    else:
        own = scope if path[-1] in {"taskSpec", "pipelineSpec"} else Scope(parent=scope)
    _declare(reading, own, node, path)
    return own


def _declare(reading: Reading, scope: Scope, node: Mapping[str, Tree], path: Path) -> None:
    scope.own.update(parameters(node, path, scope, value="default"))
    reading.scopes.append(scope)


def _call(reading: Reading, node: Mapping[str, Tree], path: Path, scope: Scope) -> None:
    for key, kind in (("taskRef", "Task"), ("pipelineRef", "Pipeline"), ("ref", "StepAction")):
        reference = node.get(key)
        if isinstance(reference, dict):
            name = str(reference.get("name") or "") or _resolved_name(reference)
            reading.calls.append(Call(target=(kind, name), params=parameters(node, path, scope)))


def _resolved_name(reference: Mapping[str, Tree]) -> str:
    """The name that a resolver (hub, cluster, bundles) is given."""
    given = parameters(reference, (), Scope())
    return next((str(given[name].value) for name in ("name", "pathInRepo") if name in given), "")


def _add_step(
    reading: Reading, node: Mapping[str, Tree], path: Path, scope: Scope, *, task: Path, template: Tree = None
) -> None:
    environment = dict(_environment(_mapping(template), (*task, "stepTemplate"), scope))
    environment.update(_environment(node, path, scope))
    reading.steps.append(Step(path=path, node=node, scope=scope, environment=environment, task=task))


def _environment(node: Mapping[str, Tree], path: Path, scope: Scope) -> Iterator[tuple[str, Given]]:
    for index, item in enumerate(_list(node.get("env"))):
        if isinstance(item, dict) and isinstance(item.get("value"), str):
            yield str(item.get("name")), Given(value=item["value"], path=(*path, "env", index, "value"), scope=scope)


def _give(scope: Scope, params: Mapping[str, Given]) -> None:
    for name, given in params.items():
        scope.given.setdefault(name, []).append(given)


def _mapping(value: Tree) -> Mapping[str, Tree]:
    return value if isinstance(value, dict) else {}


def _list(value: Tree) -> list[Tree]:
    return value if isinstance(value, list) else []
