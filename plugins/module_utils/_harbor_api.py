# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: Harbor's API v2.0, as one user, over any way (by DNS or through a given address).

Pages are followed, reads are repeated a few times where a gateway or a starting Harbor answers, and errors are told in
the words of Harbor's own ``errors[]``. Writes are sent once: what was sent may have been done.
"""

from __future__ import annotations

import base64
import json
import time
import typing as t
from urllib.parse import quote, urlencode

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    Conflict,
    NotPermitted,
    NotReady,
    RegistryError,
    Unreachable,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._http import (
    Answer,
    Client,
    Origin,
    direct,
    parse_address,
    parse_url,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["HarborApi", "Json", "connect", "matching"]

Json = dict[str, t.Any]

ROOT = "/api/v2.0"
PAGE_SIZE = 100  # Harbor's own limit
MAX_PAGES = 1000
READS = 4
PAUSE_SECONDS = 1.0
PASSING = (429, 502, 503, 504)

_SICK = "See whether all of Harbor's components are healthy"
_FAILURES: dict[int, tuple[type[RegistryError], str]] = {
    400: (BadInput, ""),
    401: (NotPermitted, "Check username and password"),
    403: (NotPermitted, "Use an account that may: a system administrator's, or for one project its administrator's"),
    404: (BadInput, ""),
    409: (Conflict, "Somebody else made it at the same time: run again"),
    412: (Conflict, ""),
    422: (BadInput, ""),
    **dict.fromkeys((*PASSING, 500), (NotReady, _SICK)),
}


def connect(asked: Json, *, warn: Callable[[str], None]) -> HarborApi:
    """The API by the options of HARBOR_SPEC."""
    origin = parse_url(asked["url"], where="url")
    address, port = parse_address(asked["address"], where="address") if asked["address"] else (None, None)
    way = direct(seconds=asked["timeout"], address=address, port=port, of=origin)
    if origin.scheme == "http":
        warn(f"{origin} is not encrypted: the password of {asked['username']} goes there in clear")
    client = Client(way=way, ca=asked["ca"], seconds=asked["timeout"])
    return HarborApi(origin=origin, client=client, username=asked["username"], password=asked["password"])


def matching(**fields: t.Any) -> str:
    """A value for ``q``: objects whose fields are exactly these."""
    return ",".join(f"{name}={value}" for name, value in fields.items())


class HarborApi:
    """``sleep`` waits between reads that are repeated. Paths begin after ``/api/v2.0``; values in them are quoted."""

    def __init__(
        self,
        *,
        origin: Origin,
        client: Client,
        username: str,
        password: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.origin = origin
        self._client = client
        self._authorization = _basic(username, password)
        self._sleep = sleep

    def get(self, path: str, **query: str) -> t.Any:
        """What is there; None where nothing is, and for the empty body that Harbor gives for what was never set."""
        answer = self._read(path, query)
        return None if answer.status == 404 else _content(answer, self._where("GET", path))  # noqa: PLR2004

    def list(self, path: str, **query: str) -> Iterator[Json]:
        """All objects of a collection, page by page."""
        for page in range(1, MAX_PAGES + 1):
            asked = {**query, "page": str(page), "page_size": str(PAGE_SIZE)}
            answer = self._read(path, asked)
            where = self._where("GET", path)
            if answer.status == 404:  # noqa: PLR2004
                raise _failure(answer, where)
            found = _content(answer, where) or []
            yield from found
            total = answer.header("x-total-count")
            if len(found) < PAGE_SIZE or (total.isdigit() and page * PAGE_SIZE >= int(total)):
                return

    def send(self, method: str, path: str, body: Json | None = None) -> t.Any:
        """One write; what it answers, None for an empty body."""
        text = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"} if body is not None else {}
        answer = self._once(method, path, headers=headers, body=text)
        where = self._where(method, path)
        if answer.status not in (200, 201, 202, 204):
            raise _failure(answer, where)
        return _content(answer, where)

    def opens(self, username: str, password: str) -> bool:
        """Whether these credentials open the registry. Never judged by a token: Harbor gives one to anybody."""
        answer = self._client.send("GET", self.origin, "/v2/", headers={"Authorization": _basic(username, password)})
        if answer.status in (200, 401):
            return answer.status == 200  # noqa: PLR2004
        raise _failure(answer, f"GET {self.origin}/v2/")

    def _read(self, path: str, query: dict[str, str]) -> Answer:
        full = f"{path}?{urlencode(query)}" if query else path
        for left in reversed(range(READS)):
            try:
                answer = self._once("GET", full)
            except Unreachable:
                if not left:
                    raise
            else:
                if answer.status in (200, 404):
                    return answer
                if answer.status not in PASSING or not left:
                    raise _failure(answer, self._where("GET", path))
            self._sleep(PAUSE_SECONDS)
        raise AssertionError

    def _once(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        # Without the second header a project whose name is a number is taken for an id.
        own = {"Authorization": self._authorization, "X-Is-Resource-Name": "true", "Accept": "application/json"}
        full = quote(f"{ROOT}{path}", safe="/?&=%+,:~")
        return self._client.send(method, self.origin, full, headers={**own, **(headers or {})}, body=body)

    def _where(self, method: str, path: str) -> str:
        return f"{method} {self.origin}{ROOT}{path}"


def _content(answer: Answer, where: str) -> t.Any:
    if not answer.body.strip():
        return None
    found = answer.json()
    if found is None:
        cure = "Check that the URL leads to Harbor, and /api/ to its core"
        raise NotReady("no JSON in the answer", where=where, cure=cure)
    return found


def _failure(answer: Answer, where: str) -> RegistryError:
    """The error that Harbor's answer says, by its status."""
    kind, cure = _FAILURES.get(answer.status, (RegistryError, ""))
    return kind(f"status {answer.status}: {_words(answer)}", where=where, cure=cure)


def _words(answer: Answer) -> str:
    found = answer.json()
    errors = found.get("errors") if isinstance(found, dict) else None
    if isinstance(errors, list) and errors:
        return "; ".join(str(one.get("message") or one.get("code")) for one in errors if isinstance(one, dict))
    return answer.body[:120].decode(errors="replace").strip().partition("\n")[0] or "no word of why"


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
