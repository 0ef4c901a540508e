# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what one ``rewrite`` line of a Corefile does to a question, as CoreDNS 1.14 does it (plugin/rewrite)."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_tokens import uses_env

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import Directive

__all__ = ["MATCHES", "Outcome", "Rule", "fqdn", "go_pattern", "read_rule", "walk"]

MATCHES = ("exact", "prefix", "suffix", "substring", "regex")
_CATCHES: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda name, source: name == source,
    "prefix": lambda name, source: name.startswith(source),
    "suffix": lambda name, source: name.endswith(source),
    "substring": lambda name, source: source in name,
    "any": lambda name, source: True,
    "none": lambda name, source: False,
}
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "digit": "0-9",
    "lower": "a-z",
    "upper": "A-Z",
    "word": r"\w",
    "xdigit": "0-9A-Fa-f",
}


def fqdn(name: str) -> str:
    """As CoreDNS normalises names: lower case, with the closing dot."""
    return name.lower() if name.endswith(".") else name.lower() + "."


class Rule(t.NamedTuple):
    """One rule. ``known`` is False where only CoreDNS itself could say what it does.

    ``answers`` says whether the answer gets the asked name back, without which clients throw it away. A tuple, because
    a Corefile may hold thousands.
    """

    directive: Directive
    known: bool = True
    stop: bool = True
    kind: str = ""
    match: str = "exact"
    source: str = ""
    target: str = ""
    pattern: re.Pattern[str] | None = None
    answers: bool = True

    def catches(self, name: str) -> bool:
        """Whether a question for the address of ``name`` (fully qualified, lower case) is caught by it."""
        if not self.known:
            return False
        if self.pattern is not None:
            return self.pattern.search(name) is not None
        return _CATCHES[self.match](name, self.source)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is about: two rules with one key do the same."""
        return self.kind, self.match, self.source, self.target

    def renamed(self, name: str) -> str:
        """The name it makes of a ``name`` it catches."""
        if self.kind != "name":
            return name
        match self.match:
            case "exact":
                return self.target
            case "prefix":
                return self.target + name.removeprefix(self.source)
            case "suffix":
                return name.removesuffix(self.source) + self.target
            case "substring":
                return name.replace(self.source, self.target)
            case _:
                return self._substituted(name)

    def may_keep_from(self, name: str) -> bool:
        """Whether rules behind it might never see ``name``, for a question of any type, or see another name."""
        return not self.known or (self.stop and (self.kind == "type" or self.catches(name)))

    def _substituted(self, name: str) -> str:
        found = self.pattern.search(name) if self.pattern else None
        if found is None:
            return name
        target = self.target
        for index in range((found.re.groups or 0) + 1):
            target = target.replace(f"{{{index}}}", found.group(index) or "")
        return target


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What becomes of a name: the name that is asked for in the end, and the rule that decided it, if one did."""

    name: str
    rule: Rule | None
    answers: bool = True


def walk(rules: Iterable[Rule], name: str) -> Outcome:
    """Ask for ``name`` as CoreDNS would, rule after rule until one stops. Unknown rules are passed over."""
    decided: Rule | None = None
    answers = True
    for rule in rules:
        if not rule.catches(name):
            continue
        if rule.kind == "name":
            name, decided, answers = rule.renamed(name), rule, answers and rule.answers
        if rule.stop:
            return Outcome(name=name, rule=decided or rule, answers=answers)
    return Outcome(name=name, rule=decided, answers=answers)


def read_rule(directive: Directive) -> Rule | str:
    """The rule of a ``rewrite`` directive, or why CoreDNS would refuse it.

    An ``import`` of files comes out as a rule of which nothing is known.
    """
    if directive.name != "rewrite":
        return Rule(directive, known=False)
    args = _arguments(directive)
    stop = True
    if args and args[0].lower() in ("stop", "continue"):
        stop, args = args[0].lower() == "stop", args[1:]
    if not args:
        return "it has no rule"
    if "{" in "".join(args) and any(map(uses_env, args)):
        return Rule(directive, known=False)
    kind, rest = args[0].lower(), args[1:]
    rule = Rule(directive, stop=stop, kind=kind)
    if kind == "name":
        return _read_name(rule, rest)
    if kind in ("ttl", "rcode"):
        return _read_matching(rule, rest, values=1 if kind == "ttl" else 2)
    return _read_other(rule, rest)


