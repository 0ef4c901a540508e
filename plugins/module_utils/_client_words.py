# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what containerd, Docker and BuildKit print where a registry cannot be used, by the kind of the cause.

So that who has a client's message finds the cause, and the other way round. The words are those of Go's libraries.
"""

from __future__ import annotations

import typing as t

__all__ = ["CLIENTS_SAY"]

CLIENTS_SAY: t.Final[dict[str, str]] = {
    "name_unknown": "no such host",
    "unreachable": "connection refused, i/o timeout or no route to host",
    "plain_http": "http: server gave HTTP response to HTTPS client",
    "no_tls": "remote error: tls: handshake failure, or EOF",
    "wrong_name": "x509: certificate is valid for …, not …",
    "expired": "x509: certificate has expired or is not yet valid",
    "untrusted": "x509: certificate signed by unknown authority",
    "no_registry": "unexpected status from HEAD request to …/v2/…",
    "no_token": "failed to fetch oauth token, or failed to fetch anonymous token",
    "access_denied": "pull access denied, repository does not exist or may require authorization",
    "not_found": "not found, or manifest unknown",
    "blocked": "412 Precondition Failed, PROJECTPOLICYVIOLATION",
    "upload_elsewhere": "blob upload unknown, or unknown blob",
    "corrupt": "unexpected commit digest, or failed precondition",
    "slow": "context deadline exceeded, or unexpected EOF",
}
