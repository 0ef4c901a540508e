# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: which pod answers behind a Service, from the EndpointSlices that kube-proxy reads, and a way to it."""

from __future__ import annotations

import typing as t
from contextlib import contextmanager
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotReady
from ansible_collections.splithorizon.registry.plugins.module_utils._http import Stream, Way

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = ["PodPort", "ready_pods", "through_pod", "through_service"]


@dataclass(frozen=True, kw_only=True)
class PodPort:
    """A pod and the port it listens on."""

    namespace: str
    pod: str
    port: int


def ready_pods(*, service: Json, slices: Sequence[Json], port: int) -> list[PodPort]:
    """The ready pods behind ``port`` of a Service, in a stable order; an error that says what is missing otherwise."""
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    where = f"Service {namespace}/{name}"
    ports = service["spec"].get("ports", [])
    named = next((item.get("name", "") for item in ports if item["port"] == port), None)
    if named is None:
        have = ", ".join(str(item["port"]) for item in ports) or "none"
        raise BadInput(f"has no port {port} (it has {have})", where=where, cure="Use a port of the Service in the URL")
    found = [
        PodPort(namespace=namespace, pod=endpoint["targetRef"]["name"], port=target["port"])
        for one in slices
        for target in one.get("ports") or []
        if (target.get("name") or "") == named and target.get("port")
        for endpoint in one.get("endpoints") or []
        if _is_ready_pod(endpoint)
    ]
    if not found:
        cure = "Check its selector, and that the pods it selects are in its namespace and ready"
        raise NotReady(f"no ready pod behind port {port}", where=where, cure=cure)
    return sorted(set(found), key=lambda one: (one.pod, one.port))


def _is_ready_pod(endpoint: Json) -> bool:
    ready = (endpoint.get("conditions") or {}).get("ready", True)
    return ready is not False and (endpoint.get("targetRef") or {}).get("kind") == "Pod"


def through_pod(cluster: Cluster, target: PodPort) -> Way:
    """Connect to one port of one pod through the API server, whatever host and port are asked for."""

    @contextmanager
    def way(_host: str, _port: int) -> Iterator[Stream]:
        peer = f"pod {target.namespace}/{target.pod}:{target.port}"
        with cluster.forward(target.namespace, target.pod, target.port) as connection:
            yield Stream(socket=connection, peer=peer)

    return way


def through_service(cluster: Cluster, *, namespace: str, name: str, of: str, otherwise: Way) -> Way:
    """Connect to a ready pod behind the Service's port of the same number for the host ``of``, else ``otherwise``."""

    @contextmanager
    def way(host: str, port: int) -> Iterator[Stream]:
        if host != of:
            with otherwise(host, port) as stream:
                yield stream
            return
        service = cluster.get("v1", "Service", namespace, name)
        if service is None:
            where = f"Service {namespace}/{name}"
            raise BadInput("does not exist", where=where, cure="Create it, or name one that exists")
        selector = f"kubernetes.io/service-name={name}"
        slices = cluster.list("discovery.k8s.io/v1", "EndpointSlice", namespace, selector=selector)
        target = ready_pods(service=service, slices=slices, port=port)[0]
        with through_pod(cluster, target)(host, port) as stream:
            yield stream

    return way
