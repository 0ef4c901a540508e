# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: ask a resolver by its address, over UDP as its clients do; which resolvers this machine has."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import Lookup, Server

if t.TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ask_outside", "ask_resolver"]

ANSWER_SECONDS = 3.0
OWN = "/etc/resolv.conf"


def ask_outside(name: str, *, resolver: str | None, asker: Callable[[str, str], Lookup] | None = None) -> Server:
    """What a resolver answers; without one, the first of this machine's that does."""
    question = f"{name}."
    found = Server(address=OWN, lookup=Lookup(name=question, problem="this machine has no resolver"))
    for address in [resolver] if resolver else _own_resolvers():
        found = Server(address=address, lookup=(asker or ask_resolver)(address, question))
        if not found.lookup.problem:
            break
    return found


def ask_resolver(address: str, name: str, *, port: int = 53, seconds: float = ANSWER_SECONDS) -> Lookup:
    """Both families of a name that ends with a dot; TCP where an answer does not fit."""
    from dns import exception, message, query, rcode, rdatatype  # noqa: PLC0415  # 0.1 s that only probes need

    def ask(rdtype: str) -> tuple[str, tuple[str, ...]]:
        question = message.make_query(name, rdtype)
        answer, _used_tcp = query.udp_with_fallback(question, address, timeout=seconds, port=port)
        wanted = rdatatype.from_text(rdtype)
        found = {record.address for group in answer.answer if group.rdtype == wanted for record in group}
        return rcode.to_text(answer.rcode()), tuple(sorted(found))

    try:
        (code, a), (code_six, aaaa) = ask("A"), ask("AAAA")
    except exception.Timeout:
        return Lookup(name=name, problem=f"no answer within {seconds:g} s")
    except (OSError, exception.DNSException) as error:
        return Lookup(name=name, problem=str(error) or type(error).__name__)
    return Lookup(name=name, a=a, aaaa=aaaa, rcode=code, rcode_six=code_six)


def _own_resolvers() -> list[str]:
    from dns import resolver  # noqa: PLC0415

    try:
        return [str(server) for server in resolver.Resolver(OWN).nameservers]
    except resolver.NoResolverConfiguration:
        return []
