# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: Spegel's pods and the nodes' directories of registry hosts → nodes on which Spegel's files are missing.

Spegel moves what it finds into ``_backup`` when its pod starts, and writes its own files over it. Talos takes all of
that away whenever it writes its own files, and they stay away until the pod starts again.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["BACKUP", "HOSTS_DIRECTORY", "SpegelPod", "pods_by_node", "without_files"]

Json = dict[str, t.Any]

HOSTS_DIRECTORY = "/etc/cri/conf.d/hosts"
BACKUP = "_backup"


@dataclass(frozen=True, kw_only=True)
class SpegelPod:
    """One of the DaemonSet's pods."""

    name: str
    uid: str
    is_ready: bool


def pods_by_node(pods: Iterable[Json]) -> dict[str, SpegelPod]:
    """Address of the node → its pod; those that are being deleted or are not on a node yet are left out."""
    return {
        pod["status"]["hostIP"]: SpegelPod(
            name=pod["metadata"]["name"], uid=pod["metadata"]["uid"], is_ready=_is_ready(pod["status"])
        )
        for pod in pods
        if pod.get("status", {}).get("hostIP") and not pod["metadata"].get("deletionTimestamp")
    }


def without_files(
    pods: Mapping[str, SpegelPod], directories: Mapping[str, set[str] | RegistryError]
) -> dict[str, SpegelPod]:
    """Node → its pod, of nodes where a pod has started and what it writes is not there. Raises what kept one unread."""
    missing = {}
    for node, found in directories.items():
        if isinstance(found, RegistryError):
            raise found
        pod = pods.get(node)
        if pod and pod.is_ready and BACKUP not in found:
            missing[node] = pod
    return missing


def _is_ready(status: Json) -> bool:
    conditions = status.get("conditions", ())
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
