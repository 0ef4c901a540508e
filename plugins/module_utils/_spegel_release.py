# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: where one cluster keeps Spegel's settings: a HelmRelease of Flux, or the DaemonSet itself."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotReady
from ansible_collections.splithorizon.registry.plugins.module_utils._helm_release import (
    failure,
    find_release,
    refuse_suspended,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import is_rolled_out, wait_until
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel import (
    Settings,
    check_version,
    daemon_set_of,
    daemon_set_version,
    from_daemon_set,
    from_values,
    mirror_targets,
    release_version,
    to_daemon_set,
    to_values,
)

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = ["Found", "SpegelRelease"]

RELEASE, DAEMON_SET = "HelmRelease", "DaemonSet"
APPS = "apps/v1"


@dataclass(frozen=True, kw_only=True)
class Found:
    """The object that holds the settings, and the DaemonSet that runs them (none before Flux has installed it)."""

    kind: str
    owner: Json
    daemon_set: Json | None
    settings: Settings
    version: tuple[int, ...] | None

    @property
    def targets(self) -> list[str]:
        return mirror_targets(self.daemon_set) if self.daemon_set else []

    @property
    def where(self) -> str:
        return _where(self.kind, self.owner)


class SpegelRelease:
    """``kind`` is HelmRelease, DaemonSet or auto: the release where there is one."""

    def __init__(self, *, cluster: Cluster, namespace: str, name: str, kind: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._kind = kind

    def read(self) -> Found:
        release = find_release(self._cluster, self._namespace, self._name) if self._kind != DAEMON_SET else None
        if release:
            return self._found_release(release)
        daemon_set = self._cluster.get(APPS, DAEMON_SET, self._namespace, self._name) if self._kind != RELEASE else None
        if daemon_set is None:
            kinds = " or ".join([RELEASE, DAEMON_SET] if self._kind == "auto" else [self._kind])
            cure = "Give namespace and name of the one that runs Spegel"
            raise BadInput(f"no {kinds} of this name", where=f"{self._namespace}/{self._name}", cure=cure)
        version = daemon_set_version(daemon_set)
        check_version(version, where=_where(DAEMON_SET, daemon_set))
        settings = from_daemon_set(daemon_set)
        return Found(kind=DAEMON_SET, owner=daemon_set, daemon_set=daemon_set, settings=settings, version=version)

    def _found_release(self, release: Json) -> Found:
        where = _where(RELEASE, release)
        daemon_set = self._cluster.get(APPS, DAEMON_SET, *daemon_set_of(release))
        version = (daemon_set_version(daemon_set) if daemon_set else None) or release_version(release)
        check_version(version, where=where)
        running = from_daemon_set(daemon_set) if daemon_set else None
        values = release["spec"].get("values") or {}
        settings = from_values(values, running=running, where=where, version=version)
        return Found(kind=RELEASE, owner=release, daemon_set=daemon_set, settings=settings, version=version)

    def write(self, found: Found, settings: Settings) -> None:
        """Write the settings, unless somebody else has written the object since it was read."""
        metadata = found.owner["metadata"]
        if found.kind == DAEMON_SET:
            api_version, spec = APPS, {"template": {"spec": to_daemon_set(found.owner, settings)}}
        else:
            api_version, spec = found.owner["apiVersion"], {"values": to_values(settings)}
            refuse_suspended(found.owner)
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "spec": spec}
        self._cluster.merge(api_version, found.kind, metadata["namespace"], metadata["name"], body)

    def wait(self, found: Found, settings: Settings, *, seconds: float) -> None:
        """Wait until every node's Spegel has started with these settings, for it writes the files as it starts."""
        metadata = found.owner["metadata"]
        place = (metadata["namespace"], metadata["name"]) if found.kind == DAEMON_SET else daemon_set_of(found.owner)

        def running() -> bool:
            daemon_set = self._cluster.get(APPS, DAEMON_SET, *place)
            return daemon_set is not None and from_daemon_set(daemon_set) == settings and is_rolled_out(daemon_set)

        try:
            wait_until(
                running, seconds=seconds, what=f"DaemonSet {'/'.join(place)} to run with the new list on every node"
            )
        except NotReady as error:
            raise NotReady(error.problem + self._told(found), where=found.where, cure=error.cure) from error

    def _told(self, found: Found) -> str:
        """What Flux says of the release, where it says that something is wrong."""
        place = (self._namespace, self._name)
        release = find_release(self._cluster, *place) if found.kind == RELEASE else None
        said = failure(release) if release else ""
        return f"; Flux says: {said}" if said else ""


def _where(kind: str, owner: Json) -> str:
    return f"{kind} {owner['metadata']['namespace']}/{owner['metadata']['name']}"
