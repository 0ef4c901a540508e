# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides whether the sandbox has to be put back, and how an object is made anew."""

from __future__ import annotations

import pytest

from sandbox import faults


@pytest.mark.parametrize(
    ("wanted", "found", "holds"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1, "added": 2}, "status": {}}, True),
        ({"a": [1, 2]}, {"a": [1, 2]}, True),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, False),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "added": 2}]}, True),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": 1}, None, False),
    ],
)
def test_what_servers_add_makes_no_difference(wanted: object, found: object, holds: bool) -> None:
    assert faults._holds(wanted, found) is holds


def test_an_object_is_made_anew_without_what_the_server_wrote() -> None:
    found = {
        "kind": "ConfigMap",
        "metadata": {"name": "x", "uid": "1", "resourceVersion": "2", "managedFields": [], "labels": {"a": "b"}},
        "data": {"k": "v"},
        "status": {},
    }
    assert faults._portable(found) == {
        "kind": "ConfigMap",
        "metadata": {"name": "x", "labels": {"a": "b"}},
        "data": {"k": "v"},
    }


def test_objects_that_follow_one_another() -> None:
    assert list(faults._documents('{"id": 1}\n{"id": 2}\n')) == [{"id": 1}, {"id": 2}]
