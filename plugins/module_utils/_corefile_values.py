# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: rewrites in a file of a repository: a Corefile, a ConfigMap with one, or values of the CoreDNS chart.

The chart's ``servers[].plugins[]`` are written out as the chart does it, planned as any Corefile, and what that adds or
takes away is done to the items of the list; every other line of the file stays.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, replace

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import parse
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan, plan_rewrites
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_block import block_content, with_block_content
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import (
    Tree,
    compose,
    last_line,
    load_all,
    render,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import Rewrite

__all__ = ["corefile_of", "plan_source"]

# Values of their own, in Flux's and in Argo CD's resources.
_SERVERS = (("servers",), ("spec", "values", "servers"), ("spec", "source", "helm", "valuesObject", "servers"))
_CONFIG_MAP = ("data", "Corefile")
_SUBSTITUTED = re.compile(r"\$\{(\w+)[^}]*\}")


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A Corefile in a stream of YAML: the node that holds it, and for a chart's values the same as data."""

    node: yaml.Node
    servers: list[Tree] | None = None


def plan_source(
    *,
    text: str,
    path: str,
    wanted: Sequence[Rewrite],
    exact: bool = False,
    version: tuple[int, ...] | None = None,
    port: int,
) -> RewritePlan:
    """As ``plan_rewrites``, for the text of the file ``path``, which is YAML where its name says so."""

    def plan(corefile: str, where: str) -> RewritePlan:
        return plan_rewrites(text=corefile, wanted=wanted, exact=exact, version=version, where=where, port=port)

    if not path.endswith((".yaml", ".yml")):
        return plan(text, path)
    place = _only_place(text, path)
    if place.servers is None:
        content = block_content(text, place.node)
        if content is None:
            raise Conflict(
                "the Corefile is no literal block (|)", where=path, cure="Write it as one, or edit it by hand"
            )
        planned = plan(content, f"{path}, Corefile")
        after = with_block_content(text, place.node, planned.after) if planned.changes else text
    else:
        planned = plan(corefile_of(place.servers), f"{path}, written out as a Corefile")
        after = _with_plugins(text, place.node, planned, path) if planned.changes else text
    return replace(planned, before=text, after=after)


def corefile_of(servers: Sequence[Tree]) -> str:
    """What the CoreDNS chart makes of its value ``servers``. What Flux will substitute is an unknown to CoreDNS too."""
    return _SUBSTITUTED.sub(r"{$\1}", "".join(_server(server) for server in servers))


def _server(server: Tree) -> str:
    zones = [f"{zone.get('scheme') or ''}{zone.get('zone') or '.'}" for zone in server.get("zones") or []]
    port = f":{server['port']}" if server.get("port") else ""
    plugins = "".join(_plugin(plugin) for plugin in server.get("plugins") or [])
    return f"{' '.join(zones) or '.'}{port} {{\n{plugins}}}\n"


def _plugin(plugin: Tree) -> str:
    parameters = f" {plugin['parameters']}" if plugin.get("parameters") else ""
    block = f" {{\n{plugin['configBlock']}\n}}" if plugin.get("configBlock") else ""
    return f"{plugin['name']}{parameters}{block}\n"


def _only_place(text: str, path: str) -> _Place:
    places = list(_places(text))
    if len(places) != 1:
        problem = f"it holds {len(places)} Corefiles" if places else "it holds no Corefile"
        raise BadInput(
            problem, where=path, cure="Give a file with one: data.Corefile, or servers of the CoreDNS chart's values"
        )
    return places[0]


def _places(text: str) -> Iterator[_Place]:
    for root, data in zip(compose(text), load_all(text), strict=True):
        corefile = _at(root, _CONFIG_MAP)
        if corefile is not None:
            yield _Place(node=corefile)
        for keys in _SERVERS:
            node, servers = _at(root, keys), data
            for key in keys:
                servers = servers.get(key) if isinstance(servers, dict) else None
            if node and _are_servers(servers):
                yield _Place(node=node, servers=servers)


def _are_servers(value: Tree) -> bool:
    """Whether the chart could make a Corefile of it."""
    return isinstance(value, list) and all(
        isinstance(server, dict)
        and _are_mappings(server.get("zones"))
        and _are_mappings(server.get("plugins"))
        and all(isinstance(plugin.get("name"), str) for plugin in server.get("plugins") or [])
        for server in value
    )


def _are_mappings(value: Tree) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, dict) for item in value))


def _at(node: yaml.Node | None, keys: Sequence[str]) -> yaml.Node | None:
    for key in keys:
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for name, value in node.value if name.value == key), None)
    return node


def _with_plugins(text: str, servers: yaml.Node, planned: RewritePlan, path: str) -> str:
    """``text`` with items added to and taken out of the lists of plugins, as the plan does it to their statements."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    blocks = list(zip(parse(planned.before).blocks, parse(planned.after).blocks, strict=True))
    if len(blocks) != len(servers.value):
        raise Conflict("a configBlock ends its server block", where=path, cure="Correct it, or edit it by hand")
    for (before, after), server in reversed(list(zip(blocks, servers.value, strict=True))):
        items = _at(server, ("plugins",))
        old, new = ([directive.source for directive in block.directives] for block in (before, after))
        if old == new:
            continue
        if not isinstance(items, yaml.SequenceNode) or items.flow_style or len(items.value) != len(old):
            raise Conflict("plugins are no list that can be edited in place", where=path, cure="Edit it by hand")
        for start, end, sources in reversed(_changes(old, new)):
            first = items.value[start] if start < len(items.value) else None
            at = last_line(items.value[start - 1], text) + 1 if start else items.value[0].start_mark.line
            if end > start and first:
                at = first.start_mark.line
            until = last_line(items.value[end - 1], text) + 1 if end > start else at
            lines[at:until] = [_item(source, lines[items.value[0].start_mark.line]) for source in sources]
    edited = "".join(lines)
    edited = edited if text.endswith("\n") else edited.removesuffix("\n")
    if _meaning(corefile_of(_only_place(edited, path).servers or [])) != _meaning(planned.after):
        raise Conflict("the list of plugins cannot be edited in place", where=path, cure="Edit it by hand")
    return edited


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
