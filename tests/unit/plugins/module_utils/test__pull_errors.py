# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node says of a pull that failed. The first case is a real node's; the others are by the same code of Talos."""

from __future__ import annotations

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils import _errors
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import translated

IMAGE = "harbor.example.com/library/bb:1"
SAID = (
    "error from node 10.5.0.2: rpc error: code = NotFound desc = error pulling image: 1 error(s) occurred:\n"
    f'\tfailed to pull image "{IMAGE}": failed to resolve reference "{IMAGE}": {{}}\n'
)
HEAD = "http://harbor.internal/v2/library/bb/manifests/1"


@pytest.mark.parametrize(
    ("cause", "kind", "problem"),
    [
        (f"{IMAGE}: not found", _errors.BadInput, "there is no such image by the node's mirrors"),
        (
            f"unexpected status from HEAD request to {HEAD}: 401 Unauthorized",
            _errors.NotPermitted,
            "the registry refuses the node's credentials",
        ),
        (
            "failed to authorize: failed to fetch oauth token: unexpected status from GET request to "
            "https://harbor.example.com/service/token?service=harbor-registry: 401 Unauthorized",
            _errors.NotPermitted,
            "the registry refuses the node's credentials",
        ),
        (
            "pull access denied, repository does not exist or may require authorization: server message: "
            "insufficient_scope: authorization failed",
            _errors.NotPermitted,
            "the registry refuses the node's credentials",
        ),
        (
            f'failed to do request: Head "{HEAD}": tls: failed to verify certificate: x509: certificate signed by '
            "unknown authority",
            _errors.Unreachable,
            "the node does not trust the registry's certificate",
        ),
        (
            f'failed to do request: Head "{HEAD}": dial tcp 10.43.7.9:80: connect: connection refused',
            _errors.Unreachable,
            "the node does not reach its endpoint",
        ),
        ("unexpected status from HEAD request: 500 Internal Server Error", _errors.NotReady, "the image is not pulled"),
    ],
)
def test_the_reason_is_told_and_not_taken_for_the_nodes_own_trust(cause, kind, problem):
    found = translated(SAID.format(cause), where="node 10.5.0.2")
    assert type(found) is kind
    assert found.problem.startswith(problem)
    assert cause[:60] in found.problem


def test_a_password_in_an_endpoint_is_not_told():
    found = translated(SAID.format('failed to do request: Head "http://robot:hunter2@harbor": EOF'), where="node n")
    assert "hunter2" not in str(found)
    assert "http://harbor" in found.problem
