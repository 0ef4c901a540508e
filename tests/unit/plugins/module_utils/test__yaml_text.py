# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import load, render
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_text import DELETE, edit

DOCUMENT = """\
# top
version: v1alpha1   # kept
machine:
    type: worker
    network: {}
    registries:
        mirrors:
            # above
            docker.io:
                endpoints:
                - https://a   # beside
                skipFallback: true
            "x": {endpoints: [http://x]}

    # below
    kubelet:
        disableManifestsDirectory: yes
files:
  - content: |
      ---x
      # not a comment

    path: /a
  - path: '/b'
last: >-
  folded
  text
"""


def lines(text):
    return text.splitlines()


@pytest.mark.parametrize(
    ("path", "value", "gone", "added"),
    [
        (("machine", "registries", "mirrors", "docker.io"), DELETE, range(8, 12), []),
        (
            ("machine", "registries", "mirrors", "docker.io", "skipFallback"),
            False,
            [11],
            [" " * 16 + "skipFallback: false"],
        ),
        (("machine", "type"), "controlplane", [3], ["    type: controlplane"]),
        (("machine", "new"), {"a": ["1"]}, [], ["    new:", "        a:", "            - '1'"]),
        (("machine", "network", "a", "b"), True, [4], ["    network:", "        a:", "            b: true"]),
        (("files", 1), DELETE, [23], []),
        (("files", 2), {"path": "/c"}, [], ["  -   path: /c"]),
        (("last",), DELETE, [24, 25, 26], []),
        (("absent", "too"), DELETE, [], []),
        (("version",), "v1alpha1", [], []),
    ],
)
def test_only_the_entry_changes(path, value, gone, added):
    edited = edit(DOCUMENT, path, value)
    expected = [line for number, line in enumerate(lines(DOCUMENT)) if number not in set(gone)]
    rest = list(lines(edited))
    for line in added:
        rest.remove(line)
    assert rest == expected


def test_an_entry_on_the_line_of_its_dash_is_written_anew_with_its_item():
    edited = edit(DOCUMENT, ("files", 0, "content"), "one\ntwo\n")
    assert load(edited)["files"] == [{"content": "one\ntwo\n", "path": "/a"}, {"path": "/b"}]
    assert edited.splitlines()[:17] == DOCUMENT.splitlines()[:17]
    assert edited.endswith("  - path: '/b'\nlast: >-\n  folded\n  text\n")


def test_last_line_without_newline():
    assert edit("a: 1\nb: 2", ("c",), "3") == "a: 1\nb: 2\nc: '3'\n"
    assert edit("a: 1\nb: |\n  text", ("b",), DELETE) == "a: 1\n"


def test_empty_parents_go_but_a_top_level_key_stays():
    assert (
        edit("machine:\n  a:\n    b:\n      c: 1\n  d: 2\n", ("machine", "a", "b", "c"), DELETE) == "machine:\n  d: 2\n"
    )
    assert load(edit("machine:\n  a: {b: 1}\n", ("machine", "a", "b"), DELETE)) == {"machine": {}}


def test_what_was_plain_stays_plain_where_a_parent_is_written_anew():
    edited = edit("a: {b: true, c: 0644, d: '5', e: null}\n", ("a", "f"), "yes")
    assert edited == "a:\n  b: true\n  c: 0644\n  d: '5'\n  e: null\n  f: 'yes'\n"


@pytest.mark.parametrize(
    "text",
    [
        "base: &b {x: 1}\nmachine: *b\n",
        "base: &b\n  x: 1\nmachine:\n  <<: *b\n",
    ],
)
def test_a_shared_entry_is_not_edited_in_both_places(text):
    try:
        edited = edit(text, ("machine", "x"), "2")
    except Conflict:
        return
    assert yaml.safe_load(edited) == {"base": {"x": 1}, "machine": {"x": "2"}}


def test_what_does_not_parse_is_told_without_its_text():
    with pytest.raises(Conflict, match="line 2: does not parse") as caught:
        load("a: hunter2\nb: ]hunter2\n")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["true", "null", "~", "1e3", "0x1f", "12345", "2026-11-21", "a: b", "#x", "*", "pa'ss\"w", " x "]
)
def test_text_stays_text(text):
    assert load(render({"password": text})) == {"password": text}
    assert yaml.safe_load(render({"password": text})) == {"password": text}


@pytest.mark.parametrize("path", [("version", "x"), ("machine", "network", 0), ("files", "x"), ("last", 0)])
def test_nothing_is_set_in_a_value_of_another_kind(path):
    with pytest.raises(Conflict, match=r"this is no (mapping|list)"):
        edit(DOCUMENT, path, "1")


def test_entries_that_stay_keep_their_text_and_keys_their_quotes():
    text = "auth:\n  'a.example.com': # mine\n    user: 'u' # stays\n    password: old\n    gone: 1\n"
    edited = edit(text, ("auth", "a.example.com"), {"user": "u", "password": "new", "more": "2"})
    assert edited == ("auth:\n  'a.example.com': # mine\n    user: 'u' # stays\n    password: new\n    more: '2'\n")
    assert edit("m:\n  'a': [1]\n", ("m", "a"), ["2"]) == "m:\n  'a':\n  - '2'\n"


def test_an_anchor_may_be_given_again_and_an_alias_is_no_place_to_edit():
    text = "a: &x {k: 1}\nb: &x\n  k: 2\nc: *x\nd: 1\n"
    assert load(text) == {"a": {"k": "1"}, "b": {"k": "2"}, "c": {"k": "2"}, "d": "1"}
    assert edit(text, ("d",), "3") == text.replace("d: 1", "d: '3'")
    assert edit(text, ("c", "k"), "4") == text.replace("c: *x", "c:\n  k: '4'")
    assert edit("a: &x [1]\nb: *x\n", ("c",), "1") == "a: &x [1]\nb: *x\nc: '1'\n"
    with pytest.raises(Conflict, match="anchors"):
        edit("a: &x\n  - 1\nb: *x\n", ("a", 1), "2")


def test_a_mapping_or_list_with_an_anchor_gets_its_entry_in_line():
    assert edit("a: &x\n  k: 1\n", ("a", "l"), "2") == "a: &x\n  k: 1\n  l: '2'\n"
    assert edit("a: &x\n    - k: 1\n", ("a", 1), "2") == "a: &x\n    - k: 1\n    - '2'\n"
