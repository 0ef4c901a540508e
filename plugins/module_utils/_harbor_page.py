# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what is wrong with a Harbor as its settings, its health and its realms show it, each with its cure."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import map_names, unhealthy
from ansible_collections.splithorizon.registry.plugins.module_utils._registry import parse_challenge

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import Values

__all__ = ["Trouble", "local_replication", "troubles"]


class Trouble(t.TypedDict):
    """As the module returns it."""

    kind: str
    message: str
    cure: str


def local_replication(settings: Mapping[str, Values], *, fullname: str) -> bool:
    """Whether jobservice knows core's URL for its own Harbor's.

    A job of replication carries core's CORE_URL, and jobservice compares it with its own, letter by letter: where they
    differ, it goes to its own Harbor as to a stranger, without the right to write.
    """
    names = map_names(fullname)
    return settings[names["core"]].get("CORE_URL") == settings[names["jobservice"]].get("CORE_URL")


def troubles(
    *,
    fullname: str,
    namespace: str,
    settings: Mapping[str, Values],
    stale: Sequence[str],
    health: t.Any,
    expected: Mapping[str, str],
    read: Mapping[str, str],
) -> list[Trouble]:
    """``settings``: ConfigMap → what processes start with. ``expected``: host → realm, ``read``: host → header."""
    found = [
        Trouble(
            kind="stale",
            message=f"Deployment {namespace}/{name}: its pods started before its settings were written last",
            cure=f"kubectl -n {namespace} rollout restart deployment {name}",
        )
        for name in stale
    ]
    if not local_replication(settings, fullname=fullname):
        core, jobservice = (settings[name].get("CORE_URL") for name in map_names(fullname).values())
        found.append(
            Trouble(
                kind="replication",
                message=f"CORE_URL of core ({core}) is not jobservice's ({jobservice}): "
                "replication within this Harbor loses its rights",
                cure="Set both alike, by harbor_core_patch",
            )
        )
    found += [
        Trouble(kind="health", message=f"Harbor {namespace}/{fullname}: {line}", cure="Look at that component's log")
        for line in unhealthy(health)
    ]
    return found + [
        _wrong_realm(host, header, wanted)
        for host, wanted in expected.items()
        if (header := read.get(host)) is not None and _realm(header) != wanted
    ]


def _realm(header: str) -> str:
    challenge = parse_challenge(header)
    return challenge.realm if challenge else ""


def _wrong_realm(host: str, header: str, wanted: str) -> Trouble:
    message = f"the realm of {host} is {_realm(header) or 'missing'}, not {wanted}, as clients of that name need it"
    return Trouble(kind="realm", message=message, cure="Set it by harbor_core_patch, or look who put the settings back")
