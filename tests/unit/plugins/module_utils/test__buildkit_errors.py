# SPDX-License-Identifier: GPL-3.0-or-later
"""Every failure that was recorded with a real Harbor is told for what it is."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_errors import recognise

if t.TYPE_CHECKING:
    from pathlib import Path

KINDS = {
    "CORE_URL short, buildkitd none, flag no": "registry_unreachable",
    "CORE_URL short, buildkitd insecure, flag no": "registry_unreachable",
    "CORE_URL short": "realm_unreachable",
    "CORE_URL fqdn": "registry_unreachable",
    "credentials only": "unauthorized",
    "client does not trust": "client_distrusts",
    "daemon does not trust": "daemon_distrusts",
}


@pytest.mark.captures
def test_recorded_failures(captures: Path) -> None:
    runs = yaml.safe_load((captures / "buildkit-0.30" / "recorded.yaml").read_text())
    failed = {run["name"]: run["error"] for run in runs if run["rc"]}
    assert len(failed) == 14
    for name, error in failed.items():
        expected = next(kind for words, kind in KINDS.items() if words in name)
        assert recognise(f"#1 DONE 0.0s\n{error}\n").kind == expected, name


def test_the_error_of_guide_1() -> None:
    host = "https://harbor-core.default.svc.cluster.local"
    failure = recognise(
        f'error: failed to solve: failed to fetch oauth token: Post "{host}/service/token": '
        "dial tcp 10.96.0.80:443: connect: connection refused\n"
    )
    assert failure.kind == "realm_unreachable"
    assert failure.problem == f"the registry sends the client to {host} for its token, where nothing answers"
    assert failure.cure


@pytest.mark.parametrize(
    ("output", "kind", "words"),
    [
        (
            'error: failed to do request: Head "https://h/v2/": http: server gave HTTP response to HTTPS client\n',
            "http_server",
            'failed to do request: Head "https://h/v2/": http: server gave HTTP response to HTTPS client',
        ),
        ("#1 x\nERROR: one\nerror: failed to read dockerfile\n\n", "unknown", "failed to read dockerfile"),
        ("sh: buildctl: not found\n", "unknown", "sh: buildctl: not found"),
        ("", "unknown", "it said nothing"),
    ],
)
def test_others(output: str, kind: str, words: str) -> None:
    failure = recognise(output)
    assert (failure.kind, failure.words) == (kind, words)
