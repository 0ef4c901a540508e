# SPDX-License-Identifier: GPL-3.0-or-later
"""What a push is predicted to come to, against what buildctl 0.30 recorded with a real Harbor."""

from __future__ import annotations

import tomllib
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_config import registries
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_transport import (
    Builder,
    KeyPair,
    Registry,
    Server,
    describe,
    is_loopback,
    predict,
)

RECORDED = Path(__file__).parents[5] / "shared" / "buildkit-0.30" / "recorded.yaml"
HOST = "harbor-core.default.svc.cluster.local"
HTTP, HTTPS = frozenset({"http"}), frozenset({"http", "https"})


def recorded() -> list[t.Any]:
    if not RECORDED.exists():
        reason = f"no recorded runs at {RECORDED.name}"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason), id="absent")]
    return [pytest.param(run, id=run["name"]) for run in yaml.safe_load(RECORDED.read_text())]


@pytest.mark.captures
@pytest.mark.parametrize("run", recorded())
def test_as_the_real_ones(run: dict[str, t.Any]) -> None:
    host = run["output"].partition("name=")[2].partition("/")[0]
    name = run["name"]
    server = Server(serves=HTTP if host == HOST else HTTPS, realm=run["realm_of_host"].split('"')[1])
    builder = Builder(
        flag="registry.insecure=true" in run["output"],
        daemon_trusts="daemon does not trust" not in name,
        client_trusts="client does not trust" not in name,
        daemon_fetches="BUILDKIT_NO_CLIENT_TOKEN=1" in name,
        credentials="credentials only" not in name,
    )
    outcome = predict(host, registries(tomllib.loads(run["buildkitd_toml"])).get(host), server, builder)
    assert bool(outcome.error) is bool(run["rc"])
    assert all(part in run["error"] for part in outcome.error.split(": ", 1))


@pytest.mark.parametrize(
    ("host", "registry", "flag", "words"),
    [
        (HOST, None, False, "https, verified by the system"),
        (HOST, Registry(), False, "https, verified by the system"),
        (
            HOST,
            Registry(ca=("/ca.crt",), tlsconfigdir=("/tls",)),
            False,
            "https, verified by /ca.crt or /tls or the system",
        ),
        (HOST, Registry(http=True, ca=("/ca.crt",)), False, "http"),
        (HOST, Registry(insecure=True), False, "https without verification"),
        (HOST, Registry(http=False, insecure=True), False, "https without verification"),
        (HOST, Registry(http=True, insecure=True), False, "https without verification, then http"),
        (HOST, Registry(ca=("/ca.crt",)), True, "https without verification, then http"),
        ("localhost:5000", None, False, "http"),
        ("localhost:5000", Registry(http=False), False, "https, verified by the system"),
        ("127.0.0.1:5000", Registry(insecure=True), False, "https without verification, then http"),
        ("[::1]:5000", Registry(keypair=(KeyPair(key="/key", cert="/cert"),)), False, "http"),
    ],
)
def test_in_words(host: str, registry: Registry | None, flag: bool, words: str) -> None:
    assert describe(host, registry, flag=flag) == words


def test_a_port_on_which_only_http_answers_is_reached_by_the_fallback() -> None:
    server = Server(serves=HTTP, realm=f"http://{HOST}:8080/service/token")
    outcome = predict(f"{HOST}:8080", Registry(http=True, insecure=True), server, Builder())
    assert (outcome.error, outcome.scheme) == ("", "http")


def test_the_flag_hides_that_the_daemon_does_not_trust_the_certificate() -> None:
    server = Server(serves=HTTPS, realm="https://harbor.example.com/service/token")
    pushed = predict("harbor.example.com", None, server, Builder(flag=True, daemon_trusts=False))
    refused = predict("harbor.example.com", None, server, Builder(daemon_trusts=False))
    assert (pushed.scheme, pushed.error) == ("https", "")
    assert refused.error == "x509: certificate signed by unknown authority"


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1", "127.8.0.1:80", "[::1]", "[::1]:5000"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example.com", "10.0.0.127", "[::2]:5000", "harbor.example.com:127"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)
