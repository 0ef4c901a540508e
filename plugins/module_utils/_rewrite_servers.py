# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: which server block of a Corefile answers a name that pods ask for, and what it would answer it with.

The block with the longest zone of the name takes the question and keeps it: a rewritten name is not handed to another.
"""

from __future__ import annotations

import ipaddress
import typing as t
from functools import lru_cache

from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_tokens import uses_env
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_rule import (
    Rule,
    fqdn,
    go_pattern,
    read_rule,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import DEFAULT_DOMAIN

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import (
        Corefile,
        Directive,
        ServerBlock,
    )

__all__ = ["DNS_PORT", "Servers"]

DNS_PORT = 53
_REVERSE = ("in-addr.arpa.", "ip6.arpa.")


class Servers:
    """The server blocks of a Corefile, seen by pods, which ask on ``port``. ``where`` names the file in errors."""

    def __init__(self, corefile: Corefile, *, where: str, port: int = DNS_PORT) -> None:
        self.corefile = corefile
        self._where = where
        self._port = port
        self._rules_of: dict[int, list[Rule]] = {}

    def conflict(self, problem: str, line: int, cure: str) -> Conflict:
        return Conflict(problem, where=f"{self._where}, line {line}", cure=cure)

    # Who answers

    def home(self, name: str) -> tuple[ServerBlock, str]:
        """The server block that answers a question for ``name`` (fully qualified), and its zone."""
        home = self.longest_match(name)
        if home is None:
            raise Conflict(
                f"no server block answers {name} on port {self._port}",
                where=self._where,
                cure="The rewrite needs a server block for the name, such as '.:53', with the kubernetes plugin",
            )
        return home

    def longest_match(self, name: str) -> tuple[ServerBlock, str] | None:
        """As ``home``, or None where no block answers."""
        homes = [(len(zone.rstrip(".")), zone, block) for block, zone in self._all_zones() if _in_zone(name, zone)]
        longest = max((length for length, _zone, _block in homes), default=0)
        best = [(block, zone) for length, zone, block in homes if length == longest]
        if len({id(block) for block, _zone in best}) > 1 or any(block.named("view") for block, _zone in best):
            raise self.conflict(
                f"which server block answers {name} depends on the client or the address asked (view, bind)",
                best[0][0].line,
                "Add the rewrite by hand in each of them",
            )
        return best[0] if best else None

    def taking(self, rule: Rule, *, but: ServerBlock, domain: str) -> Iterator[tuple[ServerBlock, str]]:
        """Other blocks whose zones hold names that ``rule`` catches, without those of the cluster and of addresses."""
        for block, zone in self._all_zones():
            if block is but or zone == "." or zone.endswith(_REVERSE) or _in_zone(fqdn(domain), zone):
                continue
            if rule.catches(zone) or rule.catches(f"name.{zone}"):
                yield block, zone

    def asked(self) -> Iterator[ServerBlock]:
        """The blocks that pods may reach, as far as their addresses tell."""
        for block in self.corefile.blocks:
            try:
                reached = bool(self._zones(block))
            except (BadInput, Conflict):
                reached = True
            if reached:
                yield block

    def _all_zones(self) -> Iterator[tuple[ServerBlock, str]]:
        for block in self.corefile.blocks:
            for zone in self._zones(block):
                yield block, zone

    def _zones(self, block: ServerBlock) -> list[str]:
        return [zone for key in block.keys if (zone := self._zone(key, block)) is not None]

    def _zone(self, key: str, block: ServerBlock) -> str | None:
        """The zone a key stands for; None where it is for others than pods (reverse zones, TLS, another port)."""
        if uses_env(key):
            raise self.conflict(
                f"the address '{key}' depends on an environment variable of CoreDNS, so who answers is not known",
                block.line,
                "Add the rewrite by hand",
            )
        scheme, separator, rest = key.rpartition("://")
        zone, colon, port = rest.rpartition(":")
        if not (colon and port.isdecimal()):
            zone, port = rest, str(DNS_PORT)
        if (separator and scheme != "dns") or "/" in zone:
            return None
        labels = zone.removesuffix(".").split(".")
        if zone != "." and (not all(labels) or max(map(len, labels)) > 63 or len(zone) > 255):  # noqa: PLR2004
            raise BadInput(
                f"'{key}' is no address of a server block",
                where=f"{self._where}, line {block.line}",
                cure="Write [dns://]zone[:port], with a space before '{'",
            )
        return fqdn(zone) if int(port) == self._port else None

    # What it answers with

    def rules(self, block: ServerBlock) -> list[Rule]:
        """Its rewrites in their order; an import of files is one of which nothing is known."""
        if id(block) not in self._rules_of:
            self._rules_of[id(block)] = [
                self._rule(directive) for directive in block.directives if directive.name in ("rewrite", "import")
            ]
        return self._rules_of[id(block)]

    def _rule(self, directive: Directive) -> Rule:
        rule = read_rule(directive)
        if isinstance(rule, str):
            raise BadInput(
                f"CoreDNS would refuse the rewrite: {rule}",
                where=f"{self._where}, line {directive.line}",
                cure="Correct it first",
            )
        return rule

    def domain(self, block: ServerBlock, target: str) -> str:
        """The cluster's domain, from the kubernetes plugin that has to answer for ``target`` in ``block``."""
        plugins = block.named("kubernetes")
        zones = self._kubernetes_zones(block)
        owners = [zone for zone in zones if _in_zone(fqdn(target), zone)]
        if not owners:
            shown = " ".join(zones) or "none"
            problem = (
                f"its kubernetes plugin answers for {shown}, not for {target}"
                if plugins
                else f"it has no kubernetes plugin, so a name rewritten there to {target} would not be found"
            )
            raise self.conflict(
                f"the server block for {' '.join(block.keys)} takes the name, but {problem}",
                plugins[0].line if plugins else block.line,
                "Add 'kubernetes' for the cluster's domain to that block, or give a target that it serves",
            )
        self._refuse_hidden_namespace(plugins[0], target)
        owner = max(owners, key=len).removesuffix(".")
        return owner or target.partition(".svc.")[2] or DEFAULT_DOMAIN

    def domain_if_any(self, name: str) -> tuple[ServerBlock | None, str, str]:
        """The block that answers ``name``, its zone and the cluster's domain, or defaults where that is not known."""
        try:
            block, zone = self.home(name)
        except (BadInput, Conflict):
            return None, "", DEFAULT_DOMAIN
        return block, zone, next(iter(self._forward_domains(block)), DEFAULT_DOMAIN)

    def domains(self) -> list[str]:
        """All domains that a search path may end with."""
        found = [DEFAULT_DOMAIN]
        for block in self.asked():
            try:
                found += self._forward_domains(block)
            except (BadInput, Conflict):
                continue
        return list(dict.fromkeys(found))

    def _forward_domains(self, block: ServerBlock) -> list[str]:
        zones = self._kubernetes_zones(block)
        return [zone.removesuffix(".") for zone in zones if zone != "." and not zone.endswith(_REVERSE)]

    def has_autopath(self, block: ServerBlock, domain: str) -> bool:
        """Whether autopath walks the search path of names in the cluster's domain."""
        return any(
            not (zones := directive.args[:-1]) or any(_in_zone(fqdn(domain), fqdn(zone)) for zone in zones)
            for directive in block.named("autopath")
        )

    def refuse_other_answers(self, block: ServerBlock, names: Sequence[str]) -> None:
        """hosts and template answer before the kubernetes plugin does, whatever the order of lines."""
        zones = self._zones(block)
        for directive in (*block.named("hosts"), *block.named("template")):
            answers = _hosts_answers if directive.name == "hosts" else _template_answers
            name = next((name for name in names if answers(directive, name, zones)), None)
            if name:
                raise self.conflict(
                    f"the {directive.name} plugin answers {name} itself",
                    directive.line,
                    "Remove that entry: name and rewrite contradict each other",
                )

    def _kubernetes_zones(self, block: ServerBlock) -> list[str]:
        return [
            zone for plugin in block.named("kubernetes")[:1] for zone in _plugin_zones(plugin.args, self._zones(block))
        ]

    def _refuse_hidden_namespace(self, plugin: Directive, target: str) -> None:
        shown = [word for line in plugin.body if line[0] == "namespaces" for word in line[1:]]
        namespace = target.split(".")[1]
        if shown and namespace not in shown:
            raise self.conflict(
                f"the kubernetes plugin shows only the namespaces {' '.join(shown)}, not {namespace} of {target}",
                plugin.line,
                f"Add {namespace} to 'namespaces'",
            )


