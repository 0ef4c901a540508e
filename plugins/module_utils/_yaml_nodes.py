# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: YAML as meaning and as places in its text: every scalar as it is written, every node with its lines.

An anchor may be given anew, as YAML 1.2 and Go allow and PyYAML does not. An alias has its own place in the text.
"""

from __future__ import annotations

import copy
import functools
import re
import typing as t

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from yaml.composer import Composer

if t.TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Path",
    "Tree",
    "compose",
    "last_line",
    "last_line_of_block",
    "load",
    "load_all",
    "origin",
    "render",
    "split_documents",
    "walk",
]

Path = tuple[str | int, ...]
Tree = t.Any  # what `load` gives: dict, list, str, None

_NULL_TAG = "tag:yaml.org,2002:null"
_MERGE_TAG = "tag:yaml.org,2002:merge"
_FAST_LOADER: t.Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Plain(str):
    """A scalar that was written without quotes, and is to be written so again: ``true`` is not ``'true'``."""


def _construct_text(loader: t.Any, node: yaml.ScalarNode) -> str:
    value = str(loader.construct_scalar(node))
    return value if node.style else _Plain(value)


class _AsText:
    """Scalars as they are written (``true``, ``0644``, ``1e3`` are text): no reading of YAML 1.1 differs from Go's."""

    yaml_implicit_resolvers: t.ClassVar[dict[str, list[t.Any]]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag in {_NULL_TAG, _MERGE_TAG}]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors: t.ClassVar[dict[str | None, t.Any]] = {
        **yaml.SafeLoader.yaml_constructors,
        "tag:yaml.org,2002:str": _construct_text,
    }


def _composer() -> t.Any:
    """PyYAML's composer, which can be refined, over libyaml's parser where there is one: it is eight times as quick."""
    if not hasattr(yaml, "CSafeLoader"):
        return yaml.SafeLoader

    class Quick(Composer, yaml.CSafeLoader):
        def __init__(self, stream: str) -> None:
            yaml.CSafeLoader.__init__(self, stream)
            Composer.__init__(self)

    return Quick


_COMPOSER: t.Any = _composer()


class _Repeated(_COMPOSER):  # type: ignore[misc]
    """Takes an anchor that is given anew."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(event.anchor, None)
        return t.cast("yaml.Node | None", super().compose_node(parent, index))


class _Placed(_Repeated):
    """An alias becomes a node of its own, with its own marks; ``origin`` gives the anchored one."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        node: yaml.Node | None = super().compose_node(parent, index)
        if node is None or not isinstance(event, yaml.AliasEvent):
            return node
        alias = copy.copy(node)
        alias.start_mark, alias.end_mark = event.start_mark, event.end_mark
        alias.alias_of = origin(node)  # type: ignore[attr-defined]
        return alias


class _TextLoader(_AsText, _FAST_LOADER):  # type: ignore[misc]
    pass


class _RepeatedTextLoader(_AsText, _Repeated):
    pass


class _Dumper(yaml.SafeDumper):
    """Text of several lines (PEM) as a literal block, what was plain as plain."""


class _IndentedListsDumper(_Dumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _represent_plain(dumper: t.Any, value: _Plain) -> yaml.ScalarNode:
    tag = dumper.resolve(yaml.ScalarNode, str(value), (True, False))
    return t.cast("yaml.ScalarNode", dumper.represent_scalar(tag, str(value)))


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(_Plain, _represent_plain)


def load(text: str) -> Tree:
    """The meaning of one document, scalars as text; Conflict where it does not parse."""
    return _loaded(yaml.load, text)


def load_all(text: str) -> list[Tree]:
    """The meaning of every document of a stream."""
    return t.cast("list[Tree]", _loaded(lambda stream, Loader: list(yaml.load_all(stream, Loader)), text))


@functools.lru_cache(maxsize=32)
def compose(text: str) -> tuple[yaml.Node, ...]:
    """The nodes of every document, with their places, not to be changed; Conflict where it does not parse."""
    try:
        return tuple(node for node in yaml.compose_all(text, Loader=_Placed) if node is not None)
    except yaml.YAMLError as error:
        raise _unreadable(error) from None


def origin(node: yaml.Node) -> yaml.Node:
    """The anchored node of an alias; any other node itself."""
    return t.cast("yaml.Node", getattr(node, "alias_of", node))


def walk(text: str) -> Iterator[tuple[Path, yaml.Node, int]]:
    """(path, node, line counted from 1) of every entry, the number of its document first in the path.

    The line is that of the entry's key. What an alias stands for is not entered.
    """
    for number, root in enumerate(compose(text)):
        yield from _walk((number,), root, root.start_mark.line + 1)


def _walk(path: Path, node: yaml.Node, line: int) -> Iterator[tuple[Path, yaml.Node, int]]:
    yield path, node, line
    if origin(node) is not node:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _walk((*path, str(key.value)), value, key.start_mark.line + 1)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk((*path, index), item, item.start_mark.line + 1)


def split_documents(text: str) -> list[str]:
    """The texts of a stream's documents, which joined are the stream; each begins with its ``---``, if it has one."""
    # A line that starts with --- is a document marker wherever it stands, in block scalars too.
    starts = [0, *(found.start() for found in re.finditer(r"^---(?=\s|$)", text, re.MULTILINE) if found.start())]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def render(value: t.Any, *, indent: int = 2, indent_lists: bool = False) -> str:
    """Block style, keys in the order given, no line folded; ``indent_lists``: below a key, lists are indented too."""
    dumped = yaml.dump(
        value,
        Dumper=_IndentedListsDumper if indent_lists else _Dumper,
        default_flow_style=False,
        sort_keys=False,
        allow_unicode=True,
        width=2**30,
        indent=indent,
    )
    return dumped.removesuffix("...\n")


def last_line(node: yaml.Node, text: str) -> int:
    """The last line that belongs to a node, counted from 0; comments and blank lines after it do not."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value and origin(node) is node:
        last = node.value[-1]
        return last_line(last[1] if isinstance(last, tuple) else last, text)
    end = node.end_mark
    if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"} and origin(node) is node:
        return last_line_of_block(text, end.index)
    return int(end.line)


def last_line_of_block(text: str, end: int) -> int:
    # The mark stands before the next token, after blank lines (and, indented, after part of its line).
    return text[:end].rstrip(" \n\r\t").count("\n")


def _loaded(read: t.Callable[..., t.Any], text: str) -> Tree:
    try:
        try:
            return read(text, Loader=_TextLoader)  # a safe loader
        except yaml.composer.ComposerError:
            return read(text, Loader=_RepeatedTextLoader)
    except yaml.YAMLError as error:
        raise _unreadable(error) from None


def _unreadable(error: yaml.YAMLError) -> Conflict:
    # Only the place: the text around it may hold secrets.
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1}" if mark else ""
    return Conflict("does not parse as YAML", where=line)
