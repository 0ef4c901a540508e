# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: change parts of scalars, and take out or put in items of lists, in the text of one YAML document.

Every other byte stays: comments, quotes, block styles, folded lines. Each edit is data first; the edited text is read
back and must mean what the same edits make of the data, or there is none (anchors, an escape that is not understood).
"""

from __future__ import annotations

import copy
import itertools
import re
import typing as t
from dataclasses import dataclass

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import (
    Path,
    Tree,
    compose,
    last_line,
    load,
    origin,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_text import edit

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Drop", "Edit", "Insert", "Put", "Splice", "applied", "edited_text", "line_of", "node_at"]

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Splice:
    """The characters of a scalar from ``start`` to ``end`` become ``new``."""

    path: Path
    start: int
    end: int
    new: str


@dataclass(frozen=True, kw_only=True)
class Drop:
    """An item of a list goes."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class Insert:
    """New items stand behind an item of a list."""

    path: Path
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Put:
    """An entry is set, in whatever style the document has."""

    path: Path
    value: t.Any


Edit = Splice | Drop | Insert | Put


def applied(tree: Tree, edits: Iterable[Edit]) -> Tree:
    """A copy of ``tree`` with all edits made; their paths and places are those in ``tree`` itself."""
    tree = copy.deepcopy(tree)
    edits = list(edits)
    for splice in sorted(_merged(edits), key=lambda each: each.start, reverse=True):
        parent, last = _at(tree, splice.path[:-1]), splice.path[-1]
        parent[last] = parent[last][: splice.start] + splice.new + parent[last][splice.end :]
    lists = [each for each in edits if isinstance(each, Drop | Insert)]
    for change in sorted(lists, key=lambda each: str(each.path[:-1]) + f"{each.path[-1]:09}", reverse=True):
        parent, index = _at(tree, change.path[:-1]), t.cast("int", change.path[-1])
        parent[index : index + 1] = [] if isinstance(change, Drop) else [parent[index], *change.values]
    for put in edits:
        if isinstance(put, Put):
            _put(tree, put.path, put.value)
    return tree


def edited_text(text: str, edits: Sequence[Edit]) -> str:
    """One document's text with all edits made; Conflict where the text does not allow them."""
    before = load(text)
    (root,) = compose(text)
    changes: list[tuple[int, int, str]] = []
    for splice in _merged(edits):
        spans = positions(text, _scalar(root, splice.path))
        changes.append((*_source_span(spans, splice), splice.new))
    for path in {each.path[:-1] for each in edits if isinstance(each, Drop | Insert)}:
        own = [each for each in edits if isinstance(each, Drop | Insert) and each.path[:-1] == path]
        changes += _list_changes(text, root, path, own)
    after = _changed(text, changes)
    for each in edits:
        if isinstance(each, Put):
            after = edit(after, each.path, each.value)
    if not text.endswith("\n"):
        after = after.removesuffix("\n")
    if load(after) != applied(before, edits):
        raise Conflict("it cannot be edited in place (anchors?)", cure="Edit it by hand")
    return after


def node_at(root: yaml.Node, path: Path) -> tuple[yaml.Node | None, yaml.Node]:
    """(its key, the node) of an entry that is there."""
    key: yaml.Node | None = None
    for part in path:
        if isinstance(root, yaml.MappingNode):
            key, root = next((name, value) for name, value in root.value if name.value == part)
        else:
            key, root = None, root.value[part]
    return key, root


def line_of(text: str, root: yaml.Node, path: Path, at: int = 0) -> int:
    """The line, from 1, of a character of the scalar at ``path``, or of an entry that is none."""
    key, node = node_at(root, path)
    if isinstance(node, yaml.ScalarNode) and origin(node) is node:
        try:
            spans = positions(text, node)
        except Conflict:
            spans = []
        if spans:
            return text.count("\n", 0, spans[min(at, len(spans) - 1)][0]) + 1
    return (key or node).start_mark.line + 1


def positions(text: str, node: yaml.ScalarNode) -> list[Span]:
    """Where each character of a scalar's value stands in the text."""
    start, end = node.start_mark.index, node.end_mark.index
    # The mark of a scalar that has an anchor or a tag is theirs.
    properties = re.match(r"(?:[&!]\S*\s+)*", text[start:end])
    start += properties.end() if properties else 0
    if node.style == "|":
        return _literal_positions(text, start, end, node.value)
    if node.style == ">":
        start = text.index("\n", start)
    elif node.style:
        start, end = start + 1, end - 1
    return _folded_positions(text, start, end, node)


def _literal_positions(text: str, start: int, end: int, value: str) -> list[Span]:
    spans: list[Span] = []
    at = text.index("\n", start) + 1
    for line in value.splitlines(keepends=True):
        stop = text.find("\n", at)
        stop = len(text) if stop < 0 else stop
        body = line.removesuffix("\n")
        indent = stop - at - len(body)
        if at > end or (body and (indent < 0 or text[at + indent : stop] != body)):
            raise _not_in_place()
        first = stop - len(body)
        spans += [(first + index, first + index + 1) for index in range(len(body))]
        spans += [(stop, stop + 1)] * (len(line) - len(body))
        at = stop + 1
    return spans


def _folded_positions(text: str, start: int, end: int, node: yaml.ScalarNode) -> list[Span]:
    """Of a scalar whose lines are folded: the white space between two characters stands for that in the text."""
    tokens = _tokens(text, start, end, node.style)
    spans: list[Span] = []
    at = start
    for char in node.value:
        if char.isspace() and not (tokens and tokens[0][0] == char and tokens[0][3]):
            following = tokens[0][1] if tokens else end
            spans.append((at, following))
            at = following
            continue
        if not tokens or tokens[0][0] != char:
            raise _not_in_place()
        _char, first, at, _escaped = tokens.pop(0)
        spans.append((first, at))
    return spans


