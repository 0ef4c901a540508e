# SPDX-License-Identifier: GPL-3.0-or-later
"""Pushes small images to a registry, to be run where the registry's address is reachable: ``python -m sandbox.push``.

On stdin, JSON: ``host``, ``address``, ``username``, ``password``, ``repository``, ``tags``.
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

__all__ = ["Registry"]

OCI = "application/vnd.oci.image"
LAYER_BYTES = 256 << 10
SECONDS = 15


class Refused(Exception):
    """The registry's answer is not what a push needs; the message says which."""


@dataclass(frozen=True)
class Registry:
    """A registry reached at ``address``, port 80, whatever its name resolves to."""

    host: str
    address: str
    username: str
    password: str

    def push(self, repository: str, tag: str) -> None:
        token = self._token(f"repository:{repository}:pull,push")
        layer = _layer(f"{repository}:{tag}")
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
            raise Refused(f"{self.host}: status {answer.status} without a realm")
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
            raise Refused(f"{method} http://{self.host}{path}: status {answer.status}: {answer.read(500).decode()}")
        return answer

    def _request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self.address, 80, timeout=SECONDS)
        connection.request(method, path, body, {"Host": self.host, **headers})
        return connection.getresponse()


def _layer(image: str) -> bytes:
    """A layer that is the same each time, of bytes that do not compress."""
    content = hashlib.shake_256(image.encode()).digest(LAYER_BYTES)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("app/data")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def main() -> int:
    told = json.load(sys.stdin)
    repository, tags = told.pop("repository"), told.pop("tags")
    try:
        for tag in tags:
            Registry(**told).push(repository, tag)
    except (Refused, OSError, http.client.HTTPException, ValueError, KeyError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
