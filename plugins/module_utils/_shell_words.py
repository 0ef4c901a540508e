# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the words of a shell script, each with its place in the text, so that one or a part of it can be changed.

What Tekton puts in before the shell starts (``$(params.IMAGE)``) is one character of a word, and so is every expansion
of the shell itself.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import Path

__all__ = [
    "SHELLS",
    "TEKTON",
    "Script",
    "Span",
    "Word",
    "WordBuilder",
    "basename",
    "parameter_name",
    "plain_word",
    "resolved_variables",
    "variable_name",
]

SHELLS = frozenset({"sh", "bash", "ash", "dash", "ksh", "zsh"})
# What runs the command that follows it.
_WRAPPERS = frozenset({"command", "env", "eval", "exec", "nohup", "retry", "sudo", "time", "timeout", *SHELLS})

TEKTON = re.compile(
    r"\$\((?:params|tt|workspaces|results|context|tasks|steps?|inputs|outputs|finally)"
    r"(?:\.[\w-]+|\[[^\]\n]*\])(?:\.[\w-]+|\[[^\]\n]*\])*\)"
)
_PARAMETER = re.compile(
    r"\$\((?:inputs\.|tt\.)?params(?:\.(?P<name>[\w-]+)|\[(?P<quote>[\"'])(?P<quoted>[^\"']+)(?P=quote)\])(?:\[\*\])?\)"
)
_VARIABLE = re.compile(r"\$(?:(?P<bare>\w+)|\{(?P<braced>\w+)(?:\[[@*]\])?(?::?-)?\})")
_FIRST_HOLE, _LAST_HOLE = 0xE000, 0xF8FF  # characters for private use: no text has a meaning for them
_MAX_DEPTH = 6

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Word:
    """``text`` without quotes and escapes; each expansion is one character of it, a key of ``holes``.

    ``spans``: where each character stands in the scalar at ``path``; ``start``, ``end``: the whole word, with quotes.
    ``item``: it is an item of a list (``args``), not a word of a script.
    """

    text: str
    spans: tuple[Span, ...]
    holes: Mapping[str, str] = field(default_factory=dict)
    start: int
    end: int
    path: Path = ()
    item: bool = False

    def part(self, start: int, end: int) -> Word:
        """Some of its characters, at least one, as a word of their own."""
        spans = self.spans[start:end]
        return replace(self, text=self.text[start:end], spans=spans, start=spans[0][0], end=spans[-1][1], item=False)

    def split(self) -> list[Word]:
        """The words that the shell makes of it where it is expanded without quotes."""
        parts = [self.part(*found.span()) for found in re.finditer(r"\S+", self.text)]
        return [self] if len(parts) == 1 and len(parts[0].text) == len(self.text) else parts

    @property
    def parameter(self) -> str | None:
        """The name of the Tekton parameter that it is nothing but."""
        return parameter_name(self.holes.get(self.text, ""))

    @property
    def variable(self) -> str | None:
        """The name of the shell variable that it is nothing but."""
        return variable_name(self.holes.get(self.text, ""))

    @property
    def shown(self) -> str:
        return "".join(self.holes.get(char, char) for char in self.text)


def parameter_name(expansion: str) -> str | None:
    """``IMAGE`` of ``$(params.IMAGE)``; None for another expansion."""
    found = _PARAMETER.fullmatch(expansion)
    return (found["name"] or found["quoted"]) if found else None


def variable_name(expansion: str) -> str | None:
    """``DEST`` of ``$DEST``, ``${DEST}``, ``${DEST[@]}`` or ``${DEST:-}``; None for another expansion."""
    found = _VARIABLE.fullmatch(expansion)
    return (found["bare"] or found["braced"]) if found else None


def basename(word: Word) -> str:
    """``executor`` of ``/kaniko/executor``."""
    return word.text.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Script:
    """``assignments``: variable → each of its values, one word or the elements of an array.

    ``unknown``: variables that also get values no text tells. ``comments``: their places. ``embedded``: places of
    here-documents that are no scripts.
    """

    text: str
    path: Path = ()
    commands: tuple[tuple[Word, ...], ...] = ()
    assignments: Mapping[str, tuple[tuple[Word, ...], ...]] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    comments: tuple[Span, ...] = ()
    embedded: tuple[Span, ...] = ()

    @property
    def words(self) -> Iterator[Word]:
        """Every word: of commands, and of values that are assigned."""
        for command in self.commands:
            yield from command
        for values in self.assignments.values():
            for words in values:
                yield from words

    @property
    def invocations(self) -> Iterator[tuple[Word, ...]]:
        """Each command with its variables' values in their place, without what only runs it (``exec``, ``sh -c``)."""
        for command in self.commands:
            words = self.expanded(command)
            if words and basename(words[0]) in _WRAPPERS:
                words = tuple(part for word in words[1:] for part in word.split())
                words = self.expanded(words)
            if words:
                yield words

    def expanded(self, words: Iterable[Word], seen: frozenset[str] = frozenset()) -> tuple[Word, ...]:
        """With every word that is nothing but a variable replaced by all words that it ever gets here."""
        result: list[Word] = []
        for word in words:
            name = word.variable
            if name is None or name in seen or name not in self.assignments or len(seen) > _MAX_DEPTH:
                result.append(word)
                continue
            for value in self.assignments[name]:
                parts = [part for each in value for part in each.split()] if len(value) == 1 else value
                result += self.expanded(parts, seen | {name})
        return tuple(result)


def plain_word(text: str, *, path: Path = (), item: bool = False) -> Word:
    """A text that no shell reads: only Tekton's own variables are expanded in it."""
    word = WordBuilder(text).literal(0, len(text), escapes="").word(0, len(text), path)
    return replace(word, item=item)


class WordBuilder:
    """Collects the characters of one word."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._chars: list[str] = []
        self._spans: list[Span] = []
        self._holes: dict[str, str] = {}

    def hole(self, start: int, end: int) -> None:
        char = chr(min(_FIRST_HOLE + len(self._holes), _LAST_HOLE))
        self._holes[char] = self._text[start:end]
        self._chars.append(char)
        self._spans.append((start, end))

    def literal(self, start: int, end: int, *, escapes: str | None) -> WordBuilder:
        """``escapes``: which characters a backslash makes literal, None for all of them, empty for none."""
        at = start
        while at < end:
            found = TEKTON.match(self._text, at, end)
            if found:
                self.hole(at, found.end())
                at = found.end()
            elif self._text[at] == "\\" and at + 1 < end and escapes != "":
                at = self._escaped(at, escapes)
            else:
                self._add(at, at + 1)
                at += 1
        return self

    def _escaped(self, at: int, escapes: str | None) -> int:
        following = self._text[at + 1]
        if following == "\n":
            return at + 2
        if escapes is None or following in escapes:
            self._chars.append(following)
            self._spans.append((at, at + 2))
            return at + 2
        self._add(at, at + 1)
        return at + 1

    def _add(self, start: int, end: int) -> None:
        self._chars.append(self._text[start:end])
        self._spans.append((start, end))

    def word(self, start: int, end: int, path: Path) -> Word:
        text = "".join(self._chars)
        return Word(text=text, spans=tuple(self._spans), holes=self._holes, start=start, end=end, path=path)


def resolved_variables(script: Script | None, name: str) -> Sequence[Word] | None:
    """What a variable may be here; None where the text does not tell."""
    if script is None or name in script.unknown:
        return None
    values = script.assignments.get(name)
    return [words[0] for words in values if words] if values else None
