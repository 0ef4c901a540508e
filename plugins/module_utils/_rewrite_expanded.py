# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the second rule that ``autopath`` makes necessary: for names as pods expand them by their search path.

A pod with ``ndots:5`` asks for ``NAME.<namespace>.svc.<domain>`` first. autopath answers that with what it finds for
the bare name itself, behind the rewrite plugin, so the rule for the bare name never sees it.
"""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_rule import go_pattern

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_rule import Rule
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import Rewrite

__all__ = ["NAMESPACES", "expanded_line", "is_expanded"]

# A rule for the expanded name has to hold for whatever namespace a pod is in.
NAMESPACES = ("default", "kube-system", "team-1")


def expanded_line(wanted: Rewrite, domain: str) -> str | None:
    """The statement; None where what is wanted cannot be said of expanded names."""
    stem = _stem(wanted)
    if stem is None or not wanted.target:
        return None
    target = f"{{1}}{wanted.target}" if wanted.match == "suffix" else wanted.target
    pattern = rf"{stem}([a-z0-9-]+\.svc\.)?{_escaped(domain)}\.$"
    # The answer to a regex rule keeps the target's name without 'answer auto', and clients ignore it.
    return f"rewrite stop name regex {pattern} {target}. answer auto"


def is_expanded(wanted: Rewrite, rule: Rule, domains: Iterable[str]) -> bool:
    """Whether ``rule`` is for the expanded form of the names, and for no other name."""
    stem = _stem(wanted)
    if stem is None or (rule.kind, rule.match) != ("name", "regex") or not rule.source.startswith(stem):
        return False
    rest = rule.source.removeprefix(stem)
    return "|" not in rest and any(_escaped(domain) in rest for domain in domains)


def _stem(wanted: Rewrite) -> str | None:
    """The pattern of the expanded names up to the search domain."""
    match wanted.match:
        case "exact":
            return rf"^{_escaped(wanted.name)}\."
        case "suffix":
            return rf"^(.*){_escaped(wanted.name)}\."
        case "regex" if wanted.name.endswith(r"\.$") and not _has_alternatives(wanted.name):
            return wanted.name.removesuffix("$")
        case _:
            return None


def _has_alternatives(pattern: str) -> bool:
    """Whether it is ``this|that`` as a whole, so that what is put behind it would belong to ``that`` only."""
    return any(char == "|" and go_pattern(pattern[:index]) is not None for index, char in enumerate(pattern))


def _escaped(name: str) -> str:
    return name.replace(".", r"\.")
