# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the registries that a task wants in buildkitd.toml. What BuildKit would pass over or break on is refused."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_transport import (
    REFUSED,
    Builder,
    Registry,
    Server,
    predict,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from ansible_collections.splithorizon.registry.plugins.module_utils._names import http_url, registry_host

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SETTINGS", "Entry", "read_entries", "refuse_unreachable"]

SETTINGS = ("http", "insecure", "mirrors", "ca", "keypair", "tlsconfigdir")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is wanted of a host's table: ``settings`` are those to be set, False or empty: to be taken out.

    Not present: no table at all. ``replaced_by``: the host that takes its place as a mirror of others.
    ``server``: what is known of the registry under this name.
    """

    host: str
    present: bool = True
    settings: Mapping[str, t.Any] = field(default_factory=dict)
    replaced_by: str = ""
    server: Server | None = None


def read_entries(items: Sequence[Mapping[str, t.Any]]) -> list[Entry]:
    """The option ``registries``."""
    entries = [_entry(item) for item in items]
    hosts = [entry.host for entry in entries]
    if twice := sorted({host for host in hosts if hosts.count(host) > 1}):
        raise BadInput(f"{twice[0]} is there twice", where="registries", cure="Give each host once")
    return entries


def refuse_unreachable(entry: Entry, registry: Registry | None, *, where: str) -> None:
    """BadInput where pushes could not reach the registry, by what is known of it."""
    if entry.server and entry.present:
        error = predict(entry.host, registry, entry.server, Builder()).error
        if error.endswith(REFUSED):
            problem = f"with these settings a push to {entry.host} would end with: {error}"
            raise BadInput(problem, where=where, cure="Set http by what the registry serves, or correct its realm")


def _entry(item: Mapping[str, t.Any]) -> Entry:
    where = f"registries, {item['host']}"
    host = registry_host(item["host"], where=where)
    settings = {key: item[key] for key in SETTINGS if item.get(key) is not None}
    present = item.get("state", "present") == "present"
    if not present and settings:
        raise BadInput(f"{', '.join(settings)} is given with state: absent", where=where, cure="Give one of them")
    if item.get("replaced_by") and present:
        raise BadInput("replaced_by is given without state: absent", where=where)
    for mirror in settings.get("mirrors", []):
        _check_mirror(mirror, where=f"{where}, mirrors")
    for key in ("ca", "tlsconfigdir"):
        for path in settings.get(key, []):
            _check_path(path, where=f"{where}, {key}")
    for pair in settings.get("keypair", []):
        for path in pair.values():
            _check_path(path, where=f"{where}, keypair")
    replaced_by = registry_host(item["replaced_by"], where=f"{where}, replaced_by") if item.get("replaced_by") else ""
    return Entry(
        host=host, present=present, settings=settings, replaced_by=replaced_by, server=_server(item, where=where)
    )


def _server(item: Mapping[str, t.Any], *, where: str) -> Server | None:
    if not item.get("realm"):
        return None
    return Server(serves=frozenset(item["serves"]), realm=http_url(item["realm"], where=f"{where}, realm"))


def _check_mirror(mirror: str, *, where: str) -> None:
    if mirror.startswith("http://"):
        host = mirror.removeprefix("http://").partition("/")[0]
        cure = f"Write it without, and give {host} an entry with http: true"
        raise BadInput(f"BuildKit passes over the scheme of {mirror!r} and asks by https", where=where, cure=cure)
    registry_host(mirror.removeprefix("https://").partition("/")[0], where=where)


def _check_path(path: str, *, where: str) -> None:
    if "-----BEGIN" in path:
        raise BadInput(
            "this is no path", where=where, cure="Mount the file into the daemon's container, and give its path"
        )
    if not path.startswith("/"):
        raise BadInput(f"{path!r} is no absolute path", where=where, cure="Give the path in the daemon's container")
