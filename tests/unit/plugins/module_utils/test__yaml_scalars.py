# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of scalars in every style, items of lists in both: the text around them stays."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import load
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_scalars import (
    Drop,
    Edit,
    Insert,
    Put,
    Splice,
    applied,
    edited_text,
)
from hypothesis import given, settings
from hypothesis import strategies as st

WORDS = st.lists(
    st.text(alphabet="ab'\"\\é#:,{}-$", min_size=1, max_size=6).map(lambda text: f"w{text}"), min_size=1, max_size=30
)


@given(WORDS, st.sampled_from(["", "'", '"', "|", ">"]), st.sampled_from([" ", "\n"]), st.data())
@settings(max_examples=120, deadline=None)
def test_part_of_a_scalar_in_any_style(words: list[str], style: str, gap: str, data: st.DataObject) -> None:
    value = gap.join(words)
    head, tail = "# head\nother: 1  # stays\n", "last: [a,   b]\n"
    text = head + yaml.dump({"key": value}, default_style=None, width=40, allow_unicode=True)
    if style:
        # Only the value in that style, the key plain.
        dumped = yaml.dump(value, default_style=style, width=40, allow_unicode=True, indent=4)
        indented = dumped.replace("\n", "\n  ").rstrip(" ")
        text = head + "key: " + indented
    text += tail
    assert load(text)["key"] == value
    start = data.draw(st.integers(0, len(value) - 1))
    end = data.draw(st.integers(start + 1, len(value)))
    edit = Splice(path=("key",), start=start, end=end, new="X")
    try:
        after = edited_text(text, [edit])
    except Conflict:
        # At blanks a folded text has no place of its own for each.
        assert any(char.isspace() for char in value[max(0, start - 1) : end + 1])
        return
    assert (after.startswith(head), after.endswith(tail)) == (True, True)
    assert load(after)["key"] == value[:start] + "X" + value[end:]


LIST = """spec:
  args:   # of the step
    - a
    # about b
    - "b"   # trailing
    - c
  flow: [a, 'b',   # about b
    c]
  only:
    - a
  plain: x
"""


@pytest.mark.parametrize(
    ("edits", "old", "new"),
    [
        ([Drop(path=("spec", "args", 1))], '    - "b"   # trailing\n', ""),
        (
            [Insert(path=("spec", "args", 0), values=("x", "y"))],
            "    - a\n    # about",
            "    - a\n    - x\n    - y\n    # about",
        ),
        ([Drop(path=("spec", "flow", 0))], "[a, 'b'", "['b'"),
        ([Drop(path=("spec", "flow", 1))], ", 'b',", ","),
        ([Drop(path=("spec", "flow", 2))], "    c]", "    ]"),
        (
            [Drop(path=("spec", "flow", index)) for index in range(3)],
            "[a, 'b',   # about b\n    c]",
            "[   # about b\n    ]",
        ),
        ([Insert(path=("spec", "flow", 1), values=("x",))], "'b',", "'b', 'x',"),
        ([Drop(path=("spec", "only", 0))], "  only:\n    - a\n", "  only: []\n"),
        ([Put(path=("spec", "env", 0), value={"name": "a"})], "  plain: x\n", "  plain: x\n  env:\n    - name: a\n"),
        (
            [
                Splice(path=("spec", "plain"), start=0, end=1, new=""),
                Splice(path=("spec", "plain"), start=1, end=1, new="y"),
            ],
            "plain: x",
            "plain: y",
        ),
    ],
)
def test_lists(edits: list[Edit], old: str, new: str) -> None:
    assert LIST.count(old) == 1
    after = edited_text(LIST, edits)
    assert after == LIST.replace(old, new)
    assert load(after) == applied(load(LIST), edits)


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("a: &x old\nb: *x\n", Splice(path=("a",), start=0, end=3, new="new")),
        ("a: &x old\nb: *x\n", Splice(path=("b",), start=0, end=3, new="new")),
        ("a: [old]\n", Splice(path=("a", 0), start=0, end=3, new="x, y")),
        ("a: old\n", Splice(path=("a",), start=0, end=3, new="x: y")),
    ],
)
def test_what_the_text_does_not_allow(text: str, edit: Edit) -> None:
    with pytest.raises(Conflict):
        edited_text(text, [edit])


def test_takes_out_what_overlaps_once() -> None:
    edits = [Splice(path=("a",), start=0, end=4, new=""), Splice(path=("a",), start=3, end=6, new="")]
    assert edited_text("a: one two\n", edits) == "a: o\n"
    with pytest.raises(Conflict):
        edited_text("a: one two\n", [edits[0], Splice(path=("a",), start=3, end=6, new="x")])
