# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: where a Corefile, or values of the CoreDNS chart, stand in a document.

A document is an object of Kubernetes, live or from a file, or a file of values alone. Where the same object gives
values twice, the ones count that its owner lets win.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace
from enum import Enum

from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_values import servers_in, tree_at
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import Path, Tree, load

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["IMPORTED", "Form", "Place", "only_place"]

# Keys of coredns-custom on k3s and AKS.
IMPORTED = (".override", ".server")
_CURE = "Give one with data.Corefile, or with servers of the CoreDNS chart's values"


class Form(Enum):
    """How a Corefile is written there."""

    COREFILE = "a Corefile"
    VALUES = "values"
    TEXT = "values as text"
    IMPORTED = "files that a Corefile imports"


@dataclass(frozen=True, kw_only=True)
class Place:
    """``keys`` lead to the Corefile, to the values or to their text; ``servers`` from the values to their servers."""

    keys: Path
    form: Form
    servers: Path = ()


def only_place(documents: Sequence[Tree], where: str) -> Place:
    """The one place in a stream of documents, the document's number first in its keys; BadInput where it has none."""
    places: list[Place] = []
    for number, document in enumerate(documents):
        found = [] if document is None else list(_places(document, where))
        places += [replace(place, keys=(number, *place.keys)) for place in found]
    if len(places) == 1:
        return places[0]
    if places:
        raise BadInput(f"it holds {len(places)} Corefiles", where=where, cure=_CURE)
    reasons = [reason for document in documents if (reason := _why_none(document))]
    raise BadInput("; ".join(["it holds no Corefile", *reasons]), where=where, cure=_CURE)


def _places(document: Tree, where: str) -> Iterator[Place]:
    if not isinstance(document, dict):
        return
    if document.get("kind") == "List":
        for number, item in enumerate(document.get("items") or []):
            yield from (replace(place, keys=("items", number, *place.keys)) for place in _places(item, where))
        return
    data = document.get("data")
    if isinstance(data, dict) and isinstance(data.get("Corefile"), str):
        yield Place(keys=("data", "Corefile"), form=Form.COREFILE)
    elif isinstance(data, dict) and any(str(key).endswith(IMPORTED) for key in data):
        yield Place(keys=("data",), form=Form.IMPORTED)
    for alternatives in _holders(document):
        place = next((place for keys in alternatives if (place := _values_at(document, keys))), None)
        if place:
            _refuse_overrides(document, place.keys, where)
            yield place


def _holders(document: Tree) -> list[tuple[Path, ...]]:
    """Where an object of this kind may hold values; of the ones in a tuple, the first that holds some wins."""
    match document.get("kind"):
        case None:
            return [((),)]
        case "HelmRelease":
            return [(("spec", "values"),)]
        case "HelmChart" | "HelmChartConfig":
            return [(("spec", "values"), ("spec", "valuesContent"))]
        case "ConfigMap":
            data = document.get("data")
            return [(("data", key),) for key in data if key != "Corefile"] if isinstance(data, dict) else []
        case "Application" | "ApplicationSet":
            return [_argo_values(document, source) for source in _argo_sources(document)]
        case _:
            return []


def _argo_sources(document: Tree) -> list[Path]:
    spec: Path = ("spec", "template", "spec") if document["kind"] == "ApplicationSet" else ("spec",)
    several = tree_at(document, (*spec, "sources"))
    numbers = range(len(several)) if isinstance(several, list) else ()
    return [(*spec, "source", "helm"), *((*spec, "sources", number, "helm") for number in numbers)]


def _argo_values(document: Tree, helm: Path) -> tuple[Path, ...]:
    # Argo CD does not look at the text where there is an object, whatever the object holds.
    key = "valuesObject" if tree_at(document, (*helm, "valuesObject")) else "values"
    return ((*helm, key),)


def _values_at(document: Tree, keys: Path) -> Place | None:
    value = tree_at(document, keys)
    form = Form.TEXT if isinstance(value, str) else Form.VALUES
    try:
        servers = servers_in(load(value) if isinstance(value, str) else value)
    except Conflict:
        return None
    return Place(keys=keys, form=form, servers=servers) if servers else None


def _refuse_overrides(document: Tree, keys: Path, where: str) -> None:
    """Conflict where single values set beside the list would win over what is written into it."""
    helm = tree_at(document, keys[:-1]) or {} if keys else {}
    single = [*(helm.get("parameters") or []), *(helm.get("fileParameters") or [])]
    names = [str(each.get("name")) for each in single if isinstance(each, dict)] + list(helm.get("set") or {})
    found = next((name for name in names if name.split("[")[0] in ("servers", "coredns.servers")), None)
    if found:
        raise Conflict(
            f"'{found}' is set by itself and wins over the values",
            where=where,
            cure="Write it into the values, and take it out there",
        )


def _why_none(document: Tree) -> str:
    """What to look at in its place, in a few words."""
    spec = document.get("spec") if isinstance(document, dict) else None
    if not isinstance(spec, dict):
        return ""
    match document.get("kind"):
        case "HelmRelease":
            sources = [f"{each.get('kind')} {each.get('name')}" for each in spec.get("valuesFrom") or []]
            return f"values come from {' and '.join(sources)} too" if sources else "the servers are the chart's own"
        case "HelmChart" | "HelmChartConfig":
            return "the servers are the chart's own: put all of them into the values first"
        case "Application" | "ApplicationSet":
            helms = [tree_at(document, source) or {} for source in _argo_sources(document)]
            files = [str(file) for helm in helms for file in helm.get("valueFiles") or []]
            return f"values come from {' and '.join(files)}" if files else "the servers are the chart's own"
        case _:
            return ""
