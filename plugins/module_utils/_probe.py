# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: ask one registry as its clients do, and judge what it answers: certificate, realm, token, a pull."""

from __future__ import annotations

import socket
import typing as t
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from ansible_collections.splithorizon.registry.plugins.module_utils._endpoints import through_service
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotReady, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._http import (
    PORTS,
    Answer,
    Client,
    Origin,
    Way,
    direct,
    parse_address,
    parse_url,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._registry import (
    Registry,
    check_reference,
    check_repository,
    parse_challenge,
)

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
    "tag": {"type": "str"},
    "max_blob": {"type": "int", "default": 128 * 1024**2},
    "plain_http": {"type": "bool", "default": False},
    "min_valid_days": {"type": "int", "default": 7},
    "timeout": {"type": "int", "default": 10},
}


def probe(asked: Json, *, connect: Callable[[], Cluster], warn: Callable[[str], None]) -> Json:
    """What the registry answers, by the options of PROBE_SPEC. ``connect`` is called for ``via_service`` only."""
    origin = parse_url(asked["url"], where="url")
    _check(asked, origin)
    way = _way(asked, origin, connect)
    client = Client(way=way, ca=asked["ca"], seconds=asked["timeout"])
    registry = Registry(origin=origin, client=client, username=asked["username"], password=asked["password"])
    answer, challenge = registry.ask()
    results: Json = {
        "status": answer.status,
        "realm": challenge.realm if challenge else "",
        "realm_header": answer.header("www-authenticate"),
        "service": challenge.service if challenge else "",
        "peer": answer.peer,
        "seconds": _timing(answer),
        **({} if asked["address"] or asked["via_service"] else {"addresses": _addresses(origin)}),
        **_tls(answer, asked["min_valid_days"]),
    }
    if asked.get("plain_http"):
        results["http"] = _plain(client, replace(origin, scheme="http", port=PORTS["http"]))
    if asked["username"]:
        results |= _credentials(registry, asked["repository"], warn)
    if asked.get("tag"):
        results["pull"] = _pulled(registry, client, asked)
    return results


def _pulled(registry: Registry, client: Client, asked: Json) -> Json:
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_pull import pull  # noqa: PLC0415

    return pull(registry, client, asked["repository"], asked["tag"], max_blob=asked["max_blob"]).as_result()


def _check(asked: Json, origin: Origin) -> None:
    if asked["repository"]:
        check_repository(asked["repository"], where="repository")
    if asked.get("tag"):
        check_reference(asked["tag"], where="tag")
    if asked.get("plain_http") and origin.scheme == "http":
        raise BadInput("the URL itself is http", where="plain_http", cure="Ask for it beside an https:// URL")


def _credentials(registry: Registry, repository: str | None, warn: Callable[[str], None]) -> Json:
    if registry.realm_in_clear:
        warn(f"{registry.origin} names the realm {registry.realm_in_clear}: credentials go there in clear")
    refusal, tags = registry.opened(repository)
    return {"token": not refusal, "token_refusal": refusal, **({"tags": tags} if repository and not refusal else {})}


def _plain(client: Client, origin: Origin) -> Json:
    """What a client gets that does not speak TLS. Nobody there is a finding, not an error."""
    try:
        answer = client.send("GET", origin, "/v2/")
    except RegistryError as error:
        return {"answer": "none", "problem": f"{error.where}: {error.problem}"}
    location = answer.header("location")
    challenge = parse_challenge(answer.header("www-authenticate"))
    if location and urlsplit(location).scheme == "https":
        kind = "redirect"
    elif challenge or answer.header("docker-distribution-api-version"):
        kind = "registry"
    else:
        kind = "other"
    realm = challenge.realm if challenge else ""
    return {"answer": kind, "status": answer.status, "location": location, "realm": realm, "problem": ""}


def _addresses(origin: Origin) -> list[str]:
    found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    return sorted({str(one[4][0]) for one in found})


def _timing(answer: Answer) -> Json:
    timing = answer.timing
    return {name: round(getattr(timing, name), 3) for name in ("connect", "tls", "answer")}


def _way(asked: Json, origin: Origin, connect: Callable[[], Cluster]) -> Way:
    address, port = parse_address(asked["address"], where="address") if asked["address"] else (None, None)
    way = direct(seconds=asked["timeout"], address=address, port=port, of=origin)
    service = asked["via_service"]
    return through_service(connect(), **service, of=origin.host, otherwise=way) if service else way


def _tls(answer: Answer, min_valid_days: int) -> Json:
    """The certificates, or the error that one of them ends soon: an authority's end ends the server's too."""
    if answer.certificate is None:
        return {}
    now = datetime.now(UTC)
    for number, one in enumerate(answer.chain):
        if one.days_left(now) < min_valid_days:
            what = f"certificate of its authority {one.subject}" if number else "certificate"
            problem = f"{what} expires on {one.not_after:%Y-%m-%d %H:%M} UTC"
            cure = f"Renew it, or accept less than {min_valid_days} days"
            raise NotReady(problem, where=answer.peer, cure=cure, kind="expired")
    chain = [{"subject": one.subject, "not_after": f"{one.not_after:%Y-%m-%dT%H:%M:%SZ}"} for one in answer.chain]
    return {"tls": {**answer.certificate.as_result(now), "chain": chain}}
