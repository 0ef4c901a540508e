# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule lands where it takes effect, or the line that contradicts it is named; taking it out gives the file back."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _errors
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan, plan_rewrite
from corpus.corefiles import KINDS, corefiles, examined
from hypothesis import given, settings
from hypothesis import strategies as st

DATA = Path(__file__).parent / "data" / "rewrite"
NAME = "harbor.example.com"
TARGET = "envoy-proxy.envoy-gateway.svc.cluster.local"
RULE = f"rewrite stop name exact {NAME} {TARGET}"


def cases(kind: str) -> list[t.Any]:
    return [pytest.param(yaml.safe_load(path.read_text()), id=path.stem) for path in sorted((DATA / kind).iterdir())]


def add(text: str, *, name: str = NAME, target: str = TARGET) -> RewritePlan:
    return plan_rewrite(text=text, name=name, target=target, where="the file")


def take_out(text: str, *, target: str | None = None) -> RewritePlan:
    return plan_rewrite(text=text, name=NAME, target=target, present=False, where="the file")


@pytest.mark.parametrize("case", cases("valid"))
def test_add_again_and_take_out(case: dict[str, t.Any]) -> None:
    before, target = case["before"], case.get("target", TARGET)
    after = case.get("after", before)
    plan = add(before, target=target)
    assert plan.after == after
    assert plan.changes == (after != before)
    assert plan.zone == case.get("zone", ".")
    assert plan.autopath is case.get("autopath", False)
    assert plan.cluster_domain == case.get("cluster_domain", "cluster.local")
    assert plan.reloads == case.get("reloads", "reload" in before)
    assert [note.partition(",")[2].partition(":")[0] for note in plan.notes] == [
        f" line {line}" for line in case.get("notes", [])
    ]
    if "rules" in case:
        assert list(plan.rules) == case["rules"]

    again = add(after, target=target)
    assert again.after == after
    assert again.rules == plan.rules

    left = take_out(after).after
    if "absent" in case:
        assert left == case["absent"]
    elif "after" in case and case.get("absent_gives_before", True):
        assert left == before
    else:
        assert add(left, target=target).changes
    assert take_out(left).after == left


@pytest.mark.parametrize("case", cases("invalid"))
def test_contradiction_is_named_with_its_line(case: dict[str, t.Any]) -> None:
    with pytest.raises(getattr(_errors, case.get("error", "Conflict"))) as error:
        add(case["text"])
    line = case["line"]
    assert error.value.where == ("the file" if line is None else f"the file, line {line}")
    assert case["problem"] in error.value.problem
    assert error.value.cure


@pytest.mark.parametrize(
    ("name", "target", "where"),
    [
        ("192.168.1.105", TARGET, "option name"),
        ("harbor", TARGET, "option name"),
        ("https://harbor.example.com", TARGET, "option name"),
        ("harbor.example.com:443", TARGET, "option name"),
        ("*.example.com", TARGET, "option name"),
        ("harbor.example.com.", TARGET, "option name"),
        ("häfen.example.com", TARGET, "option name"),
        (NAME, TARGET + ".", "option target"),
        ("harbor_1.example.com", TARGET, "option name"),
        ("a" * 64 + ".example.com", TARGET, "option name"),
        (".".join(["a" * 60] * 5), TARGET, "option name"),
        ("", TARGET, "option name"),
        (NAME, "10.96.0.1", "option target"),
        (NAME, "a b.example.com", "option target"),
        (NAME, "envoy\nlog", "option target"),
        (NAME, NAME.upper(), "option target"),
        (NAME, None, "option target"),
    ],
)
def test_names_that_are_none(name: str, target: str | None, where: str) -> None:
    with pytest.raises(BadInput) as error:
        plan_rewrite(text=".:53 {\n  kubernetes cluster.local\n}\n", name=name, target=target)
    assert error.value.where == where


def test_options_are_normalised() -> None:
    text = ".:53 {\n  kubernetes cluster.local\n}\n"
    assert RULE in add(text, name="Harbor.Example.Com", target=TARGET.upper()).after


def test_another_port_can_be_asked() -> None:
    text = ".:5353 {\n  kubernetes cluster.local\n}\n"
    assert plan_rewrite(text=text, name=NAME, target=TARGET, port=5353).changes
    with pytest.raises(Conflict):
        add(text)


def test_crlf_file_keeps_its_line_endings() -> None:
    text = ".:53 {\r\n  kubernetes cluster.local\r\n}\r\n"
    after = add(text).after
    assert after == text.replace("local\r\n", f"local\r\n  {RULE}\r\n")
    assert take_out(after).after == text


