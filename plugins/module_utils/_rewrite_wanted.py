# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what is asked of a Corefile: which names, by which way to match, lead to which target. Checked before any file.

CoreDNS closes the names of every kind of rule with a dot, except a pattern of ``regex``: a prefix is whole labels from
the start of a name, a substring ends with a label. A suffix without a leading dot also matches inside a label.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from functools import cached_property

from ansible_collections.splithorizon.registry.plugins.module_utils import _names
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import Directive
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_tokens import words
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_rule import (
    MATCHES,
    Rule,
    fqdn,
    go_pattern,
    read_rule,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "DEFAULT_DOMAIN",
    "REWRITES_SPEC",
    "REWRITE_SPEC",
    "Asked",
    "Rewrite",
    "check_together",
    "coredns_version",
    "dns_name",
    "expanded_name",
    "read_rewrites",
    "rewrite",
    "rule_of",
]

DEFAULT_DOMAIN = "cluster.local"
# The options of one rewrite beside its name, and of the items of a list of them.
REWRITE_SPEC: dict[str, t.Any] = {
    "target": {"type": "str"},
    "match": {"type": "str", "choices": list(MATCHES), "default": "exact"},
    "example": {"type": "str"},
}
REWRITES_SPEC: dict[str, t.Any] = {
    "type": "list",
    "elements": "dict",
    "options": {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"]},
        **REWRITE_SPEC,
    },
}
_MAX_PATTERN = 10_000  # CoreDNS compiles no longer one


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """Names that are to lead to a target, or, not ``present``, are not to be rewritten.

    ``example`` is one of these names (the name itself where ``match`` is exact): it decides which server block is
    edited, and is what is asked in the end. ``target`` and ``example`` may be empty where it is not ``present``.
    ``option`` is where it was asked for.
    """

    name: str
    target: str
    match: str = "exact"
    example: str = ""
    present: bool = True
    option: str = "option name"

    @property
    def line(self) -> str:
        """The statement, on one line. Only exact rules give clients back the name they asked for by themselves."""
        answer = "" if self.match == "exact" else " answer auto"
        return f"rewrite stop name {self.match} {self.name} {self.target}{answer}"

    @cached_property
    def rule(self) -> Rule:
        """What the line does. Of one that has no target, only what it catches means anything."""
        return rule_of(self.line if self.target else f"rewrite stop name {self.match} {self.name} none")

    @property
    def asked(self) -> str:
        """The name to ask for, fully qualified; empty where none is known."""
        return fqdn(self.example) if self.example else ""

    @property
    def answered(self) -> str:
        """The name whose address it is to have, fully qualified."""
        return self.rule.renamed(self.asked) if self.asked and self.target else ""

    def asks_for(self, rule: Rule) -> bool:
        """Whether ``rule`` is about the same names."""
        return (rule.kind, rule.match, rule.source) == (self.rule.kind, self.rule.match, self.rule.source)


class Asked(t.TypedDict):
    """What planners are asked, beside the text.

    ``exact``: no other rewrites of names; ``version`` is CoreDNS's, None where it is not known; ``port`` is the one
    that pods ask.
    """

    wanted: Sequence[Rewrite]
    exact: t.NotRequired[bool]
    version: t.NotRequired[tuple[int, ...] | None]
    port: int


def rule_of(line: str) -> Rule:
    """What a statement of ours does."""
    rule = read_rule(Directive(words=tuple(words(line))))
    if isinstance(rule, str):
        raise BadInput(f"CoreDNS would refuse '{line}': {rule}")
    return rule


def expanded_name(name: str, domain: str, namespace: str = "default") -> str:
    """What a pod asks for first when it looks for ``name``: the name in its namespace's search domain."""
    return f"{name}.{namespace}.svc.{domain}."


def dns_name(value: str, *, option: str) -> str:
    """``value`` in lower case; BadInput where it is no DNS name of at least two labels."""
    where = f"option {option}"
    if not value.isascii():
        raise BadInput(f"{value!r} is not ASCII", where=where, cure=_ascii_cure(value))
    if "*" in value:
        raise BadInput(
            f"{value!r} has a wildcard, which rewrites do not know",
            where=where,
            cure="Give the part that all names end with, such as .example.com, with match suffix",
        )
    name = _names.dns_name(value.lower(), where=where)
    if "." not in name:
        raise BadInput(f"{value!r} has one label only", where=where, cure="Give a full name such as harbor.example.com")
    return name


def _ascii_cure(value: str) -> str:
    try:
        return f"Write it as it is asked for: {value.encode('idna').decode()}"
    except UnicodeError:
        return "Write international names as they are asked for (xn--...)"


def rewrite(
    *,
    name: str,
    target: str | None,
    match: str = "exact",
    example: str | None = None,
    present: bool = True,
    at: str = "",
) -> Rewrite:
    """What one set of options asks for. ``at`` is the place of the options, such as ``rewrites[0].``."""
    if present and not target:
        raise BadInput("it is required to add a rewrite", where=f"option {at}target")
    found = Rewrite(
        name=_checked(name, match, f"{at}name"),
        target=_checked_target(target, name, match, f"{at}target") if target else "",
        match=match,
        example=_example(name, match, example, f"{at}example"),
        present=present,
        option=f"option {at}name",
    )
    if found.target and found.name == found.target:
        raise BadInput("a name cannot be rewritten to itself", where=f"option {at}target")
    if present:
        _check_example(found, at)
    return found


