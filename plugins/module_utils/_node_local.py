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
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_servers import Servers
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
        servers = Servers(parse(text, where=where), where=where, port=asked["port"])
        targets = [each.answered.partition(".svc.")[2].removesuffix(".") for each in asked["wanted"]]
        domain = next(filter(None, targets), DEFAULT_DOMAIN)
        cluster = _cluster_block(servers.corefile.blocks, domain, asked["port"])
        if cluster:
            return _Cache(servers=servers, cluster=cluster, domain=domain, where=where, port=asked["port"]).plan(asked)
    return plan_rewrites(text=text, where=where, **asked)


def _cluster_block(blocks: Sequence[ServerBlock], domain: str, port: int) -> ServerBlock | None:
    """The server block that sends the cluster's names on, in a Corefile that has no kubernetes plugin itself."""
    if any(block.named("kubernetes") or block.named("import") for block in blocks):
        return None
    zones = {f"{PILLAR_DOMAIN}:{port}", domain, f"{domain}:{port}"}
    return next((block for block in blocks if block.named("forward") and zones & set(block.keys)), None)


@dataclass(frozen=True, kw_only=True)
class _Cache:
    """A Corefile whose server block ``cluster`` sends names of the cluster's ``domain`` on to CoreDNS."""

    servers: Servers
    cluster: ServerBlock
    domain: str
    where: str
    port: int

    def plan(self, asked: Asked) -> RewritePlan:
        check_together(asked["wanted"])
        if asked.get("exact"):
            raise Conflict(
                "there are no rewrites here that could be the only ones: names are passed on to CoreDNS",
                where=self.where,
                cure="Use state present or absent, and exact for CoreDNS itself",
            )
        zones = {one: self._zone(one) for one in asked["wanted"]}
        kept = {zone for one, zone in zones.items() if one.present}
        edits: dict[Edit, str] = {}
        for one, zone in zones.items():
            if one.present and not self._is_passed_on(one, zone):
                edits[Edit(self._start, self._start, self._block(zone))] = self._rule(zone)
            elif not one.present and zone not in kept:
                edits |= dict.fromkeys(self._removals(zone), "")
        return RewritePlan(
            before=self._text,
            after=apply_edits(self._text, edits),
            each=tuple(self._planned(one, zone) for one, zone in zones.items()),
            added=tuple(filter(None, edits.values())),
            removed=(),
            reloads=True,
            notes=self._notes(),
        )

    @property
    def _text(self) -> str:
        return self.servers.corefile.text

    @property
    def _start(self) -> int:
        return _extent(self._text, self.cluster)[0]

    @property
    def _forward(self) -> Directive:
        return self.cluster.named("forward")[0]

    def _rule(self, zone: str) -> str:
        return f"{zone}:{self.port} {self._forward.source}"

    def _planned(self, wanted: Rewrite, zone: str) -> Planned:
        rules = (self._rule(zone),) if wanted.present else ()
        return _PassedOn(rewrite=wanted, zone=fqdn(zone), rules=rules, autopath=False, cluster_domain=self.domain)

    def _is_passed_on(self, wanted: Rewrite, zone: str) -> bool:
        home, answered = self.servers.home(f"{zone}.")
        goes = {directive.args[1:] for directive in home.named("forward") if directive.args[:1] == (".",)}
        if self._forward.args[1:] in goes:
            self._refuse_other_answers(home, wanted.asked or fqdn(zone))
            return True
        if answered == fqdn(zone):
            raise self.servers.conflict(
                f"this server block answers {zone}, and does not pass it on to CoreDNS",
                home.line,
                "Let it forward to where the cluster's domain goes, or remove it",
            )
        return False

    def _removals(self, zone: str) -> list[Edit]:
        """Without server blocks of ours for a zone; one that was edited since is not ours any more."""
        ours = [directive.source for directive in parse(self._block(zone)).blocks[0].directives]
        return [
            Edit(*_extent(self._text, block), "")
            for block in self.servers.corefile.blocks
            if block.keys == (f"{zone}:{self.port}",) and [each.source for each in block.directives] == ours
        ]

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
            where=f"{self.where}, {wanted.option}",
            cure=r"Use match exact, a suffix that starts with a dot, or a pattern that ends as \.example\.com\.$",
        )

    def _refuse_other_answers(self, home: ServerBlock, asked: str) -> None:
        self.servers.refuse_other_answers(home, [asked])
        outcome = walk(self.servers.rules(home), asked)
        if outcome.rule and outcome.name != asked:
            raise self.servers.conflict(
                f"'{outcome.rule.directive.source}' sends {asked} to {outcome.name} before CoreDNS sees it",
                outcome.rule.directive.line,
                "Remove it here: the rewrite is CoreDNS's",
            )

    def _block(self, zone: str) -> str:
        """A server block for ``zone`` with the lines of the one for the cluster's domain."""
        imported = next((each for each in self.cluster.directives if each.imported), None)
        if imported:
            raise self.servers.conflict(
                "the server block of the cluster's domain imports a snippet, so there is nothing to copy line by line",
                imported.line,
                f"Write a server block for {zone}:{self.port} by hand, which forwards to the same address",
            )
        first = self._text[self._start :].partition("\n")[0]
        indent, ending = first[: len(first) - len(first.lstrip(" \t"))], "\r\n" if first.endswith("\r") else "\n"
        lines = [self._lines(each) for each in self.cluster.directives if each.name in _COPIED]
        return f"{indent}{zone}:{self.port} {{{ending}" + "".join(lines) + f"{indent}}}{ending}"

    def _lines(self, directive: Directive) -> str:
        start, end = directive.statement
        first, last = self._text.rfind("\n", 0, start) + 1, self._text.find("\n", end)
        return self._text[first:] if last == -1 else self._text[first : last + 1]

    def _notes(self) -> tuple[str, ...]:
        if self.cluster.named("reload"):
            return ()
        return (f"{self.where}: it has no reload plugin, so its pods have to be restarted",)


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
