# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what pods, nodes and the outside get for one name → whether split horizon holds, and why not.

It holds where every CoreDNS replica leads the name to the same place inside by every search path, the outside leads it
elsewhere, and nodes get one of the two.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import HOSTS_FILE
from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import TALOS

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import Horizons, NodeView, PodView
    from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import Owner

__all__ = ["Verdict", "judge", "lost_rewrite"]

Json = dict[str, t.Any]
Word = t.Literal["split", "single", "broken"]

PUT_BACK = "ansible-playbook splithorizon.registry.dns"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """``split``: inside and outside differ as they should; ``single``: all get the same; ``broken``: neither."""

    verdict: Word
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return self.verdict == "split"

    @property
    def shown(self) -> Json:
        reasons, notes = list(self.reasons), list(self.notes)
        return {"verdict": self.verdict, "holds": self.holds, "reasons": reasons, "notes": notes}


def judge(seen: Horizons) -> Verdict:
    """Whether split horizon holds for the name. Who was not asked counts neither for nor against."""
    outside = seen.outside.lookup.addresses if seen.outside else ()
    pods = {pod.gets.addresses for pod in seen.pods}
    reasons = [*_of_pods(seen), *_of_outside(seen), *_of_nodes(seen, outside)]
    notes = [*_notes(seen)]
    single = bool(outside) and pods == {outside}
    if single:
        reasons.append(f"pods get what the outside gets: {_list(outside)}")
    if seen.unplanned:  # another plugin may answer all the same
        (reasons if reasons else notes).insert(0, seen.unplanned)
    if seen.lacks:
        reasons.insert(0, seen.lacks)
    verdict: Word = "single" if single else "broken" if reasons else "split"
    return Verdict(verdict=verdict, reasons=tuple(dict.fromkeys(reasons)), notes=tuple(notes))


def _of_pods(seen: Horizons) -> Iterable[str]:
    expected = seen.inside
    for pod in seen.pods:
        if pod.problem:
            yield f"{pod.pod}: {pod.problem}"
        elif not expected:
            yield f"{pod.pod}: {_no_address(seen, pod)}"
        else:
            if pod.target and pod.target.addresses != expected:
                yield f"{pod.pod}: {_list(pod.target.addresses)} for the target, not {_list(expected)} as elsewhere"
            yield from _strays(pod, expected)


def _no_address(seen: Horizons, pod: PodView) -> str:
    if seen.target:
        return f"no address for the target {seen.target} ({pod.target.nothing if pod.target else 'not asked'})"
    return f"no address for the name ({pod.gets.nothing})"


def _strays(pod: PodView, expected: tuple[str, ...]) -> Iterable[str]:
    """Search paths that lead past. One without an address leads on to the next, but the bare name must have one."""
    for lookup in pod.lookups:
        is_last = lookup is pod.lookups[-1]
        if lookup.addresses != expected and (lookup.addresses or is_last):
            yield f"{pod.pod}: {_list(lookup.addresses) or lookup.nothing} for {lookup.name}, not {_list(expected)}"
        elif lookup.denies_six:
            yield f"{pod.pod}: NXDOMAIN for the AAAA of {lookup.name}, not an empty answer"


def _of_outside(seen: Horizons) -> Iterable[str]:
    if seen.outside and not seen.outside.lookup.addresses:
        yield f"outside: {seen.outside.address} knows no address ({seen.outside.lookup.nothing})"


def _of_nodes(seen: Horizons, outside: tuple[str, ...]) -> Iterable[str]:
    for node in seen.nodes:
        if node.problem:
            yield f"node {node.node}: {node.problem}"
        elif not node.by:
            continue
        elif not node.gets:
            yield f"node {node.node}: no address ({node.nothing})"
        elif node.hosts and seen.outside and not _is_one_of(node.gets, seen.inside, outside):
            yield _third(node)


def _third(node: NodeView) -> str:
    return f"node {node.node}: {_list(node.gets)} by {node.by}, which neither pods nor the outside get"


def _is_one_of(found: tuple[str, ...], *horizons: tuple[str, ...]) -> bool:
    """A hosts file may have one family of two."""
    return any(horizon and set(found) <= set(horizon) for horizon in horizons)


def _notes(seen: Horizons) -> Iterable[str]:
    outside = seen.outside.lookup.addresses if seen.outside else ()
    for node in seen.nodes:
        # The resolver of the nodes' LAN may have an address of its own for the same gateway.
        if not node.hosts and node.gets and outside and not _is_one_of(node.gets, seen.inside, outside):
            yield _third(node)
        if node.resolvers and not node.by and not node.problem:
            servers = _list(each.address for each in node.resolvers)
            yield f"node {node.node}: what it gets is not known, its resolvers do not answer this machine ({servers})"
        if node.hosts and node.host_dns:
            yield f"node {node.node}: from Talos 1.14 on its host DNS answers with this entry of {HOSTS_FILE} too"


def lost_rewrite(*, where: str, lines: Sequence[str], owner: Owner) -> str:
    """What to tell of a Corefile without the rewrite's lines, whose ConfigMap has this owner."""
    quoted = " and ".join(f"'{line}'" for line in lines)
    lacking = f"{where} lacks {quoted}"
    if owner.title.startswith(TALOS):
        since = f" since {owner.written}" if owner.overwrote else ""
        own = f"the ConfigMap is Talos's own again{since}, as `talosctl upgrade-k8s` writes it"
        return f"the rewrite is gone: {own} ({lacking}). Cure: {PUT_BACK}"
    if owner.title:
        return f"{lacking}: it belongs to {owner.title} ({owner.evidence}). Cure: {owner.cure}; {PUT_BACK}"
    return f"{lacking}. Cure: {PUT_BACK}"


def _list(addresses: Iterable[str]) -> str:
    return ", ".join(addresses)
