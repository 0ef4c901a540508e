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
    from dns import exception, message, query, rcode  # noqa: PLC0415  # 0.1 s that only probes need

    found = {}
    code = ""
    for rdtype in ("A", "AAAA"):
        try:
            question = message.make_query(name, rdtype)
            answer, _used_tcp = query.udp_with_fallback(question, address, timeout=seconds, port=port)
        except (OSError, exception.DNSException) as error:
            problem = f"no answer within {seconds:g} s" if isinstance(error, exception.Timeout) else str(error)
            return Lookup(name=name, problem=problem or type(error).__name__)
        code = rcode.to_text(answer.rcode())
        records = (record for group in answer.answer if group.rdtype == question.question[0].rdtype for record in group)
        found[rdtype] = tuple(sorted({record.address for record in records}))
    return Lookup(name=name, a=found["A"], aaaa=found["AAAA"], rcode=code)


def _own_resolvers() -> list[str]:
    from dns import resolver  # noqa: PLC0415

    try:
        return [str(server) for server in resolver.Resolver(OWN).nameservers]
    except resolver.NoResolverConfiguration:
        return []
