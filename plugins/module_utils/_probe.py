# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: ask one registry as its clients do, and judge what it answers: certificate, realm, token."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime

from ansible_collections.splithorizon.registry.plugins.module_utils._endpoints import through_service
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import NotReady
from ansible_collections.splithorizon.registry.plugins.module_utils._http import (
    Answer,
    Client,
    Origin,
    Way,
    direct,
    parse_address,
    parse_url,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._registry import Registry, check_repository

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = ["PROBE_SPEC", "probe"]

PROBE_SPEC: dict[str, t.Any] = {
    "url": {"type": "str", "required": True},
    "address": {"type": "str"},
    "via_service": {
        "type": "dict",
        "options": {"namespace": {"type": "str", "required": True}, "name": {"type": "str", "required": True}},
    },
    "ca": {"type": "str"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "repository": {"type": "str"},
    "min_valid_days": {"type": "int", "default": 7},
    "timeout": {"type": "int", "default": 10},
}


def probe(asked: Json, *, connect: Callable[[], Cluster], warn: Callable[[str], None]) -> Json:
    """What the registry answers, by the options of PROBE_SPEC. ``connect`` is called for ``via_service`` only."""
    origin = parse_url(asked["url"], where="url")
    if asked["repository"]:
        check_repository(asked["repository"], where="repository")
    client = Client(way=_way(asked, origin, connect), ca=asked["ca"], seconds=asked["timeout"])
    registry = Registry(origin=origin, client=client, username=asked["username"], password=asked["password"])
    answer, challenge = registry.ask()
    results: Json = {
        "status": answer.status,
        "realm": challenge.realm if challenge else "",
        "realm_header": answer.header("www-authenticate"),
        "peer": answer.peer,
        **_tls(answer, asked["min_valid_days"]),
    }
    if asked["username"]:
        if registry.realm_in_clear:
            warn(f"{origin} names the realm {registry.realm_in_clear}: credentials go there in clear")
        refusal = registry.refusal(asked["repository"])
        results |= {"token": not refusal, "token_refusal": refusal}
    return results


def _way(asked: Json, origin: Origin, connect: Callable[[], Cluster]) -> Way:
    address, port = parse_address(asked["address"], where="address") if asked["address"] else (None, None)
    way = direct(seconds=asked["timeout"], address=address, port=port, of=origin)
    service = asked["via_service"]
    return through_service(connect(), **service, of=origin.host, otherwise=way) if service else way


def _tls(answer: Answer, min_valid_days: int) -> Json:
    if answer.certificate is None:
        return {}
    now = datetime.now(UTC)
    if answer.certificate.days_left(now) < min_valid_days:
        problem = f"certificate expires on {answer.certificate.not_after:%Y-%m-%d %H:%M} UTC"
        raise NotReady(problem, where=answer.peer, cure=f"Renew it, or accept less than {min_valid_days} days")
    return {"tls": answer.certificate.as_result(now)}
