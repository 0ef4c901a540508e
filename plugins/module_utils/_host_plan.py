# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the extra hosts of a machine configuration, over both layers, which Talos joins."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_text
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import same_ip
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import (
    DOCUMENTS,
    EXTRA_HOSTS,
    HOST_KIND,
)

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._config_documents import MachineConfig
    from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import WantedHost

__all__ = ["with_hosts"]

# As in the configuration, one item a place: what is to go keeps its place, without names.
HostList = list[tuple[str, tuple[str, ...]]]


def with_hosts(
    config: MachineConfig, wishes: tuple[WantedHost, ...], *, layer: str, explicit: bool
) -> tuple[MachineConfig, tuple[str, ...]]:
    """The configuration with every wish fulfilled, and why it had to change. ``explicit``: all in this layer."""
    old, new = list(config.in_v1alpha1.hosts), list(config.in_documents.hosts)
    reasons: list[str] = []
    for wish in wishes:
        old, new = _moved(old, wish, reasons), _moved(new, wish, reasons)
        old, new = _granted(old, new, wish, reasons, layer=layer, explicit=explicit)
    return _with_static_hosts(_with_extra_hosts(config, old), new), tuple(reasons)


def _moved(hosts: HostList, wish: WantedHost, reasons: list[str]) -> HostList:
    """Without the wanted names at any other address."""
    result: HostList = []
    for ip, names in hosts:
        elsewhere = wish.present and not same_ip(ip, wish.ip)
        gone = [name for name in names if elsewhere and name in wish.names]
        reasons += [f"host {name}: at {ip}, wanted at {wish.ip}" for name in gone]
        result.append((ip, tuple(name for name in names if name not in gone)))
    return result


def _granted(
    old: HostList, new: HostList, wish: WantedHost, reasons: list[str], *, layer: str, explicit: bool
) -> tuple[HostList, HostList]:
    """Both layers with the wish's address as it is to be."""
    if not wish.present:
        addresses = [wish.ip] if wish.ip else list(dict.fromkeys(ip for ip, _ in [*old, *new]))
        for ip in addresses:
            old, new = _removed(old, new, ip, wish.names, reasons)
        return old, new
    here = [names for ip, names in [*old, *new] if same_ip(ip, wish.ip) and names]
    there = [name for names in here for name in names]
    holding = new if layer == DOCUMENTS else old
    in_layer = [names for ip, names in holding if same_ip(ip, wish.ip) and names] == here
    if sorted(there) == sorted(wish.names) and (in_layer or not explicit):
        return old, new
    reasons.append(f"host {wish.ip}: [{', '.join(there)}], wanted [{', '.join(wish.names)}]")
    old, new = _without(old, wish.ip, there), _without(new, wish.ip, there)
    return (old, _put(new, wish)) if layer == DOCUMENTS else (_put(old, wish), new)


def _removed(
    old: HostList, new: HostList, ip: str, names: tuple[str, ...], reasons: list[str]
) -> tuple[HostList, HostList]:
    """Both layers without these names at the address; without names, without the address."""
    there = [name for here, all_names in [*old, *new] if same_ip(here, ip) for name in all_names]
    gone = [name for name in there if name in names or not names]
    if gone:
        reasons.append(f"host {ip}: [{', '.join(gone)}] to be removed")
    return _without(old, ip, gone), _without(new, ip, gone)


def _without(hosts: HostList, ip: str, gone: list[str]) -> HostList:
    return [
        (here, tuple(name for name in names if name not in gone) if same_ip(here, ip) else names)
        for here, names in hosts
    ]


def _put(hosts: HostList, wish: WantedHost) -> HostList:
    """With the names at the address's first place, or at the end."""
    place = next((index for index, (ip, _) in enumerate(hosts) if same_ip(ip, wish.ip)), None)
    if place is None:
        return [*hosts, (wish.ip, wish.names)]
    return [*hosts[:place], (hosts[place][0], wish.names), *hosts[place + 1 :]]


def _with_extra_hosts(config: MachineConfig, hosts: HostList) -> MachineConfig:
    """``machine.network.extraHostEntries`` as given; entries that stay as they are keep their text."""
    before = config.in_v1alpha1.hosts
    for index, (ip, names) in enumerate(hosts):
        if index >= len(before):
            config = config.with_v1alpha1((*EXTRA_HOSTS, index), {"ip": ip, "aliases": list(names)})
        elif names != before[index][1] and names:
            config = config.with_v1alpha1((*EXTRA_HOSTS, index, "aliases"), list(names))
    for index in reversed(range(len(before))):
        if before[index][1] and not hosts[index][1]:
            config = config.with_v1alpha1((*EXTRA_HOSTS, index), _yaml_text.DELETE)
    return config


def _with_static_hosts(config: MachineConfig, hosts: HostList) -> MachineConfig:
    before = dict(config.in_documents.hosts)
    for ip, names in hosts:
        if before.get(ip) != names:
            config = config.with_document(HOST_KIND, ip, {"hostnames": list(names)} if names else None)
    return config
