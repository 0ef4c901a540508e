# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: a Talos node's configuration → the traps in it: what Talos takes without a word and breaks on later."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils import _names
from ansible_collections.splithorizon.registry.plugins.module_utils._config_views import views
from ansible_collections.splithorizon.registry.plugins.module_utils._node_files import stopper
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import KINDS
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import same_ip, without_password
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel_nodes import BACKUP
from ansible_collections.splithorizon.registry.plugins.module_utils._trouble import (
    REPAIR,
    Move,
    Trouble,
    is_there,
    mirror_module,
    restart_spegel,
    urls,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.splithorizon.registry.plugins.module_utils._node_readings import Readings, Service

__all__ = ["hosts", "no_files", "pending", "tls"]


def pending(readings: Readings) -> Iterator[Trouble]:
    node = readings.node
    if node.is_settled:
        return
    before, after = views(node.persistent, node.active)
    what = ", ".join(dict.fromkeys([*before, *after])) or "other settings than those of registries"
    keep = _apply_again(node.name, "v1alpha1")
    if node.is_staged:
        evidence = f"a configuration staged at {node.persistent_since} waits for the next reboot; it differs in {what}"
        cure = f"talosctl -n {node.name} reboot, or to drop it: {keep}"
    else:
        evidence = (
            f"the configuration in use, of {node.active_since}, is not the one on disk: a `try` differs in {what}"
        )
        cure = f"wait until it is over; to keep it: {keep}; to go back now: {_apply_again(node.name, 'persistent')}"
    yield Trouble(node=node.name, kind="pending", evidence=evidence, cure=cure)


def _apply_again(node: str, which: str) -> str:
    read = f"talosctl -n {node} get mc {which} -o jsonpath='{{.spec}}'"
    return f"{read} | talosctl -n {node} apply-config --mode no-reboot -f /dev/stdin"


def no_files(readings: Readings) -> Iterator[Trouble]:
    if found := stopper(readings.node.active.effective):
        kind, key = found
        label = KINDS[kind].label
        evidence = f"Talos writes no hosts files at all while there is a {label} with the name {key}"
        cure = mirror_module(readings.node.name, **{kind: [{"name": key, "state": "absent"}]})
        yield Trouble(node=readings.node.name, kind="no_hosts_files", evidence=evidence, cure=cure)


def hosts(readings: Readings) -> Iterator[Trouble]:
    entries = readings.node.active.effective.hosts
    for name in dict.fromkeys(name for _ip, names in entries for name in names):
        addresses = list(dict.fromkeys(ip for ip, names in entries if name in names))
        if len(set(map(_family, addresses))) < len(addresses):
            yield _two_addresses(readings, name, addresses)
        elif name in readings.services:
            yield from _stale(readings, name, addresses)


def _two_addresses(readings: Readings, name: str, addresses: list[str]) -> Trouble:
    right = _right_address(readings, name, addresses)
    evidence = f"{name} has the addresses {' and '.join(addresses)}: they answer by turns{_said(readings, name)}"
    # A move would take it from its address of the other family too.
    move = Move(name=name, ip=right) if right and len(set(map(_family, addresses))) == 1 else None
    remove = mirror_module(readings.node.name, hosts=[{"ip": addresses[0], "names": [name], "state": "absent"}])
    cure = REPAIR if move else f"Remove it where it is wrong: {remove}"
    return Trouble(node=readings.node.name, kind="two_addresses", evidence=evidence, cure=cure, repair=move)


def _right_address(readings: Readings, name: str, addresses: list[str]) -> str | None:
    """The Service's, or that of the one document beside leftovers in extraHostEntries: a document stands for later."""
    if name in readings.services:
        service = readings.services[name]
        return _cluster_ip(service, addresses[0]) if service else None
    documents = [ip for ip, names in readings.node.active.in_documents.hosts if name in names]
    return documents[0] if len(documents) == 1 else None


def _stale(readings: Readings, name: str, addresses: list[str]) -> Iterator[Trouble]:
    service = readings.services[name]
    for ip in addresses:
        if service and any(same_ip(ip, other) for other in (*service.cluster_ips, *service.other_ips)):
            continue
        right = _cluster_ip(service, ip) if service and len(addresses) == 1 else None
        evidence = f"{name} is at {ip} in the node's host entries{_said(readings, name)}"
        absent = [{"ip": ip, "names": [name], "state": "absent"}]
        cure = REPAIR if right else mirror_module(readings.node.name, hosts=absent)
        move = Move(name=name, ip=right) if right else None
        yield Trouble(node=readings.node.name, kind="stale_host", evidence=evidence, cure=cure, repair=move)


def _said(readings: Readings, name: str) -> str:
    if name not in readings.services:
        return ""
    service = readings.services[name]
    if service is None:
        return ", and there is no such Service any more"
    return f", and the ClusterIP of Service {service.name} is {' and '.join(service.cluster_ips) or 'none'}"


def _cluster_ip(service: Service, like: str) -> str | None:
    """The Service's address of the same family."""
    return next((ip for ip in service.cluster_ips if _family(ip) == _family(like)), None)


def _family(ip: str) -> int:
    """4 or 6; 0 for what is no address, which Talos takes too."""
    try:
        return ipaddress.ip_address(ip).version
    except ValueError:
        return 0


def tls(readings: Readings) -> Iterator[Trouble]:
    """Talos's own resolver refuses such a registry altogether: the node's next boot would hang on its images."""
    settings = readings.node.active.effective
    asked = [url for mirror in settings.mirrors.values() for url in urls(mirror)]
    for host in settings.tls:
        mine = [url for url in asked if _names.url_host(url) == host]
        plain = [url for url in mine if url.startswith("http://")]
        if plain:
            url = without_password(plain[0])
            evidence = f"there are TLS settings for {host}, and the endpoint {url} is http: Talos's own pulls fail"
            yield _needless_tls(readings, host, evidence, is_needed=len(plain) < len(mine))


def _needless_tls(readings: Readings, host: str, evidence: str, *, is_needed: bool) -> Trouble:
    name, repair = readings.node.name, None
    if is_needed:
        cure = f"Make the endpoint https: talosctl -n {name} edit mc --mode no-reboot"
    elif is_there(readings, BACKUP):
        remove = mirror_module(name, tls=[{"name": host, "state": "absent"}])
        cure = f"{remove}; Talos then takes Spegel's files away: {restart_spegel(readings)}"
    else:
        cure, repair = REPAIR, host
    return Trouble(node=name, kind="tls_for_http", evidence=evidence, cure=cure, repair=repair)
