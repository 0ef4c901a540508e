# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: a lossless Corefile. What is not edited is printed back as it was, to the byte.

Blocks follow the parser that CoreDNS uses (coredns/caddy, ``caddyfile/parse.go``, which is Caddy v1's), its oddities
included:

- a file of one server block may leave the braces out; an outer ``}`` may be missing behind an inner one;
- ``import`` of a snippet is replaced by the snippet's tokens. Imported files are not looked at.

Nothing here or in what it imports needs Ansible.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from functools import cached_property

from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_tokens import Token, lex, words
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Corefile", "Directive", "Edit", "ServerBlock", "apply_edits", "parse"]

# As many as CoreDNS itself allows before it calls the imports a cycle.
MAX_IMPORTS = 10_000


@dataclass(frozen=True, kw_only=True)
class Directive:
    """One plugin's lines in a server block, its name first. An ``import`` of files is kept as one, unopened."""

    words: tuple[Token, ...]

    @property
    def name(self) -> str:
        return self.words[0].text

    @property
    def line(self) -> int:
        return self.words[0].line

    @property
    def imported(self) -> bool:
        """Whether any of it comes out of a snippet: then it is not this block's own to edit."""
        return any(word.imported_at for word in self.words)

    @property
    def statement(self) -> tuple[int, int]:
        """Where in the text it stands in its server block, or the import statement that brings it does."""
        first, last = self.words[0], self.words[-1]
        start = first.imported_at[0] if first.imported_at else first.start
        end = last.imported_at[1] if last.imported_at else last.end
        return start, end

    @property
    def args(self) -> tuple[str, ...]:
        """The words after the name on its line, up to an opening brace."""
        return tuple(word.text for word in self._head()[1:])

    @property
    def body(self) -> tuple[tuple[str, ...], ...]:
        """The lines between the braces."""
        lines: list[list[str]] = []
        previous: Token | None = None
        rest = self.words[len(self._head()) :]
        if not rest or rest[0].text != "{" or rest[0].line != self._head()[-1].last_line:
            return ()
        for word in rest[1:]:
            if word.text == "}":
                break
            if previous is None or previous.last_line < word.line:
                lines.append([])
            lines[-1].append(word.text)
            previous = word
        return tuple(tuple(line) for line in lines)

    @property
    def source(self) -> str:
        """It on one line, without comments."""
        return " ".join(word.raw for word in self.words)

    def _head(self) -> tuple[Token, ...]:
        last_line = self.words[0].last_line
        for index, word in enumerate(self.words):
            if index and (word.line != last_line or word.text == "{"):
                return self.words[:index]
            last_line = word.last_line
        return self.words


@dataclass(frozen=True, kw_only=True)
class ServerBlock:
    """Addresses (``dns://example.org:53``) and the plugins that answer for them, in the order of the file."""

    keys: tuple[str, ...]
    line: int
    directives: tuple[Directive, ...]

    def named(self, name: str) -> tuple[Directive, ...]:
        return self._by_name.get(name, ())

    @cached_property
    def _by_name(self) -> dict[str, tuple[Directive, ...]]:
        found: dict[str, list[Directive]] = {}
        for directive in self.directives:
            found.setdefault(directive.name, []).append(directive)
        return {name: tuple(directives) for name, directives in found.items()}


class Edit(t.NamedTuple):
    """Replace ``text[start:end]`` by ``new``."""

    start: int
    end: int
    new: str


