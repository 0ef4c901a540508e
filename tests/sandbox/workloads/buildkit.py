# SPDX-License-Identifier: GPL-3.0-or-later
"""BuildKit as guide 1 leaves it: the daemon speaks http to Harbor's internal name. Builds come from other pods."""

from __future__ import annotations

import typing as t

from . import manifests
from .era import ERAS

if t.TYPE_CHECKING:
    from ..api import Json
    from ..cluster import Cluster

__all__ = ["NAMESPACE", "config_maps", "install"]

NAMESPACE = "buildkit"
READY_SECONDS = 240


def install(cluster: Cluster) -> None:
    """Nothing where nobody builds."""
    if not ERAS[cluster.name].builds:
        return
    cluster.apply(_objects(cluster.name, ca=cluster.paths.ca.read_text()))
    cluster.wait_rollout("Deployment", NAMESPACE, "buildkitd", timeout=READY_SECONDS)


def config_maps(cluster: str) -> list[Json]:
    """The ConfigMap with buildkitd.toml, as it was at the start."""
    if not ERAS[cluster].builds:
        return []
    return [one for one in _objects(cluster, ca="") if one["metadata"]["name"] == "buildkitd-config"]


def _objects(cluster: str, *, ca: str) -> list[Json]:
    return manifests.objects("buildkit", internal=ERAS[cluster].internal, ca=ca)
