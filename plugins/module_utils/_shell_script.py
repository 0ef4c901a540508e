# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: read a shell script into its words, by tree-sitter's grammar of bash."""

from __future__ import annotations

import re
import typing as t
from functools import lru_cache

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._shell_words import (
    SHELLS,
    TEKTON,
    Script,
    Span,
    Word,
    WordBuilder,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import Path

__all__ = ["parse_script"]

# What the shell puts something else in the place of.
_EXPANSIONS = frozenset(
    {
        "ansi_c_string",
        "arithmetic_expansion",
        "command_substitution",
        "expansion",
        "process_substitution",
        "simple_expansion",
        "translated_string",
    }
)


def _interpreter(text: str) -> str:
    """The program that runs a script: ``sh`` where its first line names none."""
    first = text.partition("\n")[0]
    if not first.startswith("#!"):
        return "sh"
    parts = first[2:].split()
    names = [part.rpartition("/")[2] for part in parts]
    if names[:1] == ["env"]:
        names = [name for name in names[1:] if not name.startswith("-")]
    return names[0] if names else ""


def parse_script(text: str, *, path: Path = ()) -> Script:
    """Conflict where it is not a shell's, or cannot be read as one."""
    program = _interpreter(text)
    if program not in SHELLS:
        raise Conflict(f"a script in {program or 'no language'}, not in shell", where="line 1")
    return _Reader(text, path=path).script()


@lru_cache(maxsize=1)
def _parser() -> t.Any:
    try:
        import tree_sitter  # noqa: PLC0415
        import tree_sitter_bash  # noqa: PLC0415
    except ImportError as error:
        cure = "Install tree-sitter and tree-sitter-bash where the module runs (requirements.txt)"
        raise BadInput(f"shell scripts cannot be read without {error.name}", cure=cure) from None
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


class _Reader:
    """Walks the syntax tree of one script, or of a here-document that is one: the text from ``start`` to ``end``."""

    def __init__(self, text: str, *, path: Path, start: int = 0, end: int | None = None) -> None:
        self._text, self._path, self._start = text, path, start
        self._end = len(text) if end is None else end
        self._commands: list[tuple[Word, ...]] = []
        self._assignments: dict[str, list[tuple[Word, ...]]] = {}
        self._unknown: set[str] = set()
        self._comments: list[Span] = []
        self._embedded: list[Span] = []

    def script(self) -> Script:
        masked = TEKTON.sub(lambda found: "_" * len(found[0]), self._text[self._start : self._end])
        # One byte for one character, so that the tree's places are the text's.
        root = _parser().parse(re.sub(r"[^\x00-\x7f]", "_", masked).encode()).root_node
        if root.has_error:
            line = self._text.count("\n", 0, self._start) + _first_error(root) + 1
            raise Conflict("it cannot be read as a shell script", where=f"line {line}")
        self._walk(root)
        return Script(
            text=self._text,
            path=self._path,
            commands=tuple(self._commands),
            assignments={name: tuple(values) for name, values in self._assignments.items()},
            unknown=frozenset(self._unknown),
            comments=tuple(self._comments),
            embedded=tuple(self._embedded),
        )

    def _walk(self, node: t.Any) -> None:
        match node.type:
            case "comment":
                self._comments.append(self._span(node))
            case "command":
                self._command(node)
            case "variable_assignment":
                self._assignment(node)
            case "for_statement":
                self._unknown.add(self._source(node.child_by_field_name("variable")))
            case "heredoc_body":
                self._here_document(node)
                return
        for child in node.named_children:
            self._walk(child)

    def _command(self, node: t.Any) -> None:
        skipped = {"variable_assignment", "file_redirect", "herestring_redirect", "heredoc_redirect", "comment"}
        words = tuple(self._word(child) for child in node.named_children if child.type not in skipped)
        self._commands.append(words)
        if words and words[0].text in {"read", "mapfile", "readarray", "getopts"}:
            self._unknown |= {word.text for word in words[1:]}

    def _assignment(self, node: t.Any) -> None:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if value is None or name.type != "variable_name":
            return
        elements = [value]
        if value.type == "array":
            elements = [child for child in value.named_children if child.type != "comment"]
        words = tuple(self._word(child) for child in elements)
        self._assignments.setdefault(self._source(name), []).append(words)

    def _here_document(self, node: t.Any) -> None:
        start, end = self._span(node)
        statement = node.parent
        while statement.parent is not None and statement.type != "redirected_statement":
            statement = statement.parent
        if self._is_script(statement):
            inner = _Reader(self._text, path=self._path, start=start, end=end)
            try:
                self._take(inner.script())
            except Conflict:
                self._embedded.append((start, end))
        else:
            self._embedded.append((start, end))

    def _is_script(self, statement: t.Any) -> bool:
        """Whether a shell reads the here-document of a statement, or a file gets it that is named as a script."""
        for node in _below(statement):
            if node.type == "command_name" and self._source(node).rpartition("/")[2] in SHELLS:
                return True
            if node.type == "file_redirect" and self._source(node).rstrip("\"'").endswith(".sh"):
                return True
        return False

    def _take(self, inner: Script) -> None:
        self._commands += inner.commands
        for name, values in inner.assignments.items():
            self._assignments.setdefault(name, []).extend(values)
        self._unknown |= inner.unknown
        self._comments += inner.comments
        self._embedded += inner.embedded

    def _word(self, node: t.Any) -> Word:
        builder = WordBuilder(self._text)
        self._fill(builder, node)
        return builder.word(*self._span(node), self._path)

    def _fill(self, builder: WordBuilder, node: t.Any) -> None:
        start, end = self._span(node)
        if node.type in _EXPANSIONS:
            builder.hole(start, end)
        elif node.type == "string":
            self._between(builder, node, start + 1, end - 1)
        elif node.type == "raw_string":
            builder.literal(start + 1, end - 1, escapes="")
        elif node.type in {"concatenation", "command_name"}:
            for child in node.children:
                self._fill(builder, child)
        else:
            builder.literal(start, end, escapes=None)

    def _between(self, builder: WordBuilder, node: t.Any, start: int, end: int) -> None:
        """What stands in double quotes: expansions, and the text around them."""
        at = start
        for child in node.named_children:
            if child.type in _EXPANSIONS:
                first, last = self._span(child)
                # Between two expansions the grammar counts a blank to the second.
                first += len(self._text[first:last]) - len(self._text[first:last].lstrip())
                builder.literal(at, first, escapes='"\\$`')
                builder.hole(first, last)
                at = last
        builder.literal(at, end, escapes='"\\$`')

    def _span(self, node: t.Any) -> Span:
        return self._start + node.start_byte, self._start + node.end_byte

    def _source(self, node: t.Any) -> str:
        start, end = self._span(node)
        return self._text[start:end]


def _below(node: t.Any) -> Iterator[t.Any]:
    """The nodes of a statement, without what its here-documents hold."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting += [child for child in found.named_children if child.type != "heredoc_body"]


def _first_error(root: t.Any) -> int:
    """The line, counted from 0, of the first thing that is no shell, or in which it is part of something else."""
    return min((int(node.start_point[0]) for node in _below(root) if node.is_error or node.is_missing), default=0)
