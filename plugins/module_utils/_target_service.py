# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: whether there is somebody behind the Service that a name is to be led to."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotReady

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan

__all__ = ["check_targets", "ready_endpoints", "service_of", "slices_of"]


def check_targets(cluster: Cluster, plan: RewritePlan) -> None:
    """Refuse a plan that leads a name to a Service of this cluster that is not there, or has no ready endpoint."""
    leads = [each.question[1] for each in plan.each if each.rules and each.question]
    for service in dict.fromkeys(filter(None, (service_of(name, plan.cluster_domain) for name in leads))):
        _check(cluster, *service)


def _check(cluster: Cluster, namespace: str, name: str) -> None:
    where = f"Service {namespace}/{name}"
    service = cluster.get("v1", "Service", namespace, name)
    if service is None:
        cure = "Create it first (role gateway_alias, or the playbook's tag gateway_alias), or correct the target"
        raise BadInput("there is no such Service, so pods would find no address", where=where, cure=cure)
    if service["spec"].get("type") == "ExternalName":
        return
    if not ready_endpoints(slices_of(cluster, namespace, name)):
        cure = "Check its selector, and that the pods it selects are in its namespace and ready"
        raise NotReady("it has no ready endpoint, so clients would reach nobody", where=where, cure=cure)


def service_of(name: str, domain: str) -> tuple[str, str] | None:
    """Namespace and name of the Service that a DNS name is of: ``a.b.svc.cluster.local`` → ``(b, a)``."""
    labels = name.removesuffix(".").removesuffix(f".svc.{domain}").split(".")
    service_labels = 2
    is_service = name.removesuffix(".").endswith(f".svc.{domain}") and len(labels) == service_labels
    return (labels[1], labels[0]) if is_service else None


def slices_of(cluster: Cluster, namespace: str, name: str) -> list[Json]:
    """The EndpointSlices of a Service."""
    selector = f"kubernetes.io/service-name={name}"
    return cluster.list("discovery.k8s.io/v1", "EndpointSlice", namespace, selector=selector)


def ready_endpoints(slices: Iterable[Json]) -> Sequence[str]:
    """The addresses that take connections."""
    return sorted(
        {
            address
            for one in slices
            for endpoint in one.get("endpoints") or []
            if (endpoint.get("conditions") or {}).get("ready", True) is not False
            for address in endpoint.get("addresses") or []
        }
    )
