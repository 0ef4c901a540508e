# SPDX-License-Identifier: GPL-3.0-or-later
"""The world outside the clusters: a DNS server per cluster's side of the LAN, and the machine's resolver."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from .model import CLUSTERS, REGISTRY_NAME
from .process import Failed, Part, run

if t.TYPE_CHECKING:
    from .model import ClusterModel
    from .paths import Paths
    from .process import Supervisor

__all__ = ["corefile", "point_resolver", "resolver", "start"]


def corefile(cluster: ClusterModel) -> str:
    """The public registry name points at the cluster's load balancer; nothing else exists, and nobody is asked."""
    return f"""{REGISTRY_NAME}:53 {{
    bind {cluster.lan_address}
    errors
    hosts {{
        {cluster.gateway_address} {REGISTRY_NAME}
        ttl 30
    }}
}}
.:53 {{
    bind {cluster.lan_address}
    errors
    template ANY ANY . {{
        rcode NXDOMAIN
    }}
}}
"""


def resolver(cluster: ClusterModel) -> str:
    """resolv.conf of the cluster's nodes."""
    return f"nameserver {cluster.lan_address}\n"


def point_resolver(paths: Paths) -> None:
    """Write each cluster's resolv.conf, and make the first one the sandbox's own."""
    for cluster in CLUSTERS:
        folder = paths.cluster(cluster.name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "resolv.conf").write_text(resolver(cluster))
    _mount_resolver(paths.cluster(CLUSTERS[0].name) / "resolv.conf")


def start(paths: Paths, supervisor: Supervisor) -> None:
    """Start the DNS servers."""
    for cluster in CLUSTERS:
        config = paths.cluster(cluster.name) / "lan.Corefile"
        config.write_text(corefile(cluster))
        supervisor.start(Part(f"{cluster.name}-lan-dns", ("coredns", "-conf", str(config))))


def _mount_resolver(source: Path) -> None:
    """Put ``source`` in the place of /etc/resolv.conf, for this mount namespace only."""
    target = Path(os.path.realpath("/etc/resolv.conf"))
    if target.is_relative_to("/run"):  # what it points to was hidden by our own /run
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    if not target.exists():
        raise Failed("/etc/resolv.conf: there is none to replace inside the sandbox")
    run(["mount", "--bind", str(source), str(target)])
