# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: Spegel's list of registries, where it stands, and what its init container makes of Talos's hosts.toml files.

Spegel (v0.1.0 to v0.7) moves the directory that Talos wrote into ``_backup`` and writes one hosts.toml per listed
registry. So a mirror of Talos survives only where its registry is listed, without a port, with
``prependExisting``, and as a ``[host]`` table: what ``skipFallback`` puts into ``server`` is gone.
"""

from __future__ import annotations

import re
import tomllib
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._names import ANY_REGISTRY, http_url, registry_host

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "DEFAULT",
    "HostsFile",
    "Settings",
    "TalosMirror",
    "check_mirrors",
    "check_registry",
    "check_version",
    "daemon_set_of",
    "daemon_set_version",
    "from_args",
    "from_daemon_set",
    "from_values",
    "hosts_of_talos",
    "image_version",
    "mirror_targets",
    "parse_hosts",
    "plan",
    "predict",
    "release_version",
    "to_args",
    "to_daemon_set",
    "to_values",
]

# containerd's directory for registries that have none of their own; Spegel's word for "every registry" since 0.4.0.
DEFAULT = "_default"
WILDCARDS = (DEFAULT, "*")
DOCKER = "https://docker.io"
DOCKER_SERVER = "https://registry-1.docker.io"
FIRST_VERSION, FIRST_WILDCARD = (0, 1, 0), (0, 4, 0)
LEGACY_VALUES = ("registries", "appendMirrors", "additionalMirrorRegistries")

LIST_FLAG, PREPEND_FLAG, TARGETS_FLAG = "--mirrored-registries", "--prepend-existing", "--mirror-targets"
# The chart's own place for the list: before this argument, in each of its two containers.
LIST_BEFORE = {"configuration": TARGETS_FLAG, "registry": "--containerd-sock"}

Version = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``registries`` in order; none means every registry."""

    registries: tuple[str, ...] = ()
    prepend: bool = False

    def as_result(self) -> dict[str, t.Any]:
        return {"mirrored_registries": list(self.registries), "prepend_existing": self.prepend}


@dataclass(frozen=True, kw_only=True)
class TalosMirror:
    """A mirror as Talos is told: ``name`` is host[:port] or ``*``."""

    name: str
    endpoints: tuple[str, ...] = ()
    skip_fallback: bool = False


@dataclass(frozen=True, kw_only=True)
class HostsFile:
    """What containerd does with a hosts.toml: ask ``hosts`` in order, then ``server`` (None: the registry itself)."""

    server: str | None = None
    hosts: tuple[str, ...] = ()

    def as_result(self) -> dict[str, t.Any]:
        return {"server": self.server, "hosts": list(self.hosts)}


def check_registry(url: str, *, where: str) -> str:
    """An entry of the list: ``_default``, ``*``, or scheme and host; what Spegel itself would end with an error on."""
    return url if url in WILDCARDS else http_url(url, where=where, path=False)


def check_version(version: Version | None, *, where: str) -> None:
    """Conflict for Spegel before 0.1.0, whose list has another name and whose mirrors come after the existing ones."""
    if version is not None and version < FIRST_VERSION:
        cure = "Upgrade Spegel to 0.1.0 or newer, where the list is mirroredRegistries"
        raise Conflict(f"Spegel {'.'.join(map(str, version))} is too old", where=where, cure=cure)


def image_version(image: str) -> Version | None:
    """The version in an image's tag (``…/spegel:v0.7.4@sha256:…``); None where it tells none."""
    return chart_version(image.partition("@")[0].rpartition("/")[2].partition(":")[2])


