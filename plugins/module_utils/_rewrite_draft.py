# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: one rewrite after the other put into a Corefile or taken out, each beside what is there already.

A rule that leads where it should in any spelling is left as it is; one that leads elsewhere is a Conflict that names
its line. What stops questions before they reach a new rule comes behind it.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import (
    Edit,
    ServerBlock,
    apply_edits,
    parse,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_expanded import (
    NAMESPACES,
    expanded_line,
    is_expanded,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_rule import Rule, fqdn, read_rule, walk
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_servers import Servers
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import (
    DEFAULT_DOMAIN,
    Rewrite,
    expanded_name,
    rule_of,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import Directive

__all__ = ["ANSWER_AUTO", "Draft", "Planned"]

# The first CoreDNS that knows ``answer auto``.
ANSWER_AUTO = (1, 8, 4)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What becomes of one rewrite.

    ``zone`` is the zone of the server block that takes the name (with the closing dot), ``rules`` the lines that send
    the name to its target once the plan is carried out, ``removed`` the targets of its rules that are taken out.
    """

    rewrite: Rewrite
    zone: str
    rules: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    autopath: bool
    cluster_domain: str

    @property
    def shown(self) -> dict[str, t.Any]:
        """As the module returns it."""
        return {
            "name": self.rewrite.name,
            "match": self.rewrite.match,
            "state": "present" if self.rewrite.present else "absent",
            "zone": self.zone,
            "rules": list(self.rules),
        }

    @property
    def question(self) -> tuple[str, str] | None:
        """The name to ask for and the one whose address tells whether it is rewritten, without closing dots.

        The second is empty where it is not known; None where there is nothing to ask for.
        """
        wanted = self.rewrite
        if not wanted.example or not (self.rules or self.removed):
            return None
        target = wanted.answered.removesuffix(".")
        if not target and wanted.match == "exact":
            target = self.removed[0]
        return wanted.example, target


@dataclass(frozen=True, kw_only=True)
class _Goal:
    """Questions (fully qualified) that have to reach the target, and the rule that would do it.

    ``general`` says that the rule is for more names than these, so that another rule that does for them is not enough.
    """

    names: tuple[str, ...]
    target: str
    line: str
    block: ServerBlock
    general: bool
    rule: Rule = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule", rule_of(self.line))

    def is_same(self, rule: Rule) -> bool:
        return rule.known and rule.key == self.rule.key

    def is_about(self, rule: Rule) -> bool:
        """Whether ``rule`` is for the same names, wherever it leads them."""
        if rule.kind != "name" or not rule.known:
            return False
        if rule.match == "exact":
            return not self.general and rule.source in self.names
        return (rule.match, rule.source) == (self.rule.match, self.rule.source)


class Draft:
    """A Corefile that is being edited, one rewrite after the other."""

    def __init__(self, text: str, where: str, port: int) -> None:
        self.text = text
        self.notes: list[str] = []
        self.added: list[str] = []
        self._where = where
        self._port = port
        self.servers = Servers(parse(text, where=where), where=where, port=port)

    def _edit(self, edits: Iterable[Edit]) -> None:
        text = apply_edits(self.text, edits)
        if text != self.text:
            self.text = text
            self.servers = Servers(parse(text, where=self._where), where=self._where, port=self._port)

    # Adding

    def add(self, wanted: Rewrite, ours: Sequence[tuple[str, ...]]) -> Planned:
        """Put in what is missing. ``ours`` are the rules of other rewrites: they may catch the name behind this one."""
        servers = self.servers
        target = wanted.answered.removesuffix(".")
        block, zone = servers.home(wanted.asked)
        domain = servers.domain(block, target)
        servers.refuse_other_answers(block, [wanted.asked, wanted.answered])
        goals = [self._goal(wanted, block)]
        pods_block, _zone = servers.longest_match(expanded_name(wanted.example, domain)) or (None, "")
        autopath = pods_block is not None and servers.has_autopath(pods_block, domain)
        if pods_block and autopath:
            servers.domain(pods_block, target)
            servers.refuse_other_answers(pods_block, [wanted.answered])
            goals += self._expanded_goal(wanted, domain, pods_block)
        if wanted.match != "exact":
            self._see_other_zones(wanted, block, domain)
        self._note_imports(block)
        found = [self._found(goal, ours) for goal in goals]
        self._refuse_rewritten_target(wanted)
        missing = [goal for goal, rule in zip(goals, found, strict=True) if rule is None]
        self.added += [goal.line for goal in missing]
        self._edit(self._insertions(missing))
        return Planned(
            rewrite=wanted,
            zone=zone,
            rules=tuple(rule or goal.line for goal, rule in zip(goals, found, strict=True)),
            autopath=autopath,
            cluster_domain=domain,
        )

    def _goal(self, wanted: Rewrite, block: ServerBlock) -> _Goal:
        general = wanted.match != "exact"
        return _Goal(names=(wanted.asked,), target=wanted.answered, line=wanted.line, block=block, general=general)

    def _expanded_goal(self, wanted: Rewrite, domain: str, block: ServerBlock) -> list[_Goal]:
        """The rule for the name as pods expand it; none where the rule for the bare name does for both."""
        names = tuple(expanded_name(wanted.example, domain, namespace) for namespace in NAMESPACES)
        if all(walk([wanted.rule], name).name == wanted.answered for name in names):
            return []
        line = expanded_line(wanted, domain)
        if line is None:
            raise self.servers.conflict(
                f"autopath looks up what is behind the search domain itself, where match {wanted.match} does not reach",
                block.named("autopath")[0].line,
                r"Use match exact or suffix, or a pattern that ends with \.$, or take autopath out",
            )
        return [_Goal(names=names, target=wanted.answered, line=line, block=block, general=wanted.match != "exact")]

    def _refuse_rewritten_target(self, wanted: Rewrite) -> None:
        home = self.servers.longest_match(wanted.answered)
        outcome = walk(self.servers.rules(home[0]), wanted.answered) if home else None
        if outcome and outcome.rule and outcome.name != wanted.answered:
            loop = ", which is a loop" if outcome.name == wanted.asked else ""
            raise self.servers.conflict(
                f"'{outcome.rule.directive.source}' sends the target {wanted.answered} on to {outcome.name}{loop}",
                outcome.rule.directive.line,
                "Remove that rule, or give the name in whose address it is to end",
            )

    def _see_other_zones(self, wanted: Rewrite, home: ServerBlock, domain: str) -> None:
        for block, zone in self.servers.taking(wanted.rule, but=home, domain=domain):
            if wanted.match == "suffix":
                raise self.servers.conflict(
                    f"names in {zone} end with {wanted.name} too, but this server block answers them, without the rule",
                    block.line,
                    "Give suffixes that leave this zone out, or one more rewrite for it",
                )
            self.notes.append(
                f"{self._where}, line {block.line}: this server block answers names in {zone} that the {wanted.match} "
                f"rule would catch too"
            )

    def _note_imports(self, block: ServerBlock) -> None:
        lines = [*(directive.line for directive in block.named("import")), *self.servers.corefile.imports]
        self.notes += [
            f"{self._where}, line {line}: rules of files imported there are not looked at" for line in sorted(lines)
        ]

    def _found(self, goal: _Goal, ours: Sequence[tuple[str, ...]]) -> str | None:
        """The rule that reaches the goal already, None where there is none; Conflict where one leads elsewhere."""
        rules = self.servers.rules(goal.block)
        self._refuse_other_target(rules, goal)
        outcomes = [(name, walk(rules, name)) for name in goal.names]
        for name, outcome in outcomes:
            rule = outcome.rule
            if rule is None or outcome.name == name or rule.key in ours:
                continue
            if outcome.name != goal.target:
                raise self.servers.conflict(
                    f"'{rule.directive.source}' sends {name} to {outcome.name}, not to {goal.target.removesuffix('.')}",
                    rule.directive.line,
                    f"Remove or narrow that rule, or put '{goal.line}' before it yourself",
                )
            if not outcome.answers:
                raise self.servers.conflict(
                    f"'{rule.directive.source}' sends {name} to {goal.target}, but clients throw such answers away",
                    rule.directive.line,
                    "Put 'answer auto' at its end",
                )
        decided = outcomes[0][1].rule
        reached = all(outcome.name == goal.target for _name, outcome in outcomes)
        if decided and reached and (not goal.general or goal.is_same(decided)):
            return decided.directive.source
        self._refuse_unreached(rules, goal)
        return None

    def _refuse_other_target(self, rules: Iterable[Rule], goal: _Goal) -> None:
        for rule in rules:
            leads = goal.target if rule.match == "exact" else goal.rule.target
            if rule.stop and goal.is_about(rule) and rule.target != leads:
                raise self.servers.conflict(
                    f"'{rule.directive.source}' sends {rule.source} to {rule.target}, not to {leads.removesuffix('.')}",
                    rule.directive.line,
                    "Remove it first (state absent does), if the new target is the right one",
                )

    def _refuse_unreached(self, rules: Sequence[Rule], goal: _Goal) -> None:
        """A second rule for the name would leave the first behind for ever, so its reader decides."""
        for index, rule in enumerate(rules):
            if not goal.is_about(rule):
                continue
            asked = rule.source if rule.match == "exact" else goal.names[0]
            barrier = next((other for other in rules[:index] if other.may_keep_from(asked)), None)
            if barrier:
                raise self.servers.conflict(
                    f"'{rule.directive.source}' is never reached: line {barrier.directive.line} stops before it",
                    rule.directive.line,
                    f"Move it before line {barrier.directive.line}",
                )

    # What to change

    def _insertions(self, goals: Sequence[_Goal]) -> list[Edit]:
        edits = []
        for block in {id(goal.block): goal.block for goal in goals}.values():
            here = [goal for goal in goals if goal.block is block]
            anchor, before = self._anchor(block, [name for goal in here for name in goal.names])
            lines = [goal.line for goal in here]
            edit = self.servers.corefile.insert(lines, beside=anchor, before=before, block=block)
            if edit is None:
                raise self.servers.conflict(
                    f"there is no room for a line before '{anchor.source}'",
                    anchor.line,
                    "Put that statement on a line of its own",
                )
            edits.append(edit)
        return edits

    def _anchor(self, block: ServerBlock, names: Sequence[str]) -> tuple[Directive, bool]:
        """The statement beside which a rule takes effect, and whether it has to stand before it."""
        for rule in self.servers.rules(block):
            if any(rule.may_keep_from(name) for name in names):
                return rule.directive, True
        neighbours = block.named("rewrite") or block.named("kubernetes")
        return neighbours[-1], False

    def prove(self, wanted: Rewrite, planned: Planned) -> None:
        """Read the new text as CoreDNS will: an edit that does not do what it is for must not leave here."""
        names = [wanted.asked]
        if planned.autopath:
            names += [expanded_name(wanted.example, planned.cluster_domain, namespace) for namespace in NAMESPACES]
        for name in names:
            block, _zone = self.servers.home(name)
            outcome = walk(self.servers.rules(block), name)
            if outcome.name != wanted.answered or not outcome.answers:
                raise Conflict(f"a rewrite of {name} takes no effect in this file", where=self._where)

    def refuse_version(self, version: tuple[int, ...] | None) -> None:
        line = next((line for line in self.added if line.endswith("answer auto")), None)
        if line and version and version < ANSWER_AUTO:
            raise Conflict(
                f"CoreDNS {'.'.join(map(str, version))} does not know 'answer auto', which '{line}' needs",
                where=self._where,
                cure="Use 1.8.4 or newer, or match exact, one for each name, without autopath",
            )

    # Taking out

    def take_out(self, wanted: Rewrite) -> tuple[Planned, list[str]]:
        """Without the rules that are for these very names; what becomes of it, and the statements that go."""
        block, zone, domain = self.servers.domain_if_any(wanted.asked or fqdn(DEFAULT_DOMAIN))
        domains = self.servers.domains()
        targets = {rule.target for rule in [wanted.rule, *_expanded_rules(wanted, domains)]}
        ours = [
            rule
            for rule in self._name_rules()
            if (wanted.asks_for(rule) or is_expanded(wanted, rule, domains))
            and (rule.target in targets or not wanted.target)
        ]
        planned = Planned(
            rewrite=wanted,
            zone=zone if wanted.asked else "",
            removed=tuple(dict.fromkeys(rule.target.removesuffix(".") for rule in ours)),
            autopath=block is not None and self.servers.has_autopath(block, domain),
            cluster_domain=domain,
        )
        return planned, self._remove(ours)

    def take_out_others(self, wanted: Iterable[Rewrite]) -> list[str]:
        """Without rewrites of names that are not exactly what is wanted; the statements that go."""
        domains = self.servers.domains()
        present = [each for each in wanted if each.present]
        kept = {rule.key for each in present for rule in [each.rule, *_expanded_rules(each, domains)]}
        return self._remove([rule for rule in self._name_rules() if rule.key not in kept])

    def _name_rules(self) -> list[Rule]:
        return [
            rule
            for block in self.servers.asked()
            for directive in block.named("rewrite")
            if isinstance(rule := read_rule(directive), Rule) and rule.kind == "name"
        ]

    def _remove(self, rules: Iterable[Rule]) -> list[str]:
        """Take the statements of these rules out; what they are."""
        directives = [rule.directive for rule in rules]
        for directive in directives:
            if directive.imported:
                raise self.servers.conflict(
                    f"'{directive.source}' stands in a snippet that other server blocks may import",
                    directive.line,
                    "Take it out of the snippet by hand",
                )
        self._edit({self.servers.corefile.remove(directive) for directive in directives})
        return [directive.source for directive in directives]


def _expanded_rules(wanted: Rewrite, domains: Iterable[str]) -> list[Rule]:
    return [rule_of(line) for domain in domains if (line := expanded_line(wanted, domain))]