def _in_zone(name: str, zone: str) -> bool:
    return zone in (".", name) or name.endswith("." + zone)


def _plugin_zones(args: Iterable[str], block_zones: Sequence[str]) -> list[str]:
    zones = [fqdn(arg) for arg in args if not uses_env(arg) and "/" not in arg]
    return zones if list(args) else list(block_zones)


def _hosts_answers(directive: Directive, name: str, block_zones: Sequence[str]) -> bool:
    zones = _plugin_zones(directive.args[1:], block_zones)
    entries = [line[1:] for line in directive.body if _is_address(line[0])]
    return any(_in_zone(name, zone) for zone in zones) and any(
        _is_entry_for(entry, name) for names in entries for entry in names
    )


def _template_answers(directive: Directive, name: str, block_zones: Sequence[str]) -> bool:
    if directive.args[1:2] not in (("A",), ("ANY",)):
        return False
    zones = _plugin_zones(directive.args[2:], block_zones)
    patterns = [word for line in directive.body if line[0] == "match" for word in line[1:]] or [".*"]
    return any(_in_zone(name, zone) for zone in zones) and any(
        (found := go_pattern(pattern)) is not None and found.search(name) for pattern in patterns
    )


@lru_cache
def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_entry_for(entry: str, name: str) -> bool:
    entry = fqdn(entry)
    return name == entry or (entry.startswith("*.") and name.endswith(entry[1:]))
