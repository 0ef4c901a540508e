# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: the buildkitd.toml in a key of a ConfigMap."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_toml import BuildkitPlan, plan
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import owner_of

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_wanted import Entry
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = ["BuildkitMap"]

KEY = "buildkitd.toml"


class BuildkitMap:
    """Read when it is made; BadInput where there is no such ConfigMap or key."""

    def __init__(self, cluster: Cluster, *, namespace: str, name: str, key: str | None) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._key = key or KEY
        self.where = f"ConfigMap {namespace}/{name}, key {self._key}"
        found = cluster.get("v1", "ConfigMap", namespace, name)
        if found is None:
            cure = "Name the one that the buildkitd pods mount"
            raise BadInput("there is no such ConfigMap", where=self.where, cure=cure)
        data = found.get("data") or {}
        if self._key not in data:
            keys = ", ".join(data) or "none"
            raise BadInput("there is no such key", where=self.where, cure=f"Its keys are: {keys}")
        self._metadata: Json = found["metadata"]
        self._text: str = data[self._key]
        self.managed_by = owner_of(self._metadata, key=self._key).title

    def plan(self, wanted: Sequence[Entry]) -> BuildkitPlan:
        return plan(text=self._text, wanted=wanted, where=self.where)

    def write(self, planned: BuildkitPlan) -> None:
        """Conflict where somebody wrote since it was read."""
        body = {
            "metadata": {"resourceVersion": self._metadata.get("resourceVersion")},
            "data": {self._key: planned.after},
        }
        self._cluster.merge("v1", "ConfigMap", self._namespace, self._name, body)
