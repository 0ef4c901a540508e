# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: a file of a Git repository, those it refers to, and what is wanted → their new texts, and why.

Four kinds are known: a machine configuration, a strategic merge patch, talhelper's talconfig.yaml and topf.yaml with
its patch folders. Any other file, and what cannot be edited safely, is an error that names file and line.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._config_kind import (
    JSON_PATCH,
    TALHELPER,
    TOPF,
    recognise,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._patch import Patch
from ansible_collections.splithorizon.registry.plugins.module_utils._patch_plan import plan_patches
from ansible_collections.splithorizon.registry.plugins.module_utils._placeholders import (
    escaped,
    refuse_encoded_placeholders,
    refuse_new_secrets,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._talhelper import Talconfig
from ansible_collections.splithorizon.registry.plugins.module_utils._topf import Topf

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._patch import PatchPlan
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import Json
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import Wanted
    from ansible_collections.splithorizon.registry.plugins.module_utils._talhelper import Members
    from ansible_collections.splithorizon.registry.plugins.module_utils._talos_version import Version

__all__ = ["ALL", "FilePlan", "plan_file", "referred"]

ALL: t.Final = "all"


@dataclass(frozen=True, kw_only=True)
class FilePlan:
    """``after``: path → new text of every file that changes, None for one that goes. ``reasons`` hold no secret.

    ``views``: path → (what differs in it before, after), secrets replaced.
    """

    kind: str
    version: Version | None
    after: Mapping[str, str | None]
    reasons: tuple[str, ...]
    views: Mapping[str, tuple[Json, Json]]


class _Source(t.Protocol):
    """A file as patches, whoever reads them."""

    @property
    def version(self) -> Version | None: ...
    @property
    def members(self) -> Members: ...
    def patches(self) -> list[Patch]: ...
    def new_patch(self, whom: str) -> Patch: ...
    def texts(self, plans: Sequence[PatchPlan], whom: str) -> dict[str, str | None]: ...


@dataclass(frozen=True, kw_only=True)
class _Plain:
    """One configuration or patch, whose nodes are not known."""

    patch: Patch
    version: Version | None = None

    @property
    def members(self) -> Members:
        return dict.fromkeys(self.patch.nodes, True)

    def patches(self) -> list[Patch]:
        return [self.patch]

    def new_patch(self, whom: str) -> Patch:
        if whom != ALL:
            cure = "It is for talconfig.yaml and topf.yaml"
            raise BadInput("this file does not say which nodes there are", where="applies_to", cure=cure)
        return self.patch

    def texts(self, plans: Sequence[PatchPlan], whom: str) -> dict[str, str | None]:
        return {plan.patch.file: plan.after for plan in plans if plan.changed}


def referred(file: str, text: str) -> tuple[list[str], list[str]]:
    """(the files, the folders of patch files) that must be read for ``plan_file`` too."""
    kind = recognise(file, text)
    if kind == TALHELPER:
        return Talconfig(file=file, text=text, files={}).references(), []
    return [], Topf(file=file, text=text, files={}).folders() if kind == TOPF else []


def plan_file(
    file: str,
    files: Mapping[str, str | None],
    wanted: Wanted,
    *,
    applies_to: str = ALL,
    version: Version | None = None,
    layer: str = "auto",
    allow_plaintext_secrets: bool = False,
    substituted: bool = False,
) -> FilePlan:
    """What ``file`` and those it refers to become so that all that is wanted holds.

    ``files``: the texts by path, ``file`` among them, None for one that is not there. ``version``: of the nodes'
    Talos; without it, what the file says. ``substituted``: envsubst runs over the file.
    """
    kind = recognise(file, files[file] or "")
    source = _source(kind, file, files)
    version = version or source.version
    plans = plan_patches(
        source.patches(),
        escaped(wanted) if substituted or kind == TALHELPER else wanted,
        nodes=_nodes(source.members, applies_to),
        new=source.new_patch(applies_to),
        version=version,
        layer=layer,
    )
    for plan in plans:
        before, after = plan.plan.before, plan.plan.after
        refuse_encoded_placeholders(after.in_v1alpha1, where=plan.patch.where())
        if not allow_plaintext_secrets:
            refuse_new_secrets(before.effective, after.effective, where=plan.patch.where())
    return FilePlan(
        kind=kind,
        version=version,
        after=source.texts([plan for plan in plans if plan.changed], applies_to),
        reasons=tuple(f"{plan.patch.file}: {reason}" for plan in plans for reason in plan.plan.reasons),
        views=_views([plan for plan in plans if plan.changed]),
    )


def _source(kind: str, file: str, files: Mapping[str, str | None]) -> _Source:
    text = files[file] or ""
    if kind == JSON_PATCH:
        raise Conflict("a JSON patch (RFC 6902)", where=f"{file} line 1", cure="Make it a strategic merge patch")
    if kind == TALHELPER:
        return Talconfig(file=file, text=text, files=files)
    if kind == TOPF:
        return Topf(file=file, text=text, files=files)
    return _Plain(patch=Patch(file=file, text=text, nodes=("every node",)))


def _nodes(members: Members, applies_to: str) -> list[str]:
    groups = {
        ALL: list(members),
        "controlplane": [name for name, is_control_plane in members.items() if is_control_plane],
        "worker": [name for name, is_control_plane in members.items() if not is_control_plane],
    }
    nodes = groups.get(applies_to, [applies_to] if applies_to in members else [])
    if not nodes:
        cure = f"The file has {', '.join(members)}"
        raise BadInput(f"{applies_to} is no node or group of nodes here", where="applies_to", cure=cure)
    return nodes


def _views(plans: Sequence[PatchPlan]) -> dict[str, tuple[Json, Json]]:
    views: dict[str, tuple[Json, Json]] = {}
    for plan in plans:
        before, after = plan.plan.views
        old, new = views.get(plan.patch.file, ({}, {}))
        # Two patches of one file may set the same: then both are told apart by their lines.
        label = f" (line {plan.patch.line})" if old.keys() & before.keys() or new.keys() & after.keys() else ""
        views[plan.patch.file] = (
            old | {f"{key}{label}": value for key, value in before.items()},
            new | {f"{key}{label}": value for key, value in after.items()},
        )
    return views
