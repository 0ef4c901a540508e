# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: the objects of owners (Flux, Argo CD, k3s), which say whether they would take a change back."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import NotPermitted
from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import (
    decided,
    note_or_refuse,
    owner_of,
)

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json
    from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import Owner

__all__ = ["SOURCE_KINDS", "get_object", "look_up", "may_change"]

# Newest API first.
APIS = {
    "HelmRelease": tuple(f"helm.toolkit.fluxcd.io/{version}" for version in ("v2", "v2beta2", "v2beta1")),
    "Kustomization": tuple(f"kustomize.toolkit.fluxcd.io/{version}" for version in ("v1", "v1beta2")),
    "HelmChart": ("helm.cattle.io/v1",),
    "HelmChartConfig": ("helm.cattle.io/v1",),
    "Application": ("argoproj.io/v1alpha1",),
    "ApplicationSet": ("argoproj.io/v1alpha1",),
    "ConfigMap": ("v1",),
}
# Those that may hold values of a chart.
SOURCE_KINDS = tuple(kind for kind in APIS if kind != "Kustomization")


def look_up(cluster: Cluster, owner: Owner) -> Owner:
    """The owner with what its own object says, if it can be read."""
    if not owner.name:
        return owner
    try:
        # A release of Helm may be one that k3s or RKE2 installs.
        return decided(owner, get_object(cluster, owner.kind or "HelmChart", owner.namespace, owner.name))
    except NotPermitted:
        return owner


def may_change(cluster: Cluster, metadata: Json, *, key: str, policy: str, where: str) -> tuple[Owner, str]:
    """The owner of an object that is to be changed, and what to warn of; Conflict where ``policy`` stops it."""
    owner = look_up(cluster, owner_of(metadata, key=key))
    return owner, note_or_refuse(owner, policy=policy, where=where)


def get_object(cluster: Cluster, kind: str, namespace: str, name: str) -> Json | None:
    """An object by the first of its APIs that the cluster knows; None where there is none."""
    for api_version in APIS[kind]:
        found = cluster.get(api_version, kind, namespace, name)
        if found:
            return found
    return None
