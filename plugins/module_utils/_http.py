# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: HTTP and HTTPS over a given way of connecting, so that a name can be asked wherever it will lead one day.

A way opens a stream for a host and a port: directly (by DNS, or to an address given in its place) or over a
port-forward into a pod. SNI, Host and the judgement of the certificate are always those of the URL.
Every call is bounded in time and in the size of its answer; no redirect is followed.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
import time
import typing as t
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit

from ansible_collections.splithorizon.registry.plugins.module_utils._certificate import Certificate, check_bundle
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Unreachable
from ansible_collections.splithorizon.registry.plugins.module_utils._names import http_url, ip_address
from ansible_collections.splithorizon.registry.plugins.module_utils._tls import (
    handshake,
    look,
    refused,
    verified_chain,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

__all__ = ["Answer", "Client", "Origin", "Stream", "Timing", "Way", "direct", "parse_address", "parse_url"]

MAX_ANSWER = 8 * 1024 * 1024
CHUNK = 64 * 1024
PORTS = {"http": 80, "https": 443}

MAX_PORT = 65535
_ADDRESS = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<four>[^:]*))(?::(?P<port>\d+))?")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Scheme, host and port of a URL. ``str`` is the URL without a path, the port only where it is not the scheme's."""

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """An open connection, and where it leads in words (``10.0.0.1:443``, ``pod envoy/proxy-1:10443``)."""

    socket: socket.socket
    peer: str


Way = t.Callable[[str, int], "AbstractContextManager[Stream]"]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds that each part of one request took. ``connect`` has DNS in it, ``tls`` is 0 where there is none."""

    connect: float
    tls: float
    answer: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP response, its peer, and over TLS the certificates that were verified, the server's first."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    peer: str
    chain: tuple[Certificate, ...]
    timing: Timing

    @property
    def certificate(self) -> Certificate | None:
        """The server's own."""
        return self.chain[0] if self.chain else None

    def header(self, name: str) -> str:
        """The first header of that name, in any case; empty where there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def json(self) -> t.Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def parse_url(url: str, *, where: str) -> Origin:
    """The origin of ``http[s]://host[:port]``; BadInput for anything more or less than that (a final ``/`` passes)."""
    parts = urlsplit(http_url(url.removesuffix("/"), where=where, path=False))
    return Origin(scheme=parts.scheme, host=parts.hostname or "", port=parts.port or PORTS[parts.scheme])


def parse_address(text: str, *, where: str) -> tuple[str, int | None]:
    """``ip``, ``ip:port`` or ``[ip6]:port`` as (address, port or None)."""
    found = _ADDRESS.fullmatch(text)
    address = ip_address((found["six"] or found["four"]) if found else text, where=where)
    port = int(found["port"]) if found and found["port"] else None
    if port is not None and not 0 < port <= MAX_PORT:
        raise BadInput(f"{port} is not a port", where=where, cure="1 to 65535")
    return address, port


def direct(*, seconds: float, address: str | None = None, port: int | None = None, of: Origin | None = None) -> Way:
    """Connect by DNS; or, for the host ``of``, to ``address``, and for its own port to ``port`` where given."""

    @contextmanager
    def way(host: str, wanted_port: int) -> Iterator[Stream]:
        target = (host, wanted_port)
        if address and of and host == of.host:
            target = (address, port if port and wanted_port == of.port else wanted_port)
        peer = f"{target[0]}:{target[1]}"
        try:
            connection = socket.create_connection(target, timeout=seconds)
        except socket.gaierror as error:
            cure = "Check the name, and the resolver of this machine; or give an address"
            problem = f"name does not resolve: {error.strerror}"
            raise Unreachable(problem, where=host, cure=cure, kind="name_unknown") from error
        except OSError as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
            cure = "Check address, port and network"
            raise Unreachable(f"cannot connect: {reason}", where=peer, cure=cure, kind="unreachable") from error
        with connection:
            yield Stream(socket=connection, peer=peer)

    return way


@dataclass(frozen=True, kw_only=True)
class _Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    into: Callable[[bytes], object] | None


class _Watch:
    """Laps of one request: connected, secured, answered."""

    def __init__(self) -> None:
        self._times = [time.monotonic()]

    def lap(self) -> None:
        self._times.append(time.monotonic())

    def timing(self) -> Timing:
        self.lap()
        connect, tls, answer = (after - before for before, after in pairwise(self._times))
        return Timing(connect=connect, tls=tls, answer=answer)


