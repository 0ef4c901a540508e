# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for Flux's helm-controller, for the one chart the sandbox knows: makes Spegel's objects of a HelmRelease.

It does what the collection relies on: every change of ``spec`` is rendered and applied, what others changed in the
objects is put right when the release changes (not in between: drift detection is off by default in Flux, too), a
suspended release is left alone, and ``status`` says which generation was applied.
"""

from __future__ import annotations

import datetime
import http.client
import threading
import time
import typing as t

from .process import Failed

if t.TYPE_CHECKING:
    from .api import Json
    from .cluster import Cluster

__all__ = ["HelmStandIn"]

GROUP = "/apis/helm.toolkit.fluxcd.io/v2"


class HelmStandIn(threading.Thread):
    """Watches the HelmReleases of one cluster for as long as the sandbox lives; ``render`` is the chart."""

    def __init__(self, cluster: Cluster, render: t.Callable[..., list[Json]]) -> None:
        super().__init__(name=f"{cluster.name}-helm", daemon=True)
        self._cluster = cluster
        self._render = render

    def run(self) -> None:
        while True:
            try:
                for event in self._cluster.api.watch(f"{GROUP}/helmreleases"):
                    if event["type"] in {"ADDED", "MODIFIED"}:
                        self._reconcile(event["object"])
            except (Failed, OSError, http.client.HTTPException, ValueError, KeyError):
                time.sleep(1)  # the API server restarts, or the CRD is not there yet

    def _reconcile(self, release: Json) -> None:
        metadata, spec, status = release["metadata"], release["spec"], release.get("status", {})
        if spec.get("suspend") or status.get("observedGeneration") == metadata["generation"]:
            return
        try:
            objects = self._render(spec["values"], namespace=metadata["namespace"], release=metadata["name"])
            self._cluster.apply(objects)
            message, reason = f"Helm upgrade succeeded for release {metadata['namespace']}/{metadata['name']}", ""
        except Exception as exc:  # whatever a chart makes of bad values ends as a condition, as in Flux
            message, reason = f"Helm upgrade failed: {exc}", "UpgradeFailed"
        self._report(metadata, reason, message)

    def _report(self, metadata: Json, failure: str, message: str) -> None:
        condition = {
            "type": "Ready",
            "status": "False" if failure else "True",
            "reason": failure or "UpgradeSucceeded",
            "message": message,
            "observedGeneration": metadata["generation"],
            "lastTransitionTime": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        status = {"observedGeneration": metadata["generation"], "conditions": [condition]}
        path = f"{GROUP}/namespaces/{metadata['namespace']}/helmreleases/{metadata['name']}/status"
        self._cluster.api.patch(path, {"status": status})
