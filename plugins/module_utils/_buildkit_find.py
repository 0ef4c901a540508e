# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: which workloads of a cluster run buildkitd, and where their buildkitd.toml is."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = ["DUE", "KINDS", "Workload", "find", "mounting"]

KINDS = ("Deployment", "StatefulSet", "DaemonSet")
# On a workload whose ConfigMap was changed, until it is restarted.
DUE = "splithorizon.registry/restart-due"
_FILE = "buildkitd.toml"
# moby/buildkit:v0.30.0-rootless, registry.example.com/mirror/buildkit@sha256:…
_IMAGE = re.compile(r"(?:^|/)buildkit(?:d)?(?:[:@]|$)")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """``container`` runs buildkitd and listens at ``address`` (empty: buildctl's default there).

    ``config_map`` is what it mounts that has a buildkitd.toml, under ``key``; empty where there is none.
    """

    kind: str
    namespace: str
    name: str
    container: str
    address: str = ""
    selector: str = ""
    config_map: str = ""
    key: str = ""
    due: bool = False

    @property
    def where(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def shown(self) -> dict[str, str]:
        """As modules return it."""
        names = ("kind", "namespace", "name", "container", "address", "selector", "config_map", "key")
        return {name: getattr(self, name) for name in names}


def find(kind: str, workloads: Iterable[Json], keys_of: Callable[[str, str], Sequence[str]]) -> Iterator[Workload]:
    """The workloads of one kind that run buildkitd; ``keys_of``: namespace and name of a ConfigMap → its keys."""
    for found in workloads:
        for container in found["spec"]["template"]["spec"]["containers"]:
            if _runs_buildkitd(container):
                yield _workload(kind, found, container, keys_of)
                break


def mounting(kind: str, workloads: Iterable[Json], config_map: str) -> Iterator[Workload]:
    """Those that mount this ConfigMap of their namespace, by the first container that does."""
    for found in workloads:
        spec = found["spec"]["template"]["spec"]
        for container in spec["containers"]:
            if config_map in _config_maps_of(spec, container):
                yield _workload(kind, found, container, lambda _namespace, _name: ())
                break


def _address_of(container: Json) -> str:
    """A socket that buildctl in this container can use; empty: its own default."""
    words = _words(container)
    addresses = [word.removeprefix("--addr=") for word in words if word.startswith("--addr=")]
    addresses += [words[number + 1] for number, word in enumerate(words[:-1]) if word == "--addr"]
    local = [address for address in addresses if address.startswith("unix://")]
    return (local or [address.replace("0.0.0.0", "127.0.0.1") for address in addresses] or [""])[0]


def _config_maps_of(spec: Json, container: Json) -> dict[str, list[str]]:
    """ConfigMap → keys that this container of a pod mounts under the name buildkitd.toml, where its items say so."""
    mounted = {mount["name"] for mount in container.get("volumeMounts") or []}
    found: dict[str, list[str]] = {}
    for volume in spec.get("volumes") or []:
        if volume["name"] in mounted:
            sources = [volume, *((volume.get("projected") or {}).get("sources") or [])]
            for source in filter(None, (one.get("configMap") for one in sources)):
                items = source.get("items") or []
                found[source.get("name", "")] = [one["key"] for one in items if one["path"].endswith(_FILE)]
    return found


def _workload(kind: str, found: Json, container: Json, keys_of: Callable[[str, str], Sequence[str]]) -> Workload:
    namespace, spec = found["metadata"]["namespace"], found["spec"]["template"]["spec"]
    labels = found["spec"]["selector"].get("matchLabels") or {}
    config_map, key = "", ""
    for name, named in _config_maps_of(spec, container).items():
        keys = [*named, *(one for one in keys_of(namespace, name) if one == _FILE)]
        if keys:
            config_map, key = name, keys[0]
    return Workload(
        kind=kind,
        namespace=namespace,
        name=found["metadata"]["name"],
        container=container["name"],
        address=_address_of(container),
        selector=",".join(f"{label}={value}" for label, value in sorted(labels.items())),
        config_map=config_map,
        key=key,
        due=DUE in (found["metadata"].get("annotations") or {}),
    )


def _runs_buildkitd(container: Json) -> bool:
    programs = [word.rpartition("/")[2] for word in _words(container)]
    return bool(_IMAGE.search(container.get("image", ""))) or "buildkitd" in programs


def _words(container: Json) -> list[str]:
    return [*(container.get("command") or []), *(container.get("args") or [])]
