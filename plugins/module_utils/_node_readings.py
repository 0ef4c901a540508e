# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what talosctl and Kubernetes print about a node → data about its files, its downloads and its pulls."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_nodes
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import without_password

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import Node

__all__ = [
    "CONTAINERD_FOLDER",
    "CREDENTIALS_FILE",
    "INGEST_FOLDER",
    "Files",
    "Pull",
    "Readings",
    "Service",
    "credentials_wait",
    "failed_pulls",
    "ingest_ages",
    "parse_containerd_starts",
    "parse_etc_hosts",
    "parse_files",
    "parse_host_dns",
    "parse_resolvers",
    "seconds_of",
    "service_of",
    "slow_pulls",
    "specs",
    "to_service",
]

Json = dict[str, t.Any]

# path below the folder that was listed (``.``: itself) → when it was last written
Files = dict[str, datetime]

CONTAINERD_FOLDER = "/etc/cri/conf.d"
CREDENTIALS_FILE = "cri.toml"
INGEST_FOLDER = "/var/lib/containerd/io.containerd.content.v1.content/ingest"

_MESSAGE_LENGTH = 300
# At a boot Talos writes the file just before it starts containerd, whose start is told to the second.
_BOOT = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True)
class Service:
    """A Kubernetes Service: its cluster addresses, and others that lead to it (load balancer, external)."""

    name: str
    cluster_ips: tuple[str, ...] = ()
    other_ips: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pull:
    """A pull of the kubelet's: how long it took and how many bytes, or the words of its failure."""

    image: str
    seconds: float = 0
    size: int | None = None
    error: str = ""

    @property
    def registry(self) -> str:
        """The host of the reference, as containerd reads it."""
        host, slash, _rest = self.image.partition("/")
        return host if slash and (host == "localhost" or "." in host or ":" in host) else "docker.io"


@dataclass(frozen=True, kw_only=True)
class Readings:
    """All that is known of one node.

    ``files``: paths below CONTAINERD_FOLDER; ``hosts_toml``: registry → text, for mirrors whose file is there;
    ``ingests``: download → seconds since a byte of it came; ``services``: host name → the Service that it names, None
    where there is none, and not in it where nobody was asked; ``spegel``: its DaemonSet, ``namespace/name``.
    """

    node: Node
    files: Files = field(default_factory=dict)
    hosts_toml: Mapping[str, str] = field(default_factory=dict)
    etc_hosts: str | None = None
    ingests: Mapping[str, float] = field(default_factory=dict)
    services: Mapping[str, Service | None] = field(default_factory=dict)
    pulls: tuple[Pull, ...] = ()
    containerd_since: datetime | None = None
    spegel: str = "kube-system/spegel"


# --- talosctl ---

# NODE MODE UID GID SIZE LASTMOD [LABEL] NAME
_ROW = re.compile(
    r"^(?P<node>\S+)\s+[A-Za-z-]{10,}\s+\d+\s+\d+\s+\d+\s+"
    r"(?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>\d{1,2}) (?:(?P<time>\d\d:\d\d:\d\d)|(?P<year>\d{4}) (?P<minute>\d\d:\d\d))"
    r"\s+(?:\S+\s+)?(?P<name>\S+)$"
)


def parse_files(stdout: str, *, now: datetime) -> dict[str, Files]:
    """`talosctl list --long --recurse` of one or many nodes, printed in UTC → node: its files."""
    result: dict[str, Files] = {}
    for row in filter(None, (_ROW.match(line.rstrip()) for line in stdout.splitlines())):
        result.setdefault(row["node"], {})[row["name"]] = _modified(row, now)
    return result


