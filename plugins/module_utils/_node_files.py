# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: registry settings → the files that Talos writes on the node for containerd, and its lines in /etc/hosts.

Rules of Talos 1.10 to 1.15, proved against files of a real 1.13 node (tests). Files are compared by what
containerd reads in them, in order, never by bytes.
"""

from __future__ import annotations

import tomllib
import typing as t
from dataclasses import dataclass
from functools import partial

from ansible_collections.splithorizon.registry.plugins.module_utils import _names
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import without_password

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import Hosts, Settings

__all__ = [
    "HOSTS_ROOT",
    "Check",
    "Host",
    "HostsFile",
    "NodeFiles",
    "directory_of",
    "file_checks",
    "host_lines",
    "node_files",
    "parse_hosts",
    "stopper",
]

HOSTS_ROOT = "/etc/cri/conf.d/hosts"
ETC_HOSTS = "/etc/hosts"

# Whether a file's content (None: it is not there) is as planned.
Check = t.Callable[["str | None"], bool]

_CAPABILITIES = ("pull", "resolve")
# Where Talos's image cache listens on every node that has one.
_IMAGE_CACHE = "http://127.0.0.1:3172"


@dataclass(frozen=True, kw_only=True)
class Host:
    """One host that containerd asks, as hosts.toml describes it."""

    url: str
    capabilities: tuple[str, ...] = _CAPABILITIES
    override_path: bool = False
    ca: str = ""
    client: tuple[tuple[str, str], ...] = ()
    skip_verify: bool = False


@dataclass(frozen=True, kw_only=True)
class HostsFile:
    """``hosts`` are asked in order, then ``server``; without a server, containerd asks the registry itself by https."""

    hosts: tuple[Host, ...] = ()
    server: Host | None = None

    @property
    def summary(self) -> dict[str, t.Any]:
        """For results: URLs only."""
        server = without_password(self.server.url) if self.server else None
        return {"hosts": [without_password(host.url) for host in self.hosts], "server": server}


@dataclass(frozen=True, kw_only=True)
class NodeFiles:
    """``hosts``: registry → its hosts.toml; ``others``: path below HOSTS_ROOT → content (certificates and keys)."""

    hosts: Mapping[str, HostsFile]
    others: Mapping[str, str]

    def path(self, registry: str) -> str:
        """Absolute, on the node."""
        return f"{HOSTS_ROOT}/{directory_of(registry)}/hosts.toml"


def directory_of(registry: str) -> str:
    """``host`` → ``host``, ``host:5000`` → ``host_5000_``, ``*`` → ``_default``."""
    if registry == _names.ANY_REGISTRY:
        return "_default"
    host, colon, port = registry.rpartition(":")
    return f"{host}_{port}_" if colon and host else registry


def node_files(settings: Settings, *, image_cache: bool = False) -> NodeFiles:
    """What Talos writes below HOSTS_ROOT for the effective settings of a configuration."""
    hosts: dict[str, HostsFile] = {}
    others: dict[str, str] = {}
    if stopper(settings):
        return NodeFiles(hosts={}, others={})
    for registry, mirror in settings.mirrors.items():
        entries = [
            _with_tls(
                Host(url=e.url, override_path=e.override_path), _names.url_host(e.url), registry, settings, others
            )
            for e in mirror.endpoints
        ]
        if image_cache:
            entries.insert(0, Host(url=_IMAGE_CACHE))
        server = entries.pop() if mirror.skip_fallback and entries else None
        hosts[registry] = HostsFile(hosts=tuple(entries), server=server)
    if image_cache and _names.ANY_REGISTRY not in hosts:
        hosts[_names.ANY_REGISTRY] = HostsFile(hosts=(Host(url=_IMAGE_CACHE),))
    for registry, tls in settings.tls.items():
        if registry not in hosts and tls.says_something:
            url = f"https://{'registry-1.docker.io' if registry == 'docker.io' else registry}"
            server = _with_tls(Host(url=url, capabilities=()), registry, registry, settings, others)
            hosts[registry] = HostsFile(server=server)
    return NodeFiles(hosts=hosts, others=others)


def stopper(settings: Settings) -> tuple[str, str] | None:
    """(kind, key) of a setting that keeps Talos from writing any hosts file: its directory cannot be there."""
    for key in settings.mirrors:
        if "/" in key:
            return "mirrors", key
    for key, tls in settings.tls.items():
        if tls.says_something and key not in settings.mirrors and ("/" in key or key == _names.ANY_REGISTRY):
            return "tls", key
    return None


def parse_hosts(text: str) -> HostsFile | None:
    """What a hosts.toml says, or None where it is no TOML (a table twice, half written)."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    tables = data.get("host", {})
    hosts = tuple(_parse_host(url, table) for url, table in tables.items() if isinstance(table, dict))
    server = _parse_host(str(data["server"]), data) if "server" in data else None
    return HostsFile(hosts=hosts, server=server)


