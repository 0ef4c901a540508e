# SPDX-License-Identifier: GPL-3.0-or-later
"""Shell scripts as words with their places; and whole scripts edited, which then differ in the intended tokens only."""

from __future__ import annotations

import subprocess
import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._image_references import registry_from
from ansible_collections.splithorizon.registry.plugins.module_utils._shell_script import parse_script
from ansible_collections.splithorizon.registry.plugins.module_utils._shell_words import plain_word
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_objects import TektonObject, read_objects
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_plan import Wanted, plan_object
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_scalars import applied
from hypothesis import given, settings
from hypothesis import strategies as st

OURS, OLD, OTHER = "harbor.example.com", "harbor-core.default.svc.cluster.local", "ghcr.io"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('a b\\ c \'d  e\' "f \\"g\\""', ["a", "b c", "d  e", 'f "g"']),
        ("a --x=\"$A $B\"'c'", ["a", "--x=$A $Bc"]),
        ("a \\\n  b \\\n# no comment", ["a", "b"]),
        ("a $(params.IMAGE)/b '$(params[\"x.y\"])'", ["a", "$(params.IMAGE)/b", '$(params["x.y"])']),
        ("a ${B:-c d} `e f` $(g h) 2>&1 > x", ["a", "${B:-c d}", "`e f`", "$(g h)"]),
        ("A=1 B=2 a é b", ["a", "é", "b"]),
    ],
)
def test_words_of_the_first_command(script: str, words: list[str]) -> None:
    assert [word.shown for word in parse_script(script).commands[0]] == words


@pytest.mark.parametrize(
    ("script", "commands"),
    [
        ('X=\'a b\'; Y=(-c $X "d e"); f $X "${Y[@]}"', [["f", "a", "b", "-c", "a", "b", "d e"]]),
        ('X="$X a"; f $X', [["f", "$X", "a"]]),
        ("if a; then b=x; else b=y; fi; f $b", [["a"], ["f", "x", "y"]]),
        ("exec f a; sh -c 'g b'", [["f", "a"], ["-c", "g", "b"]]),
        ("cat <<E | sh\nf a\nE\n", [["cat"], ["f", "a"]]),
        ("f <<'E'\ng a\nE\n", [["f"]]),
    ],
)
def test_invocations(script: str, commands: list[list[str]]) -> None:
    found = [[word.shown for word in words] for words in parse_script(script).invocations]
    assert sorted(found) == sorted(commands)


@pytest.mark.parametrize(
    ("script", "problem", "where"),
    [
        ("#!/usr/bin/env -S python3\nx", "a script in python3, not in shell", "line 1"),
        ("#!/bin/node\nx", "a script in node, not in shell", "line 1"),
        ("a\n)\nb\n", "it cannot be read as a shell script", "line 2"),
    ],
)
def test_not_read(script: str, problem: str, where: str) -> None:
    with pytest.raises(Conflict) as caught:
        parse_script(script)
    assert (caught.value.problem, caught.value.where) == (problem, where)


@pytest.mark.parametrize("first", ["#!/bin/sh", "#!/usr/bin/env bash", "#! /busybox/sh -e", "#!/bin/ash", "set -e"])
def test_read_as_shell(first: str) -> None:
    assert parse_script(f"{first}\nf a\n").commands[-1][-1].text == "a"


@given(st.text(alphabet=" ab'\"\\\n$(){}|&;<>#=`é,-", max_size=40))
@settings(max_examples=150, deadline=None)
def test_places_are_those_of_the_text(text: str) -> None:
    try:
        script = parse_script(text)
    except Conflict:
        return
    for word in script.words:
        assert len(word.text) == len(word.spans)
        assert all(word.start <= start < end <= word.end for start, end in word.spans)
        assert [end for _, end in word.spans[:-1]] <= [start for start, _ in word.spans[1:]]
        for char, (start, end) in zip(word.text, word.spans, strict=True):
            assert text[start:end] in {char, "\\" + char, word.holes.get(char)}


