# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of charts wherever real files keep them: entries added, changed and taken away, every other byte as it was."""

from __future__ import annotations

import difflib
import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._chart_values import (
    DELETE,
    Edit,
    Home,
    applied,
    homes,
    with_edits,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import Path as Keys
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import load, split_documents

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDERS = ("harbor", "helm-values", "spegel")
NEW = Edit(path=("probe", "list", 0), value={"name": "A", "value": "1"})
GONE = Edit(path=("probe", "list", 0), value=DELETE)


def changed_lines(before: str, after: str) -> list[str]:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    return [line for line in lines if not line.startswith("@@")]


def real(captures: Path) -> Iterator[tuple[str, str, Home]]:
    for folder in FOLDERS:
        for path in sorted((captures / "corpus" / folder).iterdir()):
            text = path.read_text(encoding="utf-8")
            try:
                found = homes(text)
            except Conflict:
                continue  # a template that is no YAML
            yield from ((path.name, text, home) for home in found if home.values)


def texts(values: t.Any, path: Keys = ()) -> Iterator[Keys]:
    """The paths of all texts of one line."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        yield from texts(value, (*path, key))
    if isinstance(values, str) and values and "\n" not in values:
        yield path


@pytest.mark.captures
def test_an_entry_is_added_and_taken_away_again(captures: Path) -> None:
    done = 0
    for name, text, home in real(captures):
        there = with_edits(text, home, [NEW])
        assert [line[:1] for line in changed_lines(text, there)] == ["+"] * 4, name
        again = next(one for one in homes(there) if (one.number, one.path) == (home.number, home.path))
        assert again.values["probe"] == {"list": [{"name": "A", "value": "1"}]}
        back = with_edits(there, again, [GONE])
        assert back == text or (not text.endswith("\n") and back == text + "\n"), name
        done += 1
    assert done > 60


@pytest.mark.captures
def test_a_text_is_changed_on_its_own_line(captures: Path) -> None:
    """The last text of every file; what an anchor makes common, and what is written over lines, is refused."""
    done = 0
    for name, text, home in real(captures):
        *_, path = texts(home.values)
        try:
            there = with_edits(text, home, [Edit(path=path, value="changed: 'so'")])
        except Conflict as error:
            assert any(word in str(error) for word in ("anchor", "alias", "literal block", "written anew")), name
            continue
        assert len(changed_lines(text, there)) == 2, name
        done += 1
    assert done > 60


@pytest.mark.parametrize(
    ("values", "edits", "expected"),
    [
        ({}, [NEW], {"probe": {"list": [{"name": "A", "value": "1"}]}}),
        ({"a": 1, "probe": {"list": [1]}}, [GONE], {"a": 1}),
        ({"probe": {"list": [1, 2], "b": 3}}, [GONE], {"probe": {"list": [2], "b": 3}}),
        ({"a": 1}, [GONE], {"a": 1}),
        ({"probe": None}, [NEW, GONE], {}),
    ],
)
def test_the_same_edits_on_data(values: t.Any, edits: list[Edit], expected: t.Any) -> None:
    before = load("x: 1")
    assert (applied(values, edits), before) == (expected, {"x": "1"})


def test_a_stream_is_its_parts() -> None:
    text = "# head\n---\na: |\n  ---\n--- # second\nb: 1\n---"
    assert "".join(split_documents(text)) == text
    assert [part.splitlines()[0] for part in split_documents(text)] == ["# head", "---", "--- # second", "---"]
