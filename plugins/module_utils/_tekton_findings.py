# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Report: what is edited in objects of Tekton, or is not sure, each with its place; and the lines that change."""

from __future__ import annotations

import difflib
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_plan import (
    CREDENTIALS,
    FLAG,
    HTTP_FLAG,
    REFERENCE,
)

__all__ = ["REFUSED", "Finding", "changed_lines"]

REFUSED: t.Final = "refused"
_WHAT = {
    FLAG: "left from plain HTTP, it switches verification off unseen",
    HTTP_FLAG: "needed to speak plain HTTP",
    REFERENCE: "a name that the registry is to lose",
    CREDENTIALS: "this step has no credentials for the registry, unless its ServiceAccount gives it some",
}
# A line that changes may hold one that stays.
_SECRET = re.compile(r"((?:--?p(?:assword)?|--creds|--token)(?:=|\s+))(?!\$)\S+")


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """``where``: a file, or an object and the entry in it; ``line``: of the file or of the entry's text."""

    where: str
    line: int
    kind: str
    text: str
    reason: str = ""

    @property
    def result(self) -> dict[str, t.Any]:
        names = ("kind", "where", "line", "text", "message")
        return {name: getattr(self, name) for name in names} | {"reason": self.reason or _WHAT.get(self.kind, "")}

    @property
    def message(self) -> str:
        """All of it in one line."""
        text = f"{self.text}: " if self.text else ""
        return f"{self.where}, line {self.line}: {text}{self.reason or _WHAT.get(self.kind, '')}"


def changed_lines(before: str, after: str) -> tuple[str, str]:
    """The lines that differ, with their numbers and without passwords: the rest of a file may hold secrets."""
    old, new = before.splitlines(), after.splitlines()
    shown: tuple[list[str], list[str]] = ([], [])
    for tag, *places in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            shown[0].extend(_numbered(old, *places[:2]))
            shown[1].extend(_numbered(new, *places[2:]))
    return "".join(shown[0]), "".join(shown[1])


def _numbered(lines: list[str], start: int, end: int) -> list[str]:
    shown = [_SECRET.sub(r"\1***", line) for line in lines[start:end]]
    return [f"{number}: {line}\n" for number, line in enumerate(shown, start + 1)]