def chart_version(text: str) -> Version | None:
    """``0.7.4`` or ``v0.7.4``; None for a range or nothing."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)(?:[-+].*)?", text)
    return tuple(int(number) for number in found.groups()) if found else None


def plan(
    *,
    current: Settings,
    present: Sequence[str],
    absent: Sequence[str] = (),
    prepend: bool = True,
    version: Version | None = None,
) -> Settings:
    """The settings with ``present`` in the list and ``absent`` not; entries that are neither keep their place.

    An entry for the same host under another scheme is replaced where it stands. An empty list means every
    registry; the first entry would make it a list of one, so ``_default`` is put before it.
    """
    if both := [url for url in present if url in absent]:
        raise BadInput(
            f"{both[0]} is to be present and absent", where="removed_registries", cure="Take it from one list"
        )
    registries = [url for url in current.registries if url not in absent]
    if current.registries and not registries and not present:
        cure = "An empty list means every registry: leave one entry, or uninstall Spegel"
        raise BadInput("the list would become empty", where="removed_registries", cure=cure)
    if not current.registries and present:
        if version is not None and version < FIRST_WILDCARD:
            cure = (
                f"List every registry Spegel is to mirror ({'.'.join(map(str, version))} has no word for all of them)"
            )
            raise BadInput(
                "Spegel mirrors every registry, a list would end that", where="mirrored_registries", cure=cure
            )
        registries = [DEFAULT]
    for url in present:
        host = _host(url)
        places = [index for index, one in enumerate(registries) if _host(one) == host]
        if places:
            registries[places[0]] = registries[places[0]] if host == DEFAULT else url
            registries = [one for index, one in enumerate(registries) if index not in places[1:]]
        else:
            registries.append(url)
    return Settings(registries=tuple(registries), prepend=prepend)


def check_mirrors(*, settings: Settings, mirrors: Iterable[TalosMirror]) -> None:
    """Conflict for a mirror of Talos that would be lost on the nodes, as Spegel is and will be set."""
    listed = {_host(url) for url in settings.registries} or {DEFAULT}
    for mirror in mirrors:
        registry_host(mirror.name, where="talos_mirrors", any_registry=True)
        if mirror.endpoints:
            _check_mirror(mirror, listed=listed, prepend=settings.prepend)


def _check_mirror(mirror: TalosMirror, *, listed: set[str], prepend: bool) -> None:
    where = f"Talos mirror {mirror.name}"
    host = DEFAULT if mirror.name == ANY_REGISTRY else mirror.name
    if ":" in host:
        cure = "Serve the registry on its scheme's own port, or do without a mirror for it"
        raise Conflict("Spegel loses a mirror whose registry has a port, listed or not", where=where, cure=cure)
    if mirror.skip_fallback:
        cure = "Set skip_fallback to false; Spegel names a server of its own anyway"
        raise Conflict("Spegel loses the endpoint of a mirror with skip_fallback", where=where, cure=cure)
    if not prepend:
        raise Conflict("Spegel loses it without prepend_existing", where=where, cure="Set prepend_existing to true")
    if host.lower() not in listed:
        cure = f"Add {host if host == DEFAULT else f'https://{host}'} to mirrored_registries"
        raise Conflict("Spegel loses a mirror whose registry it does not list", where=where, cure=cure)


def _host(url: str) -> str:
    return DEFAULT if url in WILDCARDS else urlsplit(url).netloc.lower()


# Where the settings stand: the values of a HelmRelease, or the arguments of the DaemonSet's containers.


def from_values(
    values: Mapping[str, t.Any], *, running: Settings | None, where: str, version: Version | None = None
) -> Settings:
    """The settings in the chart's values; what they leave open is as it is running, from other sources of values."""
    if "spegel" not in values and any(key in values for key in ("mirroredRegistries", "prependExisting")):
        cure = "Move them below the key spegel, where the chart reads them"
        raise Conflict("Spegel's settings stand outside of the key spegel", where=where, cure=cure)
    spegel = values.get("spegel") or {}
    if not isinstance(spegel, dict) or not isinstance(spegel.get("mirroredRegistries") or [], list):
        raise Conflict("spegel is no mapping, or mirroredRegistries no list", where=where, cure="Correct the values")
    legacy = [key for key in LEGACY_VALUES if key in spegel]
    if legacy and version is None and "mirroredRegistries" not in spegel:
        cure = "Only Spegel before 0.1.0 reads them: upgrade, or take them out"
        raise Conflict(f"holds {', '.join(legacy)}, and the version is not known", where=where, cure=cure)
    if spegel.get("containerdMirrorAdd") is False:
        raise Conflict("containerdMirrorAdd is false: Spegel writes no hosts.toml", where=where, cure="Set it to true")
    base = running or Settings()
    registries = spegel["mirroredRegistries"] or () if "mirroredRegistries" in spegel else base.registries
    prepend = spegel["prependExisting"] is True if "prependExisting" in spegel else base.prepend
    return Settings(registries=tuple(map(str, registries)), prepend=prepend)


