# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what a buildkitd.toml says of registries, and what BuildKit makes of it."""

from __future__ import annotations

import typing as t
from dataclasses import fields

from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_transport import (
    KeyPair,
    Registry,
    is_loopback,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_wanted import Entry
    from ansible_collections.splithorizon.registry.plugins.module_utils._toml_sections import Tree

__all__ = ["is_default", "meaning", "mirror_parts", "notes", "registries"]

_LISTS = ("mirrors", "ca", "tlsconfigdir")


def registries(data: Tree, *, where: str = "buildkitd.toml") -> dict[str, Registry]:
    """Host → settings; Conflict for a value with which buildkitd would not start."""
    found = data.get("registry", {})
    if not isinstance(found, dict):
        raise Conflict("registry is no table", where=where, cure='Write [registry."host"]')
    return {host: _registry(host, table, where) for host, table in found.items()}


def _registry(host: str, table: t.Any, where: str) -> Registry:
    where = f'{where}, registry "{host}"'
    if not isinstance(table, dict):
        raise Conflict("is no table", where=where, cure=f'Write [registry."{host}"]')
    for key in ("http", "insecure"):
        if not isinstance(table.get(key, False), bool):
            raise Conflict(f"{key} is neither true nor false", where=where, cure="buildkitd does not start with it")
    for key in _LISTS:
        if not _is_list(table.get(key, []), str):
            raise Conflict(f"{key} is no list of texts", where=where, cure="buildkitd does not start with it")
    pairs = table.get("keypair", [])
    if not _is_list(pairs, dict) or not all(set(map(type, pair.values())) <= {str} for pair in pairs):
        raise Conflict("keypair is no list of tables with key and cert", where=where, cure="Write [[…keypair]] tables")
    keypair = tuple(KeyPair(key=pair.get("key", ""), cert=pair.get("cert", "")) for pair in pairs)
    lists = {key: tuple(table.get(key, [])) for key in _LISTS}
    return Registry(http=table.get("http"), insecure=table.get("insecure"), keypair=keypair, **lists)


def _is_list(value: t.Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def meaning(data: Tree) -> Tree:
    """What buildkitd makes of it: what is not set and what says the default are the same."""
    tables = {
        host: kept
        for host, table in data.get("registry", {}).items()
        if (kept := {key: value for key, value in table.items() if not is_default(host, key, value)})
    }
    rest = {key: value for key, value in data.items() if key != "registry"}
    return {**rest, "registry": tables} if tables else rest


def is_default(host: str, key: str, value: t.Any) -> bool:
    return value in (None, False, []) and not (key == "http" and is_loopback(host))


def notes(wanted: Sequence[Entry], data: Tree, new: Mapping[str, Registry]) -> Iterator[str]:
    known = {each.name for each in fields(Registry)}
    for entry in wanted:
        table = data.get("registry", {}).get(entry.host, {})
        if unknown := sorted(set(table) - known):
            yield f"buildkitd does not know {', '.join(unknown)} of registry {entry.host}"
        registry = new.get(entry.host)
        if registry and registry.http and not registry.insecure and (registry.ca or registry.keypair):
            yield f"ca and keypair of registry {entry.host} have no effect: http is used"
        name = entry.host.partition(":")[0]
        if others := [host for host in new if host != entry.host and host.partition(":")[0] == name]:
            yield f"registry {', '.join(others)} is another one for BuildKit than {entry.host}"
        users = [host for host, one in new.items() if entry.host in map(mirror_host, one.mirrors)]
        if users and not entry.present:
            yield f"{entry.host} is still a mirror of {', '.join(users)}"


def mirror_host(mirror: str) -> str:
    return mirror_parts(mirror)[1].partition("/")[0]


def mirror_parts(mirror: str) -> tuple[str, str]:
    scheme, separator, rest = mirror.rpartition("://")
    return scheme + separator, rest
