# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from sandbox.pki import Authority, Pair, faulty

NAME = "harbor.example.com"
AUTHORITY = Authority("tests")


def _verify(pair: Pair, *, in_days: int = 0) -> None:
    """As a client that trusts ``AUTHORITY`` does; ``VerificationError`` if it would refuse."""
    trusted = Store([x509.load_pem_x509_certificate(AUTHORITY.pair.certificate.encode())])
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=in_days)
    verifier = PolicyBuilder().store(trusted).time(now).build_server_verifier(x509.DNSName(NAME))
    verifier.verify(x509.load_pem_x509_certificate(pair.certificate.encode()), [])


def test_a_certificate_is_accepted() -> None:
    _verify(AUTHORITY.issue(NAME, names=[NAME, "10.5.0.2"]))


@pytest.mark.parametrize("fault", ["expired", "wrong-name", "untrusted"])
def test_a_faulty_one_is_refused(fault: str) -> None:
    with pytest.raises(VerificationError):
        _verify(faulty(AUTHORITY, NAME)[fault])


def test_an_expiring_one_is_accepted_but_not_for_long() -> None:
    pair = faulty(AUTHORITY, NAME)["expiring"]
    _verify(pair)
    with pytest.raises(VerificationError):
        _verify(pair, in_days=4)
