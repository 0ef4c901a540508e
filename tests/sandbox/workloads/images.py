# SPDX-License-Identifier: GPL-3.0-or-later
"""Pushes a few small images to a cluster's Harbor by its internal address, as its builders do in the HTTP era.

Run as a program, on the cluster's network: ``python -m sandbox.workloads.images``, settings as JSON on stdin.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import io
import json
import re
import sys
import tarfile
import typing as t
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from ..paths import TESTS
from ..process import Failed, run
from .era import ERAS, PUSH

if t.TYPE_CHECKING:
    from ..cluster import Cluster

__all__ = ["install"]

OCI = "application/vnd.oci.image"
REPOSITORY = "library/app"
TAGS = ("1", "before", "after")  # an image each, so that every first pull of one is a real one
LAYER_BYTES = 256 << 10
SECONDS = 15


def install(cluster: Cluster) -> None:
    era = ERAS[cluster.name]
    settings = {"host": era.internal, "address": era.internal_address, "username": PUSH.name, "password": PUSH.secret}
    environment = {"PYTHONPATH": str(TESTS)}
    argv = [sys.executable, "-m", "sandbox.workloads.images"]
    run(argv, network=cluster.name, stdin=json.dumps(settings), env=environment, timeout=60)


@dataclass(frozen=True)
class Registry:
    """A registry reached at ``address``, port 80, whatever its name resolves to."""

    host: str
    address: str
    username: str
    password: str

    def push(self, repository: str, tag: str) -> None:
        token = self._token(f"repository:{repository}:pull,push")
        layer = _layer(tag)
        diff = f"sha256:{hashlib.sha256(gzip.decompress(layer)).hexdigest()}"
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff]},
        }
        described = [
            self._blob(repository, token, json.dumps(config).encode(), f"{OCI}.config.v1+json"),
            self._blob(repository, token, layer, f"{OCI}.layer.v1.tar+gzip"),
        ]
        kind = f"{OCI}.manifest.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": described[0], "layers": described[1:]}
        self._send("PUT", f"/v2/{repository}/manifests/{tag}", token, json.dumps(manifest).encode(), kind)

    def _token(self, scope: str) -> str:
        """From the realm that the registry names; it stands for the same server."""
        answer = self._request("GET", "/v2/", {}, b"")
        found = re.search(r'realm="([^"]+)",service="([^"]+)"', answer.getheader("Www-Authenticate", ""))
        if not found:
            raise Failed(f"{self.host}: status {answer.status} without a realm")
        query = urlencode({"service": found[2], "scope": scope})
        basic = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        answer = self._request("GET", f"{urlsplit(found[1]).path}?{query}", {"Authorization": f"Basic {basic}"}, b"")
        return t.cast("str", json.loads(answer.read())["token"])

    def _blob(self, repository: str, token: str, content: bytes, kind: str) -> dict[str, t.Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        upload = self._send("POST", f"/v2/{repository}/blobs/uploads/", token, b"").getheader("Location", "")
        where = urlsplit(upload)
        query = "&".join(filter(None, [where.query, urlencode({"digest": digest})]))
        self._send("PUT", f"{where.path}?{query}", token, content)
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    def _send(
        self, method: str, path: str, token: str, body: bytes, kind: str = "application/octet-stream"
    ) -> http.client.HTTPResponse:
        answer = self._request(method, path, {"Authorization": f"Bearer {token}", "Content-Type": kind}, body)
        if answer.status >= 300:
            raise Failed(f"{method} http://{self.host}{path}: status {answer.status}: {answer.read(500).decode()}")
        return answer

    def _request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self.address, 80, timeout=SECONDS)
        connection.request(method, path, body, {"Host": self.host, **headers})
        return connection.getresponse()


def _layer(tag: str) -> bytes:
    """A layer that is the same each time, of bytes that do not compress."""
    content = hashlib.shake_256(f"{REPOSITORY}:{tag}".encode()).digest(LAYER_BYTES)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("app/data")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def main() -> int:
    try:
        registry = Registry(**json.load(sys.stdin))
        for tag in TAGS:
            registry.push(REPOSITORY, tag)
    except (Failed, OSError, ValueError, KeyError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
