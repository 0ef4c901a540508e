# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: names answered by others through rewrites in a Corefile, and nothing else in the file touched.

A rewritten question stays in the server block that took it, so a rule belongs into the block with the longest zone of
the name, and that block needs the kubernetes plugin for the target. ``autopath`` asks for the bare name behind the
rewrite plugin; where it is on, the name with a pod's search domain needs a rule of its own.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_draft import Draft, Planned
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_servers import DNS_PORT
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import (
    DEFAULT_DOMAIN,
    Rewrite,
    check_together,
    rewrite,
)

if t.TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RewritePlan", "plan_rewrite", "plan_rewrites"]


@dataclass(frozen=True, kw_only=True)
class RewritePlan:
    """The Corefile before and after, and what was found out on the way.

    ``added`` are lines that are put in, ``removed`` statements that are taken out. ``reloads`` says whether CoreDNS
    reads the file again by itself.
    ``notes`` is what the reader should know but need not change.
    """

    before: str
    after: str
    each: tuple[Planned, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    reloads: bool
    notes: tuple[str, ...]

    @property
    def changes(self) -> bool:
        return self.before != self.after

    @property
    def results(self) -> dict[str, t.Any]:
        """As the module returns it."""
        return {
            "zone": self.zone,
            "rules": list(self.rules),
            "removed": list(self.removed),
            "rewrites": [each.shown for each in self.each],
            "autopath": self.autopath,
            "cluster_domain": self.cluster_domain,
        }

    @property
    def zone(self) -> str:
        return self.each[0].zone if self.each else ""

    @property
    def rules(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(rule for each in self.each for rule in each.rules))

    @property
    def autopath(self) -> bool:
        return any(each.autopath for each in self.each)

    @property
    def cluster_domain(self) -> str:
        return self.each[0].cluster_domain if self.each else DEFAULT_DOMAIN


def plan_rewrite(
    *, text: str, name: str, target: str | None, present: bool = True, where: str = "Corefile", port: int = DNS_PORT
) -> RewritePlan:
    """``plan_rewrites`` for one name, options unread."""
    wanted = [rewrite(name=name, target=target, present=present)]
    return plan_rewrites(text=text, wanted=wanted, where=where, port=port)


def plan_rewrites(
    *,
    text: str,
    wanted: Sequence[Rewrite],
    exact: bool = False,
    version: tuple[int, ...] | None = None,
    where: str = "Corefile",
    port: int = DNS_PORT,
) -> RewritePlan:
    """The Corefile ``text`` with what is wanted, and, where ``exact``, with no other rewrites of names.

    Raises BadInput for a file that does not parse and rewrites that contradict each other, Conflict for what in the
    file contradicts them. ``version`` is CoreDNS's, None where it is not known: the newest. ``where`` names the file in
    errors, ``port`` is the one that pods ask.
    """
    check_together(wanted)
    draft = Draft(text, where, port)
    planned: dict[Rewrite, Planned] = {}
    removed = draft.take_out_others(wanted) if exact else []
    for each in wanted:
        if not each.present:
            planned[each], gone = draft.take_out(each)
            removed += gone
    # A rule for one name goes before those for many, whose exception it may be.
    present = sorted((each for each in wanted if each.present), key=lambda each: each.match != "exact")
    for each in present:
        planned[each] = draft.add(each, [other.rule.key for other in present if other is not each])
    for each in present:
        draft.prove(each, planned[each])
    draft.refuse_version(version)
    return RewritePlan(
        before=text,
        after=draft.text,
        each=tuple(planned[each] for each in wanted),
        added=tuple(draft.added),
        removed=tuple(removed),
        reloads=any(block.named("reload") for block in draft.servers.corefile.blocks),
        notes=tuple(dict.fromkeys(draft.notes)),
    )