class Token(t.NamedTuple):
    """A word, what it reads as over HTTPS (None: it goes), and what stands before it."""

    text: str
    secure: str | None
    gap: str


HOSTS = st.sampled_from([OURS, OLD, OTHER])
GAPS = st.sampled_from([" ", "  ", " \\\n  ", "\t\\\n"])
QUOTES = st.sampled_from(["{}", '"{}"', "'{}'"])
STAYS = st.sampled_from(
    ["--progress=plain", "--opt 'a=b c'", '"$X"', "--local context=.", "$(params.X)", "--insecure=x"]
)


@st.composite
def list_tokens(draw: st.DrawFn) -> Token:
    host, option = draw(HOSTS), draw(st.sampled_from(["--output ", "--output=", "--export-cache ", "--import-cache="]))
    name = "ref" if "cache" in option else "name"
    fields = ["type=registry", f"{name}={{}}/a/$(params.B)", *draw(st.permutations(["push=true", "mode=max"]))]
    flag = draw(st.sampled_from(["registry.insecure=true", "registry.insecure=1", ""]))
    at = draw(st.integers(0, len(fields)))
    with_flag = [*fields[:at], *([flag] if flag else []), *fields[at:]]
    quotes = draw(QUOTES)
    before = option + quotes.format(",".join(with_flag).format(host))
    kept = with_flag if host == OTHER else fields
    return Token(before, option + quotes.format(",".join(kept).format(new_name(host))), draw(GAPS))


@st.composite
def kaniko_tokens(draw: st.DrawFn) -> Token:
    host, quotes = draw(HOSTS), draw(QUOTES)
    flag = draw(st.sampled_from(["--insecure-registry", "--skip-tls-verify-registry"])) + draw(
        st.sampled_from(["=", " "])
    )
    text = quotes.format(flag + host) if "=" in flag else flag + quotes.format(host)
    return Token(text, text if host == OTHER else None, draw(GAPS))


def new_name(host: str) -> str:
    return OURS if host == OLD else host


def commands(program: str, tokens: st.SearchStrategy[Token]) -> st.SearchStrategy[list[Token]]:
    stays = st.builds(lambda text, gap: Token(text, text, gap), STAYS, GAPS)
    first = st.builds(lambda gap: Token(program, program, gap), st.sampled_from(["\n", "\n# registry.insecure=true\n"]))
    return st.builds(lambda head, rest: [head, *rest], first, st.lists(tokens | stays, max_size=5))


SCRIPTS = st.lists(
    commands("buildctl build", list_tokens()) | commands("/kaniko/executor", kaniko_tokens()), min_size=1, max_size=4
).map(lambda found: [token for command in found for token in command])


def edited(script: str, *, http: bool = False) -> str:
    steps = [{"name": "build", "script": script}]
    tree = {"apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": {"name": "a"}, "spec": {"steps": steps}}
    (reading,) = read_objects([TektonObject(where="a", tree=tree)])
    name, old = (OLD, OURS) if http else (OURS, OLD)
    wanted = Wanted(registry=registry_from(name=name, replaces=[old], http=http))
    return str(applied(tree, plan_object(reading, wanted).edits)["spec"]["steps"][0]["script"])


@given(SCRIPTS)
@settings(max_examples=40, deadline=None)
def test_only_intended_tokens_differ(tokens: list[Token]) -> None:
    script = "#!/bin/sh" + "".join(token.gap + token.text for token in tokens) + "\n"
    wanted = "#!/bin/sh" + "".join(token.gap + token.secure for token in tokens if token.secure is not None) + "\n"
    after = edited(script)
    assert after == wanted
    assert edited(after) == after
    assert subprocess.run(["bash", "-n"], input=after, text=True, check=False, capture_output=True).returncode == 0
    # There and back: what was secure is so again, in the same words.
    assert edited(edited(after, http=True)) == after


def test_text_that_no_shell_reads() -> None:
    word = plain_word("--a=$(params.X)'$Y'", path=("args", 0))
    assert word.shown == "--a=$(params.X)'$Y'"
    assert word.part(4, 5).parameter == "X"
