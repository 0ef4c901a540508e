# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, datetime, timedelta

import loopback
import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils import _certificate
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def certificate(*names, not_after=NOW):
    return _certificate.Certificate(
        names=names, subject="CN=Server", issuer="CN=Test", not_before=NOW, not_after=not_after
    )


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("harbor.example.com", "harbor.example.com", True),
        ("harbor.example.com", "HARBOR.example.com.", True),
        ("*.example.com", "harbor.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.harbor.example.com", False),
        ("*.example.com", ".example.com", False),
        ("h*.example.com", "harbor.example.com", False),
        ("*", "harbor", False),
        ("harbor.example.com", "harbor.example.org", False),
        ("192.168.1.105", "192.168.1.105", True),
        ("fd00::1", "[fd00:0::1]", True),
        ("*.168.1.105", "192.168.1.106", False),
    ],
)
def test_which_names_a_certificate_covers(pattern, name, covered):
    assert certificate(pattern).covers(name) is covered


def test_a_certificate_without_names_covers_nothing():
    assert not certificate().covers("harbor.example.com")


def test_what_a_real_certificate_says():
    ca = loopback.make_ca("Loopback CA")
    pem = loopback.make_certificate(ca, "Harbor.example.com", "*.apps.example.com", "10.0.0.1", days=(-1, 10))
    found = _certificate.from_der(load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER))
    assert found.names == ("harbor.example.com", "*.apps.example.com", "10.0.0.1")
    assert found.issuer == "CN=Loopback CA"
    assert found.as_result(datetime.now(UTC))["days_left"] == 9


def test_days_are_negative_after_expiry():
    assert certificate(not_after=NOW - timedelta(hours=1)).as_result(NOW)["days_left"] == -1


@pytest.mark.parametrize("text", ["", "harbor", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_no_certificate_is_refused_with_its_place(text):
    with pytest.raises(BadInput, match="ca: is no PEM certificate"):
        _certificate.check_bundle(text, where="ca")
