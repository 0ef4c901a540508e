# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: the two places where a cluster keeps Harbor's settings: its ConfigMaps, or the HelmRelease that makes them."""

from __future__ import annotations

import typing as t

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotReady, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_files import Asked, plan_file
from ansible_collections.splithorizon.registry.plugins.module_utils._helm_release import (
    failure,
    find_release,
    merge_patch,
    refuse_suspended,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import wait_until

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import Plan, Values
    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_core import Found, HarborCore
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = ["InConfigMaps", "InRelease", "Need", "Way"]

# (verb, resource, namespace, name), for Cluster.may.
Need = tuple[str, str, str, str]


class Way(t.Protocol):
    """A change of Harbor's settings that is planned; ``before`` and ``after`` are ConfigMap → settings."""

    before: dict[str, Values]
    after: dict[str, Values]
    restarts: list[str]
    metadata: Json  # of the object that is written, by which its owner is known

    @property
    def changed(self) -> bool: ...
    def needs(self) -> list[Need]: ...
    def write(self) -> None: ...
    def unwrite(self) -> None: ...
    def restart(self, settings: dict[str, Values], *, wait: bool) -> None: ...


class InConfigMaps:
    """Both ConfigMaps are written, or none; the pods are ours to restart."""

    def __init__(self, harbor: HarborCore, found: Found, plan: Plan) -> None:
        self.before, self.after, self.changed = plan.before, plan.after, plan.changed
        self.restarts = [harbor.core, harbor.jobservice] if plan.changed else list(found.stale)
        self.metadata = found.core_map["metadata"]
        self._harbor = harbor
        self._found = found
        self._plan = plan

    def needs(self) -> list[Need]:
        namespace = self._harbor.namespace
        return [("patch", "configmaps", namespace, name) for name in self.before if self._plan.patch(name)]

    def write(self) -> None:
        """Write both, unless somebody else has written one of them since it was read."""
        written: list[str] = []
        for old in (self._found.core_map, self._found.jobservice_map):
            name, version = old["metadata"]["name"], old["metadata"]["resourceVersion"]
            if patch := self._plan.patch(name):
                try:
                    self._patch(name, {"metadata": {"resourceVersion": version}, "data": patch})
                except RegistryError:
                    self._unwrite(written)
                    raise
                written.append(name)

    def unwrite(self) -> None:
        self._unwrite(self.before)

    def restart(self, settings: dict[str, Values], *, wait: bool) -> None:
        """A ConfigMap that is patched restarts nothing by itself: one Deployment after the other."""
        self._harbor.restart(self.restarts, wait=wait)

    def _unwrite(self, names: Iterable[str]) -> None:
        for name in names:
            if patch := self._plan.patch(name, back=True):
                self._patch(name, {"data": patch})

    def _patch(self, name: str, body: Json) -> None:
        self._harbor.cluster.merge("v1", "ConfigMap", self._harbor.namespace, name, body)


class InRelease:
    """The HelmRelease is written; Flux brings it to the objects, and Helm restarts what the chart has it restart."""

    def __init__(self, harbor: HarborCore, found: Found, asked: Asked, *, name: str | None) -> None:
        place = (harbor.namespace, name) if name else harbor.release_of(found.core_map["metadata"])
        release = find_release(harbor.cluster, *place) if place else None
        if release is None or place is None:
            where = f"{harbor.namespace}/{name or harbor.core}"
            raise BadInput("no HelmRelease makes its objects", where=where, cure="Give helm_release or kind: ConfigMap")
        refuse_suspended(release)
        self.where = f"HelmRelease {place[0]}/{place[1]}"
        self._harbor = harbor
        self._release = release
        self.metadata = release["metadata"]
        document = {key: release[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": place[1]}}
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=2**30)
        plan = plan_file(self.where, {self.where: text}, asked)
        after = plan.after.get(self.where)
        self._spec = yaml.safe_load(after)["spec"] if after else release["spec"]
        self.before, self.after = plan.before, plan.then
        self.changed = self._spec != release["spec"]
        deployments = {name: name.removesuffix("-env") for name in self.before}
        differ = [name for name in self.before if found.effective.get(name) != self.after[name]]
        self.restarts = [deployments[name] for name in differ] or list(found.stale)

    def needs(self) -> list[Need]:
        if not self.changed:
            return []
        return [("patch", "helmreleases.helm.toolkit.fluxcd.io", self.metadata["namespace"], self.metadata["name"])]

    def write(self) -> None:
        metadata = self.metadata
        patch = merge_patch(self._release["spec"], self._spec)
        self._patch({"metadata": {"resourceVersion": metadata["resourceVersion"]}, "spec": patch})

    def unwrite(self) -> None:
        self._patch({"spec": merge_patch(self._spec, self._release["spec"])})

    def restart(self, settings: dict[str, Values], *, wait: bool) -> None:
        """Wait until Flux has brought the settings to the objects; restart what Helm did not."""
        if not wait:
            return

        def arrived() -> bool:
            return self._harbor.read().effective == settings

        try:
            wait_until(arrived, seconds=self._harbor.left(), what=f"Flux to apply {self.where}")
        except NotReady as error:
            namespace, name = self.metadata["namespace"], self.metadata["name"]
            cure = f"See its conditions; then flux reconcile helmrelease -n {namespace} {name} --force"
            raise NotReady(f"{error.problem}{self._told()}", where=self.where, cure=cure) from error
        self._harbor.wait_rolled_out()
        self._harbor.restart(self._harbor.read().stale, wait=True)

    def _told(self) -> str:
        metadata = self.metadata
        release = find_release(self._harbor.cluster, metadata["namespace"], metadata["name"])
        said = failure(release) if release else ""
        return f"; Flux says: {said}" if said else ""

    def _patch(self, body: Json) -> None:
        metadata = self.metadata
        self._harbor.cluster.merge(
            self._release["apiVersion"], "HelmRelease", metadata["namespace"], metadata["name"], body
        )
