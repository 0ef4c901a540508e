# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the patches of a talhelper ``talconfig.yaml``, inline or in files, and its text with some of them changed.

talhelper applies a node's patches in this order: its group's (``controlPlane`` or ``worker``, unless the node has
``overridePatches``), its own, then the global ones. Lists of one patch are appended to those of the patch before, so
a setting must reach a node once. (talhelper 3.1: pkg/config/nodeconfigs.go, pkg/generate/config.go.)
"""

from __future__ import annotations

import posixpath
import re
import typing as t
from dataclasses import dataclass, replace

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_nodes, _yaml_text
from ansible_collections.splithorizon.registry.plugins.module_utils._config_kind import (
    JSON_PATCH,
    json_patch_paths,
    recognise,
    template_problem,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._owned_lines import first_lost, nothing_stays
from ansible_collections.splithorizon.registry.plugins.module_utils._patch import Patch, located
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_version import Version
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_block import (
    block_content,
    with_block_content,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._patch import PatchPlan

__all__ = ["Members", "Talconfig", "talos_version"]

# Name of a node → whether it is a control plane node.
Members = dict[str, bool]

_TRUE = frozenset({"true", "yes", "on", "y"})


def talos_version(value: t.Any) -> Version | None:
    """``v1.13.6`` or ``1.13`` as written in a file or option; None where it is absent or a placeholder."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+].*)?", str(value or "").strip())
    return Version(int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


@dataclass(frozen=True, kw_only=True)
class _List:
    """A list of patches: where it stands, and the nodes that get it."""

    place: _yaml_nodes.Path
    items: tuple[yaml.Node, ...]
    nodes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Talconfig:
    """``files``: what the ``@`` references name, by path; None is a file that is not there."""

    file: str
    text: str
    files: Mapping[str, str | None]

    @property
    def root(self) -> yaml.MappingNode:
        nodes = _yaml_nodes.compose(self.text)
        if len(nodes) != 1 or not isinstance(nodes[0], yaml.MappingNode):
            where = f"{self.file} line {nodes[-1].start_mark.line + 1}"
            raise Conflict("a talconfig.yaml is one YAML document, this has more", where=where, cure="Remove a ---")
        return nodes[0]

    @property
    def version(self) -> Version | None:
        value = _entry(self.root, "talosVersion")
        return talos_version(value.value) if value is not None else None

    @property
    def members(self) -> Members:
        return {_name(node): _is_true(_entry(node, "controlPlane")) for node in self._nodes()}

    def references(self) -> list[str]:
        """The files that its patches name, as paths beside ``file``; each once."""
        items = [item for one in self._lists() for item in one.items]
        named = [path for path in (self._reference(item) for item in items) if path]
        return list(dict.fromkeys(named))

    def patches(self) -> list[Patch]:
        """Every patch once, with all the nodes that get it; Conflict where one cannot be known."""
        found: dict[str | int, Patch] = {}
        places = {node.start_mark.index: path[1:] for path, node, _ in _yaml_nodes.walk(self.text)}
        for one in self._lists():
            for item in one.items:
                anchored = _yaml_nodes.origin(item)
                reference = self._reference(item)
                key: str | int = reference or anchored.start_mark.index
                if key in found:
                    found[key] = replace(found[key], nodes=found[key].nodes + one.nodes)
                elif reference:
                    found[key] = self._in_file(reference, one.nodes, anchored.start_mark.line + 1)
                else:
                    place = places[anchored.start_mark.index]
                    found[key] = self._inline(anchored, place, one.nodes)
        return list(found.values())

    def new_patch(self, whom: str) -> Patch:
        """An empty inline patch; ``whom``: ``all``, ``controlplane``, ``worker`` or a node's name."""
        return Patch(file=self.file, text="", nodes=())

    def texts(self, plans: Sequence[PatchPlan], whom: str) -> dict[str, str | None]:
        """Path → new text of every file in which a patch changes."""
        inline = {plan.patch.place: plan.after for plan in plans if plan.patch.place}
        added = next((plan.after for plan in plans if plan.patch.file == self.file and not plan.patch.place), "")
        texts: dict[str, str | None] = {plan.patch.file: plan.after for plan in plans}
        if inline or added:
            text = self.with_patches(inline, added, whom)
            # The last line has a newline if it had one before.
            texts[self.file] = text if self.text.endswith("\n") else text.removesuffix("\n")
            self._check(texts[self.file] or "", inline, added, whom)
        return texts

    def _check(self, text: str, changed: Mapping[_yaml_nodes.Path, str], added: str, whom: str) -> None:
        """Conflict where another line, or another patch, would not be what it was."""
        owned = self._owned(changed)
        if added:
            owned |= self._empty_list(self._place_of(whom))
        if lost := first_lost(self.text, text, owned=owned):
            where = f"{self.file} line {lost}"
            raise Conflict("an edit would write this line anew", where=where, cure="Edit it by hand")
        wanted = [changed.get(patch.place, patch.text) for patch in self.patches()]
        found = [patch.text for patch in replace(self, text=text).patches()]
        if _normal([*wanted, added]) != _normal(found):
            raise Conflict("an edit would change another patch too", where=self.file, cure="Edit it by hand")

    def _owned(self, changed: Mapping[_yaml_nodes.Path, str]) -> set[int]:
        """The lines of patches that change, and of lists and groups in which nothing stays."""
        places = {path[1:]: (node, line - 1) for path, node, line in _yaml_nodes.walk(self.text)}
        lines = self.text.splitlines()
        owned: set[int] = set()
        for place in changed:
            node, first = places[place]
            owned |= set(range(first, _yaml_nodes.last_line(node, self.text) + 1))
        gone = {place[:end] for place, text in changed.items() if not text.strip() for end in range(1, len(place))}
        for place in sorted(gone, key=len, reverse=True):
            node, first = places[place]
            span = range(first, _yaml_nodes.last_line(node, self.text) + 1)
            owned |= set(span) if nothing_stays(lines, span, owned) else set()
        return owned

    def _empty_list(self, place: _yaml_nodes.Path) -> set[int]:
        """The line of ``patches: []``, which is written anew with the first patch."""
        places = {path[1:]: (node, line - 1) for path, node, line in _yaml_nodes.walk(self.text)}
        node, line = places.get(place, (None, 0))
        return {line} if node is not None and not node.value and _yaml_nodes.origin(node) is node else set()

    def with_patches(self, changed: Mapping[_yaml_nodes.Path, str], added: str, whom: str) -> str:
        """The text with inline patches set, by their places, and one added; an empty one goes."""
        text = self.text
        by_place = {path[1:]: node for path, node, _ in _yaml_nodes.walk(text)}
        # From the end to the beginning, so that places further up stay what they are.
        for place in sorted(changed, key=lambda place: by_place[place].start_mark.index, reverse=True):
            if changed[place].strip():
                text = with_block_content(text, by_place[place], changed[place])
            else:
                text = _yaml_text.edit(text, place, _yaml_text.DELETE, keep_top_level=False)
        if not added:
            return text
        place = self._place_of(whom)
        there = next((one.items for one in replace(self, text=text)._lists() if one.place == place), ())
        return _yaml_text.edit(text, (*place, len(there)), added.removeprefix("---\n").removesuffix("\n"))

    def _place_of(self, whom: str) -> _yaml_nodes.Path:
        groups: dict[str, _yaml_nodes.Path] = {
            "all": ("patches",),
            "controlplane": ("controlPlane", "patches"),
            "worker": ("worker", "patches"),
        }
        return groups[whom] if whom in groups else ("nodes", list(self.members).index(whom), "patches")

    def _nodes(self) -> list[yaml.MappingNode]:
        nodes = _entry(self.root, "nodes")
        items = nodes.value if isinstance(nodes, yaml.SequenceNode) else []
        found = [item for item in items if isinstance(item, yaml.MappingNode)]
        if not found:
            raise BadInput("it has no nodes", where=self.file)
        return found

    def _lists(self) -> Iterator[_List]:
        members = self.members
        yield self._list(self.root, ("patches",), tuple(members))
        nodes = self._nodes()
        for key, is_group in (("controlPlane", True), ("worker", False)):
            group = _entry(self.root, key)
            if isinstance(group, yaml.MappingNode):
                of_group = [node for node in nodes if members[_name(node)] == is_group]
                getting = tuple(_name(node) for node in of_group if not _is_true(_entry(node, "overridePatches")))
                yield self._list(group, (key, "patches"), getting)
        for index, node in enumerate(nodes):
            yield self._list(node, ("nodes", index, "patches"), (_name(node),))

    def _list(self, parent: yaml.MappingNode, place: _yaml_nodes.Path, nodes: tuple[str, ...]) -> _List:
        found = _entry(parent, "patches")
        items = tuple(found.value) if isinstance(found, yaml.SequenceNode) else ()
        for item in items:
            if not isinstance(item, yaml.ScalarNode):
                where = f"{self.file} line {item.start_mark.line + 1}"
                raise Conflict("a patch here is no text", where=where, cure="talhelper takes text or @file")
        return _List(place=place, items=items, nodes=nodes)

    def _reference(self, item: yaml.Node) -> str:
        if not str(item.value).startswith("@"):
            return ""
        path = str(item.value)[1:].strip()
        if "${" in path:
            where = f"{self.file} line {item.start_mark.line + 1}"
            raise Conflict("the name of this patch's file is only known later", where=where)
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.file), path))

    def _in_file(self, file: str, nodes: tuple[str, ...], line: int) -> Patch:
        text = self.files.get(file)
        if text is None:
            raise Conflict(f"names {file}, which is not there", where=f"{self.file} line {line}")
        fixed = ""
        try:
            if recognise(file, text) == JSON_PATCH:
                return _json_patch(Patch(file=file, text=text, nodes=nodes))
        except RegistryError as error:
            fixed = f"{error.problem} ({error.where.removeprefix(file).strip()})"
        return Patch(file=file, text=text, nodes=nodes, fixed=fixed)

    def _inline(self, item: yaml.Node, place: _yaml_nodes.Path, nodes: tuple[str, ...]) -> Patch:
        content = block_content(self.text, item)
        is_block = content is not None
        patch = Patch(
            file=self.file,
            text=content if content is not None else str(item.value),
            nodes=nodes,
            line=item.start_mark.line + (2 if is_block else 1),
            place=place,
            fixed="" if is_block else "this patch is not written as a literal block (|- …)",
        )
        problem = template_problem("patch", patch.text)
        if problem:
            return replace(patch, fixed=problem[0])
        with located(patch):
            documents = _yaml_nodes.load_all(patch.text)
        return _json_patch(patch) if any(isinstance(document, list) for document in documents) else patch