@dataclass(frozen=True, kw_only=True)
class Corefile:
    """A parsed Corefile. ``imports`` are the lines outside of server blocks that import files."""

    text: str
    blocks: tuple[ServerBlock, ...]
    imports: tuple[int, ...] = ()

    @property
    def tokens(self) -> tuple[Token, ...]:
        """Every character of the text, in tokens."""
        return lex(self.text)

    def insert(self, lines: Sequence[str], *, beside: Directive, before: bool, block: ServerBlock) -> Edit | None:
        """New lines before or after a statement of ``block``, indented and ended as that statement is.

        None where the statement's own line leaves no room for it.
        """
        start, end = beside.statement
        line_start = self._line_start(start)
        line_end = self.text.find("\n", end)
        alone = not self.text[line_start:start].strip()
        if not before and line_end == -1:
            before = True  # a new last line would need a line ending that is not there to be taken back
        if before and not alone:
            return None
        indent = self.text[line_start:start] if alone else self._indent(block)
        ending = "\r\n" if line_end > 0 and self.text[line_end - 1] == "\r" else "\n"
        at = line_start if before else line_end + 1
        return Edit(at, at, "".join(f"{indent}{line}{ending}" for line in lines))

    def remove(self, directive: Directive) -> Edit:
        """The whole lines of a statement; only the statement where it shares its line with what opens the block."""
        start, end = directive.statement
        line_start = self._line_start(start)
        line_end = self.text.find("\n", end)
        if self.text[line_start:start].strip():
            kept = len(self.text[:start].rstrip(" \t"))
            return Edit(kept, end, "")
        if line_end == -1:
            return Edit(max(line_start - 1, 0), len(self.text), "")
        return Edit(line_start, line_end + 1, "")

    def _line_start(self, at: int) -> int:
        return self.text.rfind("\n", 0, at) + 1

    def _indent(self, block: ServerBlock) -> str:
        for directive in block.directives:
            start = directive.statement[0]
            before = self.text[self._line_start(start) : start]
            if not before.strip():
                return before
        return " " * 4


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """``text`` with edits that do not overlap."""
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.new + text[edit.end :]
    return text


def parse(text: str, *, where: str = "Corefile") -> Corefile:
    """The Corefile in ``text``; BadInput with the line where CoreDNS would refuse it too."""
    parser = _Parser(words(text), where)
    blocks = tuple(parser.blocks())
    return Corefile(text=text, blocks=blocks, imports=tuple(parser.file_imports))


