# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: the alias Service in a cluster: what it is, what it has to be, and who is behind it."""

from __future__ import annotations

import typing as t
from functools import cached_property

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotReady
from ansible_collections.splithorizon.registry.plugins.module_utils._gateway import (
    GatewayReader,
    given_exposure,
    policy_notes,
    proxy_pods,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._gateway_alias import (
    AliasPlan,
    plan_absent,
    plan_alias,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import wait_until
from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import owner_of
from ansible_collections.splithorizon.registry.plugins.module_utils._target_service import ready_endpoints, slices_of

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._envoy_gateway import Exposure
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = ["AliasService"]


class AliasService:
    """``asked``: the options name, namespace, state, and gateway or selector and ports."""

    def __init__(self, cluster: Cluster, asked: Mapping[str, t.Any]) -> None:
        self._cluster = cluster
        self._asked = asked
        self._namespace, self._name = asked["namespace"], asked["name"]
        self.where = f"Service {self._namespace}/{self._name}"

    @cached_property
    def current(self) -> Json | None:
        return self._cluster.get("v1", "Service", self._namespace, self._name)

    @cached_property
    def gateway(self) -> Json | None:
        """The Gateway that was asked for; None where labels were given in its place."""
        return self._reader.gateway() if self._asked.get("gateway") else None

    @cached_property
    def exposure(self) -> Exposure:
        if self.gateway is not None:
            return self._reader.exposure(self.gateway)
        selector, ports = self._asked.get("selector"), self._asked.get("ports")
        if not selector or not ports:
            cure = "Or give the labels of the pods and their ports: selector and ports"
            raise BadInput("it is required to find the gateway's pods", where="option gateway", cure=cure)
        return given_exposure(namespace=self._namespace, selector=selector, ports=ports)

    @cached_property
    def _reader(self) -> GatewayReader:
        return GatewayReader(self._cluster, **self._asked["gateway"])

    def plan(self) -> AliasPlan:
        if self._asked["state"] == "absent":
            return plan_absent(self.current)
        return plan_alias(self.current, self.exposure, namespace=self._namespace, name=self._name)

    def notes(self, hostname: str) -> list[str]:
        """What may keep pods from the registry behind the alias; an error for what certainly does."""
        of_gateway = self._reader.notes(self.gateway, hostname=hostname) if self.gateway else []
        owner = owner_of((self.current or {"metadata": {}})["metadata"]).title
        owned = [f"{self.where} is managed by {owner}, which may take the change back: make it there too"]
        return [
            *of_gateway,
            *policy_notes(self._cluster, self.exposure, gateway=self.gateway, hostname=hostname),
            *(owned if owner and self.plan().changes else []),
        ]

    def send(self, planned: AliasPlan) -> None:
        if not planned.changes:
            return
        where = {"namespace": self._namespace, "name": self._name}
        metadata = (self.current or {"metadata": {}})["metadata"]
        if planned.after is None:
            self._cluster.delete("v1", "Service", self._namespace, self._name, uid=metadata["uid"])
        elif planned.patch is None:
            self._cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": where, "spec": planned.after})
        else:
            body = {"metadata": {"resourceVersion": metadata.get("resourceVersion")}, "spec": planned.patch}
            self._cluster.merge("v1", "Service", self._namespace, self._name, body)

    def endpoints(self) -> list[str]:
        """The addresses behind it that take connections."""
        return list(ready_endpoints(slices_of(self._cluster, self._namespace, self._name)))

    def wait(self, seconds: float) -> list[str]:
        """Its endpoints, as soon as there are some; NotReady after ``seconds``. Cilium's has no pods."""
        if not self.exposure.selector:
            return self.endpoints()
        try:
            wait_until(lambda: bool(self.endpoints()), seconds=seconds, what="a ready endpoint")
        except NotReady as error:
            proxy_pods(self._cluster, self.exposure)
            cure = "Check that the labels it selects are those of the gateway's pods"
            raise NotReady("it has no ready endpoint", where=self.where, cure=cure) from error
        return self.endpoints()