def _json_patch(patch: Patch) -> Patch:
    paths = json_patch_paths(next(iter(_yaml_nodes.load_all(patch.text)), None))
    return replace(patch, operations=paths, fixed="this is a JSON patch (RFC 6902)")


def _normal(texts: list[str]) -> list[str]:
    filled = (text.removeprefix("---\n").rstrip("\n") for text in texts)
    return sorted(text for text in filled if text)


def _entry(mapping: yaml.Node | None, key: str) -> yaml.Node | None:
    """The value of a key, the mapping's own or one merged in with ``<<``."""
    if not isinstance(mapping, yaml.MappingNode):
        return None
    own = {str(name.value): value for name, value in mapping.value}
    if key in own:
        return t.cast("yaml.Node", own[key])
    merged = own.get("<<")
    sources = merged.value if isinstance(merged, yaml.SequenceNode) else [merged]
    found = (_entry(source, key) for source in sources)
    return next((value for value in found if value is not None), None)


def _name(node: yaml.Node) -> str:
    for key in ("hostname", "ipAddress"):
        value = _entry(node, key)
        if isinstance(value, yaml.ScalarNode):
            return str(value.value)
    return f"node of line {node.start_mark.line + 1}"


def _is_true(value: yaml.Node | None) -> bool:
    return value is not None and str(value.value).lower() in _TRUE
