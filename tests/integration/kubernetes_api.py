# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of an API server as the rollout and the doctor of simulated nodes ask: one Service, one pod, a Lease."""

from __future__ import annotations

import json
import tempfile
import threading
import typing as t
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration.module_call import Json

__all__ = ["IMAGE", "IP", "REGISTRY", "SERVICE", "Kubernetes", "serving"]

SERVICE, IP = "harbor.harbor.svc.cluster.local", "10.43.7.9"
REGISTRY = "192.168.1.105"
IMAGE = f"{REGISTRY}/library/myapp:v1"


@contextmanager
def serving(address: str, folder: Path, *, name: str) -> Iterator[Path]:
    """An API server at an address of the loopback; gives a kubeconfig with one context."""
    server = ThreadingHTTPServer((address, 0), Kubernetes)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    described = {
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": f"http://{address}:{server.server_port}"}}],
        "users": [{"name": name, "user": {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(described))
    Kubernetes.lease, Kubernetes.refused_on = None, ""
    Kubernetes.leases.clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(folder))  # the client caches there what an API server has
        try:
            yield kubeconfig
        finally:
            server.shutdown()


class Kubernetes(BaseHTTPRequestHandler):
    """``refused_on``: address of the node whose pod may not pull; ``leases``: what became of the rollout's Lease."""

    refused_on: t.ClassVar[str] = ""
    lease: t.ClassVar[Json | None] = None
    leases: t.ClassVar[list[str]] = []

    def do_GET(self) -> None:
        path, _mark, query = self.path.partition("?")
        self.send(self.lease if "/leases/" in path else self.answer(path, query))

    def do_POST(self) -> None:
        """Somebody takes the rollout's Lease."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Kubernetes.lease = json.loads(body)
        Kubernetes.lease["metadata"] |= {"resourceVersion": "1", "uid": "1"}
        self.leases.append("taken")
        self.send(self.lease)

    def do_PUT(self) -> None:
        """Its holder keeps it."""
        Kubernetes.lease = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send(self.lease)

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        Kubernetes.lease = None
        self.leases.append("given back")
        self.send({"kind": "Status"})

    def send(self, body: Json | None) -> None:
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body or {"message": "not found"}).encode())

    def answer(self, path: str, query: str) -> Json | None:
        waiting = {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{IMAGE}": 401 Unauthorized'}
        pod = {
            "metadata": {"namespace": "apps", "name": "p"},
            "spec": {"nodeName": "worker"},
            "status": {"containerStatuses": [{"image": IMAGE, "state": {"waiting": waiting}}]},
        }
        addresses = [{"type": "InternalIP", "address": self.refused_on}]
        metadata = {"namespace": "harbor", "name": "harbor"}
        answers: dict[tuple[str, str], Json] = {
            ("/version", ""): {"major": "1", "minor": "36", "gitVersion": "v1.36.0"},
            ("/api", ""): {"kind": "APIVersions", "versions": ["v1"]},
            ("/apis", ""): {"kind": "APIGroupList", "groups": []},
            ("/api/v1", ""): {"kind": "APIResourceList", "resources": []},
            ("/api/v1/namespaces/harbor/services/harbor", ""): {
                "metadata": metadata,
                "spec": {"clusterIP": IP, "clusterIPs": [IP]},
            },
            ("/api/v1/pods", "fieldSelector=status.phase%3DPending"): {"items": [pod]},
            ("/api/v1/events", "fieldSelector=reason%3DPulled"): {"items": []},
            ("/api/v1/nodes", ""): {
                "items": [{"metadata": {"name": "worker"}, "status": {"addresses": addresses}}],
            },
        }
        return answers.get((path.rstrip("/"), query))

    def log_message(self, *_args: t.Any) -> None:
        pass
