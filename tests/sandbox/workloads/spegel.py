# SPDX-License-Identifier: GPL-3.0-or-later
"""Spegel: in alpha of a HelmRelease, in beta the DaemonSet alone, as `helm template | kubectl apply` leaves it."""

from __future__ import annotations

import typing as t

from . import crds, manifests
from .era import ERAS

if t.TYPE_CHECKING:
    from ..api import Json
    from ..cluster import Cluster

__all__ = ["NAMESPACE", "install", "present", "render", "values"]

NAMESPACE = "kube-system"
HOSTS = "/etc/cri/conf.d/hosts"
READY_SECONDS = 240


def values(cluster: str) -> Json:
    """Chart values a cluster starts with."""
    registries = list(ERAS[cluster].mirrored_registries)
    return {
        "spegel": {
            "containerdRegistryConfigPath": HOSTS,
            "mirroredRegistries": registries,
            "prependExisting": True,
        }
    }


def render(chart_values: Json, *, namespace: str = NAMESPACE, release: str = "") -> list[Json]:
    """What the chart makes of values; ``release`` names the HelmRelease that owns it, if one does."""
    prefix = "helm.toolkit.fluxcd.io"
    owner = f", {prefix}/name: {release}, {prefix}/namespace: {namespace}" if release else ""
    return manifests.objects("spegel", values=chart_values, namespace=namespace, owner_labels=owner)


def install(cluster: Cluster) -> None:
    """After the nodes have their mirrors: Spegel reads what is there when its pods start."""
    if cluster.name == "alpha":
        cluster.apply_files(manifests.FOLDER / "helmrelease-crd.yaml")
        crds.wait(cluster)
    cluster.apply(present(cluster.name))
    cluster.wait("DaemonSet kube-system/spegel", lambda: _exists(cluster))
    cluster.wait_rollout("DaemonSet", NAMESPACE, "spegel", timeout=READY_SECONDS)


def present(cluster: str) -> list[Json]:
    """What a person puts into the cluster, as it was at the start."""
    chosen = values(cluster)
    if cluster == "alpha":
        return manifests.objects("spegel-helmrelease", values=chosen)
    return render(chosen)


def _exists(cluster: Cluster) -> bool:
    return bool(cluster.api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/spegel"))
