# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: one name answered by another through a rewrite in a Corefile, and nothing else in the file touched.

A rewritten question stays in the server block that took it, so the rule belongs into the block with the longest
zone of the name, and that block needs the kubernetes plugin for the target. ``autopath`` asks for the bare name behind
the rewrite plugin; where it is on, the name with a pod's search domain needs a rule of its own.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils import _names
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import (
    Corefile,
    Directive,
    Edit,
    ServerBlock,
    apply_edits,
    parse,
    uses_env,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_rule import (
    Rule,
    fqdn,
    go_pattern,
    read_rule,
    walk,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["DEFAULT_DOMAIN", "DNS_PORT", "RewritePlan", "dns_name", "expanded_name", "plan_rewrite"]

DEFAULT_DOMAIN = "cluster.local"
DNS_PORT = 53
# A rule for the expanded name has to hold for whatever namespace a pod is in.
_NAMESPACES = ("default", "kube-system", "team-1")


@dataclass(frozen=True, kw_only=True)
class RewritePlan:
    """The Corefile before and after, and what was found out on the way.

    ``zone`` is the zone of the server block that takes the name (with the closing dot), ``rules`` the lines that
    send the name to its target once the plan is carried out, ``removed`` the targets of rules that are taken out.
    ``reloads`` says whether CoreDNS reads the file again by itself. ``notes`` is what the reader should know but need
    not change.
    """

    before: str
    after: str
    zone: str
    rules: tuple[str, ...]
    removed: tuple[str, ...]
    autopath: bool
    cluster_domain: str
    reloads: bool
    notes: tuple[str, ...]

    @property
    def changes(self) -> bool:
        return self.before != self.after


def dns_name(value: str, *, option: str) -> str:
    """``value`` in lower case without the closing dot; BadInput where it is no DNS name of at least two labels."""
    where = f"option {option}"
    name = _names.dns_name(value.lower().removesuffix("."), where=where)
    if "." not in name:
        raise BadInput(f"{value!r} has one label only", where=where, cure="Give a full name such as harbor.example.com")
    return name


def expanded_name(name: str, domain: str, namespace: str = "default") -> str:
    """What a pod asks for first when it looks for ``name``: the name in its namespace's search domain."""
    return f"{name}.{namespace}.svc.{domain}."


def plan_rewrite(
    *, text: str, name: str, target: str | None, present: bool = True, where: str = "Corefile", port: int = DNS_PORT
) -> RewritePlan:
    """The Corefile ``text`` with ``name`` rewritten to ``target``, or, not ``present``, without such a rule.

    Raises BadInput for names that are none and a file that does not parse, Conflict for what contradicts the plan.
    ``where`` names the file in errors, ``port`` is the one that pods ask.
    """
    name = dns_name(name, option="name")
    target = dns_name(target, option="target") if target else None
    if present and target is None:
        raise BadInput("it is required to add a rewrite", where="option target")
    if name == target:
        raise BadInput("a name cannot be rewritten to itself", where="option target")
    corefile = parse(text, where=where)
    planner = _Planner(corefile, where, port)
    return planner.add(name, t.cast("str", target)) if present else planner.take_out(name, target)


@dataclass(frozen=True, kw_only=True)
class _Goal:
    """Questions (fully qualified) that have to reach the target, and the rule that would do it."""

    names: tuple[str, ...]
    line: str
    block: ServerBlock


class _Planner:
    def __init__(self, corefile: Corefile, where: str, port: int) -> None:
        self._corefile = corefile
        self._where = where
        self._port = port

    def add(self, name: str, target: str) -> RewritePlan:
        block, zone = self._home(fqdn(name))
        domain = self._domain(block, target)
        goals = [_Goal(names=(fqdn(name),), line=f"rewrite stop name exact {name} {target}", block=block)]
        self._refuse_other_answers(block, [fqdn(name), fqdn(target)])
        pods_block, _zone = self._longest_match(expanded_name(name, domain)) or (None, "")
        autopath = pods_block is not None and _has_autopath(pods_block, domain)
        if pods_block and autopath:
            self._domain(pods_block, target)
            self._refuse_other_answers(pods_block, [fqdn(target)])
            goals.append(_expanded_goal(name, target, domain, pods_block))
        found = [self._found(goal, fqdn(target)) for goal in goals]
        missing = [goal for goal, rule in zip(goals, found, strict=True) if rule is None]
        after = apply_edits(self._corefile.text, self._insertions(missing))
        self._prove(after, goals, fqdn(target))
        return RewritePlan(
            before=self._corefile.text,
            after=after,
            zone=zone,
            rules=tuple(rule or goal.line for goal, rule in zip(goals, found, strict=True)),
            removed=(),
            autopath=autopath,
            cluster_domain=domain,
            reloads=self._reloads(),
            notes=self._notes(block),
        )

    def take_out(self, name: str, target: str | None) -> RewritePlan:
        ours = [
            (directive, rule)
            for block in self._corefile.blocks
            if self._may_be_asked(block)
            for directive in block.named("rewrite")
            for rule in [read_rule(directive)]
            if isinstance(rule, Rule) and _is_for(rule, name) and (target is None or rule.target == fqdn(target))
        ]
        for directive, _rule in ours:
            if directive.imported:
                raise self._conflict(
                    f"the rewrite of {name} stands in a snippet that other server blocks may import",
                    directive.line,
                    "Take it out of the snippet by hand",
                )
        after = apply_edits(self._corefile.text, {self._corefile.remove(directive) for directive, _rule in ours})
        block, zone, domain = self._home_if_any(name)
        return RewritePlan(
            before=self._corefile.text,
            after=after,
            zone=zone,
            rules=(),
            removed=tuple(dict.fromkeys(rule.target.removesuffix(".") for _directive, rule in ours)),
            autopath=block is not None and _has_autopath(block, domain),
            cluster_domain=domain,
            reloads=self._reloads(),
            notes=(),
        )

    # Where

    def _home(self, name: str) -> tuple[ServerBlock, str]:
        """The server block that answers a question for ``name``, and its zone."""
        home = self._longest_match(name)
        if home is None:
            raise Conflict(
                f"no server block answers {name} on port {self._port}",
                where=self._where,
                cure="The rewrite needs a server block for the name, such as '.:53', with the kubernetes plugin",
            )
        return home

    def _longest_match(self, name: str) -> tuple[ServerBlock, str] | None:
        homes: list[tuple[int, str, ServerBlock]] = []
        for block in self._corefile.blocks:
            for zone in self._zones(block):
                if _in_zone(name, zone):
                    homes.append((len(zone.rstrip(".")), zone, block))
        longest = max((length for length, _zone, _block in homes), default=0)
        best = [(block, zone) for length, zone, block in homes if length == longest]
        if len({id(block) for block, _zone in best}) > 1 or any(block.named("view") for block, _zone in best):
            raise self._conflict(
                f"which server block answers {name} depends on the client or the address asked (view, bind)",
                best[0][0].line,
                "Add the rewrite by hand in each of them",
            )
        return best[0] if best else None

    def _home_if_any(self, name: str) -> tuple[ServerBlock | None, str, str]:
        try:
            block, zone = self._home(fqdn(name))
        except (BadInput, Conflict):
            return None, "", DEFAULT_DOMAIN
        zones = _kubernetes_zones(block, self._zones(block))
        forward = [zone for zone in zones if zone != "." and not zone.endswith(".arpa.")]
        return block, zone, forward[0].removesuffix(".") if forward else DEFAULT_DOMAIN

    def _zone(self, key: str, block: ServerBlock) -> str | None:
        """The zone a key stands for; None where it is for others than pods (reverse zones, TLS, another port)."""
        if uses_env(key):
            raise self._conflict(
                f"the address '{key}' depends on an environment variable of CoreDNS, so who answers is not known",
                block.line,
                "Add the rewrite by hand",
            )
        scheme, separator, rest = key.rpartition("://")
        zone, colon, port = rest.rpartition(":")
        if not (colon and port.isdecimal()):
            zone, port = rest, str(DNS_PORT)
        if separator and scheme != "dns":
            return None
        if "/" in zone:
            return None
        labels = zone.removesuffix(".").split(".")
        if zone != "." and (not all(labels) or max(map(len, labels)) > 63 or len(zone) > 255):  # noqa: PLR2004
            raise BadInput(
                f"'{key}' is no address of a server block",
                where=f"{self._where}, line {block.line}",
                cure="Write [dns://]zone[:port], with a space before '{'",
            )
        return fqdn(zone) if int(port) == self._port else None

    def _zones(self, block: ServerBlock) -> list[str]:
        return [zone for key in block.keys if (zone := self._zone(key, block)) is not None]

    def _may_be_asked(self, block: ServerBlock) -> bool:
        """Whether pods may reach this block, as far as its addresses tell."""
        try:
            return bool(self._zones(block))
        except (BadInput, Conflict):
            return True

    def _domain(self, block: ServerBlock, target: str) -> str:
        """The cluster's domain, from the kubernetes plugin that has to answer for the target in ``block``."""
        plugins = block.named("kubernetes")
        zones = _kubernetes_zones(block, self._zones(block))
        owners = [zone for zone in zones if _in_zone(fqdn(target), zone)]
        if not owners:
            shown = " ".join(zones) or "none"
            problem = (
                f"its kubernetes plugin answers for {shown}, not for {target}"
                if plugins
                else f"it has no kubernetes plugin, so a name rewritten there to {target} would not be found"
            )
            raise self._conflict(
                f"the server block for {' '.join(block.keys)} takes the name, but {problem}",
                plugins[0].line if plugins else block.line,
                "Add 'kubernetes' for the cluster's domain to that block, or give a target that it serves",
            )
        self._refuse_hidden_namespace(plugins[0], target)
        owner = max(owners, key=len).removesuffix(".")
        return owner or target.partition(".svc.")[2] or DEFAULT_DOMAIN

    def _refuse_hidden_namespace(self, plugin: Directive, target: str) -> None:
        shown = [word for line in plugin.body if line[0] == "namespaces" for word in line[1:]]
        namespace = target.split(".")[1]
        if shown and namespace not in shown:
            raise self._conflict(
                f"the kubernetes plugin shows only the namespaces {' '.join(shown)}, not {namespace} of {target}",
                plugin.line,
                f"Add {namespace} to 'namespaces'",
            )

    # What is there

    def _rules(self, block: ServerBlock) -> list[Rule]:
        rules = []
        for directive in block.directives:
            if directive.name not in ("rewrite", "import"):
                continue
            rule = read_rule(directive)
            if isinstance(rule, str):
                raise BadInput(
                    f"CoreDNS would refuse the rewrite: {rule}",
                    where=f"{self._where}, line {directive.line}",
                    cure="Correct it first",
                )
            rules.append(rule)
        return rules

    def _found(self, goal: _Goal, target: str) -> str | None:
        """The rule that reaches the goal already, None where there is none; Conflict where one leads elsewhere."""
        rules = self._rules(goal.block)
        self._refuse_other_target(rules, goal, target)
        outcomes = [(name, walk(rules, name)) for name in goal.names]
        for name, outcome in outcomes:
            rule = outcome.rule
            if rule is None or outcome.name == name:
                continue
            if outcome.name != target:
                raise self._conflict(
                    f"'{rule.directive.source}' sends {name} to {outcome.name}, not to {target}",
                    rule.directive.line,
                    f"Remove or narrow that rule, or put '{goal.line}' before it yourself",
                )
            if not outcome.answers:
                raise self._conflict(
                    f"'{rule.directive.source}' sends {name} to {target}, but clients would throw its answers away",
                    rule.directive.line,
                    "Put 'answer auto' at its end",
                )
        if all(outcome.name == target for _name, outcome in outcomes):
            decided = outcomes[0][1].rule
            return decided.directive.source if decided else None
        self._refuse_unreached(rules, goal)
        return None

    def _refuse_other_target(self, rules: Iterable[Rule], goal: _Goal, target: str) -> None:
        for rule in rules:
            if rule.kind != "name" or rule.match != "exact" or rule.source not in goal.names:
                continue
            if rule.stop and rule.target != target:
                raise self._conflict(
                    f"'{rule.directive.source}' sends {rule.source} to {rule.target}, not to {target}",
                    rule.directive.line,
                    "Remove it first (state absent does), if the new target is the right one",
                )

    def _refuse_unreached(self, rules: Sequence[Rule], goal: _Goal) -> None:
        """A second rule for the name would leave the first behind for ever, so its reader decides."""
        for index, rule in enumerate(rules):
            if rule.kind != "name" or rule.match != "exact" or rule.source not in goal.names:
                continue
            barrier = next((other for other in rules[:index] if other.may_keep_from(rule.source)), None)
            if barrier:
                raise self._conflict(
                    f"'{rule.directive.source}' is never reached: line {barrier.directive.line} stops before it",
                    rule.directive.line,
                    f"Move it before line {barrier.directive.line}",
                )

    def _refuse_other_answers(self, block: ServerBlock, names: Sequence[str]) -> None:
        """hosts and template answer before the kubernetes plugin does, whatever the order of lines."""
        zones = self._zones(block)
        for directive in block.directives:
            for name in names:
                if _answers_itself(directive, name, zones):
                    raise self._conflict(
                        f"the {directive.name} plugin answers {name} itself",
                        directive.line,
                        "Remove that entry: name and rewrite contradict each other",
                    )

    # What to change

    def _insertions(self, goals: Sequence[_Goal]) -> list[Edit]:
        edits = []
        for block in {id(goal.block): goal.block for goal in goals}.values():
            here = [goal for goal in goals if goal.block is block]
            names = [name for goal in here for name in goal.names]
            anchor, before = self._anchor(block, names)
            lines = [goal.line for goal in here]
            edit = self._corefile.insert(lines, beside=anchor, before=before, block=block)
            if edit is None:
                raise self._conflict(
                    f"there is no room for a line before '{anchor.source}'",
                    anchor.line,
                    "Put that statement on a line of its own",
                )
            edits.append(edit)
        return edits

    def _anchor(self, block: ServerBlock, names: Sequence[str]) -> tuple[Directive, bool]:
        """The statement beside which a rule takes effect, and whether it has to stand before it."""
        for rule in self._rules(block):
            if any(rule.may_keep_from(name) for name in names):
                return rule.directive, True
        neighbours = block.named("rewrite") or block.named("kubernetes")
        return neighbours[-1], False

    def _prove(self, after: str, goals: Sequence[_Goal], target: str) -> None:
        """Read the new text as CoreDNS will: an edit that does not do what it is for must not leave here."""
        planner = _Planner(parse(after, where=self._where), self._where, self._port)
        for goal in goals:
            block, _zone = planner._home(goal.names[0])
            if any(walk(planner._rules(block), name).name != target for name in goal.names):
                raise Conflict(f"a rewrite of {goal.names[0]} takes no effect in this file", where=self._where)

    def _reloads(self) -> bool:
        return any(block.named("reload") for block in self._corefile.blocks)

    def _notes(self, block: ServerBlock) -> tuple[str, ...]:
        lines = [*(directive.line for directive in block.named("import")), *self._corefile.imports]
        return tuple(
            f"{self._where}, line {line}: rules of files imported there are not looked at" for line in sorted(lines)
        )

    def _conflict(self, problem: str, line: int, cure: str) -> Conflict:
        return Conflict(problem, where=f"{self._where}, line {line}", cure=cure)


def _in_zone(name: str, zone: str) -> bool:
    return zone in (".", name) or name.endswith("." + zone)


def _plugin_zones(args: Iterable[str], block_zones: Sequence[str]) -> list[str]:
    zones = [fqdn(arg) for arg in args if not uses_env(arg) and "/" not in arg]
    return zones if list(args) else list(block_zones)


def _kubernetes_zones(block: ServerBlock, block_zones: Sequence[str]) -> list[str]:
    return [zone for plugin in block.named("kubernetes")[:1] for zone in _plugin_zones(plugin.args, block_zones)]


def _has_autopath(block: ServerBlock, domain: str) -> bool:
    """Whether autopath walks the search path of names in the cluster's domain."""
    return any(
        not (zones := directive.args[:-1]) or any(_in_zone(fqdn(domain), fqdn(zone)) for zone in zones)
        for directive in block.named("autopath")
    )


def _expanded_goal(name: str, target: str, domain: str, block: ServerBlock) -> _Goal:
    pattern = "^" + name.replace(".", r"\.") + r"\.([a-z0-9-]+\.svc\.)?" + domain.replace(".", r"\.") + r"\.$"
    return _Goal(
        names=tuple(expanded_name(name, domain, namespace) for namespace in _NAMESPACES),
        # The answer to a regex rule keeps the target's name without 'answer auto', and clients ignore it.
        line=f"rewrite stop name regex {pattern} {target}. answer auto",
        block=block,
    )


def _is_for(rule: Rule, name: str) -> bool:
    """Whether a rule is for this one name, or for it in pods' search domains, and for no other."""
    if not rule.known or rule.kind != "name":
        return False
    if rule.match == "regex":
        return rule.source.startswith("^" + name.replace(".", r"\.") + r"\.") and "|" not in rule.source
    return rule.match == "exact" and rule.source == fqdn(name)


def _answers_itself(directive: Directive, name: str, block_zones: Sequence[str]) -> bool:
    if directive.name == "hosts":
        zones = _plugin_zones(directive.args[1:], block_zones)
        entries = [line[1:] for line in directive.body if _is_address(line[0])]
        return any(_in_zone(name, zone) for zone in zones) and any(
            _is_entry_for(entry, name) for names in entries for entry in names
        )
    if directive.name == "template":
        wanted_type = directive.args[1:2] in (("A",), ("ANY",))
        zones = _plugin_zones(directive.args[2:], block_zones)
        patterns = [word for line in directive.body if line[0] == "match" for word in line[1:]] or [".*"]
        return (
            wanted_type
            and any(_in_zone(name, zone) for zone in zones)
            and any((found := go_pattern(pattern)) is not None and found.search(name) for pattern in patterns)
        )
    return False


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_entry_for(entry: str, name: str) -> bool:
    entry = fqdn(entry)
    return name == entry or (entry.startswith("*.") and name.endswith(entry[1:]))
