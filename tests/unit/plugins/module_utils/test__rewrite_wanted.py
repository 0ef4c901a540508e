# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be right is refused by its option, before a Corefile is read."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import (
    check_together,
    coredns_version,
    dns_name,
    read_rewrites,
    rewrite,
)

TARGET = "a.b.svc.cluster.local"
SUFFIX = {"name": ".example.com", "target": ".b.svc.cluster.local", "match": "suffix", "example": "a.example.com"}
REGEX = {"name": "^(.*)\\.example\\.com\\.$", "target": TARGET, "match": "regex", "example": "a.example.com"}


@pytest.mark.parametrize(
    ("options", "where", "problem"),
    [
        ({"name": "*.example.com", "target": TARGET}, "name", "has a wildcard"),
        ({"name": "a.example.com.", "target": TARGET}, "name", "ends with a dot"),
        ({"name": "a.example.com", "target": TARGET + "."}, "target", "ends with a dot"),
        ({"name": "häfen.example.com", "target": TARGET}, "name", "is not ASCII"),
        ({"name": "a.example.com"}, "target", "it is required"),
        ({"name": "a.example.com", "target": "A.example.com"}, "target", "to itself"),
        ({"name": "a.example.com", "target": TARGET, "example": "b.example.com"}, "example", "for one name"),
        (SUFFIX | {"name": "*.example.com"}, "name", "has a wildcard"),
        (SUFFIX | {"name": ".example.com."}, "name", "ends with a dot"),
        (SUFFIX | {"name": "."}, "name", "is not a DNS name"),
        (SUFFIX | {"target": "b.svc.cluster.local"}, "target", "labels would run together"),
        (SUFFIX | {"target": ".example.com"}, "target", "to itself"),
        (SUFFIX | {"example": None}, "example", "none of them is known"),
        (SUFFIX | {"example": "a.example.org"}, "example", "does not catch a.example.org"),
        (SUFFIX | {"example": ".example.com"}, "example", "is not a DNS name"),
        (SUFFIX | {"match": "prefix", "name": ".example"}, "name", "is not a DNS name"),
        (SUFFIX | {"match": "prefix", "name": "a b"}, "name", "is not a DNS name"),
        (SUFFIX | {"match": "prefix", "name": "a", "target": "x."}, "target", "ends with a dot"),
        (SUFFIX | {"match": "substring", "name": ""}, "name", "is not a DNS name"),
        (REGEX | {"name": "(a"}, "name", "is no pattern"),
        (REGEX | {"name": "\\pL"}, "name", "read alike"),
        (REGEX | {"name": ""}, "name", "is no pattern"),
        (REGEX | {"name": "a b"}, "name", "a space"),
        (REGEX | {"name": "a#b"}, "name", "a space, a quotation mark, '#'"),
        (REGEX | {"name": "{$NAME}"}, "name", "environment variable"),
        (REGEX | {"name": "a" * 10_001}, "name", "longer than 10000"),
        (REGEX | {"target": "one"}, "target", "one label only"),
        (REGEX | {"target": "{1} x.svc"}, "target", "is not a DNS name"),
        (REGEX | {"target": "{2}.b.svc.cluster.local"}, "target", "would become {2}.b.svc"),
        (REGEX | {"name": "^(x*)a\\.example\\.com\\.$", "target": "{1}.c.d"}, "target", "would become .c.d."),
        (REGEX | {"name": "^(.*)\\.com\\.$", "target": "{1}.com"}, "target", "would stay as it is"),
    ],
)
def test_refused_by_its_option(options: dict[str, t.Any], where: str, problem: str) -> None:
    with pytest.raises(BadInput) as error:
        rewrite(**({"target": None} | options), at="rewrites[3].")
    assert error.value.where == f"option rewrites[3].{where}"
    assert problem in error.value.problem


def test_international_name_is_given_as_it_is_asked() -> None:
    with pytest.raises(BadInput) as error:
        dns_name("häfen.example.com", option="name")
    assert "xn--hfen-loa.example.com" in error.value.cure


A, B = {"name": "a.x.com", "target": "b.x.com"}, {"name": "b.x.com", "target": "c.x.com"}


@pytest.mark.parametrize(
    ("items", "where", "problem"),
    [
        ([A, A | {"target": "d.x.com"}], "option rewrites[1].name", "there already (option rewrites[0].name)"),
        ([A, A | {"state": "absent"}], "option rewrites[1].name", "there already"),
        ([A, B], "option rewrites[0].name", "by option rewrites[1].name, to c.x.com"),
        ([B | {"target": "a.x.com"}, A], "option rewrites[0].name", "a loop"),
        (
            [{"name": ".x.com", "target": ".a.x.com", "match": "suffix", "example": "y.x.com"}],
            "option rewrites[0].name",
            "is rewritten itself, by option rewrites[0].name",
        ),
    ],
)
def test_rewrites_that_contradict_each_other(items: list[dict[str, str]], where: str, problem: str) -> None:
    empty = {"target": None, "match": "exact", "example": None, "state": None}
    with pytest.raises(BadInput) as error:
        check_together(read_rewrites({"state": "present", "rewrites": [empty | item for item in items]}))
    assert error.value.where == where
    assert problem in error.value.problem


def test_what_goes_may_be_the_target_of_what_comes() -> None:
    check_together([rewrite(**A), rewrite(**B, present=False)])


def test_item_cannot_be_present_where_all_are_absent() -> None:
    item = {"name": "a.x.com", "target": "b.x.com", "match": "exact", "example": None, "state": "present"}
    with pytest.raises(BadInput) as error:
        read_rewrites({"state": "absent", "rewrites": [item]})
    assert error.value.where == "option rewrites[0].state"


@pytest.mark.parametrize(("value", "version"), [(None, None), ("1.8.3", (1, 8, 3)), ("v1.14", (1, 14))])
def test_version(value: str | None, version: tuple[int, ...] | None) -> None:
    assert coredns_version(value) == version


def test_no_version() -> None:
    with pytest.raises(BadInput):
        coredns_version("1.x")
