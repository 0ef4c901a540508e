# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: the ConfigMaps that hold a Corefile, or what k3s and AKS import into theirs."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_custom import plan_custom
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    Conflict,
    RegistryError,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan, plan_rewrites

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import Rewrite

__all__ = ["Asked", "CorefileMap", "CustomMap", "home_of", "managed_by"]

WRITE_ATTEMPTS = 5

# Labels and annotations by which the usual owners of a ConfigMap are known.
_OWNERS = {
    "helm.toolkit.fluxcd.io/name": "Flux (HelmRelease)",
    "kustomize.toolkit.fluxcd.io/name": "Flux (Kustomization)",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "meta.helm.sh/release-name": "Helm",
    "objectset.rio.cattle.io/owner-name": "k3s",
    "config.k8s.io/owning-inventory": "Talos (talosctl upgrade-k8s)",
}


class Asked(t.TypedDict):
    """What planners are asked, beside the text."""

    wanted: Sequence[Rewrite]
    exact: bool
    version: tuple[int, ...] | None
    port: int


class CorefileMap:
    """The Corefile in a key of a ConfigMap."""

    def __init__(self, cluster: Cluster, *, namespace: str, name: str, key: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self.key = key
        self.where = f"ConfigMap {namespace}/{name}, key {key}"

    def plan(self, text: str, **asked: t.Unpack[Asked]) -> RewritePlan:
        """What is asked for, planned in the ``text`` that ``read`` gave."""
        return plan_rewrites(text=text, where=self.where, **asked)

    def read(self) -> tuple[str, Json]:
        """The Corefile and the metadata of its ConfigMap; BadInput where there is none."""
        found = self._cluster.get("v1", "ConfigMap", self._namespace, self._name)
        if found is None:
            raise BadInput(
                "there is no such ConfigMap", where=self.where, cure="Name the one that the CoreDNS pods mount"
            )
        text = (found.get("data") or {}).get(self.key)
        if text is None:
            keys = ", ".join(found.get("data") or {}) or "none"
            raise BadInput("there is no such key", where=self.where, cure=f"Its keys are: {keys}")
        return text, found["metadata"]

    def write(self, text: str, *, version: str | None) -> Json:
        """Put ``text`` in the place of the one read with resource version ``version``; gives the new metadata."""
        body = {"metadata": {"resourceVersion": version}, "data": {self.key: text}}
        written = self._cluster.merge("v1", "ConfigMap", self._namespace, self._name, body)
        return t.cast("Json", written["metadata"])

    def edit(self, plan: Callable[[str], RewritePlan]) -> tuple[RewritePlan, Json]:
        """Read, plan and write; from the start again, a bounded number of times, where somebody wrote in between."""
        for attempt in range(1, WRITE_ATTEMPTS + 1):
            text, metadata = self.read()
            planned = plan(text)
            if not planned.changes:
                return planned, metadata
            try:
                return planned, self.write(planned.after, version=metadata.get("resourceVersion"))
            except Conflict:
                if attempt == WRITE_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def put_back(self, plan: RewritePlan, written: Json) -> str:
        """Undo an edit; says in a sentence whether it worked."""
        try:
            self.write(plan.before, version=written["resourceVersion"])
        except RegistryError as error:
            return f"The old Corefile could not be put back: {error}"
        return "The old Corefile is back in place"


class CustomMap(CorefileMap):
    """A ConfigMap whose keys a Corefile imports. It need not be there; a key that would be empty is taken out."""

    def __init__(self, cluster: Cluster, *, corefile: CorefileMap, namespace: str, name: str, key: str) -> None:
        super().__init__(cluster, namespace=namespace, name=name, key=key)
        self._corefile = corefile
        self._text = ""
        self._files: dict[str, str] = {}

    def plan(self, text: str, **asked: t.Unpack[Asked]) -> RewritePlan:
        files = {**self._files, self.key: text}
        where = f"{self._corefile.where}, with its imports from {self._name}"
        return plan_custom(corefile=self._text, files=files, key=self.key, where=where, **asked)

    def read(self) -> tuple[str, Json]:
        self._text, _metadata = self._corefile.read()
        found = self._cluster.get("v1", "ConfigMap", self._namespace, self._name) or {"metadata": {}}
        self._files = found.get("data") or {}
        return self._files.get(self.key, ""), found["metadata"]

    def write(self, text: str, *, version: str | None) -> Json:
        if version is None:
            metadata = {"namespace": self._namespace, "name": self._name}
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {self.key: text}}
            return t.cast("Json", self._cluster.create(body)["metadata"])
        body = {"metadata": {"resourceVersion": version}, "data": {self.key: text or None}}
        written = self._cluster.merge("v1", "ConfigMap", self._namespace, self._name, body)
        return t.cast("Json", written["metadata"])


def home_of(cluster: Cluster, options: Json) -> CorefileMap:
    """Where rewrites are kept, by the options of M(coredns_rewrite)."""
    namespace, custom = options["namespace"], options["custom_config_map"]
    corefile = CorefileMap(cluster, namespace=namespace, name=options["config_map"], key=options["key"])
    if not custom:
        return corefile
    return CustomMap(cluster, corefile=corefile, namespace=namespace, name=custom, key=options["custom_key"])


def managed_by(metadata: Json) -> str:
    """Who will take a change of this object back at its own next run, empty where nobody is known."""
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    owners = [owner for mark, owner in _OWNERS.items() if mark in marks]
    if not owners and marks.get("app.kubernetes.io/managed-by"):
        owners = [str(marks["app.kubernetes.io/managed-by"])]
    return owners[0] if owners else ""
