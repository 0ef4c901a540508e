# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes' registry settings of the HTTP era, put there as an operator does: with talosctl."""

from __future__ import annotations

import json
import typing as t

import yaml

from ..process import run
from .era import ERAS

if t.TYPE_CHECKING:
    from pathlib import Path

    from ..cluster import Cluster
    from ..model import NodeModel
    from ..paths import Paths

__all__ = ["config_at_start", "install", "talosctl"]

APPLY_SECONDS = 120
REBOOT_SECONDS = 120


def install(cluster: Cluster) -> None:
    """Patch every node, reboot all of them, and keep their configurations for ``faults.reseed``."""
    patch = yaml.safe_dump_all(ERAS[cluster.name].patches())
    for node in cluster.model.nodes:
        _talosctl(cluster, node, "patch", "mc", "--mode", "no-reboot", "-p", "@/dev/stdin", stdin=patch)
        kept = config_at_start(cluster.paths, cluster.name, node)
        kept.touch(mode=0o600)
        kept.write_text(_active(cluster, node))
    # Up to Talos 1.13, containerd reads credentials when it starts, and it starts with the node only.
    nodes = ",".join(node.address for node in cluster.model.nodes)
    talosctl(cluster, "-n", nodes, "reboot", f"--timeout={REBOOT_SECONDS}s", timeout=REBOOT_SECONDS + 5)


def config_at_start(paths: Paths, cluster: str, node: NodeModel) -> Path:
    """Where ``install`` keeps a node's whole configuration; it holds secrets."""
    return paths.cluster(cluster) / f"{node.name}.http-era.yaml"


def _active(cluster: Cluster, node: NodeModel) -> str:
    resources = _talosctl(cluster, node, "get", "mc", "v1alpha1", "-o", "json")
    return t.cast("str", json.loads(resources)["spec"])


def talosctl(cluster: Cluster, *args: str, stdin: str | None = None, timeout: float = APPLY_SECONDS) -> str:
    """Standard output of talosctl as administrator; ``Failed`` with its words otherwise."""
    command = ["talosctl", "--talosconfig", str(cluster.paths.talosconfig), "--context", cluster.name, *args]
    return run(command, stdin=stdin, timeout=timeout)


def _talosctl(cluster: Cluster, node: NodeModel, *args: str, stdin: str | None = None) -> str:
    return talosctl(cluster, "-n", node.address, *args, stdin=stdin)
