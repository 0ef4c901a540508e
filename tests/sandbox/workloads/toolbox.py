# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod to look from, trusting the sandbox's authority: what it sees, any pod of the cluster sees."""

from __future__ import annotations

import typing as t

from . import manifests

if t.TYPE_CHECKING:
    from ..cluster import Cluster

__all__ = ["install", "run"]

READY_SECONDS = 240


def install(cluster: Cluster) -> None:
    cluster.apply(manifests.objects("toolbox", ca=cluster.paths.ca.read_text()))
    how = ["--for=condition=Ready", "pod/toolbox", f"--timeout={READY_SECONDS}s"]
    cluster.kubectl("-n", "toolbox", "wait", *how, timeout=READY_SECONDS + 5)


def run(cluster: Cluster, *argv: str, timeout: float = 30.0) -> str:
    """Standard output of a program in the pod; ``Failed`` with its words when it fails."""
    return cluster.kubectl("-n", "toolbox", "exec", "toolbox", "--", *argv, timeout=timeout)
