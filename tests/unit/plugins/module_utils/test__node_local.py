# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in a cache before CoreDNS: a server block that passes them on, taken out again, or the reason why not."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _errors
from ansible_collections.splithorizon.registry.plugins.module_utils._node_local import plan_corefile
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import rewrite

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan

DATA = Path(__file__).parent / "data" / "node_local"
EXACT = [{"name": "a.example.com", "target": "b.c.svc.cluster.local"}]
Case = dict[str, t.Any]


def cases(kind: str) -> list[t.Any]:
    return [pytest.param(yaml.safe_load(path.read_text()), id=path.stem) for path in sorted((DATA / kind).iterdir())]


def plan(case: Case, text: str, *, present: bool = True) -> RewritePlan:
    wanted = [rewrite(**one, present=present) for one in case.get("wanted", EXACT)]
    return plan_corefile(text=text, where="cache", wanted=wanted, port=53)


@pytest.mark.parametrize("case", cases("valid"))
def test_passed_on_and_taken_out(case: Case) -> None:
    done = plan(case, case["before"])
    assert done.after == case["after"]
    assert (len(done.notes), done.reloads, done.removed) == (case.get("notes", 0), True, ())
    assert all("forward" in rule for rule in done.rules)
    assert set(done.added) <= set(done.rules)
    assert bool(done.added) is done.changes
    assert [one.question for one in done.each] == [None] * len(done.each)
    assert not plan(case, case["after"]).changes
    assert plan(case, case["after"], present=False).after == case["before"]


@pytest.mark.parametrize("case", cases("invalid"))
def test_what_cannot_be_passed_on(case: Case) -> None:
    with pytest.raises(getattr(_errors, case.get("error", "Conflict"))) as found:
        plan(case, case["text"])
    assert case["problem"] in str(found.value)
    assert found.value.where.endswith(f"line {case['line']}" if "line" in case else "")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_endings_of_the_file(newline: str) -> None:
    before = next(case.values[0] for case in cases("valid") if case.id == "exact")["before"].replace("\n", newline)
    after = plan({}, before).after
    assert after.count("\n") - after.count(newline) == 0
    assert plan({}, after, present=False).after == before


def test_a_block_that_was_edited_since_is_left() -> None:
    case = next(case.values[0] for case in cases("valid") if case.id == "exact")
    edited = case["after"].replace("cache 30", "cache 60", 1)
    assert not plan(case, edited, present=False).changes


def test_zone_of_two_rewrites() -> None:
    case = next(case.values[0] for case in cases("valid") if case.id == "suffix_is_a_zone")
    apex = {"name": "apps.example.com", "target": "b.c.svc.cluster.local"}
    both = [rewrite(**one) for one in [*case["wanted"], apex]]

    def planned(text: str, *, suffix: bool, exact: bool) -> str:
        wanted = [replace(one, present=there) for one, there in zip(both, (suffix, exact), strict=True)]
        return plan_corefile(text=text, where="cache", wanted=wanted, port=53).after

    assert planned(case["before"], suffix=True, exact=True) == case["after"]
    assert planned(case["after"], suffix=False, exact=True) == case["after"]
    assert planned(case["after"], suffix=False, exact=False) == case["before"]


def test_coredns_itself_is_planned_as_ever() -> None:
    text = "cluster.local:53 {\n  forward . 10.96.0.9\n}\n.:53 {\n  kubernetes cluster.local\n}\n"
    rule = "  rewrite stop name exact a.example.com b.c.svc.cluster.local\n"
    assert plan({}, text).after == text.replace("  kubernetes cluster.local\n", f"  kubernetes cluster.local\n{rule}")
