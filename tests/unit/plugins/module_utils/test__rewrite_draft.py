# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of every kind, several in one call, beside what others have put into the file."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _errors
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan, plan_rewrites
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import read_rewrites

DATA = Path(__file__).parent / "data" / "rewrites"
ITEM = {"target": None, "match": None, "example": None, "state": None}
Json = dict[str, t.Any]


def cases(kind: str) -> list[t.Any]:
    return [pytest.param(yaml.safe_load(path.read_text()), id=path.stem) for path in sorted((DATA / kind).iterdir())]


def plan(case: Json, text: str, *, state: str | None = None) -> RewritePlan:
    state = state or ("exact" if case.get("exact") else "present")
    items = [ITEM | item | ({"state": state} if state == "absent" else {}) for item in case["rewrites"]]
    wanted = read_rewrites({"state": state, "rewrites": items})
    version = tuple(case["version"]) if "version" in case else None
    return plan_rewrites(text=text, wanted=wanted, exact=state == "exact", version=version, where="the file")


@pytest.mark.parametrize("case", cases("valid"))
def test_add_again_and_take_out(case: Json) -> None:
    before = case["before"]
    after = case.get("after", before)
    done = plan(case, before)
    assert done.after == after
    assert done.zone == case.get("zone", "." if case["rewrites"] else "")
    assert not set(done.removed) & set(done.rules)
    assert not plan(case, after).changes

    left = plan(case, after, state="absent").after
    if "after" in case and case.get("absent_gives_before", True):
        assert left == before
    else:
        assert plan(case, left).changes == bool(case["rewrites"])
    assert not plan(case, left, state="absent").changes


@pytest.mark.parametrize("case", cases("invalid"))
def test_contradiction_is_named_with_its_line(case: Json) -> None:
    with pytest.raises(getattr(_errors, case.get("error", "Conflict"))) as error:
        plan(case, case["text"])
    line = case["line"]
    assert error.value.where == ("the file" if line is None else f"the file, line {line}")
    assert case["problem"] in error.value.problem
    assert error.value.cure


def test_an_old_coredns_takes_exact_rules() -> None:
    text = ".:53 {\n    kubernetes cluster.local\n}\n"
    item = {"name": "a.example.com", "target": "b.c.svc.cluster.local"}
    assert plan({"rewrites": [item], "version": [1, 6, 0]}, text).changes


def test_zones_that_a_general_rule_may_miss_are_noted() -> None:
    text = ".:53 {\n  kubernetes cluster.local\n}\nexample.org {\n  errors\n}\n10.in-addr.arpa {\n  errors\n}\n"
    item = {"name": "^(.*)\\.example\\.(com|org)\\.$", "target": "a.b.svc.cluster.local", "match": "regex"}
    (note,) = plan({"rewrites": [item | {"example": "www.example.com"}]}, text).notes
    assert note.startswith("the file, line 4: this server block answers names in example.org. that the regex rule")


def test_taking_out_leaves_patterns_of_longer_names() -> None:
    line = "rewrite name regex ^a\\.example\\.com\\.au\\.$ b.c.svc.cluster.local answer auto"
    text = f".:53 {{\n    kubernetes cluster.local\n    {line}\n}}\n"
    assert not plan({"rewrites": [{"name": "a.example.com"}]}, text, state="absent").changes


def test_what_goes_and_what_is_asked_in_the_end() -> None:
    rules = ["suffix .a.com .b.svc.cluster.local answer auto", "x.com y.z.svc.cluster.local", "k.com l.com"]
    text = ".:53 {\n    kubernetes cluster.local\n" + "".join(f"    rewrite name {rule}\n" for rule in rules) + "}\n"
    items = [{"name": ".a.com", "match": "suffix"}, {"name": "x.com"}, {"name": "not.there.com"}]
    done = plan({"rewrites": items}, text, state="absent")
    assert done.removed == tuple(f"rewrite name {rule}" for rule in rules[:2])
    assert [each.question for each in done.each] == [None, ("x.com", "y.z.svc.cluster.local"), None]
    with_example = plan({"rewrites": [items[0] | {"example": "w.a.com"}]}, text, state="absent")
    assert with_example.each[0].question == ("w.a.com", "")


def test_no_rule_for_the_example_of_another() -> None:
    text = ".:53 {\n    kubernetes cluster.local\n}\n"
    general = {"name": ".a.com", "target": ".b.svc.cluster.local", "match": "suffix", "example": "www.a.com"}
    with pytest.raises(Conflict) as error:
        plan({"rewrites": [general, {"name": "www.a.com", "target": "c.d.svc.cluster.local"}]}, text)
    assert "www.a.com. takes no effect" in error.value.problem
