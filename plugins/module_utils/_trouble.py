# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: a trouble of a Talos node, and what its finders share."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils import _names

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._config_documents import MachineConfig
    from ansible_collections.splithorizon.registry.plugins.module_utils._node_readings import Readings
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import Mirror, Settings

__all__ = [
    "REPAIR",
    "Move",
    "Trouble",
    "cluster_domain",
    "endpoint_names",
    "host_lines",
    "host_of",
    "is_there",
    "mirror_module",
    "restart_spegel",
    "urls",
]

REPAIR: t.Final = "ansible-playbook splithorizon.registry.doctor -e registry_repair=true"


@dataclass(frozen=True, kw_only=True)
class Move:
    """A host name goes to this address and to no other."""

    name: str
    ip: str


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """``repair``: what takes it away without a risk: a name to move, or the host whose TLS settings are to go."""

    node: str
    kind: str
    evidence: str
    cure: str
    repair: Move | str | None = None

    @property
    def repairable(self) -> bool:
        return self.repair is not None

    @property
    def message(self) -> str:
        """All of it in one line."""
        return f"{f'node {self.node}: ' if self.node else ''}{self.evidence}. Cure: {self.cure}"

    @property
    def result(self) -> dict[str, t.Any]:
        names = ("node", "kind", "evidence", "cure", "repairable", "message")
        return {name: getattr(self, name) for name in names}


def cluster_domain(config: MachineConfig) -> str:
    """What the names of Services end with."""
    cluster = config.main.get("cluster")
    network = cluster.get("network") if isinstance(cluster, dict) else None
    return str((network.get("dnsDomain") if isinstance(network, dict) else "") or "cluster.local")


def urls(mirror: Mirror) -> list[str]:
    """The mirror's endpoints, as they are asked."""
    return [endpoint.url for endpoint in mirror.endpoints]


def endpoint_names(settings: Settings) -> list[str]:
    """Hosts of all mirrors' endpoints."""
    return list(dict.fromkeys(host_of(url) for mirror in settings.mirrors.values() for url in urls(mirror)))


def host_of(url: str) -> str:
    """A URL's host without the port."""
    return re.sub(r":\d+$", "", _names.url_host(url))


def is_there(readings: Readings, directory: str) -> bool:
    """Whether containerd has a folder of this name for registries."""
    return f"hosts/{directory}" in readings.files


def host_lines(readings: Readings) -> list[tuple[str, tuple[str, ...]]]:
    """Of the node's /etc/hosts, or what its configuration puts there."""
    if readings.etc_hosts is None:
        return list(readings.node.active.effective.hosts)
    rows = (line.partition("#")[0].split() for line in readings.etc_hosts.splitlines())
    return [(row[0], tuple(row[1:])) for row in rows if row]


def mirror_module(node: str, **options: t.Any) -> str:
    """The ad hoc command of the module that edits a node."""
    arguments = json.dumps({"node": node, **options})
    return f"ansible localhost -m splithorizon.registry.talos_registry_mirror -a '{arguments}'"


def restart_spegel(readings: Readings) -> str:
    """The command that has Spegel write its files again."""
    namespace, _slash, name = readings.spegel.partition("/")
    return f"kubectl -n {namespace} rollout restart daemonset/{name}"
