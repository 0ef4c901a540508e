# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: how BuildKit reaches a registry, by an entry of buildkitd.toml, and what becomes of a push.

As ``util/resolver/resolver.go`` and ``util/push/push.go`` of BuildKit 0.14 to 0.30 have it. The daemon speaks to the
registry; the token is fetched by the client, which knows nothing of the daemon's settings and follows the realm.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

__all__ = [
    "REFUSED",
    "Attempt",
    "Builder",
    "KeyPair",
    "Outcome",
    "Registry",
    "Server",
    "describe",
    "is_loopback",
    "predict",
    "transport",
]


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """Files of a client certificate, as paths of the daemon."""

    key: str
    cert: str


@dataclass(frozen=True, kw_only=True)
class Registry:
    """One ``[registry."host[:port]"]`` table; None and empty: not set."""

    http: bool | None = None
    insecure: bool | None = None
    mirrors: tuple[str, ...] = ()
    ca: tuple[str, ...] = ()
    keypair: tuple[KeyPair, ...] = ()
    tlsconfigdir: tuple[str, ...] = ()

    @property
    def shown(self) -> dict[str, t.Any]:
        """What is set, as modules return it."""
        lists = {"mirrors": self.mirrors, "ca": self.ca, "tlsconfigdir": self.tlsconfigdir}
        shown: dict[str, t.Any] = {"http": self.http, "insecure": self.insecure}
        shown |= {key: list(value) for key, value in lists.items() if value}
        shown["keypair"] = [{"key": pair.key, "cert": pair.cert} for pair in self.keypair] or None
        return {key: value for key, value in shown.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One way the daemon tries; ``files``: whether ca, keypair and tlsconfigdir count."""

    scheme: str
    verified: bool = False
    files: bool = False


@dataclass(frozen=True, kw_only=True)
class Server:
    """What a registry is under one name: ``serves`` the schemes that answer, ``realm`` where it sends for tokens."""

    serves: frozenset[str]
    realm: str


@dataclass(frozen=True, kw_only=True)
class Builder:
    """One build: ``flag`` is registry.insecure=true; trust is in the certificate of the registry.

    ``daemon_fetches``: the client runs with BUILDKIT_NO_CLIENT_TOKEN=1.
    """

    flag: bool = False
    daemon_trusts: bool = True
    client_trusts: bool = True
    daemon_fetches: bool = False
    credentials: bool = True


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``error`` is in BuildKit's own words, empty where the push works; ``scheme`` is what it went by."""

    error: str = ""
    scheme: str = ""


UNTRUSTED = "x509: certificate signed by unknown authority"
REFUSED = "connection refused"
UNAUTHORIZED = "401 Unauthorized"
TOKEN = "failed to fetch oauth token"


def is_loopback(host: str) -> bool:
    """Whether BuildKit takes http for granted: ``localhost`` and 127.0.0.0/8 and ::1, with any port."""
    name = host.rpartition("]")[0].removeprefix("[") or host.partition(":")[0]
    return name in {"localhost", "::1"} or name.startswith("127.")


def transport(host: str, registry: Registry | None, *, flag: bool = False) -> tuple[Attempt, ...]:
    """What the daemon tries, in order. With the flag, all that buildkitd.toml says of this host is passed over."""
    if flag:
        registry = Registry(http=True, insecure=True)
    registry = registry or Registry()
    http = is_loopback(host) if registry.http is None else registry.http
    if registry.insecure:
        secure = Attempt(scheme="https", files=not flag)
        return (secure, Attempt(scheme="http")) if http else (secure,)
    return (Attempt(scheme="http"),) if http else (Attempt(scheme="https", verified=True, files=True),)


def describe(host: str, registry: Registry | None, *, flag: bool = False) -> str:
    """The same in words: ``https, verified by /certs/ca.crt or the system``."""
    files = () if registry is None else (*registry.ca, *registry.tlsconfigdir)
    trust = " or ".join([*files, "the system"])
    words = {
        Attempt(scheme="http"): "http",
        Attempt(scheme="https", verified=True, files=True): f"https, verified by {trust}",
    }
    tried = [words.get(each, "https without verification") for each in transport(host, registry, flag=flag)]
    return ", then ".join(tried)


def predict(host: str, registry: Registry | None, server: Server, builder: Builder) -> Outcome:
    """What becomes of a push to a registry that wants a token."""
    attempts = transport(host, registry, flag=builder.flag)
    scheme, error = _reach(attempts, server.serves, trusts=builder.daemon_trusts)
    if error:
        return Outcome(error=error)
    if builder.daemon_fetches:
        error = _token_by_daemon(attempts, server, trusts=builder.daemon_trusts)
    else:
        error = _ask(server.realm.partition(":")[0], server.serves, trusted=builder.client_trusts)
    if error:
        return Outcome(error=f"{TOKEN}: {error}")
    return Outcome(scheme=scheme) if builder.credentials else Outcome(error=UNAUTHORIZED)


def _reach(attempts: tuple[Attempt, ...], serves: frozenset[str], *, trusts: bool) -> tuple[str, str]:
    """(scheme that answered, error). A refused connection and an answer that is no TLS lead on, distrust does not."""
    error = ""
    for attempt in attempts:
        error = _ask(attempt.scheme, serves, trusted=trusts or not attempt.verified)
        if error != REFUSED:
            return attempt.scheme, error
    return "", error


def _token_by_daemon(attempts: tuple[Attempt, ...], server: Server, *, trusts: bool) -> str:
    """The realm says by what, the daemon's settings whether it is verified and falls back to http."""
    if server.realm.startswith("http:"):
        return _ask("http", server.serves, trusted=True)
    secure = [each for each in attempts if each.scheme == "https"] or [Attempt(scheme="https", verified=True)]
    fallback = attempts[1:] if len(attempts) > 1 else ()
    return _reach((*secure, *fallback), server.serves, trusts=trusts)[1]


def _ask(scheme: str, serves: frozenset[str], *, trusted: bool) -> str:
    if scheme not in serves:
        return REFUSED
    return UNTRUSTED if scheme == "https" and not trusted else ""
