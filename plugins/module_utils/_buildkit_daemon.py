# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: the buildkitd workloads that read a ConfigMap: what they build now, and a restart when they have ended.

buildkitd reads its configuration when it starts, and only then. That a restart is due is written on the workload before
the ConfigMap changes, and goes with the restart: a run that was cut off in between is made good by the next one.
"""

from __future__ import annotations

import datetime
import json
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_find import (
    DUE,
    KINDS,
    mounting,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import NotReady, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import wait_until

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_find import Workload
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster

__all__ = ["Busy", "Daemons", "running_builds"]

APPS = "apps/v1"
STAMP = "kubectl.kubernetes.io/restartedAt"
_HISTORIES = ("debug", "histories", "--format", "{{json .}}")
_DELETED = 2  # BuildHistoryEventType of BuildKit's control API


@dataclass(frozen=True, kw_only=True)
class Busy:
    """How many builds run; ``unknown`` says why they could not be counted."""

    builds: int = 0
    unknown: str = ""


def running_builds(histories: str) -> int:
    """Builds without an end in what ``buildctl debug histories`` printed, an event in JSON a line."""
    running: set[str] = set()
    for line in histories.splitlines():
        event = json.loads(line)
        record = event.get("record") or {}
        if record.get("CompletedAt") or event.get("type") == _DELETED:
            running.discard(record.get("Ref", ""))
        else:
            running.add(record.get("Ref", ""))
    return len(running)


class Daemons:
    """The workloads of one namespace that mount one ConfigMap."""

    def __init__(self, cluster: Cluster, *, namespace: str, config_map: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._config_map = config_map

    def find(self) -> list[Workload]:
        listed = ((kind, self._cluster.list(APPS, kind, self._namespace)) for kind in KINDS)
        return [one for kind, found in listed for one in mounting(kind, found, self._config_map)]

    def mark(self, workload: Workload) -> None:
        """Write down that a restart is due."""
        body = {"metadata": {"annotations": {DUE: "buildkitd.toml"}}}
        self._cluster.merge(APPS, workload.kind, self._namespace, workload.name, body)

    def wait_idle(self, workload: Workload, *, seconds: float) -> Busy:
        """Wait until none of its pods builds, at most so long; what runs still."""
        busy = Busy()

        def idle() -> bool:
            nonlocal busy
            busy = self._busy(workload)
            return not busy.builds

        try:
            wait_until(idle, seconds=seconds, what="builds to end")
        except NotReady:
            return busy
        return busy

    def restart(self, workload: Workload) -> None:
        stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        template = {"metadata": {"annotations": {STAMP: stamp}}}
        body = {"metadata": {"annotations": {DUE: None}}, "spec": {"template": template}}
        self._cluster.merge(APPS, workload.kind, self._namespace, workload.name, body)

    def wait_ready(self, workload: Workload, *, seconds: float) -> None:
        self._cluster.wait_rolled_out(workload.kind, self._namespace, workload.name, seconds=seconds)

    def _busy(self, workload: Workload) -> Busy:
        builds = 0
        for pod in self._cluster.list("v1", "Pod", self._namespace, selector=workload.selector):
            if pod.get("status", {}).get("phase") != "Running":
                continue
            name = pod["metadata"]["name"]
            address = ("--addr", workload.address) if workload.address else ()
            argv = ("buildctl", *address, *_HISTORIES)
            try:
                code, output, errors = self._cluster.execute(self._namespace, name, argv, container=workload.container)
            except RegistryError as error:
                return Busy(unknown=str(error))
            if code:
                return Busy(unknown=(errors.strip().splitlines() or [f"buildctl ended with {code}"])[-1])
            builds += running_builds(output)
        return Busy(builds=builds)
