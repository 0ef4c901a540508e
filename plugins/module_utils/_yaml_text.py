# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: change one entry of a YAML document in its text; every other byte stays (comments, order, quotes, indentation).

The parser says where an entry stands, and only those lines are replaced. Each edit is read back and compared
by meaning with what it should give, so an edit that the text does not allow (anchors, merge keys) is a Conflict,
never a broken document.
"""

from __future__ import annotations

import typing as t

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import (
    Path,
    Tree,
    compose,
    last_line,
    load,
    origin,
    render,
)

__all__ = ["DELETE", "edit"]

# Instead of a value: take the entry away, and every mapping or list that becomes empty by it (not the document's own).
DELETE: t.Final = object()


def edit(text: str, path: Path, value: t.Any, *, keep_top_level: bool = True) -> str:
    """One document's text with the entry at ``path`` set to ``value``, or taken away with DELETE.

    A missing parent is made; an index equal to a list's length appends. Deleting what is absent changes nothing.
    ``keep_top_level``: a top-level key stays, empty, where all that it held is gone.
    """
    before = load(text)
    if value is DELETE:
        path = _pruned(before, path, keep=2 if keep_top_level else 1)
        if not path:
            return text
    _refuse_other_holders(before, path)
    wanted = _with(before, path, value)
    if wanted == before:
        return text
    inner = _edit_inside(text, path, value, old=_at(before, path) if _has(before, path) else None)
    if inner is not None and _means(inner, wanted):
        return inner
    # From the entry itself outwards: the nearest parent that can be written anew without changing any meaning.
    for depth in range(len(path), 0, -1):
        replacement = value if depth == len(path) else _at(wanted, path[:depth])
        edited = _splice(text, path[:depth], replacement)
        if edited is not None and _means(edited, wanted):
            return edited
    where = ".".join(str(part) for part in path)
    raise Conflict("this entry cannot be edited in place (anchors or merge keys?)", where=where, cure="Edit it by hand")


def _edit_inside(text: str, path: Path, value: t.Any, *, old: Tree) -> str | None:
    """A mapping's entries changed one by one, so that those that stay keep their text; None where that fails."""
    if not (isinstance(old, dict) and isinstance(value, dict) and value):
        return None
    try:
        for key in value:
            text = edit(text, (*path, key), value[key])
        for key in old.keys() - value.keys():
            text = edit(text, (*path, key), DELETE)
    except Conflict:
        return None
    return text


def _means(text: str, wanted: Tree) -> bool:
    try:
        # A document without any entry is written as nothing.
        return bool((load(text) or {}) == (wanted or {}))
    except Conflict:
        return False


def _at(tree: Tree, path: Path) -> Tree:
    for part in path:
        tree = tree[part]
    return tree


def _has(tree: Tree, path: Path) -> bool:
    for part in path:
        in_list = isinstance(tree, list) and isinstance(part, int) and part < len(tree)
        if not in_list and not (isinstance(tree, dict) and part in tree):
            return False
        tree = tree[part]
    return True


def _pruned(tree: Tree, path: Path, *, keep: int) -> Path:
    """The path to delete so that no empty parent stays; () where there is nothing to delete."""
    if not _has(tree, path):
        return ()
    while len(path) > keep and len(_at(tree, path[:-1])) == 1:
        path = path[:-1]
    return path


def _refuse_other_holders(tree: Tree, path: Path) -> None:
    """Conflict where the text has something else than the mapping or list that an entry is to be in."""
    for depth, part in enumerate(path):
        in_list = isinstance(part, int)
        if tree is None:
            return
        if not isinstance(tree, list if in_list else dict):
            problem = f"this is no {'list' if in_list else 'mapping'}, so nothing can be set in it"
            raise Conflict(problem, where=".".join(map(str, path[:depth])), cure="Edit it by hand")
        tree = _at(tree, (part,)) if _has(tree, (part,)) else None


def _with(tree: Tree, path: Path, value: t.Any) -> Tree:
    """A copy of ``tree`` with the entry set or deleted, in the loader's terms (scalars as text)."""
    head, rest = path[0], path[1:]
    if isinstance(head, int):
        items = list(tree or [])
        if value is DELETE and not rest:
            del items[head]
        elif head == len(items):
            items.append(_with(None, rest, value) if rest else _as_loaded(value))
        else:
            items[head] = _with(items[head], rest, value) if rest else _as_loaded(value)
        return items
    entries = dict(tree or {})
    if value is DELETE and not rest:
        del entries[head]
    else:
        entries[head] = _with(entries.get(head), rest, value) if rest else _as_loaded(value)
    return entries


