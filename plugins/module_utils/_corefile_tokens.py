# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the words of a Corefile, and what stands between them. Every character belongs to a token.

They follow the lexer that CoreDNS uses (coredns/caddy, ``caddyfile/lexer.go``, which is Caddy v1's), its oddities
included:

- ``#`` after the first letter of a word hides the rest of that word only, not the rest of the line;
- a carriage return never ends a word; ``{`` and ``}`` count only when they stand alone;
- ``"`` opens a quotation only at the start of a word, and only ``\\"`` is an escape inside.
"""

from __future__ import annotations

import re
import typing as t
from enum import Enum

if t.TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Kind", "Token", "lex", "uses_env", "words"]

# Go's unicode.IsSpace without the carriage return; Python's str.isspace knows more characters.
_SPACE = "\t\n\v\f \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# Always matches: at the end of the file with no group, so that trailing space is looked at once only.
_NEXT = re.compile(
    rf"((?:\A\ufeff)?[{_SPACE}\r]*+)"
    r"(?:(?P<comment>#(?:[^\r\n]|\r(?!\r*(?:\n|\Z)))*)"
    r'|(?P<quoted>"(?:[^"\\]|\\.)*(?:"|\\?\Z))'
    rf"|(?P<word>[^{_SPACE}\r]+(?:\r+[^{_SPACE}\r]+)*)"
    r"|\Z)",
    re.DOTALL,
)
_ENV = re.compile(r"\{\$[^}]+\}|\{%.+?%\}", re.DOTALL)


class Kind(Enum):
    """What a token is. Only words and quotations mean anything to CoreDNS."""

    SPACE = "space"
    COMMENT = "comment"
    WORD = "word"
    QUOTED = "quoted"


class Token(t.NamedTuple):
    """A piece of the file: ``raw`` as it is written, ``text`` as CoreDNS reads it. Lines count from 1.

    ``last_line`` is the line it ends in by CoreDNS's count. ``imported_at`` is the place of the import statement that
    brought it here out of a snippet. A tuple, because there are as many as words in a file.
    """

    kind: Kind
    raw: str
    text: str
    start: int
    line: int
    last_line: int
    imported_at: tuple[int, int] | None = None

    @property
    def end(self) -> int:
        return self.start + len(self.raw)


def lex(text: str) -> tuple[Token, ...]:
    """All tokens of ``text``; their ``raw`` joined is ``text`` again."""
    tokens: list[Token] = []
    at, line = 0, 1
    for token in _marks(text):
        if at < token.start:
            tokens.append(_space(text[at : token.start], at, line))
        tokens.append(token)
        at, line = token.end, token.line + token.raw.count("\n")
    if at < len(text):
        tokens.append(_space(text[at:], at, line))
    return tuple(tokens)


def words(text: str) -> list[Token]:
    """The tokens that mean something to CoreDNS."""
    comment = Kind.COMMENT
    return [token for token in _marks(text) if token.kind is not comment]


def _space(raw: str, start: int, line: int) -> Token:
    return Token(Kind.SPACE, raw, "", start, line, line)


def _marks(text: str) -> Iterator[Token]:
    """Every token but space."""
    line, word_kind = 1, Kind.WORD
    for match in _NEXT.finditer(text):
        space, comment, quoted, raw = match.groups()
        if "\n" in space:
            line += space.count("\n")
        start = match.end(1)
        if raw:
            if "#" not in raw and "\r" not in raw:
                yield Token(word_kind, raw, raw, start, line, line)
                continue
            word, hash_mark, hidden = raw.partition("#")
            yield Token(word_kind, word, word.replace("\r", ""), start, line, line)
            if hash_mark:
                yield Token(Kind.COMMENT, hash_mark + hidden, "", start + len(word), line, line)
        elif comment:
            yield Token(Kind.COMMENT, comment, "", start, line, line)
        elif quoted:
            meaning, closed = _unquote(quoted)
            # A quotation that the end of the file cuts off is a token only if there is something in it.
            if closed or meaning:
                yield Token(Kind.QUOTED, quoted, meaning, start, line, line + meaning.count("\n"))
            line += quoted.count("\n")


def _unquote(raw: str) -> tuple[str, bool]:
    meaning: list[str] = []
    escaped = False
    for char in raw[1:]:
        if escaped:
            meaning.append(char if char == '"' else "\\" + char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"':
            return "".join(meaning), True
        else:
            meaning.append(char)
    return "".join(meaning), False


def uses_env(text: str) -> bool:
    """Whether CoreDNS would put an environment variable into this word: ``{$NAME}`` or ``{%NAME%}``."""
    return "{" in text and _ENV.search(text) is not None
