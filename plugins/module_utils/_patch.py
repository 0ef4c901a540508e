# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: one strategic merge patch of Talos: what it sets, and its text with other registry settings.

A patch holds a part of a configuration: some of ``machine.registries``, documents, or both. The planner of whole
configurations does the work; a patch without a v1alpha1 document gets one for that time. Everything that is not a
registry setting or a host entry must mean the same afterwards, or nothing is written.
"""

from __future__ import annotations

import copy
import re
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_nodes, _yaml_text
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import MachineConfig, make_plan
from ansible_collections.splithorizon.registry.plugins.module_utils._owned_lines import lost_line
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import (
    EXTRA_HOSTS,
    HOST_KIND,
    KINDS,
    V1ALPHA1,
    mapping,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import Settings

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import Plan, Version
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import Json
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import Wanted

__all__ = ["Patch", "PatchPlan", "located", "plan_patch"]

_OUR_KINDS = frozenset({HOST_KIND, *(kind.document for kind in KINDS.values())})
_NO_MAIN = "machine: {}\n"
_MAY_SET = re.compile("registries|extraHostEntries|" + "|".join(sorted(_OUR_KINDS)))


@dataclass(frozen=True, kw_only=True)
class Patch:
    """``nodes``: every node that gets it, as often as it does. ``fixed``: why it cannot be edited, if it cannot.

    ``file`` and ``line`` say where ``text`` begins; ``place`` is the path of its entry in a talconfig.yaml.
    ``operations``: the paths that a JSON patch (RFC 6902) names, which is no strategic merge patch.
    """

    file: str
    text: str
    nodes: tuple[str, ...]
    line: int = 1
    place: _yaml_nodes.Path = ()
    fixed: str = ""
    operations: tuple[str, ...] = ()

    @cached_property
    def config(self) -> MachineConfig:
        """Conflict where the text cannot be read as a patch."""
        with located(self):
            try:
                return _config(self.text)
            except RegistryError as error:
                if not self.fixed:
                    raise
                raise Conflict(f"{self.fixed}, so what it sets cannot be known", where=error.where) from None

    @cached_property
    def settings(self) -> Settings:
        """What it sets; Conflict where that cannot be known."""
        if self.operations:
            return Settings()
        try:
            return self.config.effective
        except RegistryError:
            if not self.fixed or _MAY_SET.search(self.text):
                raise
            return Settings()

    def where(self, kind: str = "", key: str = "") -> str:
        """File and line of a setting, or of the patch."""
        found = next((line for line in _lines_of(self.text, kind, key)), 1) if kind else 1
        return f"{self.file} line {self.line + found - 1}"


@contextmanager
def located(patch: Patch) -> Iterator[None]:
    """Errors raised inside name the patch's file and line; a line number in them counts from the patch's first."""
    try:
        yield
    except RegistryError as error:
        if error.where.startswith(patch.file):
            raise
        line = re.fullmatch(r"line (\d+)", error.where)
        if line:
            where = f"{patch.file} line {patch.line + int(line[1]) - 1}"
        else:
            where = f"{patch.where()}{': ' if error.where else ''}{error.where}"
        raise type(error)(error.problem, where=where, cure=error.cure) from None


@dataclass(frozen=True, kw_only=True)
class PatchPlan:
    """``after`` is the patch's new text; empty where nothing is left in it."""

    patch: Patch
    plan: Plan
    after: str

    @property
    def changed(self) -> bool:
        return self.after != self.patch.text


def plan_patch(patch: Patch, wanted: Wanted, *, version: Version, layer: str) -> PatchPlan:
    """The patch with everything that is wanted of it; Conflict where its text does not allow that."""
    with located(patch):
        _refuse_deletions(patch.text)
        plan = make_plan(patch.config, wanted, version=version, layer=layer, placeholders=True)
        if patch.fixed and plan.changed:
            raise Conflict(patch.fixed, cure="Edit it by hand")
        if not plan.changed:
            return PatchPlan(patch=patch, plan=plan, after=patch.text)
        after = _text(patch.text, plan)
        by_hand = "Edit it by hand" if patch.text.endswith("\n") else "End the file with a newline, then run again"
        if lost := lost_line(patch.text, after, before_config=patch.config, after_config=plan.after):
            raise Conflict("an edit would write this line anew", where=f"line {lost}", cure=by_hand)
        if _rest(after) != _rest(patch.text):
            raise Conflict("an edit would change the meaning of something else", cure=by_hand)
    return PatchPlan(patch=patch, plan=plan, after=after)


