# SPDX-License-Identifier: GPL-3.0-or-later
"""A rule does to a question what the rewrite plugin of CoreDNS does to it."""

from __future__ import annotations

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import parse
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_rule import (
    Rule,
    fqdn,
    go_pattern,
    read_rule,
    walk,
)


def rule(line: str) -> Rule | str:
    (directive,) = parse(f". {{\n{line}\n}}\n").blocks[0].directives
    return read_rule(directive)


def known(line: str) -> Rule:
    found = rule(line)
    assert isinstance(found, Rule)
    return found


@pytest.mark.parametrize(
    ("line", "name", "expected"),
    [
        ("rewrite name A.example.com b.Example.com", "a.example.com.", "b.example.com."),
        ("rewrite name a.example.com b.example.com", "x.a.example.com.", None),
        ("rewrite name exact a. b.", "a.", "b."),
        # CoreDNS closes the names of prefix and substring rules with a dot as well.
        ("rewrite name prefix a b", "a.example.com.", "b.example.com."),
        ("rewrite name prefix a b", "abc.example.com.", None),
        ("rewrite name suffix .example.com .example.net", "a.example.com.", "a.example.net."),
        ("rewrite name suffix example.com example.net", "myexample.com.", "myexample.net."),
        ("rewrite name substring b.c x", "a.b.c.d.", "a.x.d."),
        ("rewrite name regex (.*)\\.a\\.$ {1}.b.{0}", "x.a.", "x.b.x.a.."),
        ("rewrite name regex ^(x)?a\\.$ {1}b", "a.", "b."),
        ("rewrite name regex ^a\\.$ b", "aa.", None),
        ("rewrite {\nname regex ^a\\.$ b\nanswer auto\n}", "a.", "b."),
        ("rewrite name a.b {\nc.d\n}", "a.b.", None),
    ],
)
def test_names(line: str, name: str, expected: str | None) -> None:
    found = rule(line)
    if expected is None and isinstance(found, str):
        return
    assert isinstance(found, Rule)
    assert (found.renamed(name) if found.catches(name) else None) == expected


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("rewrite name a.b c.d", True),
        ("rewrite name exact a.b c.d answer auto", True),
        ("rewrite name suffix a.b c.d", False),
        ("rewrite name suffix a.b c.d answer auto", True),
        ("rewrite name regex a.b c.d answer name c.d a.b", True),
        ("rewrite name regex a.b c.d answer name c.d a.b answer value c.d a.b", True),
        ("rewrite name regex a.b c.d answer value c.d a.b", False),
    ],
)
def test_answers_get_the_asked_name_back(line: str, answers: bool) -> None:
    assert known(line).answers is answers


@pytest.mark.parametrize(
    ("line", "catches", "keeps"),
    [
        ("rewrite stop type A AAAA", True, True),
        ("rewrite stop type AAAA A", False, True),
        ("rewrite continue type AAAA A", False, False),
        ("rewrite class CH IN", False, False),
        ("rewrite class IN CH", True, True),
        ("rewrite ttl a.b 30", True, True),
        ("rewrite continue ttl a.b 30", True, False),
        ("rewrite ttl suffix .c 30-60", False, False),
        ("rewrite rcode regex .* SERVFAIL NOERROR", True, True),
        ("rewrite rcode a.b NXDOMAIN NOERROR", True, True),
        ("rewrite cname exact x.y z.y", True, True),
        ("rewrite edns0 local set 0xffee abcd", True, True),
    ],
)
def test_rules_that_look_at_other_things(line: str, catches: bool, keeps: bool) -> None:
    found = known(line)
    assert found.known
    assert found.catches("a.b.") is catches
    assert found.may_keep_from("a.b.") is keeps
    assert found.renamed("a.b.") == "a.b."


@pytest.mark.parametrize(
    "line",
    [
        "rewrite name regex \\pL+ a.b",
        "rewrite name {$FROM} a.b",
        "rewrite ttl regex (?U)a 30",
        "rewrite edns0 local replace 0xffee abcd",
        "rewrite future thing",
        "import custom/*.override",
    ],
)
def test_rules_that_only_coredns_knows(line: str) -> None:
    found = known(line)
    assert not found.known
    assert not found.catches("a.b.")
    assert found.may_keep_from("a.b.")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("rewrite", "no rule"),
        ("rewrite continue", "no rule"),
        ("rewrite name a.b", "needs a name and a target"),
        ("rewrite name like a.b c.d", "no way to match"),
        ("rewrite name exact a.b c.d name", "more than one rule"),
        ("rewrite name exact a.b c.d answer", "more than one rule"),
        ("rewrite name exact a.b c.d answer never", "incomplete or unknown"),
        ("rewrite name exact a.b c.d answer name x", "incomplete or unknown"),
        ("rewrite name regex a.b c.d answer auto answer name x y", "exclude each other"),
        ("rewrite ttl a.b", "too few or too many"),
        ("rewrite ttl like a.b 30", "no way to match"),
        ("rewrite rcode exact a.b NXDOMAIN NOERROR x", "too few or too many"),
    ],
)
def test_rules_that_coredns_refuses(line: str, reason: str) -> None:
    found = rule(line)
    assert isinstance(found, str)
    assert reason in found


def test_rules_act_in_turn_until_one_stops() -> None:
    lines = ["continue name a.x b.x", "continue ttl b.x 30", "name regex ^b\\.x\\.$ c.x", "name c.x d.x"]
    rules = [known(f"rewrite {line}") for line in lines]
    outcome = walk(rules, "a.x.")
    assert (outcome.name, outcome.rule, outcome.answers) == ("c.x.", rules[2], False)
    assert walk(rules, "c.x.").name == "d.x."
    assert walk(rules, "e.x.").rule is None


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("^[[:alpha:]]+\\.$", "abc.", True),
        ("(?P<a>x)\\z", "x", True),
        ("(?<a>x)$", "x", True),
        ("(?i)X", "x", True),
    ],
)
def test_patterns_of_go(pattern: str, text: str, matches: bool) -> None:
    found = go_pattern(pattern)
    assert found is not None
    assert (found.search(text) is not None) is matches


@pytest.mark.parametrize(
    "pattern", ["\\pL", "\\Qa.b\\E", "(?U)a+", "a++", "(a)\\1", "(?=a)", "(", "[[:graph:]]", "(?<=a)b"]
)
def test_patterns_that_python_reads_otherwise(pattern: str) -> None:
    assert go_pattern(pattern) is None


@pytest.mark.parametrize(("name", "expected"), [("A.b", "a.b."), ("a.b.", "a.b."), ("", "."), (".", ".")])
def test_fully_qualified(name: str, expected: str) -> None:
    assert fqdn(name) == expected
