# SPDX-License-Identifier: GPL-3.0-or-later
"""The parser reads what CoreDNS reads, and prints what it read, to the byte."""

from __future__ import annotations

import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import (
    Corefile,
    Directive,
    apply_edits,
    parse,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_tokens import lex, uses_env
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from hypothesis import given
from hypothesis import strategies as st

DATA = Path(__file__).parent / "data" / "corefile"
PIECES = [
    '"',
    "\\",
    "#",
    "{",
    "}",
    "\n",
    "\r\n",
    "\r",
    "\t",
    " ",
    " ",
    "\x85",
    "\x1c",
    "\ufeff",
    "import",
    "(s)",
    "a",
    ".",
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join))


def cases(kind: str) -> list[t.Any]:
    return [pytest.param(yaml.safe_load(path.read_text()), id=path.stem) for path in sorted((DATA / kind).iterdir())]


def described(directive: Directive) -> dict[str, t.Any]:
    return {
        "name": directive.name,
        "line": directive.line,
        "args": list(directive.args),
        "body": [list(line) for line in directive.body],
        "imported": directive.imported,
    }


def printed(corefile: Corefile) -> str:
    return "".join(token.raw for token in corefile.tokens)


@pytest.mark.parametrize("case", cases("valid"))
def test_reads_as_coredns_does(case: dict[str, t.Any]) -> None:
    corefile = parse(case["text"])
    empty = {"args": [], "body": [], "imported": False}
    assert [
        {"keys": list(block.keys), "line": block.line, "directives": [described(each) for each in block.directives]}
        for block in corefile.blocks
    ] == [{**block, "directives": [{**empty, **each} for each in block["directives"]]} for block in case["blocks"]]
    assert list(corefile.imports) == case.get("imports", [])
    assert printed(corefile) == case["text"]


@pytest.mark.parametrize("case", cases("invalid"))
def test_refuses_with_the_line(case: dict[str, t.Any]) -> None:
    with pytest.raises(BadInput) as error:
        parse(case["text"], where="the file")
    assert error.value.where == f"the file, line {case['line']}"
    assert case["problem"] in error.value.problem


@given(TEXTS)
def test_every_character_belongs_to_a_token(text: str) -> None:
    tokens = lex(text)
    assert "".join(token.raw for token in tokens) == text
    assert [token.start for token in tokens] == [len("".join(t.raw for t in tokens[:i])) for i in range(len(tokens))]
    assert all(token.line == text.count("\n", 0, token.start) + 1 for token in tokens)


@given(TEXTS)
def test_parses_or_refuses_any_text(text: str) -> None:
    try:
        corefile = parse(text)
    except BadInput as error:
        assert ", line " in error.where
    else:
        assert printed(corefile) == text


LINES = st.sampled_from(["errors", "log . {\n class error\n}", "cache 30 # why", "# alone", '"a b" {\n}', ""])
FILES = st.builds(
    lambda lines, indent, ending, last: (
        ".:53 {\n" + "".join(f"{indent}{line}\n" for line in lines) + "}" + last
    ).replace("\n", ending),
    st.lists(LINES, min_size=1),
    st.sampled_from(["", "  ", "\t", " \t "]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\n", " # end"]),
)


@given(FILES, st.booleans(), st.data())
def test_inserted_line_looks_like_its_neighbour_and_can_be_removed(
    text: str, before: bool, data: st.DataObject
) -> None:
    corefile = parse(text)
    (block,) = corefile.blocks
    if not block.directives:
        return
    neighbour = data.draw(st.sampled_from(block.directives))
    edit = corefile.insert(["new line"], beside=neighbour, before=before, block=block)
    assert edit is not None
    after = parse(apply_edits(text, [edit]))
    (new,) = after.blocks[0].named("new")
    line = after.text.splitlines(keepends=True)[new.line - 1]
    beside = text.splitlines(keepends=True)[neighbour.line - 1]
    assert line.partition("new")[0] == beside[: len(beside) - len(beside.lstrip())]
    assert line.endswith("\r\n") == ("\r\n" in text)
    names = [each.name for each in after.blocks[0].directives]
    index = block.directives.index(neighbour)
    assert names.index("new") == index + (not before)
    assert apply_edits(after.text, [after.remove(new)]) == text


def test_statement_on_the_line_of_the_brace() -> None:
    text = ". { errors\n  log\n}\n"
    corefile = parse(text)
    (block,) = corefile.blocks
    assert corefile.insert(["new"], beside=block.directives[0], before=True, block=block) is None
    edit = corefile.insert(["new"], beside=block.directives[0], before=False, block=block)
    assert edit is not None
    assert apply_edits(text, [edit]) == ". { errors\n  new\n  log\n}\n"
    assert apply_edits(text, [corefile.remove(block.directives[0])]) == ". {\n  log\n}\n"


def test_last_line_without_line_ending() -> None:
    text = ".\nerrors\nlog"
    corefile = parse(text)
    (block,) = corefile.blocks
    edit = corefile.insert(["new"], beside=block.directives[1], before=False, block=block)
    assert edit is not None
    assert apply_edits(text, [edit]) == ".\nerrors\nnew\nlog"
    assert apply_edits(text, [corefile.remove(block.directives[1])]) == ".\nerrors"


def test_line_beside_an_imported_statement() -> None:
    text = "(s) {\n  errors\n}\n. {\n\timport s\n}\n"
    corefile = parse(text)
    (block,) = corefile.blocks
    edit = corefile.insert(["new"], beside=block.directives[0], before=False, block=block)
    assert edit is not None
    assert apply_edits(text, [edit]) == "(s) {\n  errors\n}\n. {\n\timport s\n\tnew\n}\n"


@pytest.mark.parametrize(("word", "expected"), [("{$A}", True), ("x{%A%}", True), ("{1}", False), ("${A}", False)])
def test_environment_variables(word: str, expected: bool) -> None:
    assert uses_env(word) is expected


def test_needs_no_ansible() -> None:
    program = (
        "import sys; sys.modules['ansible'] = None\n"
        "from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import plan_rewrite\n"
        "text = '.:53 {\\n  kubernetes cluster.local\\n}\\n'\n"
        "print(plan_rewrite(text=text, name='a.example.com', target='b.c.svc.cluster.local').changes)"
    )
    collections = Path(__file__).parents[4] / ".cache" / "collections"
    command = [sys.executable, "-S", "-c", program]
    done = subprocess.run(command, env={"PYTHONPATH": str(collections)}, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
