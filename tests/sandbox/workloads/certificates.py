# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that the gateway may be given: the good one, and those that clients must refuse."""

from __future__ import annotations

import datetime
import typing as t

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ..model import REGISTRY_NAME
from ..pki import Pair, faulty

if t.TYPE_CHECKING:
    from pathlib import Path

    from ..paths import Paths
    from ..pki import Authority

__all__ = ["folder", "load", "short_lived", "store"]


def folder(paths: Paths, cluster: str) -> Path:
    return paths.cluster(cluster) / "certificates"


def store(place: Path, authority: Authority) -> Pair:
    """Issue ``good`` and the faulty ones, and keep them for tests beside the authority, ``ca``; gives the good one."""
    good = authority.issue(REGISTRY_NAME, names=[REGISTRY_NAME])
    for name, pair in {"good": good, "ca": authority.pair, **faulty(authority, REGISTRY_NAME)}.items():
        pair.write(place, name)
    return good


def load(place: Path, name: str) -> Pair:
    return Pair((place / f"{name}.crt").read_text(), (place / f"{name}.key").read_text())


def short_lived(place: Path, seconds: float) -> Pair:
    """The good certificate anew, but good for some seconds only. Envoy Gateway takes none that has expired already."""
    authority, good = load(place, "ca"), x509.load_pem_x509_certificate(load(place, "good").certificate.encode())
    signer = serialization.load_pem_private_key(authority.key.encode(), password=None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .issuer_name(good.issuer)
        .subject_name(good.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=90))
        .not_valid_after(now + datetime.timedelta(seconds=seconds))
    )
    for extension in good.extensions:
        if not isinstance(extension.value, x509.SubjectKeyIdentifier):
            builder = builder.add_extension(extension.value, critical=extension.critical)
    certificate = builder.sign(t.cast("ec.EllipticCurvePrivateKey", signer), hashes.SHA256())
    form = serialization.PrivateFormat.TraditionalOpenSSL
    text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    return Pair(certificate.public_bytes(serialization.Encoding.PEM).decode(), text)
