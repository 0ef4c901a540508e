# SPDX-License-Identifier: GPL-3.0-or-later
"""Cluster: what it asks of the API server, and as whom."""

from __future__ import annotations

import socket
import types
import typing as t

import loopback
import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils import _kubernetes
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Unreachable
from kubernetes.client import Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import ws_client

if t.TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> _kubernetes.Cluster:
    configuration = Configuration(host="https://api:6443", api_key={"authorization": "Bearer secret"})
    client = types.SimpleNamespace(client=types.SimpleNamespace(configuration=configuration))
    monkeypatch.setattr(_kubernetes, "_connect", lambda auth: client)
    return _kubernetes.Cluster({})


def test_forward_asks_as_the_configured_user(cluster: _kubernetes.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, t.Any] = {}
    ours, theirs = socket.socketpair()

    def call(configuration: Configuration, method: str, url: str, **how: t.Any) -> types.SimpleNamespace:
        asked.update(how, method=method, url=url)
        return types.SimpleNamespace(socket=lambda port: ours, close=lambda: None)

    monkeypatch.setattr(ws_client, "portforward_call", call)
    with theirs, cluster.forward("kube-system", "coredns-1", 53):
        pass
    assert asked == {
        "method": "GET",
        "url": "https://api:6443/api/v1/namespaces/kube-system/pods/coredns-1/portforward",
        "query_params": [("ports", "53")],
        "headers": {"authorization": "Bearer secret"},
    }


def test_forward_says_which_pod_was_refused(cluster: _kubernetes.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*_: t.Any, **how: t.Any) -> t.NoReturn:
        raise ApiException(status=0, reason="Handshake status 404 Not Found")

    monkeypatch.setattr(ws_client, "portforward_call", call)
    with (
        pytest.raises(Unreachable, match=r"pod kube-system/coredns-1:53.*404"),
        cluster.forward("kube-system", "coredns-1", 53),
    ):
        pass


@pytest.mark.parametrize(
    ("kind", "plural"),
    [
        ("ConfigMap", "configmaps"),
        ("NetworkPolicy", "networkpolicies"),
        ("EnvoyProxy", "envoyproxies"),
        ("Gateway", "gateways"),
        ("GatewayClass", "gatewayclasses"),
        ("EndpointSlice", "endpointslices"),
    ],
)
def test_path_of_a_collection(kind: str, plural: str) -> None:
    assert _kubernetes.object_path("v1", kind) == f"/api/v1/{plural}"


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_dry_run_deletes_nothing(monkeypatch: pytest.MonkeyPatch, dry_run: bool) -> None:
    """The server reads ``dryRun`` of a deletion from its body, and not from the query beside it."""
    asked: list[t.Any] = []

    def request(method: str, path: str, **how: t.Any) -> types.SimpleNamespace:
        asked.append((method, path, how["body"].get("dryRun")))
        return types.SimpleNamespace(data=b"{}")

    monkeypatch.setattr(_kubernetes, "_connect", lambda auth: types.SimpleNamespace(request=request))
    _kubernetes.Cluster({}, dry_run=dry_run).delete("v1", "Service", "gw", "alias", uid="1")
    assert asked == [("delete", "/api/v1/namespaces/gw/services/alias", ["All"] if dry_run else None)]


def test_the_first_request_is_the_one_that_was_asked_for() -> None:
    seen: list[tuple[str, str, str, str]] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        marks = [request.headers[name] for name in ("Authorization", "Impersonate-User")]
        seen.append((request.command, request.path, *marks))
        request.send_response(200)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"{}")

    with loopback.serve(answer) as port:
        options = {"host": f"http://127.0.0.1:{port}", "api_key": "secret", "impersonate_user": "jane"}
        assert _kubernetes.Cluster(options).get("v1", "ConfigMap", "a", "b") == {}
    assert seen == [("GET", "/api/v1/namespaces/a/configmaps/b", "Bearer secret", "jane")]


def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"kubeconfig .*/none, context c"):
        _kubernetes.Cluster({"kubeconfig": str(tmp_path / "none"), "context": "c"})