def _arguments(directive: Directive) -> list[str]:
    """The words CoreDNS puts together for one rule: a block's lines count only behind fewer than two arguments."""
    args = list(directive.args)
    return args if len(args) > 1 else args + [word for line in directive.body for word in line]


def _read_name(rule: Rule, args: Sequence[str]) -> Rule | str:
    if len(args) < 2:  # noqa: PLR2004
        return "a name rule needs a name and a target"
    match, source, target, *answer = ("exact", *args) if len(args) == 2 else args  # noqa: PLR2004
    match = match.lower()
    if match not in MATCHES:
        return f"'{match}' is no way to match a name"
    answers = _read_answer(answer)
    if isinstance(answers, str):
        return answers
    if match == "regex":
        pattern = go_pattern(source)
        return rule._replace(
            known=pattern is not None,
            match=match,
            source=source,
            target=fqdn(target),
            pattern=pattern,
            answers=answers,
        )
    # CoreDNS closes the names of every kind with a dot, which makes a prefix match whole names only.
    answers = answers or match == "exact"
    return Rule(rule.directive, True, rule.stop, rule.kind, match, fqdn(source), fqdn(target), None, answers)


def _read_answer(args: Sequence[str]) -> bool | str:
    """Whether the asked name comes back in the answer: by ``answer auto`` or ``answer name FROM TO``."""
    if not args:
        return False
    if len(args) < 2 or args[0] != "answer":  # noqa: PLR2004
        return "it holds more than one rule: each name needs a rewrite of its own"
    left = list(args)
    found = set()
    while left:
        if left[0] == "answer":
            left.pop(0)
        what = left.pop(0) if left else ""
        if what not in ("auto", "name", "value") or (what != "auto" and len(left) < 2):  # noqa: PLR2004
            return f"'answer {what}' is incomplete or unknown"
        del left[: 0 if what == "auto" else 2]
        found.add(what)
    if {"auto", "name"} <= found:
        return "'answer auto' and 'answer name' exclude each other"
    return bool({"auto", "name"} & found)


def _read_matching(rule: Rule, args: Sequence[str], *, values: int) -> Rule | str:
    """``[exact|prefix|…] NAME VALUE…``, as ttl and rcode rules have it."""
    if len(args) not in (values + 1, values + 2):
        return f"a {rule.kind} rule has too few or too many arguments"
    match, source = ("exact", args[0]) if len(args) == values + 1 else (args[0].lower(), args[1])
    if match not in MATCHES:
        return f"'{match}' is no way to match a name"
    if match == "regex":
        pattern = go_pattern(source)
        return rule._replace(known=pattern is not None, match=match, source=source, pattern=pattern)
    return rule._replace(match=match, source=fqdn(source))


def _read_other(rule: Rule, args: Sequence[str]) -> Rule:
    """Rules that look at something else than the name."""
    first = args[0].upper() if args else ""
    if rule.kind == "cname" or (rule.kind, first) in (("type", "A"), ("class", "IN")):
        return rule._replace(match="any")
    if rule.kind in ("type", "class"):
        return rule._replace(match="none")
    if rule.kind == "edns0" and {"set", "append"} & set(args):
        return rule._replace(match="any")
    return rule._replace(known=False)


def go_pattern(pattern: str) -> re.Pattern[str] | None:
    """A regular expression of Go (RE2) as one of Python; None where the two do not agree for sure."""
    translated = pattern.replace(r"\z", r"\Z").replace("(?<", "(?P<")
    translated = re.sub(r"\[:(\w+):\]", lambda found: _POSIX.get(found[1], found[0]), translated)
    if re.search(r"\\[pPQEC1-9]|\(\?[^:imsP)]|\[:|\(\?P[=>]|[*+?}]\+", translated):
        return None
    try:
        return re.compile(translated)
    except re.error:
        return None