def _modified(row: re.Match[str], now: datetime) -> datetime:
    """talosctl leaves the year out of what is younger than half a year."""
    year = row["year"] or str(now.year)
    text = f"{year} {row['month']} {row['day']} {row['time'] or row['minute'] + ':00'}"
    try:
        found = datetime.strptime(text, "%Y %b %d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:  # the 29th of February, said in another year
        return now
    is_of_last_year = not row["year"] and found > now + timedelta(days=1)
    return found.replace(year=found.year - 1) if is_of_last_year else found


def ingest_ages(files: Files, *, now: datetime) -> dict[str, float]:
    """Download → seconds since anything of it was written: a slow download is alive as long as bytes come."""
    newest: Files = {}
    for path, modified in files.items():
        if path != ".":
            download = path.partition("/")[0]
            newest[download] = max(modified, newest.get(download, modified))
    return {download: max(0.0, (now - modified).total_seconds()) for download, modified in newest.items()}


def specs(stdout: str) -> dict[str, Json]:
    """`talosctl get KIND ID -o yaml` of one or many nodes → node: the resource's spec."""
    try:
        documents = _yaml_nodes.load_all(stdout)
    except Conflict:  # cut off
        return {}
    found = [document for document in documents if isinstance(document, dict)]
    return {
        str(document.get("node", "")): document["spec"] for document in found if isinstance(document.get("spec"), dict)
    }


def parse_etc_hosts(stdout: str) -> dict[str, str]:
    """`talosctl get etcfilespecs hosts -o yaml` → node: what its /etc/hosts holds."""
    found = {node: spec.get("contents") for node, spec in specs(stdout).items()}
    return {node: text for node, text in found.items() if isinstance(text, str)}


def parse_resolvers(stdout: str) -> dict[str, tuple[str, ...]]:
    """`talosctl get resolvers resolvers -o yaml` → node: the DNS servers that it asks, in their order."""
    return {node: tuple(map(str, spec.get("dnsServers") or ())) for node, spec in specs(stdout).items()}


def parse_host_dns(stdout: str) -> dict[str, bool]:
    """`talosctl get hostdnsconfigs config -o yaml` → node: whether its host DNS is on."""
    return {node: bool(spec.get("enabled")) for node, spec in specs(stdout).items()}


def parse_containerd_starts(stdout: str, *, now: datetime) -> dict[str, datetime]:
    """`talosctl service cri` of one or many nodes → node: when containerd started last, to the second."""
    result: dict[str, datetime] = {}
    node = ""
    for line in stdout.splitlines():
        if line.startswith("NODE"):
            node = line.split()[-1]
        elif found := re.search(r"started with PID \d+ \((\S+) ago\)", line):
            result.setdefault(node, now - timedelta(seconds=seconds_of(found[1])))  # the newest comes first
    return result


def credentials_wait(written: datetime | None, since: datetime | None) -> bool:
    """Whether credentials were written after containerd's start.

    Talos writes a file only where its content changes, and at a boot before it starts containerd. That they were
    changed and then changed back cannot be told.
    """
    return bool(written and since and written > since + _BOOT)


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def seconds_of(duration: str) -> float:
    """A duration as Go writes it: ``1h2m3.5s``, ``542ms``."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)", duration)
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


# --- Kubernetes ---


def service_of(host: str, domain: str) -> tuple[str, str] | None:
    """(namespace, name) of the Service that a host name is made of."""
    short = host.rstrip(".").removesuffix(f".{domain}")
    found = re.fullmatch(r"([a-z0-9-]+)\.([a-z0-9-]+)\.svc", short)
    return (found[2], found[1]) if found else None


def to_service(found: Json) -> Service:
    spec, metadata = found.get("spec", {}), found["metadata"]
    cluster_ips = spec.get("clusterIPs") or [spec.get("clusterIP")]
    ingress = (found.get("status", {}).get("loadBalancer") or {}).get("ingress") or []
    others = [*(spec.get("externalIPs") or []), *(one["ip"] for one in ingress if one.get("ip"))]
    return Service(
        name=f"{metadata['namespace']}/{metadata['name']}",
        cluster_ips=tuple(ip for ip in cluster_ips if ip and ip != "None"),
        other_ips=tuple(others),
    )


def failed_pulls(pods: Iterable[Json]) -> dict[str, list[Pull]]:
    """Kubernetes node → the images that its kubelet waits for in vain."""
    result: dict[str, list[Pull]] = {}
    for pod in pods:
        status = pod.get("status", {})
        containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
        for container in containers:
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff"):
                error = without_password(" ".join(str(waiting.get("message", "")).split()))[-_MESSAGE_LENGTH:]
                pull = Pull(image=str(container.get("image", "")), error=error)
                result.setdefault(pod.get("spec", {}).get("nodeName", ""), []).append(pull)
    return result


_PULLED = re.compile(r'Successfully pulled image "([^"]+)" in (\S+)(?: \(\S+ including waiting\))?\.?')
_SIZE = re.compile(r"Image size: (\d+) bytes")


def slow_pulls(events: Iterable[Json], *, seconds: float, small: int) -> dict[str, list[Pull]]:
    """Kubernetes node → pulls of images of at most ``small`` bytes that took longer than ``seconds``."""
    result: dict[str, list[Pull]] = {}
    for event in events:
        message = str(event.get("message", ""))
        if found := _PULLED.search(message):
            size = _SIZE.search(message)
            pull = Pull(image=found[1], seconds=seconds_of(found[2]), size=int(size[1]) if size else None)
            if pull.seconds > seconds and (pull.size or 0) <= small:
                node = (event.get("source") or {}).get("host") or event.get("reportingInstance") or ""
                result.setdefault(node, []).append(pull)
    return result