def _as_loaded(value: t.Any) -> Tree:
    return load(render(value))


def _splice(text: str, path: Path, value: t.Any) -> str | None:
    """``text`` with the lines of one entry replaced, or None where its place has no block style."""
    root = next(iter(compose(text)), None)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        return None
    parent: yaml.Node = root
    for depth, part in enumerate(path):
        entry = _find(parent, part)
        last = depth == len(path) - 1
        if entry is None:
            return (
                None if value is DELETE else _insert(text, parent, _entry_text(text, parent, path[depth:], value, root))
            )
        if last:
            new = "" if value is DELETE else _entry_text(text, parent, (part,), value, root)
            return _replace(text, entry, _with_key_as_written(text, entry[0], new) if isinstance(part, str) else new)
        parent = entry[1]
        if not isinstance(parent, yaml.CollectionNode) or parent.flow_style or not parent.value:
            return None
    return None


def _find(parent: yaml.Node, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """(where the entry starts, its value)."""
    if isinstance(parent, yaml.SequenceNode) and isinstance(part, int):
        return (parent.value[part], parent.value[part]) if part < len(parent.value) else None
    if isinstance(parent, yaml.MappingNode) and isinstance(part, str):
        return next(((key, value) for key, value in parent.value if key.value == part), None)
    return None


def _replace(text: str, entry: tuple[yaml.Node, yaml.Node], new: str) -> str:
    lines = text.splitlines(keepends=True)
    first, end = entry[0].start_mark.line, last_line(entry[1], text) + 1
    return "".join(lines[:first]) + new + "".join(lines[end:])


def _with_key_as_written(text: str, key: yaml.Node, new: str) -> str:
    """A rendered entry whose key keeps its quotes."""
    rendered = " " * key.start_mark.column + render({str(key.value): {}}).removesuffix(": {}\n")
    written = text[key.start_mark.index : key.end_mark.index]
    if "\n" in written or not new.startswith(rendered + ":"):
        return new
    return " " * key.start_mark.column + written + new.removeprefix(rendered)


def _insert(text: str, parent: yaml.Node, new: str) -> str:
    lines = text.splitlines(keepends=True)
    end = last_line(parent, text) + 1
    head = "".join(lines[:end])
    if head and not head.endswith("\n"):
        head += "\n"
    return head + new + "".join(lines[end:])


def _entry_text(text: str, parent: yaml.Node, path: Path, value: t.Any, root: yaml.Node) -> str:
    nested: t.Any = value
    for part in reversed(path):
        nested = [nested] if isinstance(part, int) else {part: nested}
    column = " " * _column(parent, text)
    rendered = render(nested, indent=_indent_step(root), indent_lists=_indents_lists(root))
    return "".join(column + line if line.strip() else line for line in rendered.splitlines(keepends=True))


def _column(parent: yaml.Node, text: str) -> int:
    """Where the entries of a block begin; the mark of one that has an anchor is that of the anchor."""
    first = parent.value[0] if parent.value else parent
    if isinstance(first, tuple):
        return int(first[0].start_mark.column)
    line = text[: first.start_mark.index].rpartition("\n")[2]
    return line.rindex("-") if isinstance(parent, yaml.SequenceNode) and "-" in line else int(parent.start_mark.column)


def _indent_step(root: yaml.Node) -> int:
    """By how much the document indents its first nested mapping."""
    for _key, value in root.value:
        if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
            return max(2, min(int(value.value[0][0].start_mark.column), 8))
    return 2


def _mappings(node: yaml.Node) -> t.Iterator[yaml.MappingNode]:
    if origin(node) is node and isinstance(node, yaml.CollectionNode):
        if isinstance(node, yaml.MappingNode):
            yield node
        for item in node.value:
            yield from _mappings(item[1] if isinstance(item, tuple) else item)


def _indents_lists(root: yaml.Node) -> bool:
    """Whether the document's first list below a key stands further to the right than the key."""
    for node in _mappings(root):
        for key, value in node.value:
            if isinstance(value, yaml.SequenceNode) and not value.flow_style and origin(value) is value:
                # The mark of a list that has an anchor is that of the anchor.
                dash = min(value.start_mark.column, value.value[0].start_mark.column - len("- "))
                return bool(dash > key.start_mark.column)
    return False