def _checked(name: str, match: str, option: str) -> str:
    if match == "regex":
        return _pattern(name, f"option {option}")
    if match == "exact":
        return dns_name(name, option=option)
    return _part(name, match, option)


def _part(value: str, match: str, option: str) -> str:
    """A part of a name: labels, in front of which a suffix may have a dot."""
    labels = value[1:] if match == "suffix" and value.startswith(".") else value
    # A label more, so that one label is enough here.
    dns_name(f"{labels}.example" if labels and not labels.endswith(".") else labels, option=option)
    return value.lower()


def _pattern(pattern: str, where: str) -> str:
    if any(char.isspace() or char in '"#' for char in pattern) or "{$" in pattern or "{%" in pattern:
        raise BadInput("the pattern has a space, a quotation mark, '#' or an environment variable", where=where)
    if len(pattern) > _MAX_PATTERN:
        raise BadInput(f"the pattern is longer than {_MAX_PATTERN} characters", where=where)
    if not pattern or pattern in ("{", "}") or go_pattern(pattern) is None:
        raise BadInput(
            f"{pattern!r} is no pattern, or not one that Go and Python read alike",
            where=where,
            cure=r"Write a plain one, such as ^(.*)\.example\.com\.$",
        )
    return pattern


def _checked_target(target: str, name: str, match: str, option: str) -> str:
    if match in ("exact", "regex"):
        # Groups of the pattern stand for labels or parts of them.
        plain = target if match == "exact" else re.sub(r"\{\d\}", "group", target)
        dns_name(plain, option=option)
        return target.lower()
    if match == "suffix" and target.startswith(".") != name.startswith("."):
        raise BadInput(
            f"{target!r} is to replace {name!r}, but only one of them starts with a dot, so labels would run together",
            where=f"option {option}",
            cure="Start both with a dot, or none",
        )
    return _part(target, match, option)


def _example(name: str, match: str, example: str | None, option: str) -> str:
    if match == "exact":
        if example and example.lower() != name.lower():
            raise BadInput("match exact is for one name: no other can be an example of it", where=f"option {option}")
        return name.lower()
    return dns_name(example, option=option) if example else ""


def _check_example(wanted: Rewrite, at: str) -> None:
    where = f"option {at}example"
    if not wanted.example:
        raise BadInput(
            f"match {wanted.match} is for many names, and none of them is known",
            where=where,
            cure="Give one: by it the server block is chosen, and CoreDNS asked after the change",
        )
    if not wanted.rule.catches(wanted.asked):
        raise BadInput(f"the rule does not catch {wanted.example}: {wanted.line}", where=where)
    try:
        dns_name(wanted.answered.removesuffix("."), option=f"{at}target")
    except BadInput as error:
        problem = f"{wanted.example} would become {wanted.answered}: {error.problem}"
        raise BadInput(problem, where=error.where) from error
    if wanted.answered == wanted.asked:
        raise BadInput(f"{wanted.example} would stay as it is", where=f"option {at}target")


def read_rewrites(options: Mapping[str, t.Any]) -> list[Rewrite]:
    """What the options of M(coredns_rewrite) ask for: one rewrite, or the list ``rewrites``."""
    wanted_there = options["state"] != "absent"
    if options["rewrites"] is None:
        return [_read_rewrite(options, present=wanted_there, at="")]
    found = []
    for index, item in enumerate(options["rewrites"]):
        at = f"rewrites[{index}]."
        present = item["state"] == "present" or (item["state"] is None and wanted_there)
        if present and not wanted_there:
            raise BadInput("an item is present where the state of all is absent", where=f"option {at}state")
        found.append(_read_rewrite(item, present=present, at=at))
    return found


def _read_rewrite(options: Mapping[str, t.Any], *, present: bool, at: str) -> Rewrite:
    return rewrite(
        name=options["name"],
        target=options["target"],
        match=options["match"] or "exact",
        example=options["example"],
        present=present,
        at=at,
    )


def coredns_version(value: str | None) -> tuple[int, ...] | None:
    """The option O(coredns_version) as numbers."""
    if value is None:
        return None
    if not re.fullmatch(r"v?\d+(\.\d+){1,2}", value):
        raise BadInput(f"{value!r} is no version", where="option coredns_version", cure="Write it as 1.8.3")
    return tuple(map(int, value.removeprefix("v").split(".")))


def check_together(wanted: Iterable[Rewrite]) -> None:
    """BadInput where two contradict each other: the same names twice, or a target that is rewritten itself."""
    seen: dict[tuple[str, str], Rewrite] = {}
    for each in wanted:
        first = seen.setdefault((each.match, each.rule.source), each)
        if first is not each:
            raise BadInput(f"{each.name} is there already ({first.option})", where=each.option)
    for each in seen.values():
        for other in seen.values():
            if not (each.present and other.present and other.rule.catches(each.answered)):
                continue
            end = other.rule.renamed(each.answered)
            if end == each.answered:
                continue
            loop = "which leads back: a loop" if end == each.asked else f"to {end.removesuffix('.')}"
            raise BadInput(
                f"the target {each.answered.removesuffix('.')} is rewritten itself, by {other.option}, {loop}",
                where=each.option,
                cure="Give the name in whose address it is to end",
            )
