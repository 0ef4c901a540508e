# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: image references of one object of Tekton that have an old name of the registry, and what else mentions one."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.splithorizon.registry.plugins.module_utils._shell_words import plain_word
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_scalars import Drop, Splice

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ansible_collections.splithorizon.registry.plugins.module_utils._image_references import Registry
    from ansible_collections.splithorizon.registry.plugins.module_utils._shell_words import Script
    from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_units import Unit
    from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import Path, Tree
    from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_scalars import Edit

__all__ = ["Texts", "mentions", "references"]

Span = tuple[int, int]
# For people, or not for builders.
_SKIPPED = frozenset({"description", "displayName"})


@dataclass(kw_only=True)
class Texts:
    """Every text below ``spec``; of those that are scripts, what was read, or why they could not be read."""

    tree: Tree
    texts: dict[Path, str] = field(default_factory=dict)
    scripts: dict[Path, Script] = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)

    @classmethod
    def of(cls, tree: Tree, units: Iterable[Unit] = ()) -> Texts:
        found = cls(tree=tree, texts=dict(_texts(tree.get("spec"), ("spec",))))
        for unit in units:
            if unit.script:
                found.scripts[unit.script.path] = unit.script
            if unit.unreadable:
                path, reason = unit.unreadable
                found.unreadable[path] = reason
        return found

    def is_comment(self, path: Path, at: int) -> bool:
        """Whether a character is in a comment of a script."""
        if path in self.scripts:
            return any(start <= at < end for start, end in self.scripts[path].comments)
        line = self.texts[path][:at].rpartition("\n")[2]
        return path in self.unreadable and line.lstrip().startswith("#")


def references(texts: Texts, registry: Registry, *, taken: Iterable[Edit]) -> Iterator[Splice]:
    """The edits that give image references the registry's name; none inside of what is edited already."""
    taken = list(taken)
    # Nodes pull by the public name in both states.
    pulled = _pulled_by_nodes(texts) if registry.http else frozenset()
    for path, text in texts.texts.items():
        if path in texts.unreadable or path in pulled:
            continue
        for start, end in {*registry.references(text), *_whole_names(texts, registry, path)}:
            if not texts.is_comment(path, start) and not is_taken(path, (start, end), taken):
                yield Splice(path=path, start=start, end=end, new=registry.name)


def mentions(texts: Texts, registry: Registry, *, taken: Iterable[Edit]) -> Iterator[tuple[Path, Span, str]]:
    """(path, place, why it is not edited) of every old name that is left."""
    taken = list(taken)
    for path, text in texts.texts.items():
        for start, end in registry.mentions(text):
            if not texts.is_comment(path, start) and not is_taken(path, (start, end), taken):
                yield path, (start, end), texts.unreadable.get(path, "a name of the registry, but no image reference")


def _pulled_by_nodes(texts: Texts) -> frozenset[Path]:
    """Where images of steps and containers stand, in their own entries or in defaults of parameters for them."""
    images = {path: text for path, text in texts.texts.items() if path[-1] == "image"}
    names = {plain_word(text).parameter for text in images.values()}
    defaults = {path for path in texts.texts if path[-1] == "default" and _name_of(texts, path) in names}
    return frozenset({*images, *defaults})


def is_taken(path: Path, span: Span, taken: Iterable[Edit]) -> bool:
    """Whether a place is edited already."""
    for each in taken:
        if isinstance(each, Drop) and each.path == path:
            return True
        if isinstance(each, Splice) and each.path == path and each.start < span[1] and span[0] < each.end:
            return True
    return False


def _whole_names(texts: Texts, registry: Registry, path: Path) -> Iterator[Span]:
    """Where a text or a word is nothing but an old name, which is made an image reference somewhere else."""
    text = texts.texts[path]
    if registry.is_replaced(text) and path[-1] in {"value", "default"} and not _is_in_url(texts, _name_of(texts, path)):
        yield 0, len(text)
    script = texts.scripts.get(path)
    for name, values in script.assignments.items() if script else ():
        for word in (word for words in values for word in words):
            if registry.is_replaced(word.text) and not _is_in_url(texts, name):
                yield word.spans[0][0], word.spans[-1][1]
    for command in script.commands if script else ():
        if any(word.text == "login" for word in command):
            yield from ((word.spans[0][0], word.spans[-1][1]) for word in command if registry.is_replaced(word.text))


def _name_of(texts: Texts, path: Path) -> str:
    """The name of the parameter or variable whose value stands at ``path``."""
    node = texts.tree
    for part in path[:-1]:
        node = node[part]
    return str(node.get("name", "")) if isinstance(node, dict) else ""


def _is_in_url(texts: Texts, name: str) -> bool:
    """Whether a variable is made part of a URL, whose scheme would then be another as well."""
    pattern = re.compile(rf"://\$[({{]?(?:params\.)?{re.escape(name)}\b")
    return any(pattern.search(text) for text in texts.texts.values())


def _texts(node: Tree, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _texts(item, (*path, index))
    elif isinstance(node, dict):
        for key, value in node.items():
            if key not in _SKIPPED:
                yield from _texts(value, (*path, key))
