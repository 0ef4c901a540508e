# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what a server certificate says. Names are those of the subjectAltName only, as Go and Python judge them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  # dataclass field
from ipaddress import ip_address

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput

if t.TYPE_CHECKING:
    from cryptography import x509

__all__ = ["Certificate", "check_bundle", "from_der"]


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """``names`` are DNS names (lower case) and IP addresses; the times carry their zone (UTC)."""

    names: tuple[str, ...]
    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime

    def covers(self, name: str) -> bool:
        """Whether a client that asked for ``name`` accepts it (RFC 6125: ``*`` is one whole first label)."""
        wanted = _normal(name)
        return any(_matches(_normal(pattern), wanted) for pattern in self.names)

    def days_left(self, now: datetime) -> float:
        """Days until it expires, negative afterwards."""
        return (self.not_after - now).total_seconds() / 86400

    def as_result(self, now: datetime) -> dict[str, t.Any]:
        return {
            "names": list(self.names),
            "issuer": self.issuer,
            "not_after": self.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "days_left": int(self.days_left(now) // 1),
        }


def from_der(der: bytes) -> Certificate:
    """Read one certificate, DER as a TLS handshake gives it."""
    from cryptography import x509  # noqa: PLC0415  # 0.1 s that only those who look at certificates need

    return _read(x509.load_der_x509_certificate(der))


def check_bundle(pem: str, *, where: str) -> None:
    """Raise BadInput unless ``pem`` holds at least one certificate and each of them can be read."""
    _load_all(pem, where)


def _load_all(pem: str, where: str) -> list[x509.Certificate]:
    from cryptography import x509  # noqa: PLC0415

    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        cure = "Give the text of one or more blocks from BEGIN CERTIFICATE to END CERTIFICATE"
        raise BadInput("is no PEM certificate", where=where, cure=cure) from error


def _read(certificate: x509.Certificate) -> Certificate:
    return Certificate(
        names=_names(certificate),
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509  # noqa: PLC0415

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    dns = [name.lower() for name in found.get_values_for_type(x509.DNSName)]
    return (*dns, *(str(address) for address in found.get_values_for_type(x509.IPAddress)))


def _normal(name: str) -> str:
    name = name.strip("[]")
    try:
        return str(ip_address(name))
    except ValueError:
        return name.lower().removesuffix(".")


def _matches(pattern: str, name: str) -> bool:
    if pattern == name:
        return True
    if not pattern.startswith("*."):
        return False
    label, dot, rest = name.partition(".")
    return bool(label and dot) and rest == pattern[2:]