def test_file_without_final_line_ending() -> None:
    text = ".\nkubernetes cluster.local"
    after = add(text).after
    assert after == f".\n{RULE}\nkubernetes cluster.local"
    assert take_out(after).after == text


def test_take_out_with_a_target_leaves_rules_to_others() -> None:
    text = f".:53 {{\n  rewrite name {NAME} a.b.svc.cluster.local\n}}\n"
    assert not take_out(text, target=TARGET).changes
    plan = take_out(text, target="a.b.svc.cluster.local")
    assert plan.after == ".:53 {\n}\n"
    assert plan.removed == (f"rewrite name {NAME} a.b.svc.cluster.local",)
    assert plan.each[0].removed == ("a.b.svc.cluster.local",)


def test_take_out_needs_no_server_block_that_would_do() -> None:
    text = f"{{$ZONE}} {{\n  forward . 1.1.1.1\n  {RULE} # comment\n}}\n"
    plan = take_out(text)
    assert plan.after == "{$ZONE} {\n  forward . 1.1.1.1\n}\n"
    assert plan.zone == ""


def test_take_out_leaves_servers_that_pods_do_not_ask() -> None:
    text = f"tls://.:853 {{\n  {RULE}\n}}\n.:5353 {{\n  {RULE}\n}}\n"
    assert not take_out(text).changes


def test_take_out_leaves_rules_of_more_names() -> None:
    rules = ["suffix .example.com .a.svc.cluster.local", "a.example.com b.example.com"]
    text = ".:53 {\n" + "".join(f"  rewrite name {rule}\n" for rule in rules) + "}\n"
    assert not take_out(text).changes


def test_take_out_refuses_to_edit_a_snippet() -> None:
    text = f"(s) {{\n  {RULE}\n}}\n.:53 {{\n  import s\n}}\n"
    with pytest.raises(Conflict) as error:
        take_out(text)
    assert error.value.where == "the file, line 2"


def test_take_out_refuses_a_file_that_does_not_parse() -> None:
    with pytest.raises(BadInput):
        take_out(".:53 {\n  errors\n")


PLUGINS = st.sampled_from(
    [
        "errors",
        "reload",
        "log . {\n class error\n}",
        "cache 30 # why",
        "# alone",
        "",
        "autopath @kubernetes",
        "rewrite name git.example.com web.apps.svc.cluster.local",
        "rewrite continue ttl example.com 30",
        "rewrite stop type AAAA A",
        "rewrite name suffix .example.org .example.net answer auto",
        "rewrite name regex ^(a|b)\\.example\\.com\\.$ {1}.example.net",
        "rewrite stop {\n name exact a.example.com b.example.com\n}",
        "import custom/*.override",
    ]
)


@st.composite
def files(draw: st.DrawFn) -> str:
    indent, ending = draw(st.sampled_from(["", "  ", "\t"])), draw(st.sampled_from(["\n", "\r\n"]))
    keys = draw(st.sampled_from([".:53", "dns://.:53", ". example.org:53", "example.com", "com.:53,\n example.net"]))
    last = draw(st.sampled_from(["", "\n", "\n\n# end\n"]))
    plugins = [*draw(st.lists(PLUGINS)), "kubernetes cluster.local {\n pods verified\n}", *draw(st.lists(PLUGINS))]
    body = "".join(f"{indent}{plugin}\n" for plugin in plugins)
    return f"# a Corefile\n{keys} {{\n{body}}}{last}".replace("\n", ending)


@settings(deadline=None)  # other work on the machine is no fault of the planner
@given(files())
def test_add_and_take_out_gives_the_file_back(text: str) -> None:
    plan = add(text)
    assert plan.changes
    assert not add(plan.after).changes
    assert take_out(plan.after).after == text


@pytest.mark.captures
def test_corpus_is_edited_and_given_back_or_refused_with_a_reason(captures: Path) -> None:
    found = [examined(name, text) for name, text in corefiles(captures / "corpus" / "corefile")]
    assert {each.not_parsed + each.not_edited for each in found} <= {"", *KINDS.values()}
    assert sum(bool(each.edited) for each in found) > len(found) // 4


def test_two_thousand_lines_take_no_time() -> None:
    lines = "".join(f"    rewrite name n{index}.example.com s{index}.apps.svc.cluster.local\n" for index in range(2000))
    text = f".:53 {{\n    kubernetes cluster.local\n{lines}}}\n"
    start = time.process_time()
    plan = add(text)
    # Some 0.03 s on a quiet core (docs/measurements.md); what grows with the square of the lines takes many seconds.
    assert time.process_time() - start < 0.5
    assert plan.changes
