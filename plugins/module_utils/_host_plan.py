# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the extra hosts of a machine configuration, over both layers, which Talos joins."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_text
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import (
    DOCUMENTS,
    EXTRA_HOSTS,
    HOST_KIND,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import same_ip

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.splithorizon.registry.plugins.module_utils._config_documents import MachineConfig
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import WantedHost

__all__ = ["with_hosts", "with_static_hosts"]

Names = tuple[str, ...]
# As in the configuration, one item a place; None in place of names: this entry is to go.
HostList = list[tuple[str, Names | None]]


def with_hosts(
    config: MachineConfig, wishes: tuple[WantedHost, ...], *, layer: str, explicit: bool
) -> tuple[MachineConfig, tuple[str, ...]]:
    """The configuration with every wish fulfilled, and why it had to change. ``explicit``: all in this layer."""
    old: HostList = list(config.in_v1alpha1.hosts)
    new: HostList = list(config.in_documents.hosts)
    reasons: list[str] = []
    for wish in wishes:
        if wish.present:
            old, new = _moved(old, wish, reasons), _moved(new, wish, reasons)
            old, new = _granted(old, new, wish, reasons, layer=layer, explicit=explicit)
        else:
            old, new = _removed(old, new, wish, reasons)
    return with_static_hosts(_with_extra_hosts(config, old), new), tuple(reasons)


def _moved(hosts: HostList, wish: WantedHost, reasons: list[str]) -> HostList:
    """Without the wanted names at any other address."""
    for ip in _addresses(hosts):
        if not same_ip(ip, wish.ip):
            gone = [name for name in _names_of(hosts, ip) if name in wish.names]
            reasons += [f"host {name}: at {ip}, wanted at {wish.ip}" for name in gone]
            hosts = _without(hosts, ip, gone)
    return hosts


def _granted(
    old: HostList, new: HostList, wish: WantedHost, reasons: list[str], *, layer: str, explicit: bool
) -> tuple[HostList, HostList]:
    """Both layers with the wish's names, and no other, at its address."""
    there = _names_of([*old, *new], wish.ip)
    in_layer = _names_of(new if layer == DOCUMENTS else old, wish.ip) == there
    if sorted(there) == sorted(wish.names) and (in_layer or not explicit):
        return old, new
    reasons.append(f"host {wish.ip}: [{', '.join(there)}], wanted [{', '.join(wish.names)}]")
    old, new = _without_address(old, wish.ip), _without_address(new, wish.ip)
    return (old, _put(new, wish)) if layer == DOCUMENTS else (_put(old, wish), new)


def _removed(old: HostList, new: HostList, wish: WantedHost, reasons: list[str]) -> tuple[HostList, HostList]:
    """Both layers without these names, at the wish's address or at any; without names, without the address."""
    there = _addresses([*old, *new])
    if not wish.names and any(same_ip(ip, wish.ip) for ip in there):
        reasons.append(f"host {wish.ip}: [{', '.join(_names_of([*old, *new], wish.ip))}] to be removed")
        return _without_address(old, wish.ip), _without_address(new, wish.ip)
    for ip in [wish.ip] if wish.ip else there:
        gone = [name for name in _names_of([*old, *new], ip) if name in wish.names]
        if gone:
            reasons.append(f"host {ip}: [{', '.join(gone)}] to be removed")
            old, new = _without(old, ip, gone), _without(new, ip, gone)
    return old, new


def _addresses(hosts: HostList) -> list[str]:
    return list(dict.fromkeys(ip for ip, names in hosts if names is not None))


def _names_of(hosts: HostList, ip: str) -> list[str]:
    return [name for here, names in hosts if same_ip(here, ip) for name in names or ()]


def _without(hosts: HostList, ip: str, gone: list[str]) -> HostList:
    """Without these names at the address, and without the entries that have no other."""

    def left(here: str, names: Names | None) -> Names | None:
        if not names or not same_ip(here, ip):
            return names
        return tuple(name for name in names if name not in gone) or None

    return [(here, left(here, names)) for here, names in hosts]


def _without_address(hosts: HostList, ip: str) -> HostList:
    return [(here, None if same_ip(here, ip) else names) for here, names in hosts]


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
            config = config.with_v1alpha1((*EXTRA_HOSTS, index), {"ip": ip, "aliases": list(names or ())})
        elif names is not None and names != before[index][1]:
            config = config.with_v1alpha1((*EXTRA_HOSTS, index, "aliases"), list(names))
    for index in reversed(range(len(before))):
        if hosts[index][1] is None:
            config = config.with_v1alpha1((*EXTRA_HOSTS, index), _yaml_text.DELETE)
    return config


def with_static_hosts(config: MachineConfig, hosts: Iterable[tuple[str, Names | None]]) -> MachineConfig:
    """With these ``StaticHostConfig`` documents; None takes one away, others stay."""
    before = dict(config.in_documents.hosts)
    for ip, names in hosts:
        if before.get(ip) != names:
            config = config.with_document(HOST_KIND, ip, None if names is None else {"hostnames": list(names)})
    return config
