# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the values of a Helm chart wherever a file keeps them, and single entries of them changed in its text.

A bare values file; a HelmRelease of Flux; an Application of Argo CD; a HelmChart or HelmChartConfig of k3s; a ConfigMap
for ``valuesFrom``; a kustomization that inflates a chart. Some of them keep YAML inside a string.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_block import block_content, with_block_content
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_entry import DELETE, at, node_at, set_entry
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import (
    Path,
    Tree,
    compose,
    load,
    split_documents,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["DELETE", "Edit", "Home", "applied", "at", "homes", "with_edits", "with_entry"]

_SOURCES: tuple[Path, ...] = (("spec", "source"), ("spec", "sources", "*"))
# Kind of the resource → where its values are; a star stands for every item of a list.
_PLACES: dict[str, tuple[Path, ...]] = {
    "HelmRelease": (("spec", "values"),),
    "Application": tuple((*source, "helm", form) for source in _SOURCES for form in ("valuesObject", "values")),
    "HelmChart": (("spec", "valuesContent"),),
    "HelmChartConfig": (("spec", "valuesContent"),),
    "ConfigMap": (("data", "values.yaml"),),
    "Kustomization": (("helmCharts", "*", "valuesInline"),),
}


@dataclass(frozen=True, kw_only=True)
class Edit:
    """An entry of the values by its path, and what it becomes (DELETE: nothing, with parents it leaves empty)."""

    path: Path
    value: t.Any


@dataclass(frozen=True, kw_only=True)
class Home:
    """``values`` stand at ``path`` of the stream's part ``number``, whose data is ``resource``.

    ``embedded``: as YAML inside a string. A bare values file is its own resource, at the path ().
    """

    number: int
    path: Path
    values: Tree
    resource: Tree
    embedded: bool = False

    @property
    def kind(self) -> str:
        return str(self.resource.get("kind", "values")) if self.path else "values"


def homes(text: str) -> list[Home]:
    """Every place in a stream that may hold a chart's values; Conflict where the text does not parse."""
    return [home for number, part in enumerate(split_documents(text)) for home in _homes_of(number, load(part))]


def _homes_of(number: int, data: Tree) -> Iterator[Home]:
    if not isinstance(data, dict):
        return
    kind = data.get("kind") or ("Kustomization" if {"resources", "helmCharts"} & data.keys() else "")
    if not kind:
        yield Home(number=number, path=(), values=data, resource=data)
    for place in _PLACES.get(str(kind), ()):
        for path in _spread(data, place):
            values = at(data, path)
            embedded = isinstance(values, str)
            if embedded:
                values = load(values)
            if isinstance(values, dict):
                yield Home(number=number, path=path, values=values, resource=data, embedded=embedded)


def _spread(data: Tree, place: Path) -> Iterator[Path]:
    if "*" not in place:
        yield place
        return
    star = place.index("*")
    items = at(data, place[:star])
    for index in range(len(items) if isinstance(items, list) else 0):
        yield (*place[:star], index, *place[star + 1 :])


def with_edits(text: str, home: Home, edits: Sequence[Edit]) -> str:
    """The stream's text with entries of the values changed; all other lines keep every byte."""
    for edit in edits:
        text = with_entry(text, home.number, home.path, edit, embedded=home.embedded)
    return text


def with_entry(text: str, number: int, path: Path, edit: Edit, *, embedded: bool = False) -> str:
    """The stream's text with one entry below ``path`` of its part ``number`` changed."""
    parts = split_documents(text)
    part = parts[number]
    if not embedded:
        parts[number] = set_entry(part, (*path, *edit.path), edit.value)
        return "".join(parts)
    node = node_at(next(iter(compose(part)), None), path)
    content = block_content(part, node) if node else None
    if node is None or content is None:
        where = ".".join(map(str, path))
        raise Conflict("the values are no literal block (|)", where=where, cure="Write them as one, or edit by hand")
    parts[number] = with_block_content(part, node, set_entry(content, edit.path, edit.value))
    return "".join(parts)


def applied(values: Tree, edits: Sequence[Edit]) -> Tree:
    """The same edits on data."""
    for edit in edits:
        values = _applied(values, edit.path, edit.value)
    return values


def _applied(tree: Tree, path: Path, value: t.Any) -> Tree:
    head, rest = path[0], path[1:]
    copy: t.Any = list(tree or []) if isinstance(head, int) else dict(tree or {})
    present = head < len(copy) if isinstance(head, int) else head in copy
    if value is DELETE and not present:
        return copy
    new = _applied(copy[head] if present else None, rest, value) if rest else value
    if value is DELETE and (not rest or not new):
        del copy[head]
    elif isinstance(head, int) and not present:
        copy.append(new)
    else:
        copy[head] = new
    return copy
