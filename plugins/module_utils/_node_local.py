# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: names in the Corefile of NodeLocal DNSCache, or of another cache that stands before the cluster's CoreDNS.

It sends names of the cluster's domain to CoreDNS and all others to the resolvers of the node. A rewrite there would
send the target to those too, who do not know it. So a name gets a server block of its own, made as the one of the
cluster's domain, and CoreDNS, where the rewrite is, answers it.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import (
    Edit,
    ServerBlock,
    apply_edits,
    parse,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_tokens import words
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan, plan_rewrites
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_draft import Planned
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_rule import fqdn, walk
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_servers import DNS_PORT, Servers
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import (
    DEFAULT_DOMAIN,
    Rewrite,
    check_together,
)

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import Directive
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import Asked

__all__ = ["plan_corefile"]

# What NodeLocal's manifest has in the place of the cluster's domain until it is installed.
PILLAR_DOMAIN = "__PILLAR__DNS__DOMAIN__"
# Of the plugins of the cluster's block: neither what answers names itself nor what a process has only once.
_COPIED = ("errors", "log", "cache", "reload", "loop", "bind", "forward", "prometheus", "bufsize", "loadbalance")
# Without it a Corefile need not be parsed to know that it is CoreDNS's own.
_KUBERNETES = re.compile(r"^\s*kubernetes\b", re.MULTILINE)
_INDENT = re.compile(r"[ \t]*")
_LABELS = re.compile(r"(?<!\\)((?:\\\.[a-z0-9-]+)+)\\\.\$")


@dataclass(frozen=True, kw_only=True)
class _PassedOn(Planned):
    """A name that is only passed on: the CoreDNS that is asked for it after a change is another one."""

    @property
    def question(self) -> None:
        return None


def plan_corefile(*, text: str, where: str, **asked: t.Unpack[Asked]) -> RewritePlan:
    """What is asked for in a Corefile of either kind."""
    if not _KUBERNETES.search(text):
        cache = _Cache(text, where, **asked)
        if cache.is_one:
            return cache.plan()
    return plan_rewrites(text=text, where=where, **asked)