class Client:
    """Sends requests. ``ca`` is PEM text that replaces the system's trust; ``seconds`` bound each request."""

    def __init__(self, *, way: Way, ca: str | None = None, seconds: float = 10) -> None:
        if ca:
            check_bundle(ca, where="ca")
        self._way = way
        self._ca = ca
        self._seconds = seconds

    def send(
        self,
        method: str,
        origin: Origin,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        host: str | None = None,
        into: Callable[[bytes], object] | None = None,
    ) -> Answer:
        """One request and its whole answer. ``host`` is the Host header where it is to differ from the origin's.

        With ``into``, the body of a status 200 goes there piece by piece, however large, and not into the answer.
        """
        fields = {"Host": host or origin.netloc, "Connection": "close", **(headers or {})}
        request = _Request(method=method, path=path, headers=fields, body=body, into=into)
        watch = _Watch()
        with self._way(origin.host, origin.port) as stream:
            stream.socket.settimeout(self._seconds)
            watch.lap()
            if origin.scheme == "http":
                watch.lap()
                return self._exchange(request, stream, origin, stream.socket, watch=watch)
            with self._tls(stream, origin) as secure:
                watch.lap()
                chain = verified_chain(secure)
                return self._exchange(request, stream, origin, secure, watch=watch, chain=chain)

    @contextmanager
    def _tls(self, stream: Stream, origin: Origin) -> Iterator[ssl.SSLSocket]:
        where = f"{origin} ({stream.peer})"
        try:
            secure = handshake(stream.socket, host=origin.host, ca=self._ca, where=where)
        except ssl.SSLCertVerificationError as error:
            seen = self._look(origin)
            raise refused(error, host=origin.host, seen=seen, ca=self._ca, where=where) from error
        with secure:
            yield secure

    def _look(self, origin: Origin) -> Certificate | None:
        """The certificate that has just been refused, only to say what it is: nothing is sent over this connection."""
        try:
            with self._way(origin.host, origin.port) as stream:
                stream.socket.settimeout(self._seconds)
                return look(stream.socket, host=origin.host)
        except (OSError, Unreachable):
            return None

    def _exchange(
        self,
        request: _Request,
        stream: Stream,
        origin: Origin,
        connection: socket.socket,
        *,
        watch: _Watch,
        chain: tuple[Certificate, ...] = (),
    ) -> Answer:
        where = f"{request.method} {origin}{request.path.partition('?')[0]} ({stream.peer})"
        sender = http.client.HTTPConnection(origin.host, origin.port)
        sender.sock = connection
        with _limit(connection, self._seconds) as out_of_time:
            try:
                sender.request(request.method, request.path, request.body, dict(request.headers))
                response = sender.getresponse()
                content = _read(response, request.into)
                if response.length:
                    raise http.client.IncompleteRead(b"", response.length)
            except (OSError, http.client.HTTPException) as error:
                if out_of_time.is_set() or isinstance(error, TimeoutError):
                    cure = "See whether the server is overloaded, or allow more time"
                    problem = f"no answer within {self._seconds:g} s"
                    raise Unreachable(problem, where=where, cure=cure, kind="slow") from error
                raise Unreachable(f"no whole HTTP answer: {error or type(error).__name__}", where=where) from error
        if content is None:
            raise Unreachable(f"answers with more than {MAX_ANSWER} bytes", where=where)
        return Answer(
            status=response.status,
            headers=tuple(response.getheaders()),
            body=content,
            peer=stream.peer,
            chain=chain,
            timing=watch.timing(),
        )


@contextmanager
def _limit(connection: socket.socket, seconds: float) -> Iterator[threading.Event]:
    """Shut the connection after ``seconds``, however slowly its bytes come; the event says that it was so."""
    out_of_time = threading.Event()

    def stop() -> None:
        out_of_time.set()
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, stop)
    timer.start()
    try:
        yield out_of_time
    finally:
        timer.cancel()


def _read(response: http.client.HTTPResponse, into: Callable[[bytes], object] | None) -> bytes | None:
    content = bytearray()
    while chunk := response.read(CHUNK):
        if into and response.status == http.HTTPStatus.OK:
            into(chunk)
            continue
        content += chunk
        if len(content) > MAX_ANSWER:
            return None
    return bytes(content)
