# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what BuildKit's words about a push mean, and what helps."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Failure", "recognise"]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """``kind`` for programs, ``problem`` and ``cure`` for people, ``words`` BuildKit's own."""

    kind: str
    problem: str
    cure: str
    words: str


# Who fetches the token, or the daemon, and why it does not get there; the first that matches counts.
_TOKEN = r"failed to fetch oauth token: \w+ \"(?P<url>[^\"]+)\": .*"
_REQUEST = r"failed to do request: \w+ \"(?P<url>[^\"]+)\": .*"
_UNREACHABLE = r"(?:connection refused|i/o timeout|no such host|network is unreachable|no route to host)"
_KINDS = (
    (
        "realm_unreachable",
        _TOKEN + _UNREACHABLE,
        "the registry sends the client to {url} for its token, where nothing answers",
        "Push to the registry's public name, or correct Harbor's realm (harbor_core_patch)",
    ),
    (
        "client_distrusts",
        _TOKEN + "x509: ",
        "the client does not trust the certificate of {url}",
        "Put the authority into the client's image, or give it with --registry-auth-tlscontext",
    ),
    (
        "http_server",
        r"(?P<url>)server gave HTTP response to HTTPS client",
        "the daemon speaks https, and the registry http",
        "Push to the registry's public name, or set http for this host",
    ),
    (
        "daemon_distrusts",
        _REQUEST + "x509: ",
        "the daemon does not trust the certificate of {url}",
        "Give the authority as ca of this host in buildkitd.toml (buildkit_registry)",
    ),
    (
        "registry_unreachable",
        _REQUEST + _UNREACHABLE,
        "the daemon does not reach {url}",
        "Check that pods resolve the name and that its scheme is served there",
    ),
    (
        "unauthorized",
        r"unexpected status from \w+ request to (?P<url>\S+): (?:401|403)",
        "the client has no credentials for {url}, or they do not open it",
        "Give credentials for this very name: those for another name of the registry do not count",
    ),
)


def recognise(output: str) -> Failure:
    """The failure that the last ``error:`` line of buildctl tells; of kind ``unknown`` where it is another."""
    lines = [line for line in output.splitlines() if line.strip()]
    told = [line for line in lines if line.lower().startswith("error: ")] or lines[-1:] or ["it said nothing"]
    words = told[-1].removeprefix("error: ")
    for kind, pattern, problem, cure in _KINDS:
        if found := re.search(pattern, words):
            # Not the path: it says no more, and is different each time.
            url = "/".join(found["url"].split("/")[:3])
            return Failure(kind=kind, problem=problem.format(url=url), cure=cure, words=words)
    return Failure(kind="unknown", problem="the build failed", cure="See what BuildKit says", words=words)
