# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what is known of a Talos node → guide 2's four troubles: pulls refused or slow, Spegel, stuck downloads."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils import _names
from ansible_collections.splithorizon.registry.plugins.module_utils._node_files import (
    HOSTS_ROOT,
    HostsFile,
    directory_of,
    node_files,
    parse_hosts,
    stopper,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._node_readings import (
    CREDENTIALS_FILE,
    INGEST_FOLDER,
    credentials_wait,
    service_of,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._pull_errors import NO_WAY, NOT_FOUND, UNAUTHORIZED
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import without_password
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel_nodes import BACKUP
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_version import FIRST_THAT_RELOADS_AUTH
from ansible_collections.splithorizon.registry.plugins.module_utils._trouble import (
    Trouble,
    cluster_domain,
    endpoint_names,
    host_lines,
    host_of,
    is_there,
    mirror_module,
    restart_spegel,
    urls,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.splithorizon.registry.plugins.module_utils._node_readings import Pull, Readings
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import Settings

__all__ = ["ingests", "owed_reboot", "slow", "spegel", "unauthorized", "unused_mirrors"]

STALE_INGEST_SECONDS = 300
_DEFAULT = "_default"
_CREDENTIALS = "registry_pull_username and registry_pull_password"


def unauthorized(readings: Readings) -> Iterator[Trouble]:
    node, settings = readings.node, readings.node.active.effective
    for pull in _failed(readings, UNAUTHORIZED):
        keys = [_names.url_host(host) for host in _asked(readings, pull.registry)]
        known = [f"{key} as {settings.auth[key].username or 'a token'}" for key in keys if key in settings.auth]
        told = f"the node has credentials for {', '.join(known)}" if known else f"it has none for {', '.join(keys)}"
        late = _late(readings)
        evidence = f"the pull of {pull.image} is refused ({pull.error}); {told}{late and f'; {late}'}"
        if known and late:
            cure = _reboot(readings)
        else:
            cure = f"Correct {_CREDENTIALS}, then: ansible-playbook splithorizon.registry.site --tags nodes"
        yield Trouble(node=node.name, kind="unauthorized", evidence=evidence, cure=cure)
    yield from _sent_to_nobody(readings)


def owed_reboot(readings: Readings) -> Iterator[Trouble]:
    """Before a pull is refused, or where a removed account is still in use; a refused pull tells of it itself."""
    if (late := _late(readings)) and not any(_failed(readings, UNAUTHORIZED)):
        evidence = f"the registry credentials were changed: {late}"
        yield Trouble(node=readings.node.name, kind="owed_reboot", evidence=evidence, cure=_reboot(readings))


def _reboot(readings: Readings) -> str:
    by_hand = f"talosctl -n {readings.node.name} reboot (drain it first)"
    return f"ansible-playbook splithorizon.registry.site --tags nodes -e registry_reboot=allowed; or {by_hand}"


def _sent_to_nobody(readings: Readings) -> Iterator[Trouble]:
    """Credentials are found by the host that the endpoint's URL writes, port included."""
    node, settings = readings.node, readings.node.active.effective
    asked = {_names.url_host(url) for mirror in settings.mirrors.values() for url in urls(mirror)}
    for key in settings.auth:
        host = re.sub(r":(80|443)$", "", key)
        if host in asked and not {key} & (asked | settings.mirrors.keys()):
            evidence = f"the credentials for {key} are sent to nobody: the endpoint's URL writes {host}"
            cure = f"Name them {host}: talosctl -n {node.name} edit mc --mode no-reboot"
            yield Trouble(node=node.name, kind="unauthorized", evidence=evidence, cure=cure)


def _late(readings: Readings) -> str:
    """That containerd has not taken the credentials that Talos has written: before 1.14 it does when it starts."""
    node, written, since = readings.node, readings.files.get(CREDENTIALS_FILE), readings.containerd_since
    if node.version >= FIRST_THAT_RELOADS_AUTH or node.is_as_booted or not credentials_wait(written, since):
        return ""
    return f"they were written at {written:%F %T} UTC, and containerd runs since {since:%F %T} with those of before"


def slow(readings: Readings) -> Iterator[Trouble]:
    node = readings.node
    for pull in _failed(readings, NO_WAY):
        evidence = f"the pull of {pull.image} does not get through ({pull.error}); {_way(readings, pull.registry)}"
        yield Trouble(node=node.name, kind="slow_pull", evidence=evidence, cure=_look(readings))
    for pull in readings.pulls:
        if not pull.error and _is_ours(readings, pull.registry):
            size = f" of {pull.size / 1e6:.1f} MB" if pull.size is not None else ""
            evidence = f"the pull of {pull.image}{size} took {pull.seconds:.0f} s; {_way(readings, pull.registry)}"
            yield Trouble(node=node.name, kind="slow_pull", evidence=evidence, cure=_look(readings))
    yield from _unresolved(readings)


def _unresolved(readings: Readings) -> Iterator[Trouble]:
    """containerd runs on the node, whose resolver knows no Services."""
    node = readings.node
    known = {name for _ip, names in host_lines(readings) for name in names}
    domain = cluster_domain(node.active)
    for name in endpoint_names(node.active.effective):
        if service_of(name, domain) and name not in known:
            registries = [key for key, m in node.active.effective.mirrors.items() if name in map(host_of, urls(m))]
            evidence = (
                f"/etc/hosts has no line for {name}, which the node's resolver does not know: every pull of "
                f"{', '.join(registries)} asks it in vain before it goes on"
            )
            service = readings.services.get(name)
            ip = service.cluster_ips[0] if service and service.cluster_ips else f"the ClusterIP of {name}"
            cure = mirror_module(node.name, hosts=[{"ip": ip, "names": [name]}])
            yield Trouble(node=node.name, kind="slow_pull", evidence=evidence, cure=cure)


def _failed(readings: Readings, words: re.Pattern[str]) -> Iterator[Pull]:
    for pull in readings.pulls:
        if pull.error and words.search(pull.error) and _is_ours(readings, pull.registry):
            yield pull


def _is_ours(readings: Readings, registry: str) -> bool:
    """Whether the node has settings for the registry; what it pulls elsewhere is not this collection's business."""
    settings = readings.node.active.effective
    named = settings.mirrors.keys() | settings.auth.keys() | settings.tls.keys()
    return bool({registry, _names.ANY_REGISTRY} & named)


def _way(readings: Readings, registry: str) -> str:
    """Which mirrors containerd asks, in order, and where /etc/hosts sends it."""
    asked = _asked(readings, registry)
    lines = [(ip, names) for ip, names in host_lines(readings) if set(names) & set(map(host_of, asked))]
    sent = "; ".join(f"/etc/hosts: {ip} {' '.join(names)}" for ip, names in lines) or "/etc/hosts names none of them"
    return f"containerd asks {', then '.join(map(without_password, asked))}; {sent}"


def _asked(readings: Readings, registry: str) -> list[str]:
    """URLs, by the node's own file where there is one; the registry itself comes last where no server is named."""
    predicted = node_files(readings.node.active.effective).hosts
    default = predicted.get(registry) or predicted.get(_names.ANY_REGISTRY) or HostsFile()
    found = parse_hosts(readings.hosts_toml[registry]) if registry in readings.hosts_toml else None
    file = found or default
    return [*(host.url for host in file.hosts), file.server.url if file.server else f"https://{registry}"]


def _look(readings: Readings) -> str:
    name = readings.node.name
    return f"talosctl -n {name} list {HOSTS_ROOT}; talosctl -n {name} read /etc/hosts; talosctl -n {name} logs cri"


def spegel(readings: Readings) -> Iterator[Trouble]:
    node, settings = readings.node, readings.node.active.effective
    own_default = _names.ANY_REGISTRY in settings.mirrors or node.active.has_image_cache
    if is_there(readings, _DEFAULT) and not own_default:
        missed = [pull.image for pull in _failed(readings, NOT_FOUND)]
        told = f"; not found by it: {', '.join(missed)}" if missed else ""
        evidence = f"{HOSTS_ROOT}/{_DEFAULT} is not Talos's: Spegel answers for every registry that has no file{told}"
        yield Trouble(node=node.name, kind="spegel_intercepts", evidence=evidence, cure=_list_in_spegel(readings))
    if not is_there(readings, BACKUP):
        return
    for registry in _mirrored(settings):
        if not is_there(readings, directory_of(registry)) and not is_there(readings, registry):
            evidence = f"Spegel has put Talos's mirror of {registry} away: the registry is not in mirroredRegistries"
        elif _lost(readings, registry):
            why = (
                "it has a port"
                if ":" in registry
                else "with skipFallback, or without prependExisting, Spegel drops them"
            )
            evidence = f"Spegel's file of {registry} lacks {', '.join(_lost(readings, registry))}: {why}"
        else:
            continue
        yield Trouble(node=node.name, kind="spegel_intercepts", evidence=evidence, cure=_list_in_spegel(readings))


def _list_in_spegel(readings: Readings) -> str:
    by_hand = f"list the registries in mirroredRegistries, then: {restart_spegel(readings)}"
    return f"ansible-playbook splithorizon.registry.spegel; or {by_hand}"


def unused_mirrors(readings: Readings) -> Iterator[Trouble]:
    """Where no Spegel is at work, Talos's files hold the endpoints."""
    node, settings = readings.node, readings.node.active.effective
    if not readings.files or is_there(readings, BACKUP) or stopper(settings):
        return
    for registry in _mirrored(settings):
        if lost := _lost(readings, registry):
            path = f"{HOSTS_ROOT}/{directory_of(registry)}/hosts.toml"
            evidence = f"{path} does not name {', '.join(lost)}: pulls of {registry} go past the mirror"
            cure = f"talosctl -n {node.name} logs machined | grep -i cri; then: talosctl -n {node.name} reboot"
            yield Trouble(node=node.name, kind="mirror_not_used", evidence=evidence, cure=cure)


def _mirrored(settings: Settings) -> list[str]:
    return [key for key, mirror in settings.mirrors.items() if mirror.endpoints]


def _lost(readings: Readings, registry: str) -> list[str]:
    """Endpoints that containerd does not ask, in spite of the configuration."""
    text = readings.hosts_toml.get(registry)
    if text is None and any(is_there(readings, f"{name}/hosts.toml") for name in (registry, directory_of(registry))):
        return []  # there, and could not be read
    found = parse_hosts(text or "") or HostsFile()
    there = {host.url for host in (*found.hosts, found.server) if host}
    wanted = urls(readings.node.active.effective.mirrors[registry])
    return [without_password(url) for url in wanted if url not in there]


def ingests(readings: Readings) -> Iterator[Trouble]:
    stale = {name: age for name, age in readings.ingests.items() if age > STALE_INGEST_SECONDS}
    if stale:
        oldest, age = max(stale.items(), key=lambda item: item[1])
        what = "download" if len(stale) == 1 else "downloads"
        evidence = (
            f"{len(stale)} {what} got no byte for more than 5 minutes, the oldest for {age / 60:.0f}: "
            f"{INGEST_FOLDER}/{oldest}"
        )
        cure = f"talosctl -n {readings.node.name} reboot (drain it first); pulls of these layers wait for it"
        yield Trouble(node=readings.node.name, kind="stale_ingest", evidence=evidence, cure=cure)
