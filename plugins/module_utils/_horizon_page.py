# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Report: what pods, nodes and the outside get for a name, drawn for a terminal and as a Markdown page."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import HOSTS_FILE

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import Horizons, Lookup, NodeView
    from ansible_collections.splithorizon.registry.plugins.module_utils._horizon_verdict import Verdict

__all__ = ["drawing", "page"]

SAID = {
    "split": "split horizon holds",
    "single": "no split horizon: pods get what the outside gets",
    "broken": "split horizon does not hold",
}
NOTHING = "-"


def drawing(seen: Horizons, verdict: Verdict) -> list[str]:
    """A tree of a few lines: who gets the same by the same is on one line."""
    rows = [*_grouped("pods", _pods(seen)), *_grouped("nodes", _nodes(seen)), *_outside(seen)]
    width = max((len(gets) for _who, gets, _by in rows), default=0)
    lines = [f"{who:<7}  {gets:<{width}}  {by}".rstrip() for who, gets, by in rows]
    return [
        seen.name,
        *(f"├─ {line}" for line in lines[:-1]),
        *(f"└─ {line}" for line in lines[-1:]),
        SAID[verdict.verdict],
    ]


def page(seen: Horizons, verdict: Verdict) -> str:
    """A Markdown page: the drawing, what was asked and answered question by question, and why."""
    rows = [
        *([f"pod {pod.pod}", *_cells(lookup)] for pod in seen.pods for lookup in pod.lookups),
        *([f"pod {pod.pod}", pod.problem, "", ""] for pod in seen.pods if pod.problem),
        *([f"node {node.node}", *cells] for node in seen.nodes for cells in _node_cells(node)),
        *([f"outside, {server.address}", *_cells(server.lookup)] for server in (seen.outside,) if server),
    ]
    blocks = [
        [f"## {seen.name}"],
        ["```text", *drawing(seen, verdict), "```"],
        _table(("who", "asked for", "A", "AAAA"), rows),
        [f"- {reason}" for reason in verdict.reasons],
        [f"- Note: {note}" for note in verdict.notes],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _grouped(who: str, answers: Iterable[tuple[str, str]]) -> list[tuple[str, str, str]]:
    groups: dict[str, list[str]] = {}
    for gets, by in answers:
        groups.setdefault(gets, []).append(by)
    return [(who, gets, ", ".join(names)) for gets, names in groups.items()]


def _pods(seen: Horizons) -> Iterable[tuple[str, str]]:
    for pod in seen.pods:
        gets = sorted({lookup.addresses for lookup in pod.lookups if lookup.addresses})
        yield " or ".join(map(_list, gets)) or NOTHING, f"{pod.pod} on {pod.node}" if pod.node else pod.pod


def _nodes(seen: Horizons) -> Iterable[tuple[str, str]]:
    for node in seen.nodes:
        yield _list(node.gets) or NOTHING, f"{node.node} by {node.by}" if node.by else node.node


def _outside(seen: Horizons) -> list[tuple[str, str, str]]:
    if seen.outside is None:
        return []
    return [("outside", _list(seen.outside.lookup.addresses) or NOTHING, f"by {seen.outside.address}")]


def _node_cells(node: NodeView) -> Iterable[list[str]]:
    if node.problem:
        yield [node.problem, "", ""]
    if node.hosts:
        v4, v6 = ([ip for ip in node.hosts if (":" in ip) is is_v6] for is_v6 in (False, True))
        yield [HOSTS_FILE, _list(v4) or NOTHING, _list(v6) or NOTHING]
    for server in node.resolvers:
        name, *cells = _cells(server.lookup)
        yield [f"{name} of {server.address}", *cells]


def _cells(lookup: Lookup) -> list[str]:
    if not lookup.addresses:
        return [lookup.name, lookup.nothing, ""]
    return [lookup.name, _list(lookup.a) or NOTHING, _list(lookup.aaaa) or NOTHING]


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines]


def _list(addresses: Iterable[str]) -> str:
    return ", ".join(addresses)