class _Parser:
    """Caddy's cursor over the words. ``import`` of a snippet replaces words in place, so positions move."""

    def __init__(self, words: list[Token], where: str) -> None:
        self._words = words
        self._where = where
        self._at = -1
        self._snippets: dict[str, list[Token]] = {}
        self._expansions = 0
        self.file_imports: list[int] = []

    def blocks(self) -> Iterable[ServerBlock]:
        while self._next():
            keys, more = self._keys()
            names = tuple(name for name, _line in keys)
            if more and len(names) == 1 and re.fullmatch(r"\(.*\)", names[0], re.DOTALL):
                self._define(names[0][1:-1])
                continue
            directives = self._contents() if more else []
            if keys:
                yield ServerBlock(keys=names, line=keys[0][1], directives=tuple(directives))

    # Moving

    def _next(self) -> bool:
        if self._at >= len(self._words) - 1:
            return False
        self._at += 1
        return True

    def _text(self) -> str:
        return self._words[self._at].text if 0 <= self._at < len(self._words) else ""

    def _on_new_line(self) -> bool:
        if self._at < 1:
            return True
        if self._at >= len(self._words):
            return False
        return self._words[self._at - 1].last_line < self._words[self._at].line

    def _refusal(self, problem: str) -> BadInput:
        index = min(max(self._at, 0), len(self._words) - 1)
        line = self._words[index].line if self._words else 1
        return BadInput(
            problem, where=f"{self._where}, line {line}", cure="CoreDNS would refuse this file: correct it first"
        )

    # Grammar

    def _keys(self) -> tuple[list[tuple[str, int]], bool]:
        """The addresses of a block with their lines, and whether anything follows them."""
        keys: list[tuple[str, int]] = []
        wants_another = False
        while True:
            key = self._text()
            if key == "import" and self._on_new_line():
                opaque = self._import()
                self.file_imports += [opaque.line] if opaque else []
                continue
            if key == "{":
                if wants_another:
                    raise self._refusal("another address is expected before '{': is there a comma too many?")
                return keys, True
            if key:
                wants_another = key.endswith(",")
                keys.append((key.removesuffix(","), self._words[self._at].line))
            if not self._next():
                if wants_another:
                    raise self._refusal("the file ends where another address is expected")
                return keys, False
            if not wants_another and self._on_new_line():
                return keys, True

    def _define(self, name: str) -> None:
        if name in self._snippets:
            raise self._refusal(f"the snippet '{name}' is declared twice")
        if self._text() != "{":
            raise self._refusal(f"'{{' is expected after the snippet '{name}', not '{self._text()}'")
        body: list[Token] = []
        depth = 1
        while self._next():
            depth += {"{": 1, "}": -1}.get(self._text(), 0)
            if depth == 0:
                break
            body.append(self._words[self._at])
        if depth:
            raise self._refusal(f"the snippet '{name}' is not closed by '}}'")
        for index, word in enumerate(body[:-1]):
            starts_line = index == 0 or body[index - 1].line != word.line
            if word.text == "import" and starts_line and body[index + 1].text == name:
                raise self._refusal(f"the snippet '{name}' imports itself")
        self._snippets[name] = body

    def _contents(self) -> list[Directive]:
        braces = self._text() == "{"
        if not braces:
            self._at -= 1  # a file of one server block needs no braces
        directives: list[Directive] = []
        while self._next():
            if self._text() == "}":
                break
            if self._text() == "import":
                opaque = self._import()
                directives += [opaque] if opaque else []
                self._at -= 1
                continue
            directives.append(self._directive())
        if braces and self._text() != "}":
            raise self._refusal("the file ends before the server block is closed by '}'")
        return directives

    def _directive(self) -> Directive:
        # Without the small methods: most words of a file pass here.
        words = self._words
        before = words[self._at]
        found = [before]
        depth = 0
        while self._next():
            word = words[self._at]
            if word.text == "{":
                depth += 1
            elif depth == 0 and before.last_line < word.line:
                self._at -= 1
                break
            elif word.text == "}":
                if depth == 0:
                    raise self._refusal("'}' closes nothing here: it has to stand on a line of its own")
                depth -= 1
            elif word.text == "import" and before.last_line < word.line:
                opaque = self._import()
                found += opaque.words if opaque else ()
                self._at -= 1
                before = words[self._at]
                continue
            found.append(word)
            before = word
        if depth:
            raise self._refusal(f"the file ends before the '{{' of '{found[0].text}' is closed")
        return Directive(words=tuple(found))

    def _import(self) -> Directive | None:
        """Put a snippet in the place of its import; the import of files is taken out and handed back.

        Leaves the cursor on the first word after the import statement's start.
        """
        first = self._at
        if not self._argument_follows():
            raise self._refusal("'import' needs the name of a snippet or file")
        self._at += 1
        pattern = self._text()
        if not pattern:
            raise self._refusal("'import' needs a name that is not empty")
        if self._argument_follows():
            raise self._refusal("'import' takes one name only")
        statement = self._words[first : self._at + 1]
        snippet = self._snippets.get(pattern)
        if snippet is not None:
            self._expansions += 1
            if self._expansions > MAX_IMPORTS:
                raise self._refusal(f"the snippet '{pattern}' imports itself")
            self._words[first : self._at + 1] = _brought_by(statement, snippet)
            self._at = first
            return None
        del self._words[first : self._at + 1]
        self._at = first
        return Directive(words=tuple(statement))

    def _argument_follows(self) -> bool:
        here = self._at
        return here + 1 < len(self._words) and self._words[here].last_line == self._words[here + 1].line


def _brought_by(statement: Sequence[Token], snippet: Iterable[Token]) -> list[Token]:
    first, last = statement[0], statement[-1]
    place = first.imported_at or (first.start, last.end)
    return [token._replace(imported_at=place) for token in snippet]
