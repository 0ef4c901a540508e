# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what pods, nodes and the outside get for one name, as it was read."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["HOSTS_FILE", "Horizons", "Lookup", "NodeView", "PodView", "Server", "hosts_of", "search_names"]

Json = dict[str, t.Any]

HOSTS_FILE = "/etc/hosts"


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """What a server answered for one name: addresses of both families, sorted, or why there are none.

    ``rcode`` is the answer's for A, ``rcode_six`` the one for AAAA.
    """

    name: str
    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    rcode: str = ""
    rcode_six: str = ""
    problem: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.a + self.aaaa

    @property
    def shown(self) -> Json:
        return {"name": self.name, "a": list(self.a), "aaaa": list(self.aaaa), "rcode": self.rcode}

    @property
    def denies_six(self) -> bool:
        """Whether an IPv4 name is said not to exist for IPv6: musl takes that for both, an empty answer it does not."""
        return bool(self.a) and self.rcode_six == "NXDOMAIN"

    @property
    def nothing(self) -> str:
        """Why there is no address."""
        return self.problem or (self.rcode if self.rcode != "NOERROR" else "no address")


def first_with_address(lookups: Sequence[Lookup]) -> Lookup:
    """What a resolver ends with that asks one after the other."""
    return next((each for each in lookups if each.addresses), lookups[-1])


@dataclass(frozen=True, kw_only=True)
class PodView:
    """What one CoreDNS replica answers. ``lookups`` in the order in which a pod asks, the bare name last."""

    pod: str
    node: str
    lookups: tuple[Lookup, ...] = ()
    target: Lookup | None = None
    problem: str = ""

    @property
    def gets(self) -> Lookup:
        return first_with_address(self.lookups) if self.lookups else Lookup(name="", problem=self.problem)

    @property
    def shown(self) -> Json:
        return {
            "pod": self.pod,
            "node": self.node,
            "lookups": [each.shown for each in self.lookups],
            "gets": list(self.gets.addresses),
            "error": self.problem or None,
        }


@dataclass(frozen=True, kw_only=True)
class Server:
    """A resolver and its answer, as the machine that asks sees it."""

    address: str
    lookup: Lookup

    @property
    def shown(self) -> Json:
        found = self.lookup.addresses
        return {"resolver": self.address, "gets": list(found), "error": None if found else self.lookup.nothing}


@dataclass(frozen=True, kw_only=True)
class NodeView:
    """What one node gets: by its hosts file, or without an entry there by the first of its resolvers that answers."""

    node: str
    hosts: tuple[str, ...] = ()
    resolvers: tuple[Server, ...] = ()
    host_dns: bool = False
    problem: str = ""

    @property
    def by(self) -> str:
        """Who answers; empty where nobody does."""
        return HOSTS_FILE if self.hosts else (self._server.address if self._server else "")

    @property
    def gets(self) -> tuple[str, ...]:
        return self.hosts or (self._server.lookup.addresses if self._server else ())

    @property
    def nothing(self) -> str:
        """Why it gets no address."""
        return f"{self._server.lookup.nothing} by {self.by}" if self._server else "nobody answers"

    @property
    def _server(self) -> Server | None:
        return next((each for each in self.resolvers if not each.lookup.problem), None)

    @property
    def shown(self) -> Json:
        return {
            "node": self.node,
            "hosts": list(self.hosts),
            "resolvers": [each.address for each in self.resolvers],
            "host_dns": self.host_dns,
            "gets": list(self.gets),
            "by": self.by,
            "error": self.problem or None,
        }


@dataclass(frozen=True, kw_only=True)
class Horizons:
    """All that is known of a name.

    ``outside`` is None where nobody asked. ``lacks``: what the Corefile lacks for the target; ``unplanned``: why that
    is not known.
    """

    name: str
    target: str = ""
    pods: tuple[PodView, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    outside: Server | None = None
    lacks: str = ""
    unplanned: str = ""

    @property
    def shown(self) -> Json:
        return {
            "name": self.name,
            "expected": list(self.inside),
            "pods": [pod.shown for pod in self.pods],
            "nodes": [node.shown for node in self.nodes],
            "outside": self.outside.shown if self.outside else None,
        }

    @property
    def inside(self) -> tuple[str, ...]:
        """The addresses that pods are to get: the target's, or without one what the first replica gives."""
        answering = [pod for pod in self.pods if not pod.problem]
        if self.target:
            return next((pod.target.addresses for pod in answering if pod.target), ())
        return answering[0].gets.addresses if answering else ()


def search_names(name: str, *, domain: str, namespaces: Iterable[str]) -> list[str]:
    """What pods ask for, in their order, with closing dots: the search path of each namespace, then the bare name."""
    paths = [f"{namespace}.svc.{domain}" for namespace in namespaces]
    return [*(f"{name}.{path}." for path in (*paths, f"svc.{domain}", domain)), f"{name}."]


def hosts_of(text: str, name: str) -> tuple[str, ...]:
    """The addresses that a hosts file has for a name."""
    rows = (line.partition("#")[0].split() for line in text.splitlines())
    found = {row[0] for row in rows if row and name in (word.lower() for word in row[1:])}
    return tuple(sorted(found, key=_by_family))


def _by_family(address: str) -> tuple[int, str]:
    try:
        return ipaddress.ip_address(address).version, address
    except ValueError:  # Talos takes whatever it is given
        return 9, address
