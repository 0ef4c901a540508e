# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: entries of one YAML document changed as a careful hand does it: nothing on other lines, comments stay.

A text on one line is replaced between its quotes. Everything else is ``_yaml_text.edit``'s work, which is refused
where it would write lines anew that are not the entry's own.
"""

from __future__ import annotations

import json
import typing as t

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._owned_lines import first_lost
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import (
    Path,
    Tree,
    compose,
    last_line,
    load,
    origin,
    render,
    walk,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_text import DELETE, edit

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["DELETE", "at", "node_at", "set_entry"]


def set_entry(text: str, path: Path, value: t.Any) -> str:
    """One document's text with the entry at ``path`` set, or taken away with DELETE and every parent left empty by it.

    Conflict where that would change another entry (an anchor, a merge key) or write other lines anew.
    """
    if value is not DELETE and at(load(text), path) == _loaded(value):
        return text
    _refuse_shared(text, path)
    replaced = _replaced_text(text, path, value) if isinstance(value, str) and "\n" not in value else None
    if replaced is not None:
        return replaced
    after = edit(text, path, value, keep_top_level=False)
    if first_lost(text, after, owned=_owned(text, path, gone=value is DELETE)):
        raise _by_hand("to set this entry, lines that are not its own would be written anew", text, path)
    return after


def at(data: Tree, path: Path) -> Tree:
    """What stands at a path of data; None where nothing does."""
    for part in path:
        if isinstance(part, int):
            data = data[part] if isinstance(data, list) and part < len(data) else None
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return data


def node_at(root: yaml.Node | None, path: Path) -> yaml.Node | None:
    """The node of an entry; None where there is none."""
    for part in path:
        if isinstance(root, yaml.MappingNode):
            root = next((value for key, value in root.value if key.value == part), None)
        elif isinstance(root, yaml.SequenceNode) and isinstance(part, int) and part < len(root.value):
            root = root.value[part]
        else:
            return None
    return root


def _replaced_text(text: str, path: Path, value: str) -> str | None:
    """``text`` with a scalar of one line replaced in its own style; None where there is none, or it means another."""
    node = _node(text, path)
    if not isinstance(node, yaml.ScalarNode) or node.start_mark.line != node.end_mark.line or node.style in {"|", ">"}:
        return None
    written = {"'": "'" + value.replace("'", "''") + "'", '"': json.dumps(value, ensure_ascii=False)}
    new = written.get(node.style or "", render({"": value}).partition(": ")[2].removesuffix("\n"))
    after = text[: node.start_mark.index] + new + text[node.end_mark.index :]
    try:
        return after if load(after) == _with(load(text), path, value) else None
    except Conflict:
        return None


def _refuse_shared(text: str, path: Path) -> None:
    """Conflict where the entry, something in it, or what it stands in is an anchor's, and used elsewhere as well."""
    nodes = [node for end in range(1, len(path) + 1) if (node := _node(text, path[:end])) is not None]
    for end, node in enumerate(nodes[: len(path) - 1], 1):
        if origin(node) is not node:
            raise _by_hand(
                f"{_dotted(path[:end])} is an alias: what is set in it changes the anchored entry", text, path
            )
    changed = {id(node) for node in nodes if origin(node) is node} | {id(one) for one in _inside(nodes[-1:])}
    for other, node, line in walk(text):
        if origin(node) is not node and id(origin(node)) in changed and other[1 : len(path) + 1] != path:
            raise _by_hand(f"an anchor here is used by {_dotted(other[1:])} too (line {line})", text, path)


def _inside(nodes: Sequence[yaml.Node]) -> Iterator[yaml.Node]:
    """The nodes and all below them; of an alias nothing, since only its own place is changed."""
    for node in nodes:
        if origin(node) is node:
            yield node
            if isinstance(node, yaml.CollectionNode):
                yield from _inside(
                    [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
                )


def _owned(text: str, path: Path, *, gone: bool) -> set[int]:
    """The lines, counted from 0, that the edit may write anew: the entry's, or those of an empty parent."""
    data = load(text)
    if gone:
        while len(path) > 1 and len(at(data, path[:-1]) or ()) == 1:
            path = path[:-1]
    places = {place[1:]: (node, line - 1) for place, node, line in walk(text) if place[0] == 0}
    while path not in places and path:
        path = path[:-1]
        node = places[path][0] if path in places else None
        if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
            return set()  # a new entry in a block that has some
    if not path:
        return set()
    node, first = places[path]
    last = last_line(node, text)
    flow = isinstance(node, yaml.CollectionNode) and node.flow_style
    if flow and not gone and (last > first or _has_comment(text, node)):
        return set()  # it would be written anew as a block, without its comments
    return set(range(first, last + 1))


def _has_comment(text: str, node: yaml.Node) -> bool:
    return text[node.end_mark.index :].partition("\n")[0].lstrip().startswith("#")


def _node(text: str, path: Path) -> yaml.Node | None:
    return node_at(next(iter(compose(text)), None), path)


def _with(tree: Tree, path: Path, value: str) -> Tree:
    if not path:
        return value
    copy: t.Any = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = _with(tree[path[0]], path[1:], value)
    return copy


def _loaded(value: t.Any) -> Tree:
    return load(render({"": value}))[""]


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)


def _by_hand(problem: str, text: str, path: Path) -> Conflict:
    node = next((found for end in range(len(path), 0, -1) if (found := _node(text, path[:end]))), None)
    line = f"line {node.start_mark.line + 1}, " if node else ""
    return Conflict(problem, where=f"{line}{_dotted(path)}", cure="Edit it by hand")
