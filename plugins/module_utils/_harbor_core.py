# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: the core and jobservice of one Harbor release: their settings, their restart, their health, their realm."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime

from ansible_collections.splithorizon.registry.plugins.module_utils._endpoints import PodPort, through_pod
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    NotReady,
    RegistryError,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import (
    NEWEST_RULE,
    Plan,
    Version,
    image_version,
    started_before,
    unhealthy,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._http import Client, Origin
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import wait_until

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = ["Found", "HarborCore"]

REALM_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Found:
    """The objects as they were read. ``stale`` names the Deployments whose pods run with values from before."""

    core_map: Json
    jobservice_map: Json
    core: Json
    stale: tuple[str, ...]

    @property
    def version(self) -> Version:
        """That of the core's image, or the newest with a rule of its own."""
        return image_version(_core_container(self.core["spec"]["template"]["spec"])["image"]) or NEWEST_RULE

    @property
    def inside_tls(self) -> bool:
        return bool(self.core_map["data"].get("PORT") == "8443")


class HarborCore:
    """``fullname`` is that of the chart's release; ``seconds`` bound all waiting of one change together."""

    def __init__(self, *, cluster: Cluster, namespace: str, fullname: str, seconds: float) -> None:
        self.core = f"{fullname}-core"
        self.jobservice = f"{fullname}-jobservice"
        self._cluster = cluster
        self._namespace = namespace
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def read(self) -> Found:
        core_map = self._get("v1", "ConfigMap", self.core)
        jobservice_map = self._get("v1", "ConfigMap", f"{self.jobservice}-env")
        core = self._get("apps/v1", "Deployment", self.core)
        jobservice = self._get("apps/v1", "Deployment", self.jobservice)
        pairs = ((core_map, core), (jobservice_map, jobservice))
        stale = [
            deployment["metadata"]["name"]
            for config_map, deployment in pairs
            if started_before(config_map=config_map, pods=self._pods(deployment))
        ]
        return Found(core_map=core_map, jobservice_map=jobservice_map, core=core, stale=tuple(stale))

    def write(self, plan: Plan, found: Found) -> None:
        """Write both ConfigMaps or none, unless somebody else has written one of them since it was read."""
        written: list[str] = []
        for old in (found.core_map, found.jobservice_map):
            name, version = old["metadata"]["name"], old["metadata"]["resourceVersion"]
            if patch := plan.patch(name):
                try:
                    self._patch(name, {"metadata": {"resourceVersion": version}, "data": patch})
                except RegistryError:
                    self._unwrite(plan, written)
                    raise
                written.append(name)

    def restart(self, names: Sequence[str], *, wait: bool) -> None:
        """Restart one Deployment after the other, each of them whole before the next."""
        for name in names:
            stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._cluster.restart("Deployment", self._namespace, name, stamp=stamp)
            if wait:
                self._cluster.wait_rolled_out("Deployment", self._namespace, name, seconds=self._left())

    def put_back(self, plan: Plan, error: RegistryError, *, ill: Sequence[str]) -> NotReady:
        """Write the old values again and restart; the error to raise says what came of it.

        ``ill`` is what was unhealthy before the change.
        """
        self._end = time.monotonic() + self._seconds
        try:
            self._unwrite(plan, plan.before)
            self.restart((self.core, self.jobservice), wait=True)
            if ill:
                came = f"The old values are back. Harbor was not healthy before the change either: {'; '.join(ill)}"
            else:
                self.wait_healthy()
                came = "The old values are back, and Harbor is healthy with them"
        except RegistryError as second:
            came = f"Putting the old values back did not succeed either ({second.problem}): look at its pods now"
        return NotReady(f"{error.problem}", where=error.where or f"Harbor {self._namespace}/{self.core}", cure=came)

    def ill(self) -> list[str]:
        """What is unhealthy now, one line a component."""
        return unhealthy(self._health())

    def wait_healthy(self) -> Json:
        """Wait until every component says healthy; the health as Harbor tells it."""
        seen: list[t.Any] = [None]

        def healthy() -> bool:
            seen[0] = self._health()
            return not unhealthy(seen[0])

        try:
            wait_until(healthy, seconds=self._left(), what="every component of Harbor to be healthy")
        except NotReady as error:
            where = f"Harbor {self._namespace}/{self.core}"
            raise NotReady(f"{error.problem}: {'; '.join(unhealthy(seen[0]))}", where=where, cure=error.cure) from error
        return t.cast("Json", seen[0])

    def challenges(self, hosts: Sequence[str]) -> dict[str, str]:
        """Per Host header the WWW-Authenticate that a ready core pod answers to a client without credentials."""
        deployment = self._get("apps/v1", "Deployment", self.core)
        ready = [pod for pod in self._pods(deployment) if _is_ready(pod)]
        if not ready:
            where = f"Deployment {self._namespace}/{self.core}"
            raise NotReady("no ready pod", where=where, cure="Look at its pods and events")
        container = _core_container(ready[0]["spec"])
        port = next((one["containerPort"] for one in container.get("ports") or []), 8080)
        target = PodPort(namespace=self._namespace, pod=ready[0]["metadata"]["name"], port=port)
        client = Client(way=through_pod(self._cluster, target), seconds=REALM_SECONDS)
        origin = Origin(scheme="http", host=self.core, port=80)
        return {host: client.send("GET", origin, "/v2/", host=host).header("www-authenticate") for host in hosts}

    def _unwrite(self, plan: Plan, names: Iterable[str]) -> None:
        for name in names:
            if patch := plan.patch(name, back=True):
                self._patch(name, {"data": patch})

    def _patch(self, name: str, body: Json) -> None:
        self._cluster.merge("v1", "ConfigMap", self._namespace, name, body)

    def _health(self) -> Json | None:
        service = self._cluster.get("v1", "Service", self._namespace, self.core)
        port = service["spec"]["ports"][0]["port"] if service else 80
        scheme = "https:" if port == 443 else ""  # noqa: PLR2004
        return self._cluster.proxy_get(self._namespace, f"{scheme}{self.core}:{port}", "/api/v2.0/health")

    def _get(self, api_version: str, kind: str, name: str) -> Json:
        found = self._cluster.get(api_version, kind, self._namespace, name)
        if found is None:
            cure = "Give the namespace and the fullname of a release of Harbor's chart"
            raise BadInput("does not exist", where=f"{kind} {self._namespace}/{name}", cure=cure)
        return found

    def _pods(self, deployment: Json) -> list[Json]:
        labels = deployment["spec"]["selector"].get("matchLabels", {})
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        return self._cluster.list("v1", "Pod", self._namespace, selector=selector)

    def _left(self) -> float:
        return max(round(self._end - time.monotonic(), 1), 0.1)


def _core_container(pod_spec: Json) -> Json:
    containers = pod_spec["containers"]
    return t.cast("Json", next((one for one in containers if one["name"] == "core"), containers[0]))


def _is_ready(pod: Json) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
