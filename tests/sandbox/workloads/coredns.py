# SPDX-License-Identifier: GPL-3.0-or-later
"""CoreDNS: Talos's own in alpha, in beta with ``autopath`` as the coredns chart is often set up."""

from __future__ import annotations

import typing as t

from ..model import by_name
from . import manifests

if t.TYPE_CHECKING:
    from ..api import Json
    from ..cluster import Cluster

__all__ = ["config_map", "corefile", "install"]

# The chart's marks, which tell an owner other than Talos.
HELM_LABELS = (
    "{app.kubernetes.io/managed-by: Helm, app.kubernetes.io/instance: coredns, app.kubernetes.io/name: coredns}"
)
HELM_ANNOTATIONS = "{meta.helm.sh/release-name: coredns, meta.helm.sh/release-namespace: kube-system}"


def install(cluster: Cluster) -> None:
    cluster.apply(_objects(cluster.name))
    cluster.wait_rollout("Deployment", "kube-system", "coredns")


def corefile(name: str) -> str:
    """The Corefile a cluster starts with."""
    return manifests.text(f"Corefile.{name}")


def config_map(cluster: str) -> Json:
    """The ConfigMap with the Corefile, as it was at the start."""
    return next(document for document in _objects(cluster) if document["kind"] == "ConfigMap")


def _objects(cluster: str) -> list[Json]:
    return manifests.objects(
        "coredns",
        cluster=by_name(cluster),
        corefile=corefile(cluster),
        helm_labels=HELM_LABELS,
        helm_annotations=HELM_ANNOTATIONS,
    )