def _config(text: str) -> MachineConfig:
    documents = [mapping(data) for data in _yaml_nodes.load_all(text)]
    mains = [data for data in documents if data and "kind" not in data]
    if len(mains) > 1:
        raise Conflict("holds more than one v1alpha1 document", cure="Join them into one")
    if mains:
        return MachineConfig.parse(text)
    ended = text if not text or text.endswith("\n") else text + "\n"
    # Comments alone are the beginning of the new document; other documents stay before it.
    return MachineConfig.parse(ended + ("---\n" if any(documents) else "") + _NO_MAIN)


def _text(before: str, plan: Plan) -> str:
    """The planned text without what the planner only needed, and ending as the text before did."""
    documents = [document.text for document in plan.after.documents]
    index = next(i for i, document in enumerate(plan.after.documents) if document.is_main)
    of_patch = [data for data in _yaml_nodes.load_all(before) if data]
    if all("kind" in data for data in of_patch) and documents[index].endswith(_NO_MAIN):
        documents[index] = documents[index].removesuffix(_NO_MAIN).removesuffix("---\n" if of_patch else "")
    elif plan.before.main.get("machine") and not plan.after.main.get("machine"):
        documents[index] = _yaml_text.edit(documents[index], ("machine",), _yaml_text.DELETE, keep_top_level=False)
        if documents[index].strip() == "---":
            del documents[index]
    after = "".join(documents)
    return after if before.endswith("\n") or not before else after.removesuffix("\n")


def _refuse_deletions(text: str) -> None:
    """A patch that deletes settings says what a configuration must not have: no place to write settings to."""
    if "$patch" not in text:
        return
    documents = _yaml_nodes.load_all(text)
    for path, _, line in _yaml_nodes.walk(text):
        if path[-1] == "$patch" and _is_about_ours(path[1:-1], mapping(documents[t.cast("int", path[0])])):
            problem = "a $patch here deletes registry settings or hosts of the configuration"
            raise Conflict(problem, where=f"line {line}", cure="Take it out, or give another patch")


def _is_about_ours(path: _yaml_nodes.Path, document: Json) -> bool:
    if "kind" in document:
        return document["kind"] in _OUR_KINDS
    ours = (("machine", "registries"), EXTRA_HOSTS)
    return any(path[: len(one)] == one[: len(path)] for one in ours)


def _rest(text: str) -> list[Json]:
    """The meaning of all that is not ours, without what is empty."""
    rest = []
    for data in _yaml_nodes.load_all(text):
        if isinstance(data, dict) and data.get("apiVersion") == V1ALPHA1 and data.get("kind") in _OUR_KINDS:
            continue
        kept = copy.deepcopy(data)
        if isinstance(kept, dict) and "kind" not in kept:
            for path in (("machine", "registries", "mirrors"), ("machine", "registries", "config"), EXTRA_HOSTS):
                _drop(kept, path)
        if kept:
            rest.append(kept)
    return rest


def _drop(tree: Json, path: tuple[str, ...]) -> None:
    if path[0] not in tree:
        return
    if len(path) > 1 and isinstance(tree[path[0]], dict):
        _drop(tree[path[0]], path[1:])
    if len(path) == 1 or not tree[path[0]]:
        del tree[path[0]]


def _lines_of(text: str, kind: str, key: str) -> Iterator[int]:
    """The lines where a setting (or, with the kind ``hosts``, an address or a name) stands, counted from 1."""
    spec = KINDS.get(kind)
    document = spec.document if spec else HOST_KIND
    kinds = {path[0]: node.value for path, node, _ in _yaml_nodes.walk(text) if path[1:] == ("kind",)}
    for path, node, line in _yaml_nodes.walk(text):
        own = kinds.get(path[0]) == document and getattr(node, "value", None) == key
        host = not spec and path[1:4] == EXTRA_HOSTS and getattr(node, "value", None) == key
        if own or host or (spec and path[1:] == spec.path(key)):
            yield line
