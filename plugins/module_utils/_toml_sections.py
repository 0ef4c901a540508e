# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: a TOML text as its tables, each with the lines that are about it: taken apart and put together it is the same.

tomlkit edits inside a table and keeps what is around a value, but it counts a comment to the table before it, so that
a table cannot be taken out, nor a key put in, without a say in whose comment it is.
"""

from __future__ import annotations

import re
import tomllib
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Section", "Tree", "join", "read", "split", "without"]

Tree = dict[str, t.Any]

_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_TWICE = re.compile(r"^(?:Cannot declare|Cannot overwrite|Cannot mutate|Cannot redefine)|^Duplicate")


@dataclass(frozen=True, kw_only=True)
class Section:
    """One table's header and keys (``body``), with the comments around it.

    ``path`` is empty for what stands before the first header. ``lead`` are the comments right above the header,
    ``trailer`` those right below the last key, ``tail`` blank lines and comments that stand apart.
    """

    path: tuple[str, ...]
    lead: str = ""
    body: str = ""
    trailer: str = ""
    tail: str = ""

    @property
    def text(self) -> str:
        return self.lead + self.body + self.trailer + self.tail


def read(text: str, *, where: str) -> Tree:
    """The data; Conflict that names the line where it is no TOML, or says something twice."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = str(error)
        found = _PLACE.search(problem)
        line = f", line {found[1]}" if found and found[1] else ""
        problem = problem[: found.start()] if found else problem
        twice = "A table and a key may be given once only: make one of the two. "
        cure = f"{twice if _TWICE.match(problem) else ''}buildkitd does not start with this text"
        raise Conflict(f"is no TOML: {problem}", where=f"{where}{line}", cure=cure) from None


def split(text: str) -> list[Section]:
    """The sections of a text that ``read`` takes; the first is the one without a header."""
    lines = re.findall(r"[^\n]*\n|[^\n]+\Z", text)
    starts = _headers(lines)
    chunks = [lines[start:end] for start, end in zip([0, *starts], [*starts, len(lines)], strict=True)]
    sections: list[Section] = []
    lead = ""
    for number, chunk in enumerate(chunks):
        following = chunks[number + 1][0] if number + 1 < len(chunks) else None
        section, lead_of_next = _section(chunk, following, has_header=number > 0)
        sections.append(replace(section, lead=lead))
        lead = lead_of_next
    return sections


def join(sections: Sequence[Section]) -> str:
    return "".join(section.text for section in sections)


def without(sections: Sequence[Section], drop: Callable[[Section], bool]) -> list[Section]:
    """Take tables out, with the comments that touch them. Comments that stand apart, and the head of the file, stay."""
    kept: list[Section] = []
    for section in sections:
        if not drop(section):
            kept.append(section)
            continue
        before = kept[-1] if kept else Section(path=())
        above = join(kept)
        head = "" if above.strip() else section.lead
        blank = not above or above.endswith("\n\n")
        rest = _without_blank_lines(section.tail) if blank else section.tail
        kept[-1:] = [replace(before, tail=before.tail + head + rest)]
    if len(kept) < len(sections) and drop(sections[-1]):
        last = kept[-1]
        kept[-1] = replace(last, tail=re.sub(r"(?:^|(?<=\n))[ \t\n]*\Z", "", last.tail))
    return kept


def _headers(lines: Sequence[str]) -> list[int]:
    """Where tables begin. A line in a text or list of several lines may look like a header: what is above says it."""
    found: list[int] = []
    for number, line in enumerate(lines):
        if line.lstrip().startswith("[") and _is_toml("".join(lines[found[-1] if found else 0 : number])):
            found.append(number)
    return found


def _section(chunk: Sequence[str], following: str | None, *, has_header: bool) -> tuple[Section, str]:
    """(the section without its lead, the lead of the section that follows)."""
    end = len(chunk)
    while end > has_header and (not chunk[end - 1].strip() or chunk[end - 1].lstrip().startswith("#")):
        end -= 1
    if not _is_toml("".join(chunk[:end])):  # the last line ends a text that looks like a comment
        end = len(chunk)
    rest = list(chunk[end:])
    at = len(rest)
    while following is not None and at and rest[at - 1].strip() and _indent(rest[at - 1]) == _indent(following):
        at -= 1
    lead, rest = "".join(rest[at:]), rest[:at]
    apart = next((number for number, line in enumerate(rest) if not line.strip()), len(rest))
    body, trailer, tail = "".join(chunk[:end]), "".join(rest[:apart]), "".join(rest[apart:])
    path = _path(chunk[0]) if has_header else ()
    return Section(path=path, body=body, trailer=trailer, tail=tail), lead


def _path(header: str) -> tuple[str, ...]:
    path: list[str] = []
    data: t.Any = tomllib.loads(header)
    while data:
        (key, data), *_none = data.items()
        path.append(key)
        data = data[0] if isinstance(data, list) else data
    return tuple(path)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _without_blank_lines(text: str) -> str:
    return re.sub(r"\A(?:[ \t]*\n)+", "", text)


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True
