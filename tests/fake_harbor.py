# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry on loopback for unit tests, which gives tokens and rights as Harbor does."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from urllib.parse import parse_qs, urlsplit

import loopback

ROBOT = ("robot$ci", "given-password")
REPOSITORY = "library/proof"


class FakeHarbor:
    """The registry API as Harbor answers it: a token for everybody, rights for the robot only; faults on demand."""

    def __init__(self):
        self.blobs, self.manifests, self.requests = {}, {}, []
        self.realm = "http://harbor.example.com/service/token"
        self.location = ""
        self.deletes = True
        self.token_status = 200
        self.manifest_status = 200
        self.blob_location = ""

    def __call__(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        parts = urlsplit(handler.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.requests.append((handler.command, parts.path, dict(handler.headers)))
        if parts.path.startswith("/service/token"):
            return self._token(handler, query)
        user, scope = self._user(handler)
        if not user:
            bearer = f'Bearer realm="{self.realm}",service="harbor-registry"'
            header = bearer if "Authorization" not in handler.headers else 'Basic realm="harbor"'
            return loopback.reply(handler, 401, _errors("unauthorized"), Www_Authenticate=header)
        if parts.path == "/v2/":
            return loopback.reply(handler)
        return self._repository(handler, parts.path.removeprefix(f"/v2/{REPOSITORY}/"), query, scope, body)

    def _token(self, handler, query):
        if self.token_status != 200:
            return loopback.reply(handler, self.token_status, _errors("no"), Location=self.realm + "/moved")
        given = base64.b64decode(handler.headers.get("Authorization", "")[6:]).decode()
        user = ROBOT[0] if given == ":".join(ROBOT) else ""
        token = base64.b64encode(json.dumps([user, query.get("scope", "")]).encode()).decode()
        loopback.reply(handler, 200, json.dumps({"token": token}).encode())
        return None

    def _user(self, handler):
        found = re.match("Bearer (.+)", handler.headers.get("Authorization", ""))
        return json.loads(base64.b64decode(found[1])) if found else ("", "")

    def _repository(self, handler, path, query, scope, body):  # noqa: PLR0911
        actions = scope.rpartition(":")[2].split(",") if scope.startswith(f"repository:{REPOSITORY}:") else []
        needed = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}.get(handler.command, "push")
        if needed not in actions:
            return loopback.reply(handler, 401, _errors(f"may not {needed}"))
        if path == "blobs/uploads/":
            location = self.location or f"/v2/{REPOSITORY}/blobs/uploads/1?_state=x"
            return loopback.reply(handler, 202, b"", Location=location)
        if path == "blobs/uploads/1":
            assert query["digest"] == digest_of(body), "the blob is not what its digest says"
            self.blobs[query["digest"]] = body
            return loopback.reply(handler, 201, b"")
        if handler.command == "PUT":
            self.manifests[path.removeprefix("manifests/")] = body
            return loopback.reply(handler, 201, b"")
        if handler.command == "DELETE":
            if self.deletes:
                digest = path.removeprefix("manifests/")
                self.manifests = {tag: one for tag, one in self.manifests.items() if digest_of(one) != digest}
            status = 202 if self.deletes else 405
            return loopback.reply(handler, status, _errors("The operation is unsupported."))
        if path == "tags/list":
            found = json.dumps({"name": REPOSITORY, "tags": list(self.manifests)}).encode()
            return (
                loopback.reply(handler, 200, found) if self.manifests else loopback.reply(handler, 404, _errors("none"))
            )
        if path.startswith("blobs/"):
            return self._blob(handler, path.removeprefix("blobs/"))
        if self.manifest_status != 200:
            return loopback.reply(handler, self.manifest_status, _errors("held back"))
        tag = path.removeprefix("manifests/")
        if tag not in self.manifests:
            return loopback.reply(handler, 404, _errors("not found"))
        return loopback.reply(handler, 200, self.manifests[tag], Docker_Content_Digest=digest_of(self.manifests[tag]))

    def _blob(self, handler, digest):
        if self.blob_location:
            return loopback.reply(handler, 307, b"moved", Location=self.blob_location)
        return loopback.reply(handler, 200, self.blobs[digest])


def _errors(message):
    return json.dumps({"errors": [{"code": "X", "message": message}]}).encode()


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()
