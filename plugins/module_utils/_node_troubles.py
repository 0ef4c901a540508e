# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what is known of a Talos node → all its troubles, and what is to be wanted of it to repair them."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.splithorizon.registry.plugins.module_utils import _config_troubles, _pull_troubles
from ansible_collections.splithorizon.registry.plugins.module_utils._node_readings import service_of
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import (
    Wanted,
    WantedHost,
    same_ip,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._trouble import (
    Move,
    Trouble,
    cluster_domain,
    endpoint_names,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.splithorizon.registry.plugins.module_utils._config_documents import MachineConfig
    from ansible_collections.splithorizon.registry.plugins.module_utils._node_readings import Readings
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import Settings

__all__ = ["node_troubles", "repairs", "service_names"]

_FINDERS = (
    _config_troubles.pending,
    _pull_troubles.unauthorized,
    _pull_troubles.owed_reboot,
    _pull_troubles.slow,
    _pull_troubles.spegel,
    _pull_troubles.unused_mirrors,
    _pull_troubles.ingests,
    _config_troubles.hosts,
    _config_troubles.tls,
    _config_troubles.no_files,
)


def node_troubles(readings: Readings) -> tuple[Trouble, ...]:
    """All of a node's troubles, in a stable order. A pending configuration keeps every other from being repaired."""
    found = tuple(trouble for finder in _FINDERS for trouble in finder(readings))
    return found if readings.node.is_settled else tuple(map(_unrepaired, found))


def repairs(troubles: Iterable[Trouble], settings: Settings) -> Wanted:
    """What is to be wanted of a node with these effective settings so that its repairable troubles are gone."""
    found = [trouble.repair for trouble in troubles]
    moves = {one.name: one.ip for one in found if isinstance(one, Move)}
    hosts = []
    for ip in dict.fromkeys(moves.values()):
        stay = [n for here, names in settings.hosts if same_ip(here, ip) for n in names if moves.get(n, ip) == ip]
        names = dict.fromkeys([*stay, *(name for name, to in moves.items() if to == ip)])
        hosts.append(WantedHost(ip=ip, names=tuple(names), present=True))
    return Wanted(tls={one: None for one in found if isinstance(one, str)}, hosts=tuple(hosts))


def service_names(config: MachineConfig) -> list[str]:
    """The host names in a configuration that are made of a Service's, of host entries and of mirrors' endpoints."""
    domain, settings = cluster_domain(config), config.effective
    named = [name for _ip, names in settings.hosts for name in names]
    return [name for name in dict.fromkeys([*named, *endpoint_names(settings)]) if service_of(name, domain)]


def _unrepaired(trouble: Trouble) -> Trouble:
    if trouble.kind == "pending":
        return trouble
    return replace(trouble, repair=None, cure=f"When no configuration is pending any more: {trouble.cure}")
