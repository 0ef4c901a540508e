# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: rewrites in values of the CoreDNS chart, as YAML text.

The chart's ``servers[].plugins[]`` are written out as the chart does it, planned as any Corefile, and what that adds or
takes away is done to the items of the list; every other line of the text stays.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import parse
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import (
    Path,
    Tree,
    compose,
    last_line,
    load_all,
    render,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan

    Plan = Callable[[str, str], RewritePlan]  # of a Corefile, which the second names in errors

__all__ = ["corefile_of", "node_at", "plan_values", "servers_in", "tree_at"]

_SUBSTITUTED = re.compile(r"\$\{(\w+)[^}]*\}")
# Of the chart itself, and of one that has it as its dependency.
_SERVERS: tuple[Path, ...] = (("servers",), ("coredns", "servers"))


def servers_in(values: Tree) -> Path | None:
    """Where in a chart's values the server blocks are, as the chart could make a Corefile of them."""
    return next((keys for keys in _SERVERS if _are_servers(tree_at(values, keys))), None)


def plan_values(text: str, keys: Path, *, plan: Plan, where: str) -> RewritePlan:
    """``plan`` for the Corefile that the chart makes of its values.

    ``keys`` lead to their ``servers``, the number of the document in ``text`` first.
    """
    planned = plan(corefile_of(_values(text, keys)), f"{where}, written out as a Corefile")
    return replace(planned, before=text, after=_edited(text, keys, planned, where) if planned.changes else text)


def corefile_of(values: Tree) -> str:
    """What the CoreDNS chart makes of its values. What Flux will substitute is an unknown to CoreDNS too."""
    extra = "".join(_statement(name, config or {}) for name, config in (values.get("extraConfig") or {}).items())
    return _SUBSTITUTED.sub(r"{$\1}", extra + "".join(_server(server) for server in values["servers"]))


def tree_at(tree: Tree, keys: Path) -> Tree:
    """What ``keys`` lead to; None where there is nothing."""
    for key in keys:
        if isinstance(key, int):
            tree = tree[key] if isinstance(tree, list) and key < len(tree) else None
        else:
            tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def node_at(text: str, keys: Path) -> yaml.Node | None:
    """The same as a node of the text, the number of its document first."""
    node: yaml.Node | None = compose(text)[t.cast("int", keys[0])]
    for key in keys[1:]:
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            node = node.value[key] if key < len(node.value) else None
        elif isinstance(node, yaml.MappingNode):
            node = next((value for name, value in node.value if name.value == key), None)
        else:
            return None
    return node


def _values(text: str, keys: Path) -> Tree:
    return tree_at(load_all(text), keys[:-1])


def _server(server: Tree) -> str:
    zones = [f"{zone.get('scheme') or ''}{zone.get('zone') or '.'}" for zone in server.get("zones") or []]
    port = f":{server['port']}" if server.get("port") else ""
    plugins = "".join(_statement(plugin["name"], plugin) for plugin in server.get("plugins") or [])
    return f"{' '.join(zones) or '.'}{port} {{\n{plugins}}}\n"


def _statement(name: str, plugin: Tree) -> str:
    parameters = f" {plugin['parameters']}" if plugin.get("parameters") else ""
    block = f" {{\n{plugin['configBlock']}\n}}" if plugin.get("configBlock") else ""
    return f"{name}{parameters}{block}\n"


def _are_servers(value: Tree) -> bool:
    return isinstance(value, list) and all(
        isinstance(server, dict)
        and _are_mappings(server.get("zones"))
        and _are_mappings(server.get("plugins"))
        and all(isinstance(plugin.get("name"), str) for plugin in server.get("plugins") or [])
        for server in value
    )


def _are_mappings(value: Tree) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, dict) for item in value))


def _edited(text: str, keys: Path, planned: RewritePlan, where: str) -> str:
    """``text`` with items added to and taken out of the lists of plugins, as the plan does it to their statements."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    servers = t.cast("yaml.Node", node_at(text, keys)).value
    blocks = list(zip(parse(planned.before).blocks, parse(planned.after).blocks, strict=True))
    if len(blocks) != len(servers):
        raise Conflict("a configBlock ends its server block", where=where, cure="Correct it, or edit it by hand")
    for number in reversed(range(len(servers))):
        old, new = ([directive.source for directive in block.directives] for block in blocks[number])
        if old == new:
            continue
        items = node_at(text, (*keys, number, "plugins"))
        if not isinstance(items, yaml.SequenceNode) or items.flow_style or len(items.value) != len(old):
            raise Conflict("plugins are no list that can be edited in place", where=where, cure="Edit it by hand")
        _edit_items(lines, items, _changes(old, new), text)
    edited = "".join(lines)
    edited = edited if text.endswith("\n") else edited.removesuffix("\n")
    if _meaning(corefile_of(_values(edited, keys))) != _meaning(planned.after):
        raise Conflict("the list of plugins cannot be edited in place", where=where, cure="Edit it by hand")
    return edited


def _edit_items(lines: list[str], items: yaml.Node, changes: Sequence[tuple[int, int, list[str]]], text: str) -> None:
    """Replace lines of ``items``, which were read from ``text``, last first."""
    for start, end, sources in reversed(changes):
        first = items.value[start] if start < len(items.value) else None
        at = last_line(items.value[start - 1], text) + 1 if start else items.value[0].start_mark.line
        if end > start and first:
            at = first.start_mark.line
        until = last_line(items.value[end - 1], text) + 1 if end > start else at
        lines[at:until] = [_item(source, lines[items.value[0].start_mark.line]) for source in sources]


def _changes(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int, list[str]]]:
    """What to put in the place of ``old[start:end]``, one statement taken out or some put in at a time."""
    changes: list[tuple[int, int, list[str]]] = []
    at = 0
    for source in new:
        while source in old[at:] and source != old[at]:
            changes.append((at, at + 1, []))
            at += 1
        if at < len(old) and source == old[at]:
            at += 1
        else:
            changes.append((at, at, [source]))
    return changes + [(index, index + 1, []) for index in range(at, len(old))]


def _item(source: str, neighbour: str) -> str:
    """A list item for a rewrite, at the column of its neighbour's first line."""
    indent = " " * neighbour.index("-")
    name, _space, parameters = source.partition(" ")
    body = render({"name": name, "parameters": parameters}).splitlines(keepends=True)
    return f"{indent}- {body[0]}" + "".join(f"{indent}  {line}" for line in body[1:])


def _meaning(corefile: str) -> list[list[str]]:
    return [[directive.source for directive in block.directives] for block in parse(corefile).blocks]
