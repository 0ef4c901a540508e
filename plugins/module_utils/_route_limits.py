# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: the HTTPRoutes of the registry's name, and the policies that limit how long their requests may take."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._gateway import GATEWAY_API, GatewayReader
from ansible_collections.splithorizon.registry.plugins.module_utils._route_timeout import (
    API_VERSION,
    KIND,
    RoutePlan,
    plan_timeouts,
)

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster

__all__ = ["RouteLimits"]


class RouteLimits:
    """``asked``: the options hostname, gateway and state."""

    def __init__(self, cluster: Cluster, asked: Mapping[str, t.Any]) -> None:
        self._cluster = cluster
        self._asked = asked

    def plan(self) -> RoutePlan:
        """What would be made or taken away."""
        gateway, present = self._asked["gateway"], self._asked["state"] == "present"
        labels: dict[str, str] = {}
        if present:
            labels = GatewayReader(self._cluster, **gateway).gateway()["metadata"].get("labels") or {}
        return plan_timeouts(
            routes=self._cluster.list(GATEWAY_API, "HTTPRoute", None),
            policies=self._cluster.list(API_VERSION, KIND, None),
            hostname=self._asked["hostname"],
            gateway=(gateway["namespace"], gateway["name"]),
            labels=labels,
            present=present,
        )

    def send(self, planned: RoutePlan) -> None:
        for policy in planned.add:
            self._cluster.create(policy)
        for policy in planned.remove:
            metadata = policy["metadata"]
            self._cluster.delete(API_VERSION, KIND, metadata["namespace"], metadata["name"], uid=metadata["uid"])
