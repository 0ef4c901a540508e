# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives Services of type LoadBalancer their address, as MetalLB or a cloud would; kube-proxy does the rest."""

from __future__ import annotations

import http.client
import threading
import time
import typing as t

from .process import Failed

if t.TYPE_CHECKING:
    from .api import Api, Json
    from .model import ClusterModel

__all__ = ["LoadBalancer", "address_for"]

GATEWAY_LABEL = "gateway.envoyproxy.io/owning-gateway-name"


def address_for(model: ClusterModel, service: Json) -> str | None:
    """The address the model has for a Service, or ``None`` where it has none."""
    metadata = service["metadata"]
    if service["spec"].get("type") != "LoadBalancer":
        return None
    named = model.balanced.get((metadata["namespace"], metadata["name"]))
    return named or (model.gateway_address if GATEWAY_LABEL in metadata.get("labels", {}) else None)


class LoadBalancer(threading.Thread):
    """Watches the Services of one cluster for as long as the sandbox lives."""

    def __init__(self, model: ClusterModel, api: Api) -> None:
        super().__init__(name=f"{model.name}-loadbalancer", daemon=True)
        self._model = model
        self._api = api

    def run(self) -> None:
        while True:
            try:
                for event in self._api.watch("/api/v1/services"):
                    if event["type"] in {"ADDED", "MODIFIED"}:
                        self._assign(event["object"])
            except (Failed, OSError, http.client.HTTPException, ValueError):
                time.sleep(1)  # the API server restarts: its parts are supervised

    def _assign(self, service: Json) -> None:
        address = address_for(self._model, service)
        wanted = [{"ip": address, "ipMode": "VIP"}]
        if address is None or service.get("status", {}).get("loadBalancer", {}).get("ingress") == wanted:
            return
        metadata = service["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}/status"
        self._api.patch(path, {"status": {"loadBalancer": {"ingress": wanted}}})
