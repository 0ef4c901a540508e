# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: the TLS of one connection, judged as a client judges it, and why it was refused in words."""

from __future__ import annotations

import ssl
import typing as t
from datetime import UTC, datetime

from ansible_collections.splithorizon.registry.plugins.module_utils._certificate import Certificate, from_der
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import NotReady, Unreachable

if t.TYPE_CHECKING:
    import socket

__all__ = ["handshake", "look", "refused", "verified_chain"]

# X509_V_ERR_… of OpenSSL's x509_vfy.h
EXPIRED, NOT_YET_VALID, WRONG_NAME = {10}, {9}, {62, 64}
# OpenSSL's words for bytes that are no TLS record: what a server that speaks plain HTTP answers to a hello
NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"}


def handshake(connection: socket.socket, *, host: str, ca: str | None, where: str) -> ssl.SSLSocket:
    """The connection, secured. A certificate that is refused leaves as ssl.SSLCertVerificationError."""
    context = ssl.create_default_context(cadata=ca)
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError:
        raise
    except ssl.SSLError as error:
        if error.reason in NOT_TLS:
            cure = "Give the port that speaks TLS, or an http:// URL"
            raise NotReady("answers in plain HTTP, not TLS", where=where, cure=cure, kind="plain_http") from error
        cure = f"Check that a certificate for {host} is configured there"
        problem = f"TLS handshake failed: {error.reason or error}"
        raise NotReady(problem, where=where, cure=cure, kind="no_tls") from error
    except OSError as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else "connection ended"
        cure = f"Check that the server there has a listener and a certificate for {host}"
        raise Unreachable(f"TLS handshake failed: {reason}", where=where, cure=cure, kind="no_tls") from error


def look(connection: socket.socket, *, host: str) -> Certificate | None:
    """The server's certificate, whatever it is. Nothing may be sent over this connection."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(connection, server_hostname=host) as secure:
        der = secure.getpeercert(binary_form=True)
        return from_der(der) if der else None


def refused(
    error: ssl.SSLCertVerificationError, *, host: str, seen: Certificate | None, ca: str | None, where: str
) -> NotReady:
    """Why the certificate was refused. ``seen`` is the certificate, None where it could not be looked at."""
    kind = "expired"
    if error.verify_code in WRONG_NAME:
        names = ", ".join(seen.names) if seen and seen.names else "no name at all"
        problem, cure = f"certificate is not for {host} but for {names}", "Serve one that covers the name"
        kind = "wrong_name"
    elif error.verify_code in EXPIRED:
        problem, cure = f"certificate has expired{_when(seen, 'not_after')}", "Renew it"
    elif error.verify_code in NOT_YET_VALID:
        problem, cure = f"certificate is not valid yet{_when(seen, 'not_before')}", "Check the clocks"
    else:
        by = f" (issuer {seen.issuer})" if seen else ""
        problem = f"certificate is not trusted{by}: {error.verify_message}"
        cure = "Give the CA that signed it as ca" if not ca else "It was not signed by the given ca"
        kind = "untrusted"
    return NotReady(problem, where=where, cure=cure, kind=kind)


def verified_chain(secure: ssl.SSLSocket) -> tuple[Certificate, ...]:
    """What was verified, the server's own first. Public since Python 3.13; before, the wrapped object's method."""
    if hasattr(secure, "get_verified_chain"):
        return tuple(from_der(der) for der in secure.get_verified_chain())
    found = t.cast("t.Any", secure)._sslobj.get_verified_chain()
    return tuple(from_der(ssl.PEM_cert_to_DER_cert(one.public_bytes())) for one in found)


def _when(seen: Certificate | None, field: str) -> str:
    if seen is None:
        return ""
    moment: datetime = getattr(seen, field)
    word = "on" if field == "not_after" else "before"
    return f" {word} {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
