# SPDX-License-Identifier: GPL-3.0-or-later
"""The few direct requests to an API server that need no kubectl: readiness, status, lists."""

from __future__ import annotations

import http.client
import json
import ssl
import typing as t
from urllib.parse import urlencode, urlsplit

from .process import Failed

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Api", "Json"]

Json = dict[str, t.Any]
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"


class Api:
    """One API server, with one client certificate. Every request is bounded by ``timeout`` s."""

    def __init__(self, url: str, *, ca: Path, certificate: Path, key: Path, timeout: float = 10.0) -> None:
        self._where = urlsplit(url)
        self._timeout = timeout
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._tls.load_cert_chain(certificate, key)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        return self._json("GET", path, query=query)

    def text(self, path: str) -> str:
        """Body of an answer that is no JSON, such as ``/readyz``."""
        return self._send("GET", path)

    def create(self, path: str, document: Json) -> Json:
        return self._json("POST", path, body=document)

    def patch(self, path: str, document: Json, *, kind: str = MERGE) -> Json:
        return self._json("PATCH", path, body=document, kind=kind)

    def delete(self, path: str) -> Json:
        return self._json("DELETE", path)

    def watch(self, path: str, query: Mapping[str, str] | None = None, *, seconds: int = 60) -> Iterator[Json]:
        """Events of a list, each ``{type, object}``, until the server ends the watch after ``seconds``."""
        question = {**(query or {}), "watch": "1", "timeoutSeconds": str(seconds)}
        connection = self._connect(seconds + self._timeout)
        try:
            connection.request("GET", f"{path}?{urlencode(question)}")
            answer = connection.getresponse()
            if answer.status != 200:
                raise Failed(f"watch {path}: status {answer.status}")
            while line := answer.readline():
                yield json.loads(line)
        finally:
            connection.close()

    def _json(self, method: str, path: str, **how: t.Any) -> Json:
        return t.cast("Json", json.loads(self._send(method, path, **how)))

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        kind: str = "application/json",
    ) -> str:
        connection = self._connect(self._timeout)
        try:
            target = f"{path}?{urlencode(query)}" if query else path
            payload = None if body is None else json.dumps(body)
            connection.request(method, target, payload, {"Content-Type": kind} if payload else {})
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as exc:
            raise Failed(f"{method} {self._where.geturl()}{path}: {exc}") from exc
        finally:
            connection.close()
        if answer.status >= 400:
            raise Failed(f"{method} {path}: status {answer.status}: {text[:500]}")
        return text

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self._where.hostname or "", self._where.port, timeout=timeout, context=self._tls
        )
