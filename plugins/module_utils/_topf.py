# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the patch folders beside a ``topf.yaml``: which node gets which file.

topf applies ``all/``, then the role's folder (``control-plane/`` or ``worker/``), then ``node/<host>/``, each in
lexical order. (topf 0.4: docs/configuration-model.md, pkg/config/patches.go.)
"""

from __future__ import annotations

import posixpath
import re
import typing as t
from dataclasses import dataclass
from functools import cached_property

from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_nodes
from ansible_collections.splithorizon.registry.plugins.module_utils._config_kind import JSON_PATCH, recognise
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._patch import Patch
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import mapping
from ansible_collections.splithorizon.registry.plugins.module_utils._talhelper import talos_version

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._patch import PatchPlan
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import Json
    from ansible_collections.splithorizon.registry.plugins.module_utils._talhelper import Members
    from ansible_collections.splithorizon.registry.plugins.module_utils._talos_version import Version

__all__ = ["NEW_FILE", "Topf", "is_patch_name"]

# Where new settings go when no patch sets any yet: late, so that it is seen to be ours; no key of it is set before.
NEW_FILE: t.Final = "90-registries.yaml"

_CONTROL_PLANE = "control-plane"


def is_patch_name(name: str) -> bool:
    """Whether topf takes a file of this name as a patch."""
    return re.search(r"\.ya?ml(\.tpl)?", name) is not None


@dataclass(frozen=True, kw_only=True)
class Topf:
    """``files``: the text of every patch file, by path."""

    file: str
    text: str
    files: Mapping[str, str | None]

    @property
    def data(self) -> Json:
        return mapping(next(iter(_yaml_nodes.load_all(self.text)), None))

    @property
    def version(self) -> Version | None:
        return talos_version(self.data.get("talosVersion"))

    @property
    def members(self) -> Members:
        nodes = [mapping(node) for node in self.data.get("nodes") or ()]
        members = {str(node.get("host")): node.get("role") == _CONTROL_PLANE for node in nodes}
        if self.data.get("nodesProvider"):
            members |= {"control plane nodes of the nodesProvider": True, "workers of the nodesProvider": False}
        if not members:
            raise BadInput("it has no nodes", where=self.file)
        return members

    @property
    def folder(self) -> str:
        patches = str(self.data.get("patchesDir") or ".")
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.file), patches))

    def folders(self) -> list[str]:
        """Every folder that holds patches of a node."""
        return [self._folder_of(whom) for whom in ("all", "controlplane", "worker", *self.members)]

    def patches(self) -> list[Patch]:
        """Every patch file, in the order they are applied in, with the nodes that get it."""
        return self._patches

    @cached_property
    def _patches(self) -> list[Patch]:
        found: list[Patch] = []
        members = self.members
        groups = {
            "all": tuple(members),
            "controlplane": tuple(name for name, is_group in members.items() if is_group),
            "worker": tuple(name for name, is_group in members.items() if not is_group),
            **{name: (name,) for name in members},
        }
        for whom, nodes in groups.items():
            folder = self._folder_of(whom) + "/"
            found += [self._patch(file, nodes) for file in sorted(self.files) if file.startswith(folder)]
        return found

    def new_patch(self, whom: str) -> Patch:
        """A file of its own; ``whom``: ``all``, ``controlplane``, ``worker`` or a node's host."""
        file = posixpath.join(self._folder_of(whom), NEW_FILE)
        return next((patch for patch in self._patches if patch.file == file), Patch(file=file, text="", nodes=()))

    def texts(self, plans: Sequence[PatchPlan], whom: str) -> dict[str, str | None]:
        """Path → new text of every file that changes; one in which nothing is left goes."""
        return {
            plan.patch.file: (plan.after if plan.patch.text else plan.after.removeprefix("---\n")) or None
            for plan in plans
        }

    def _folder_of(self, whom: str) -> str:
        named = {"all": "all", "controlplane": _CONTROL_PLANE, "worker": "worker"}
        return posixpath.normpath(posixpath.join(self.folder, named.get(whom, f"node/{whom}")))

    def _patch(self, file: str, nodes: tuple[str, ...]) -> Patch:
        text = self.files[file] or ""
        try:
            fixed = "a JSON patch, which topf does not take" if recognise(file, text) == JSON_PATCH else ""
        except RegistryError as error:
            fixed = f"{error.problem} ({error.where.removeprefix(file).strip()})"
        return Patch(file=file, text=text, nodes=nodes, fixed=fixed)