def _tokens(text: str, start: int, end: int, style: str | None) -> list[tuple[str, int, int, bool]]:
    """(character, its start and end, whether it is escaped) of all but white space."""
    pattern = {"'": r"''|\S", '"': r"\\(?:x..|u.{4}|U.{8}|\n[ \t]*|.)|\S"}.get(style or "", r"\S")
    tokens: list[tuple[str, int, int, bool]] = []
    for found in re.compile(pattern, re.DOTALL).finditer(text, start, end):
        source = found[0]
        if style == '"' and source.startswith("\\"):
            if source[1] != "\n":
                char = yaml.safe_load(f'"{source}"')
                tokens.append((char, *found.span(), True))
        else:
            tokens.append((source[0], *found.span(), False))
    return tokens


def _source_span(spans: Sequence[Span], splice: Splice) -> Span:
    if splice.start < splice.end:
        return spans[splice.start][0], spans[splice.end - 1][1]
    if not spans:
        raise _not_in_place()
    at = spans[splice.start - 1][1] if splice.start else spans[0][0]
    return at, at


def _list_changes(text: str, root: yaml.Node, path: Path, edits: Sequence[Drop | Insert]) -> list[tuple[int, int, str]]:
    key, node = node_at(root, path)
    if origin(node) is not node:
        raise _not_in_place()
    dropped = {each.path[-1] for each in edits if isinstance(each, Drop)}
    inserted = {each.path[-1]: each.values for each in edits if isinstance(each, Insert)}
    if t.cast("yaml.SequenceNode", node).flow_style:
        return _flow_changes(text, node.value, dropped, inserted)
    starts = _line_starts(text)
    changes: list[tuple[int, int, str]] = []
    for index, item in enumerate(node.value):
        first, end = starts[item.start_mark.line], starts[last_line(item, text) + 1]
        if index in dropped:
            changes.append((first, end, ""))
        elif index in inserted:
            head = text[first : item.start_mark.index]
            changes.append((end, end, "".join(f"{head}{_quoted(value)}\n" for value in inserted[index])))
    if key is not None and len(dropped) == len(node.value):
        colon = text.index(":", key.end_mark.index) + 1
        changes.append((colon, colon, " []"))
    return changes


def _flow_changes(
    text: str, items: Sequence[yaml.Node], dropped: set[t.Any], inserted: dict[t.Any, tuple[str, ...]]
) -> list[tuple[int, int, str]]:
    spans = [(item.start_mark.index, item.end_mark.index) for item in items]
    changes: list[tuple[int, int, str]] = []
    for index, (first, end) in enumerate(spans):
        if index in inserted:
            changes.append((end, end, "".join(f", {_quoted(value, text[first])}" for value in inserted[index])))
        if index in dropped:
            has_kept_before = any(other not in dropped for other in range(index))
            before = spans[index - 1][1] if has_kept_before else None
            behind = spans[index + 1][0] if index + 1 < len(spans) else None
            changes.append((*_with_comma(text, (first, end), before=before, behind=behind), ""))
    return changes


def _with_comma(text: str, span: Span, *, before: int | None, behind: int | None) -> Span:
    """An item of a flow sequence with the comma that goes with it, and without its neighbours' comments."""
    first, end = span
    if before is not None and "#" not in text[before:first]:
        return before, end
    if behind is None:
        return first, end
    gap = text[end:behind]
    return first, behind if "#" not in gap else end + gap.index(",") + 1


def _quoted(value: str, like: str = "") -> str:
    """A value as plain as it may be, or in the quotes of another."""
    return f"{like}{value}{like}" if like in {"'", '"'} else value


def _line_starts(text: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer(r"\n", text)), len(text)]


def _changed(text: str, changes: Sequence[tuple[int, int, str]]) -> str:
    done = len(text)
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[max(start, min(end, done)) :]
        done = start
    return text


def _merged(edits: Iterable[Edit]) -> list[Splice]:
    """The splices, with one in the place of several whose places overlap; Conflict where one of them is more."""
    merged: list[Splice] = []
    for each in sorted(
        {each for each in edits if isinstance(each, Splice)}, key=lambda each: (str(each.path), each.start, each.end)
    ):
        last = merged[-1] if merged else None
        if last is None or last.path != each.path or last.end <= each.start:
            merged.append(each)
        elif last.new or each.new:
            raise Conflict("two edits of one place", cure="Edit it by hand")
        else:
            merged[-1] = Splice(path=last.path, start=last.start, end=max(last.end, each.end), new="")
    return merged


def _scalar(root: yaml.Node, path: Path) -> yaml.ScalarNode:
    _key, node = node_at(root, path)
    if not isinstance(node, yaml.ScalarNode) or origin(node) is not node:
        raise _not_in_place()
    return node


def _at(tree: Tree, path: Path) -> Tree:
    for part in path:
        tree = tree[part]
    return tree


def _put(tree: Tree, path: Path, value: t.Any) -> None:
    for part, following in itertools.pairwise(path):
        missing: t.Any = [] if isinstance(following, int) else {}
        if isinstance(part, int):
            if part == len(tree):
                tree.append(missing)
        elif tree.get(part) is None:
            tree[part] = missing
        tree = tree[part]
    last = path[-1]
    if isinstance(last, int) and last == len(tree):
        tree.append(value)
    else:
        tree[last] = value


def _not_in_place() -> Conflict:
    return Conflict("it is written in a way that cannot be edited in place", cure="Edit it by hand")
