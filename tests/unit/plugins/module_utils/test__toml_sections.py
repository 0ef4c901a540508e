# SPDX-License-Identifier: GPL-3.0-or-later
"""Taken apart and put together, a text is the same; every table has its own lines."""

from __future__ import annotations

from ansible_collections.splithorizon.registry.plugins.module_utils._toml_sections import Section, join, read, split
from hypothesis import given
from hypothesis import strategies as st

LINES = [
    "# comment",
    "  # indented",
    "",
    "a = 1",
    '[t."x.y"]  # head',
    "  [t.sub]",
    "[[list]]",
    'text = """\n[no.table]\n# no comment """',
    'items = [\n[1], # one\n  ["[a]"],\n]',
]


@given(st.lists(st.sampled_from(LINES), unique=True), st.booleans())
def test_nothing_is_lost(lines: list[str], newline: bool) -> None:
    text = "\n".join(lines) + ("\n" if newline else "")
    sections = split(text)
    assert join(sections) == text
    headers = [line for line in lines if line.strip().startswith("[")]
    assert len(sections) == len(headers) + 1
    for section in sections[1:]:
        assert section.path[0] in read(section.body, where="")


def test_whose_comment_it_is() -> None:
    text = "# head\n\na = 1\n# of b\n[b]\n  x = 1\n  # y = 2\n\n# apart\n\n  # of c\n  [b.c]\n"
    assert split(text) == [
        Section(path=(), body="# head\n\na = 1\n"),
        Section(path=("b",), lead="# of b\n", body="[b]\n  x = 1\n", trailer="  # y = 2\n", tail="\n# apart\n\n"),
        Section(path=("b", "c"), lead="  # of c\n", body="  [b.c]\n"),
    ]
