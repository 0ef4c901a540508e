# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what a gateway asks of its clients that pods, which come to it directly, do not have."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._selectors import Target, attached

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = ["access_notes", "refuse_clients", "serves"]

HTTPS = 443
MUST_SHOW = {"RequireAny", "RequireAndVerify"}


def serves(listener: Json, hostname: str) -> bool:
    """Whether a listener takes requests for a name."""
    of = str(listener.get("hostname") or "")
    return not of or of == hostname or (of.startswith("*.") and hostname.endswith(of[1:]))


def refuse_clients(gateway: Json, policies: Sequence[Json], *, hostname: str) -> None:
    """Conflict where the listener for ``hostname`` wants the PROXY protocol or a client certificate.

    ``policies`` are ClientTrafficPolicies. One of a listener takes the place of the Gateway's, as a whole.
    """
    target = Target.of(gateway)
    for listener in gateway["spec"].get("listeners") or []:
        if listener["port"] != HTTPS or not serves(listener, hostname):
            continue
        own = attached(policies, target, section=listener["name"])
        for policy in (own or attached(policies, target))[:1]:
            _refuse_by(policy, f"listener {listener['name']} of {target}")
        _refuse_by_gateway(gateway, listener, f"listener {listener['name']} of {target}")


def _refuse_by(policy: Json, place: str) -> None:
    spec, metadata = policy["spec"], policy["metadata"]
    where = f"ClientTrafficPolicy {metadata['namespace']}/{metadata['name']}"
    proxy = spec.get("proxyProtocol")
    required = not proxy.get("optional") if proxy is not None else spec.get("enableProxyProtocol")
    if required:
        raise Conflict(
            f"{place} closes connections without a PROXY protocol header, and pods send none",
            where=where,
            cure="Set spec.proxyProtocol.optional to true, or give pods a listener of their own",
        )
    if _wants_certificate((spec.get("tls") or {}).get("clientValidation")):
        raise Conflict(
            f"{place} wants a client certificate, which no client of the registry shows",
            where=where,
            cure="Set spec.tls.clientValidation.optional to true, or give the registry a listener of its own",
        )


def _wants_certificate(validation: Json | None) -> bool:
    if validation is None:
        return False
    mode = validation.get("mode")
    return mode in MUST_SHOW if mode else not validation.get("optional")


def _refuse_by_gateway(gateway: Json, listener: Json, place: str) -> None:
    """By Gateway API's own settings, of the listener or of the Gateway."""
    frontend = ((gateway["spec"].get("tls") or {}).get("frontend")) or {}
    of_ports = [one.get("tls") or {} for one in frontend.get("perPort") or [] if one.get("port") == listener["port"]]
    validation = (of_ports[0] if of_ports else frontend.get("default") or {}).get("validation")
    validation = (listener.get("tls") or {}).get("frontendValidation") or validation
    if validation and validation.get("mode", "AllowValidOnly") == "AllowValidOnly":
        raise Conflict(
            f"{place} wants a client certificate, which no client of the registry shows",
            where=str(Target.of(gateway)),
            cure="Give the registry a Gateway of its own, or take the validation of clients away",
        )


def access_notes(gateway: Json, routes: Sequence[Json], policies: Sequence[Json]) -> list[str]:
    """What SecurityPolicies of the Gateway or the registry's routes may refuse pods for, a sentence each."""
    notes = []
    for target in (Target.of(gateway), *map(Target.of, routes)):
        for policy in attached(policies, target)[:1]:
            what = [words for key, words in _ACCESS.items() if policy["spec"].get(key) is not None]
            if what:
                name = f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"
                notes.append(
                    f"SecurityPolicy {name} of {target} asks for {' and '.join(what)}: pods come with their own "
                    "addresses, and with the registry's credentials only"
                )
    return notes


_ACCESS = {
    "authorization": "authorization (as by client addresses)",
    "basicAuth": "a password",
    "oidc": "a login (OIDC)",
    "jwt": "a token (JWT)",
    "extAuth": "an external authorization",
    "apiKeyAuth": "an API key",
}