def to_values(settings: Settings) -> dict[str, t.Any]:
    """What to merge into the chart's values."""
    return {"spegel": {"mirroredRegistries": list(settings.registries), "prependExisting": settings.prepend}}


def daemon_set_of(release: Mapping[str, t.Any]) -> tuple[str, str]:
    """Namespace and name of a HelmRelease's DaemonSet, as Flux names releases and the chart its objects."""
    spec, name = release["spec"], release["metadata"]["name"]
    values = spec.get("values") or {}
    target = spec.get("targetNamespace")
    helm_name = spec.get("releaseName") or (f"{target}-{name}" if target else name)
    chart = values.get("nameOverride") or "spegel"
    fullname = values.get("fullnameOverride") or (helm_name if chart in helm_name else f"{helm_name}-{chart}")
    namespace = values.get("namespaceOverride") or target or release["metadata"]["namespace"]
    return namespace, fullname[:63].removesuffix("-")


def release_version(release: Mapping[str, t.Any]) -> Version | None:
    """The chart's version (which is Spegel's) as Flux installed it or is told to; None for a range or a reference."""
    history = release.get("status", {}).get("history") or []
    told = release["spec"].get("chart", {}).get("spec", {}).get("version") or ""
    return chart_version(history[0].get("chartVersion", "") if history else told)


def from_daemon_set(daemon_set: Mapping[str, t.Any]) -> Settings:
    """The settings in the arguments of the init container that writes the hosts.toml files."""
    return from_args(_configuration(daemon_set)["args"])


def mirror_targets(daemon_set: Mapping[str, t.Any]) -> list[str]:
    """Where Spegel sends containerd, as the arguments say it, ``$(NODE_IP)`` and all."""
    found = _find(_configuration(daemon_set)["args"], TARGETS_FLAG)
    return list(found.values) if found else []


def daemon_set_version(daemon_set: Mapping[str, t.Any]) -> Version | None:
    """The version in the image of the init container; None where its tag tells none."""
    return image_version(_configuration(daemon_set)["image"])


def to_daemon_set(daemon_set: Mapping[str, t.Any], settings: Settings) -> dict[str, t.Any]:
    """The two lists of containers with these settings in their arguments, everything else in them as it is."""
    _configuration(daemon_set)
    pod = daemon_set["spec"]["template"]["spec"]
    return {
        kind: [{**one, "args": to_args(one["args"], settings)} if one.get("args") else one for one in pod[kind]]
        for kind in ("initContainers", "containers")
    }


def _configuration(daemon_set: Mapping[str, t.Any]) -> dict[str, t.Any]:
    for container in daemon_set["spec"]["template"]["spec"].get("initContainers") or []:
        args = container.get("args") or []
        if _command(args) == "configuration":
            if _find(args, "--registries") or _find(args, "--append-mirrors"):
                check_version((0, 0, 0), where=f"container {container['name']}")
            return t.cast("dict[str, t.Any]", container)
    metadata = daemon_set["metadata"]
    where = f"DaemonSet {metadata['namespace']}/{metadata['name']}"
    cure = "Give Spegel's own DaemonSet, with containerdMirrorAdd true"
    raise Conflict("has no init container that runs Spegel's configuration", where=where, cure=cure)


