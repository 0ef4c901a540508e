# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: where a cluster keeps its Corefile, by the options of a module: a ConfigMap, or what it is made of."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_map import CorefileMap, CustomMap
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_source import ObjectSource
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from ansible_collections.splithorizon.registry.plugins.module_utils._node_local_map import POLICIES
from ansible_collections.splithorizon.registry.plugins.module_utils._owner_objects import (
    SOURCE_KINDS,
    get_object,
)

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import Asked

__all__ = ["HOME_SPEC", "SourceObject", "home_of"]

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
            "kind": {"type": "str", "required": True, "choices": list(SOURCE_KINDS)},
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
        found = get_object(self._cluster, self._kind, self._namespace, self._name)
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
