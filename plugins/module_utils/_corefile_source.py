# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: rewrites where a Corefile comes from: a file of a repository, or a live object of its owner.

A file is a Corefile, or YAML that holds one or values of the CoreDNS chart. Only lines of the rewrites change.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace
from functools import partial

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._config_kind import sops_problem
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_custom import plan_custom
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_places import Form, Place, only_place
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_values import (
    node_at,
    plan_values,
    tree_at,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._node_local import plan_corefile
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_block import block_content, with_block_content
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import (
    Path,
    Tree,
    last_line,
    load_all,
    render,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_text import DELETE, edit

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import Asked

    Plan = Callable[[str, str], RewritePlan]

__all__ = ["ObjectSource", "plan_source"]

CUSTOM_KEY = "splithorizon.override"
# What k3s and AKS have beside much else, for their coredns-custom in a file without it.
_IMPORTING = ".:{port} {{\n  kubernetes {domain}\n  import custom/*.override\n}}\nimport custom/*.server\n"
# Of Jinja, makejinja and, on a line of its own, Go: what stands between is there only sometimes.
_STATEMENT = re.compile(r"\{%[-+ ]|[-+ ]%\}|#% | %#|^\s*\{\{-?\s*(?:if|else|end|range|with)\b", re.MULTILINE)


def plan_source(*, text: str, path: str, **asked: t.Unpack[Asked]) -> RewritePlan:
    """As ``plan_rewrites``, for the text of the file ``path``, which is YAML where its name says so."""
    plan: Plan = partial(_plan_corefile, asked)
    if not path.removesuffix(".j2").endswith((".yaml", ".yml")):
        _refuse_statements(text, 0, path)
        return plan(text, path)
    sops = sops_problem(text)
    if sops:
        raise Conflict(sops[0], where=f"{path}, line {sops[1]}", cure="Keep the values in a file of their own")
    place = only_place(load_all(text), path)
    if place.form is Form.IMPORTED:
        return _plan_imported(text, place.keys, path, asked)
    keys = (*place.keys, *place.servers) if place.form is Form.VALUES else place.keys
    node = t.cast("yaml.Node", node_at(text, keys))
    first, last = node.start_mark.line, last_line(node, text)
    _refuse_statements("".join(text.splitlines(keepends=True)[first : last + 1]), first, path)
    if place.form is Form.VALUES:
        return plan_values(text, keys, plan=plan, where=path)
    name = ".".join(map(str, place.keys[1:]))
    content = block_content(text, node)
    if content is None:
        raise Conflict(f"{name} is no literal block (|)", where=path, cure="Write it as one, or edit it by hand")
    planned = _plan_text(content, place, plan, f"{path}, {name}")
    after = with_block_content(text, node, planned.after) if planned.changes else text
    return replace(planned, before=text, after=after)


class ObjectSource:
    """The same in a live object that gives the CoreDNS chart its values. Shown is the text of the values."""

    def __init__(self, found: Tree, where: str) -> None:
        self._object = found
        place = only_place([found], where)
        if place.form is Form.IMPORTED:
            raise BadInput("it holds files that a Corefile imports", where=where, cure="Use custom_config_map for it")
        self.place = replace(place, keys=place.keys[1:])
        self.where = f"{where}, {'.'.join(map(str, self.place.keys))}"
        value = tree_at(found, self.place.keys)
        self.text = value if isinstance(value, str) else render(value)

    def plan(self, text: str, **asked: t.Unpack[Asked]) -> RewritePlan:
        """As ``plan_rewrites``; what the owner rolls out is for CoreDNS to read, whether it has ``reload`` or not."""
        plan: Plan = partial(_plan_corefile, asked)
        planned = _plan_text(text, self.place, plan, self.where)
        notes = [*planned.notes, *(self._notes() if planned.changes else [])]
        return replace(planned, reloads=True, notes=tuple(notes))

    def _notes(self) -> list[str]:
        """What keeps the owner from rolling a change out at once; Conflict where it would not do so at all."""
        spec = self._object.get("spec") or {}
        if spec.get("suspend"):
            metadata = self._object["metadata"]
            cure = f"flux resume helmrelease -n {metadata['namespace']} {metadata['name']}"
            raise Conflict("it is suspended: Flux would not roll a change out", where=self.where, cure=cure)
        by_hand = self._object["kind"] == "Application" and not (spec.get("syncPolicy") or {}).get("automated")
        return [f"{self.where}: Argo CD does not sync it by itself: sync it by hand"] if by_hand else []

    def patch(self, text: str) -> Tree:
        """The JSON merge patch that puts ``text`` in the place of the text of the values."""
        keys, value = self.place.keys, text
        if self.place.form is Form.VALUES:
            keys = (*keys, *self.place.servers)
            value = tree_at(yaml.safe_load(text), self.place.servers)
        return _patch(self._object, keys, value)


def _plan_corefile(asked: Asked, corefile: str, where: str) -> RewritePlan:
    return plan_corefile(text=corefile, where=where, **asked)


def _plan_text(text: str, place: Place, plan: Plan, where: str) -> RewritePlan:
    if place.form is Form.COREFILE:
        return plan(text, where)
    return plan_values(text, (0, *place.servers), plan=plan, where=where)


def _plan_imported(text: str, keys: Path, path: str, asked: Asked) -> RewritePlan:
    """``coredns-custom`` in a file, where nobody knows the Corefile that imports it: it is taken for a plain one."""
    files = tree_at(load_all(text), keys)
    domains = [each.target.partition(".svc.")[2] for each in asked["wanted"]]
    corefile = _IMPORTING.format(port=asked["port"], domain=next(filter(None, domains), "cluster.local"))
    planned = plan_custom(corefile=corefile, files=files, key=CUSTOM_KEY, where=path, **asked)
    node = node_at(text, (*keys, CUSTOM_KEY))
    if not planned.changes:
        after = text
    elif node and planned.after and block_content(text, node):
        after = with_block_content(text, node, planned.after)
    else:
        after = edit(text, (*keys[1:], CUSTOM_KEY), planned.after or DELETE)
    return replace(planned, before=text, after=after)


def _refuse_statements(text: str, first: int, path: str) -> None:
    found = _STATEMENT.search(text)
    if found:
        line = first + text.count("\n", 0, found.start()) + 1
        cure = "Edit it by hand, or give the file that the template makes"
        raise Conflict("statements of a template stand among its lines", where=f"{path}, line {line}", cure=cure)


def _patch(tree: Tree, keys: Path, value: Tree) -> Tree:
    """A merge patch; a list is sent whole, with the item changed."""
    if not keys:
        return value
    head, rest = keys[0], keys[1:]
    if isinstance(head, int):
        return [_merged(item, _patch(item, rest, value)) if at == head else item for at, item in enumerate(tree)]
    return {head: _patch(tree[head] if rest else None, rest, value)}


def _merged(tree: Tree, patch: Tree) -> Tree:
    if not isinstance(patch, dict):
        return patch
    return {**tree, **{key: _merged(tree.get(key), each) for key, each in patch.items()}}
