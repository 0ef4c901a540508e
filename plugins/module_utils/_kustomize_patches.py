# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: keys of ConfigMaps set by kustomize: in a kustomization, a post-renderer or a Kustomization of Flux.

A kustomization keeps each patch in a file of its own (``patches/<name>-cm-patch.yaml``), the others keep them inline.
"""

from __future__ import annotations

import posixpath
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._chart_values import (
    DELETE,
    Edit,
    with_entry,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_entry import at
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import (
    Path,
    Tree,
    load,
    render,
    split_documents,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Carrier", "Texts", "Wanted", "found_keys", "new_file", "patch_files", "plan_patches"]

Texts = dict[str, str | None]
# ConfigMap → key → its value, None for none.
Wanted = dict[str, dict[str, str | None]]

# Set by a guide beside CORE_URL, and read by nothing: it goes with the patch.
_WITHOUT_EFFECT = frozenset({"TOKEN_SERVICE_URL"})


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """A list of patches: at ``path`` in part ``number`` of the file. ``apart``: new patches get files of their own."""

    file: str
    number: int
    path: Path
    apart: bool = False

    def beside(self, name: str) -> str:
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.file), name))


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A strategic merge patch of a ConfigMap: the path of its entry in the list's document, and where its text is."""

    entry: Path
    file: str
    number: int
    inline: Path
    document: Tree

    @property
    def data(self) -> dict[str, t.Any]:
        return at(self.document, ("data",)) or {}


def patch_files(file: str, text: str) -> list[str]:
    """The files of patches that a kustomization names."""
    data = load(split_documents(text)[0]) if text.strip() else {}
    carrier = Carrier(file=file, number=0, path=())
    named = [at(one, ("path",)) for one in at(data, ("patches",)) or []]
    named += [one for one in at(data, ("patchesStrategicMerge",)) or [] if isinstance(one, str) and "\n" not in one]
    return [carrier.beside(one) for one in named if isinstance(one, str)]


def new_file(carrier: Carrier, name: str) -> str:
    return carrier.beside(f"patches/{name}-cm-patch.yaml")


def found_keys(
    carrier: Carrier, document: Tree, names: Wanted, *, files: Mapping[str, str | None]
) -> dict[str, dict[str, str]]:
    """ConfigMap → what the patches in ``document`` set of the keys in question."""
    result = {}
    for name, keys in names.items():
        found = _find(carrier, document, files, name, keys)
        result[name] = {key: str(found.data[key]) for key in keys if found and key in found.data}
    return result


def plan_patches(carrier: Carrier, files: Texts, wanted: Wanted) -> Texts:
    """The files with patches that set what is wanted; a patch in which nothing is left goes, with its file."""
    for name, keys in wanted.items():
        files = _planned(carrier, files, name, keys)
    return files


def _planned(carrier: Carrier, files: Texts, name: str, keys: Mapping[str, str | None]) -> Texts:
    document = load(split_documents(files[carrier.file] or "")[carrier.number])
    found = _find(carrier, document, files, name, keys)
    given = {key: value for key, value in keys.items() if value is not None}
    if found is None:
        return _added(carrier, document, files, name, given) if given else files
    left = {key for key in found.data if key not in keys} - _WITHOUT_EFFECT
    if not given and not left and found.data.keys() & keys.keys():
        return _removed(carrier, files, found)
    for key, value in keys.items():
        if found.data.get(key) != value:
            edit = Edit(path=("data", key), value=DELETE if value is None else value)
            text = with_entry(files[found.file] or "", found.number, found.inline, edit, embedded=bool(found.inline))
            files = {**files, found.file: text}
    return files


def _added(carrier: Carrier, document: Tree, files: Texts, name: str, data: dict[str, str]) -> Texts:
    patch = render({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
    target = {"kind": "ConfigMap", "name": name}
    text = files[carrier.file] or ""
    place = (*carrier.path, len(at(document, carrier.path) or []))
    if not carrier.apart:
        entry = Edit(path=place, value={"target": target, "patch": patch})
        return {**files, carrier.file: with_entry(text, carrier.number, (), entry)}
    file = new_file(carrier, name)
    if files.get(file) is not None:
        raise Conflict(
            "is there, and the kustomization does not name it", where=file, cure="Name it there, or remove it"
        )
    folder = posixpath.dirname(carrier.file)
    entry = Edit(path=place, value={"path": posixpath.relpath(file, folder or "."), "target": target})
    return {**files, carrier.file: with_entry(text, carrier.number, (), entry), file: patch}


def _removed(carrier: Carrier, files: Texts, found: _Found) -> Texts:
    text = with_entry(files[carrier.file] or "", carrier.number, (), Edit(path=found.entry, value=DELETE))
    own_file = found.file != carrier.file and len(split_documents(files[found.file] or "")) == 1
    return {**files, carrier.file: text, **({found.file: None} if own_file else {})}


def _find(
    carrier: Carrier, document: Tree, files: Mapping[str, str | None], name: str, keys: Mapping[str, t.Any]
) -> _Found | None:
    found = [one for one in _patches_of(carrier, document, files, name) if _is_strategic(one, keys)]
    setting = [one for one in found if one.data.keys() & keys.keys()]
    if len(setting) > 1:
        raise Conflict(f"{len(setting)} patches set {', '.join(keys)} of {name}", where=carrier.file, cure="Leave one")
    # A patch that sets other keys of the ConfigMap is as good a place as any.
    return next(iter(setting or found), None)


def _patches_of(carrier: Carrier, document: Tree, files: Mapping[str, str | None], name: str) -> Iterator[_Found]:
    lists = [carrier.path, *([("patchesStrategicMerge",)] if carrier.apart else [])]
    for place in lists:
        for index, entry in enumerate(at(document, place) or []):
            path = (*place, index)
            for found in _texts_of(carrier, files, path, entry):
                if _is_for(entry, found.document, name):
                    yield found


def _texts_of(carrier: Carrier, files: Mapping[str, str | None], path: Path, entry: Tree) -> Iterator[_Found]:
    """The documents of one entry's patch."""
    inline = at(entry, ("patch",))
    named = at(entry, ("path",)) if isinstance(entry, dict) else entry
    if isinstance(inline, str):
        yield _Found(
            entry=path, file=carrier.file, number=carrier.number, inline=(*path, "patch"), document=load(inline)
        )
    elif isinstance(named, str) and (text := files.get(carrier.beside(named))):
        for number, part in enumerate(split_documents(text)):
            yield _Found(entry=path, file=carrier.beside(named), number=number, inline=(), document=load(part))


def _is_for(entry: Tree, document: Tree, name: str) -> bool:
    target = at(entry, ("target",)) or {"kind": at(document, ("kind",)), "name": at(document, ("metadata", "name"))}
    return bool(target.get("kind") == "ConfigMap" and target.get("name") == name)


def _is_strategic(found: _Found, keys: Mapping[str, t.Any]) -> bool:
    operations = found.document if isinstance(found.document, list) else []
    paths = [at(one, ("path",)) for one in operations]
    if any(path in {f"/data/{key}" for key in keys} for path in paths):
        cure = "Write it as a ConfigMap with the key in data, or edit it by hand"
        where = f"{found.file}, {'.'.join(map(str, found.entry))}"
        raise Conflict("sets the key by a JSON patch (RFC 6902)", where=where, cure=cure)
    return isinstance(found.document, dict)