Lines = tuple[tuple[str, tuple[str, ...]], ...]


def host_lines(hosts: Hosts) -> Lines:
    """The lines Talos adds to /etc/hosts: sorted by the address's text, names of one address joined."""
    joined: dict[str, tuple[str, ...]] = {}
    for ip, names in hosts:
        joined[ip] = (*joined.get(ip, ()), *names)
    return tuple(sorted(joined.items()))


def file_checks(before: Settings, after: Settings, *, image_cache: bool = False) -> dict[str, Check]:
    """Path on the node → its check, for every file that changed settings change."""
    old, new = node_files(before), node_files(after)
    cached = node_files(after, image_cache=True) if image_cache else new
    checks: dict[str, Check] = {}
    for registry in old.hosts.keys() | new.hosts.keys():
        if old.hosts.get(registry) != new.hosts.get(registry):
            # A cache that is set may not be ready yet.
            accepted = (new.hosts.get(registry), cached.hosts.get(registry))
            checks[new.path(registry)] = partial(_is_hosts_file, accepted=accepted)
    for path in old.others.keys() | new.others.keys():
        if old.others.get(path) != new.others.get(path):
            checks[f"{HOSTS_ROOT}/{path}"] = partial(_is_pem, wanted=new.others.get(path))
    old_lines, new_lines = host_lines(before.hosts), host_lines(after.hosts)
    if old_lines != new_lines:
        gone = tuple(line for line in old_lines if line not in new_lines)
        checks[ETC_HOSTS] = partial(_has_lines, wanted=new_lines, gone=gone)
    return checks


def _is_hosts_file(text: str | None, *, accepted: tuple[HostsFile | None, ...]) -> bool:
    found = None if text is None else parse_hosts(text)
    return found in accepted and (text is None or found is not None)


def _is_pem(text: str | None, *, wanted: str | None) -> bool:
    return (None if text is None else text.strip()) == (None if wanted is None else wanted.strip())


def _has_lines(text: str | None, *, wanted: Lines, gone: Lines) -> bool:
    """Names of an address over all its lines: Talos before 1.12 writes one for each entry, and a node names itself."""
    there: dict[str, tuple[str, ...]] = {}
    for ip, *names in filter(None, map(str.split, (text or "").splitlines())):
        there[ip] = (*there.get(ip, ()), *names)

    def ends_with(ip: str, names: tuple[str, ...]) -> bool:
        return ip in there and there[ip][len(there[ip]) - len(names) :] == names

    return all(ends_with(*line) for line in wanted) and not any(ends_with(*line) for line in gone)


def _with_tls(host: Host, tls_key: str, registry: str, settings: Settings, others: dict[str, str]) -> Host:
    tls = settings.tls.get(tls_key)
    if tls is None:
        return host
    directory = directory_of(registry)
    names = {kind: f"{directory}/{tls_key}-{kind}" for kind in ("ca.crt", "client.crt", "client.key")}
    contents = {"ca.crt": tls.ca, "client.crt": tls.client_cert, "client.key": tls.client_key}
    others.update({names[kind]: content for kind, content in contents.items() if content})
    client = ((f"{HOSTS_ROOT}/{names['client.crt']}", f"{HOSTS_ROOT}/{names['client.key']}"),)
    return Host(
        url=host.url,
        capabilities=host.capabilities,
        override_path=host.override_path,
        ca=f"{HOSTS_ROOT}/{names['ca.crt']}" if tls.ca else "",
        client=client if tls.client_cert else (),
        skip_verify=tls.insecure_skip_verify,
    )


def _parse_host(url: str, table: Mapping[str, t.Any]) -> Host:
    return Host(
        url=url,
        capabilities=tuple(table.get("capabilities", ())),
        override_path=table.get("override_path") is True,
        ca=str(table.get("ca", "")),
        client=tuple((str(pair[0]), str(pair[1])) for pair in table.get("client", ()) if len(pair) == 2),  # noqa: PLR2004
        skip_verify=table.get("skip_verify") is True,
    )
