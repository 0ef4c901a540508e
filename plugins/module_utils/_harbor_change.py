# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: carry a change of Harbor's settings out: checked first, restarted in turn, healthy and proven, or put back."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict, NotReady, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import needed_by_core
from ansible_collections.splithorizon.registry.plugins.module_utils._registry import parse_challenge

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import Realms
    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_core import HarborCore
    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_ways import Need, Way
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = ["carry_out"]


def carry_out(harbor: HarborCore, way: Way, *, realms: Realms | None, of_interest: Sequence[str], wait: bool) -> Json:
    """Write, restart and prove; where that does not succeed, put the old values back and say so.

    Nothing is written where a right is missing, or something that core needs to start is ill. ``realms`` are read back,
    after a change all of them, else those ``of_interest``; None where core cannot be asked.
    """
    proves = wait and not harbor.cluster.dry_run
    if not (way.changed or way.restarts):
        asked = None if realms is None else {host: realms[host] for host in of_interest}
        return _proof(harbor, asked) if proves else {}
    harbor.need([*way.needs(), *_needs(harbor, way, wait=wait)])
    ill = harbor.ill() if wait else []
    if needed := needed_by_core(ill):
        where = f"Harbor {harbor.namespace}/{harbor.core}"
        cure = "Core would not come up without it: cure that first. Nothing was changed"
        raise Conflict(f"is not healthy: {'; '.join(needed)}", where=where, cure=cure)
    if way.changed:
        way.write()
    try:
        way.restart(way.after, wait=proves)
        return _proof(harbor, realms) if proves else {}
    except RegistryError as error:
        if not way.changed or harbor.cluster.dry_run:
            raise
        raise _put_back(harbor, way, error, ill=ill) from error


def _needs(harbor: HarborCore, way: Way, *, wait: bool) -> list[Need]:
    needs = [("patch", "deployments.apps", harbor.namespace, name) for name in way.restarts]
    return [*needs, *([("create", "pods/portforward", harbor.namespace, "")] if wait else [])]


def _proof(harbor: HarborCore, realms: Realms | None) -> Json:
    health = harbor.wait_healthy()
    if realms is None:
        return {"health": health}
    expected = {host: both["after"] for host, both in realms.items()}
    return {"health": health, "realm_read": _proven(harbor.challenges(list(expected)), expected)}


def _proven(read: dict[str, str], expected: Mapping[str, str]) -> dict[str, str]:
    for host, header in read.items():
        challenge = parse_challenge(header)
        if challenge is None or challenge.realm != expected[host]:
            cure = "Check that version is Harbor's own, and that nothing else writes its settings"
            raise NotReady(f"realm is {header!r}, not {expected[host]}", where=f"Harbor's core, Host {host}", cure=cure)
    return read


def _put_back(harbor: HarborCore, way: Way, error: RegistryError, *, ill: list[str]) -> NotReady:
    """Write the old values again and restart; the error to raise says what came of it."""
    harbor.again()
    try:
        way.unwrite()
        way.restart(way.before, wait=True)
        if ill:
            came = f"The old values are back. Harbor was not healthy before the change either: {'; '.join(ill)}"
        else:
            harbor.wait_healthy()
            came = "The old values are back, and Harbor is healthy with them"
    except RegistryError as second:
        came = f"The old values are written again, but with them too: {second.problem}. Look at its pods now"
    return NotReady(error.problem, where=error.where or f"Harbor {harbor.namespace}/{harbor.core}", cure=came)