@dataclass(frozen=True, kw_only=True)
class _Argument:
    """A flag with its values, at ``args[start:end]``."""

    values: tuple[str, ...]
    start: int
    end: int


def from_args(args: Sequence[str]) -> Settings:
    """The settings in a container's arguments, read as Spegel does: a flag takes what follows up to the next flag."""
    registries, prepend = _find(args, LIST_FLAG), _find(args, PREPEND_FLAG)
    return Settings(
        registries=registries.values if registries else (),
        prepend=prepend is not None and (not prepend.values or prepend.values[0].lower() in ("1", "t", "true")),
    )


def to_args(args: Sequence[str], settings: Settings) -> list[str]:
    """A container's arguments with these settings; those of another program, and all other arguments, as they are."""
    changed, command = list(args), _command(args)
    if command not in LIST_BEFORE:
        return changed
    if from_args(changed).registries != settings.registries:
        wanted = [LIST_FLAG, *settings.registries] if settings.registries else []
        changed = _replace(changed, LIST_FLAG, wanted, before=LIST_BEFORE[command])
    if command == "configuration" and from_args(changed).prepend != settings.prepend:
        changed = _replace(changed, PREPEND_FLAG, [f"{PREPEND_FLAG}={str(settings.prepend).lower()}"])
    return changed


def _command(args: Sequence[str]) -> str:
    return next((arg for arg in args if not arg.startswith("-")), "")


def _find(args: Sequence[str], flag: str) -> _Argument | None:
    """The flag where it stands last, which is the one that counts."""
    for start in reversed(range(len(args))):
        name, equals, value = args[start].partition("=")
        if name == flag:
            end = start + 1
            while not equals and end < len(args) and not args[end].startswith("-"):
                end += 1
            return _Argument(values=(value,) if equals else tuple(args[start + 1 : end]), start=start, end=end)
    return None


def _replace(args: Sequence[str], flag: str, wanted: Sequence[str], *, before: str = "") -> list[str]:
    rest, place = list(args), None
    while found := _find(rest, flag):
        rest[found.start : found.end] = []
        place = found.start
    if place is None:
        following = _find(rest, before)
        place = following.start if following else len(rest)
    rest[place:place] = wanted
    return rest


# What the nodes get.


def hosts_of_talos(mirrors: Iterable[TalosMirror]) -> dict[str, HostsFile]:
    """What Talos writes for its mirrors, by directory (``host``, ``host_5000_``, ``_default``)."""
    return {_directory(mirror.name): _hosts_of(mirror) for mirror in mirrors}


def _directory(name: str) -> str:
    host, colon, port = name.partition(":")
    return DEFAULT if name == ANY_REGISTRY else f"{host}_{port}_" if colon else host


def _hosts_of(mirror: TalosMirror) -> HostsFile:
    if mirror.skip_fallback and mirror.endpoints:
        return HostsFile(server=mirror.endpoints[-1], hosts=mirror.endpoints[:-1])
    return HostsFile(hosts=mirror.endpoints)


def parse_hosts(text: str) -> HostsFile:
    """Read a hosts.toml."""
    found = tomllib.loads(text)
    return HostsFile(server=found.get("server"), hosts=tuple(found.get("host", {})))


def predict(*, settings: Settings, before: Mapping[str, HostsFile], targets: Sequence[str]) -> dict[str, HostsFile]:
    """The files after Spegel's init container, by directory; ``before`` is what Talos wrote there.

    Source: spegel-org/spegel pkg/oci/containerd.go at v0.7.4.
    """
    after: dict[str, HostsFile] = {}
    for url in settings.registries or (DEFAULT,):
        wildcard = url in WILDCARDS
        directory = DEFAULT if wildcard else urlsplit(url).netloc
        kept = before.get(directory, HostsFile()).hosts if settings.prepend else ()
        server = None if wildcard else DOCKER_SERVER if url == DOCKER else url
        after[directory] = HostsFile(server=server, hosts=(*targets, *kept))
    return after
