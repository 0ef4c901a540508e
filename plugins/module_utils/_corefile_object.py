# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: live objects that own a Corefile: they are asked whether they would undo a change, or get it themselves."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_map import CorefileMap, CustomMap
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_source import ObjectSource
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotPermitted
from ansible_collections.splithorizon.registry.plugins.module_utils._node_local_map import POLICIES
from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import decided

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json
    from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import Owner
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import Asked

__all__ = ["HOME_SPEC", "SourceObject", "home_of", "look_up"]

# Newest API first.
_APIS = {
    "HelmRelease": tuple(f"helm.toolkit.fluxcd.io/{version}" for version in ("v2", "v2beta2", "v2beta1")),
    "Kustomization": tuple(f"kustomize.toolkit.fluxcd.io/{version}" for version in ("v1", "v1beta2")),
    "HelmChart": ("helm.cattle.io/v1",),
    "HelmChartConfig": ("helm.cattle.io/v1",),
    "Application": ("argoproj.io/v1alpha1",),
    "ApplicationSet": ("argoproj.io/v1alpha1",),
    "ConfigMap": ("v1",),
}
# Options of modules that say where the Corefile is.
HOME_SPEC: Json = {
    "namespace": {"type": "str", "default": "kube-system"},
    "config_map": {"type": "str", "default": "coredns"},
    "key": {"type": "str", "default": "Corefile", "no_log": False},
    "custom_config_map": {"type": "str"},
    "custom_key": {"type": "str", "default": "splithorizon.override", "no_log": False},
    "node_local": {"type": "str", "choices": list(POLICIES), "default": "stop"},
    "source": {
        "type": "dict",
        "options": {
            "kind": {"type": "str", "required": True, "choices": [kind for kind in _APIS if kind != "Kustomization"]},
            "namespace": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
        },
    },
}


class SourceObject(CorefileMap):
    """The values of the CoreDNS chart in an object of its owner, in the place of the ConfigMap that comes of them."""

    def __init__(self, cluster: Cluster, *, kind: str, namespace: str, name: str) -> None:
        super().__init__(cluster, namespace=namespace, name=name, key="")
        self._kind = kind
        self._api = ""
        self._source: ObjectSource
        self.where = f"{kind} {namespace}/{name}"

    def plan(self, text: str, **asked: t.Unpack[Asked]) -> RewritePlan:
        return self._source.plan(text, **asked)

    def read(self) -> tuple[str, Json]:
        found = _get(self._cluster, self._kind, self._namespace, self._name)
        if found is None:
            cure = "Give kind, namespace and name of the one whose values the CoreDNS chart gets"
            raise BadInput("there is no such object", where=self.where, cure=cure)
        self._api = found["apiVersion"]
        self._source = ObjectSource(found, f"{self._kind} {self._namespace}/{self._name}")
        self.where, self.key = self._source.where, ".".join(map(str, self._source.place.keys))
        return self._source.text, found["metadata"]

    def write(self, text: str, *, version: str | None) -> Json:
        body = {**self._source.patch(text), "metadata": {"resourceVersion": version}}
        written = self._cluster.merge(self._api, self._kind, self._namespace, self._name, body)
        return t.cast("Json", written["metadata"])


def home_of(cluster: Cluster, options: Mapping[str, t.Any]) -> CorefileMap:
    """Where the options of HOME_SPEC say that the Corefile is to be edited."""
    namespace, custom = options["namespace"], options["custom_config_map"]
    if options.get("source"):
        return SourceObject(cluster, **options["source"])
    corefile = CorefileMap(cluster, namespace=namespace, name=options["config_map"], key=options["key"])
    if custom:
        return CustomMap(cluster, corefile=corefile, namespace=namespace, name=custom, key=options["custom_key"])
    return corefile


def look_up(cluster: Cluster, owner: Owner) -> Owner:
    """The owner with what its own object says, if it can be read."""
    if not owner.name:
        return owner
    try:
        # A release of Helm may be one that k3s or RKE2 installs.
        return decided(owner, _get(cluster, owner.kind or "HelmChart", owner.namespace, owner.name))
    except NotPermitted:
        return owner


def _get(cluster: Cluster, kind: str, namespace: str, name: str) -> Json | None:
    for api_version in _APIS[kind]:
        found = cluster.get(api_version, kind, namespace, name)
        if found:
            return found
    return None
