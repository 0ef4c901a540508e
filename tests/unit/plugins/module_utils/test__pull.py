# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an image is not pulled: wrong credentials, no such image, or no way from the node to the endpoint."""

from __future__ import annotations

import loopback
import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils import _errors
from ansible_collections.splithorizon.registry.plugins.module_utils._pull import ask, explained
from fake_harbor import REPOSITORY, ROBOT, FakeHarbor

NAME = "harbor.example.com"
IMAGE = f"192.168.1.105/{REPOSITORY}:1"
LATE = _errors.NotReady(f"no {IMAGE} within 5 s", where="node n1", cure="Credentials are retried")


@pytest.fixture
def harbor():
    harbor = FakeHarbor()
    harbor.realm = f"https://{NAME}/service/token"
    harbor.manifests["1"] = b"{}"
    return harbor


@pytest.fixture
def registry(tmp_path, harbor):
    ca = loopback.make_ca()
    with loopback.serve(harbor, certificate=loopback.make_certificate(ca, NAME), folder=tmp_path) as port:
        given = {"url": f"https://{NAME}", "ca": ca.pem, "address": f"127.0.0.1:{port}"}
        yield {**given, "username": ROBOT[0], "password": ROBOT[1]}


def asked(registry, image=IMAGE, **changed):
    warnings = []
    return ask({**registry, **changed}, image, seconds=5, warn=warnings.append), warnings


def test_an_image_that_the_credentials_open_is_given(registry):
    assert asked(registry) == ("given", [])


def test_a_wrong_password_is_told_without_it(registry):
    with pytest.raises(_errors.NotPermitted) as failure:
        asked(registry, password="wrong-password")
    assert "the credentials do not open it" in str(failure.value)
    assert "wrong-password" not in str(failure.value)


def test_an_image_that_is_not_there_is_told(registry):
    with pytest.raises(_errors.BadInput, match="there is no such image"):
        asked(registry, image=f"{NAME}/{REPOSITORY}:none")


def test_a_registry_that_is_not_reached_from_here_tells_nothing(registry):
    found, (warning,) = asked(registry, address="127.0.0.1:1")
    assert found == "unknown"
    assert "could not be asked from here" in warning


@pytest.mark.parametrize(
    ("error", "known", "kind", "said"),
    [
        (LATE, "given", _errors.Unreachable, "though the registry gives it"),
        (LATE, "unknown", _errors.NotReady, "Credentials are retried"),
        (LATE, None, _errors.NotReady, "Credentials are retried"),
        (_errors.Unreachable("the node cannot be reached"), "given", _errors.Unreachable, "the node cannot be reached"),
    ],
)
def test_what_a_nodes_failure_means(error, known, kind, said):
    found = explained(error, IMAGE, seconds=5, asked=known)
    assert type(found) is kind
    assert said in str(found)
