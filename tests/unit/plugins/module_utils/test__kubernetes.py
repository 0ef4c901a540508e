# SPDX-License-Identifier: GPL-3.0-or-later
"""Cluster: what it asks of the API server, and as whom."""

from __future__ import annotations

import socket
import types
import typing as t

import loopback
import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils import _kubernetes
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotReady, Unreachable
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


class Exec:
    """What the WebSocket of an exec is to its caller; ``ends``: whether the command does."""

    def __init__(self, *, ends: bool = True, returncode: int | Exception = 0) -> None:
        self.ends = ends
        self.wanted = returncode
        self.written = ""
        self.closed = False

    def write_stdin(self, text: str) -> None:
        self.written += text

    def run_forever(self, timeout: float) -> None:
        assert timeout == 7

    def is_open(self) -> bool:
        return not self.ends

    def read_stdout(self, timeout: float) -> str:
        return "out"

    def read_stderr(self, timeout: float) -> str:
        return "err"

    @property
    def returncode(self) -> int:
        if isinstance(self.wanted, Exception):
            raise self.wanted
        return self.wanted

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("returncode", "code", "stdin"), [(0, 0, ""), (3, 3, "secret"), (KeyError("details"), 127, "")]
)
def test_execute_asks_for_a_command_and_gives_what_came_of_it(
    cluster: _kubernetes.Cluster, monkeypatch: pytest.MonkeyPatch, returncode: int | Exception, code: int, stdin: str
) -> None:
    asked: dict[str, t.Any] = {}
    client = Exec(returncode=returncode)

    def call(configuration: Configuration, method: str, url: str, **how: t.Any) -> Exec:
        asked.update(how, url=url)
        return client

    monkeypatch.setattr(ws_client, "websocket_call", call)
    answer = cluster.execute("build", "pod-1", ["sh", "-c", "x"], container="daemon", stdin=stdin, seconds=7)
    assert answer == (code, "out", "err")
    assert asked == {
        "url": "https://api:6443/api/v1/namespaces/build/pods/pod-1/exec",
        "query_params": [
            ("container", "daemon"),
            *([("stdin", "true")] if stdin else []),
            ("stdout", "true"),
            ("stderr", "true"),
            ("command", "sh"),
            ("command", "-c"),
            ("command", "x"),
        ],
        "headers": {"authorization": "Bearer secret"},
        "_preload_content": False,
    }
    assert (client.written, client.closed) == (stdin, True)


def test_execute_is_bounded(cluster: _kubernetes.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Exec(ends=False)
    monkeypatch.setattr(ws_client, "websocket_call", lambda *_, **how: client)
    with pytest.raises(NotReady, match="exec in pod build/pod-1: sleep did not end within 7 s"):
        cluster.execute("build", "pod-1", ["sleep"], container="daemon", seconds=7)
    assert client.closed