class _Cache:
    """A Corefile that sends the cluster's names on to CoreDNS; one of CoreDNS itself where not ``is_one``."""

    def __init__(
        self,
        text: str,
        where: str,
        *,
        wanted: Sequence[Rewrite],
        exact: bool = False,
        version: object = None,
        port: int = DNS_PORT,
    ) -> None:
        self._text = text
        self._where = where
        self._wanted = wanted
        self._exact = exact
        self._port = port
        self._servers = Servers(parse(text, where=where), where=where, port=port)
        targets = [each.answered.partition(".svc.")[2].removesuffix(".") for each in wanted]
        self._domain = next(filter(None, targets), DEFAULT_DOMAIN)
        self._cluster = self._cluster_block()

    @property
    def is_one(self) -> bool:
        return self._cluster is not None

    def _cluster_block(self) -> ServerBlock | None:
        blocks = self._servers.corefile.blocks
        if any(block.named("kubernetes") or block.named("import") for block in blocks):
            return None
        zones = (f"{PILLAR_DOMAIN}:{self._port}", self._domain, f"{self._domain}:{self._port}")
        return next((block for block in blocks if block.named("forward") and set(zones) & set(block.keys)), None)

    def plan(self) -> RewritePlan:
        check_together(self._wanted)
        if self._exact:
            raise Conflict(
                "there are no rewrites here that could be the only ones: names are passed on to CoreDNS",
                where=self._where,
                cure="Use state present or absent, and exact for CoreDNS itself",
            )
        edits: list[Edit] = []
        each = [self._add(one, edits) if one.present else self._take_out(one, edits) for one in self._wanted]
        return RewritePlan(
            before=self._text,
            after=apply_edits(self._text, edits),
            each=tuple(each),
            added=tuple(rule for one in each for rule in one.rules),
            removed=(),
            reloads=True,
            notes=self._notes(),
        )

    def _add(self, wanted: Rewrite, edits: list[Edit]) -> Planned:
        zone = self._zone(wanted)
        home, answered = self._servers.home(f"{zone}.")
        if self._passes_on(home):
            self._refuse_other_answers(home, wanted)
        elif answered == fqdn(zone):
            raise self._servers.conflict(
                f"this server block answers {zone}, and does not pass it on to CoreDNS",
                home.line,
                "Let it forward to where the cluster's domain goes, or remove it",
            )
        else:
            new = self._block(zone)
            before = _extent(self._text, t.cast("ServerBlock", self._cluster))[0]
            if not any(edit.new == new for edit in edits):
                edits.append(Edit(before, before, new))
        return self._planned(wanted, zone, (f"{zone}:{self._port} {self._forward().source}",))

    def _take_out(self, wanted: Rewrite, edits: list[Edit]) -> Planned:
        zone = self._zone(wanted)
        ours = [directive.source for directive in parse(self._block(zone)).blocks[0].directives]
        for block in self._servers.corefile.blocks:
            sources = [directive.source for directive in block.directives]
            if block.keys in ((f"{zone}:{self._port}",), (f"{zone}.:{self._port}",)) and sources == ours:
                edits.append(Edit(*_extent(self._text, block), ""))
        return self._planned(wanted, zone, ())

    def _planned(self, wanted: Rewrite, zone: str, rules: tuple[str, ...]) -> Planned:
        return _PassedOn(rewrite=wanted, zone=fqdn(zone), rules=rules, autopath=False, cluster_domain=self._domain)

    def _zone(self, wanted: Rewrite) -> str:
        """The zone that holds all names the rewrite is for, and no more than need be."""
        if wanted.match == "exact":
            return wanted.name
        if wanted.match == "suffix" and wanted.name.startswith("."):
            return wanted.name[1:]
        labels = _LABELS.search(wanted.name) if wanted.match == "regex" else None
        if labels:
            return labels[1].replace("\\.", ".").removeprefix(".")
        raise Conflict(
            f"a match {wanted.match} for {wanted.name} is for names of no one zone, so they cannot be passed on",
            where=f"{self._where}, {wanted.option}",
            cure=r"Use match exact, a suffix that starts with a dot, or a pattern that ends as \.example\.com\.$",
        )

    def _passes_on(self, block: ServerBlock) -> bool:
        goes = {directive.args[1:] for directive in block.named("forward") if directive.args[:1] == (".",)}
        return self._forward().args[1:] in goes

    def _forward(self) -> Directive:
        return t.cast("ServerBlock", self._cluster).named("forward")[0]

    def _refuse_other_answers(self, home: ServerBlock, wanted: Rewrite) -> None:
        asked = wanted.asked or fqdn(self._zone(wanted))
        self._servers.refuse_other_answers(home, [asked])
        outcome = walk(self._servers.rules(home), asked)
        if outcome.rule and outcome.name != asked:
            raise self._servers.conflict(
                f"'{outcome.rule.directive.source}' sends {asked} to {outcome.name} before CoreDNS sees it",
                outcome.rule.directive.line,
                "Remove it here: the rewrite is CoreDNS's",
            )

    def _block(self, zone: str) -> str:
        """A server block for ``zone`` with the lines of the one for the cluster's domain."""
        cluster = t.cast("ServerBlock", self._cluster)
        imported = next((each for each in cluster.directives if each.imported), None)
        if imported:
            raise self._servers.conflict(
                "the server block of the cluster's domain imports a snippet, so there is nothing to copy line by line",
                imported.line,
                f"Write a server block for {zone}:{self._port} by hand, which forwards to the same address",
            )
        start = _extent(self._text, cluster)[0]
        indent = _INDENT.match(self._text, start)[0]  # type: ignore[index]
        ending = "\r\n" if "\r\n" in self._text else "\n"
        lines = [self._lines(each) for each in cluster.directives if each.name in _COPIED]
        return f"{indent}{zone}:{self._port} {{{ending}" + "".join(lines) + f"{indent}}}{ending}"

    def _lines(self, directive: Directive) -> str:
        start, end = directive.statement
        first, last = self._text.rfind("\n", 0, start) + 1, self._text.find("\n", end)
        return self._text[first:] if last == -1 else self._text[first : last + 1]

    def _notes(self) -> tuple[str, ...]:
        if self._forward() and not t.cast("ServerBlock", self._cluster).named("reload"):
            return (f"{self._where}: it has no reload plugin, so its pods have to be restarted",)
        return ()


def _extent(text: str, block: ServerBlock) -> tuple[int, int]:
    """Where a server block's lines start and end in the text."""
    found = words(text)
    first = next(at for at, word in enumerate(found) if word.line == block.line)
    depth = 0
    for word in found[first:]:
        depth += {"{": 1, "}": -1}.get(word.text, 0)
        if word.text == "}" and not depth:
            end = text.find("\n", word.end)
            return text.rfind("\n", 0, found[first].start) + 1, len(text) if end == -1 else end + 1
    raise Conflict("a server block without braces cannot get another beside it", where=f"line {block.line}")
