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
import typing as t
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from ansible_collections.splithorizon.registry.plugins.module_utils._certificate import (
    Certificate,
    check_bundle,
    from_der,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotReady, Unreachable
from ansible_collections.splithorizon.registry.plugins.module_utils._names import http_url, ip_address

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

__all__ = ["Answer", "Client", "Origin", "Stream", "Way", "direct", "parse_address", "parse_url"]

MAX_ANSWER = 8 * 1024 * 1024
CHUNK = 64 * 1024
PORTS = {"http": 80, "https": 443}

MAX_PORT = 65535
_ADDRESS = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<four>[^:]*))(?::(?P<port>\d+))?")

# X509_V_ERR_… of OpenSSL's x509_vfy.h
EXPIRED, NOT_YET_VALID, WRONG_NAME = {10}, {9}, {62, 64}
# OpenSSL's words for bytes that are no TLS record: what a server that speaks plain HTTP answers to a hello
NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"}


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
class Answer:
    """One HTTP response, its peer, and the server's certificate where it came over TLS."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    peer: str
    certificate: Certificate | None

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
            raise Unreachable(f"name does not resolve: {error.strerror}", where=host, cure=cure) from error
        except OSError as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise Unreachable(
                f"cannot connect: {reason}", where=peer, cure="Check address, port and network"
            ) from error
        with connection:
            yield Stream(socket=connection, peer=peer)

    return way


@dataclass(frozen=True, kw_only=True)
class _Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None


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
    ) -> Answer:
        """One request and its whole answer. ``host`` is the Host header where it is to differ from the origin's."""
        fields = {"Host": host or origin.netloc, "Connection": "close", **(headers or {})}
        request = _Request(method=method, path=path, headers=fields, body=body)
        with self._way(origin.host, origin.port) as stream:
            stream.socket.settimeout(self._seconds)
            if origin.scheme == "http":
                return self._exchange(request, stream, origin, stream.socket, None)
            with self._tls(stream, origin) as secure:
                return self._exchange(request, stream, origin, secure, _certificate(secure))

    @contextmanager
    def _tls(self, stream: Stream, origin: Origin) -> Iterator[ssl.SSLSocket]:
        context = ssl.create_default_context(cadata=self._ca)
        where = f"{origin} ({stream.peer})"
        try:
            secure = context.wrap_socket(stream.socket, server_hostname=origin.host)
        except ssl.SSLCertVerificationError as error:
            raise self._refused(error, origin, where) from error
        except ssl.SSLError as error:
            if error.reason in NOT_TLS:
                cure = "Give the port that speaks TLS, or an http:// URL"
                raise NotReady("answers in plain HTTP, not TLS", where=where, cure=cure) from error
            cure = f"Check that a certificate for {origin.host} is configured there"
            raise NotReady(f"TLS handshake failed: {error.reason or error}", where=where, cure=cure) from error
        except OSError as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else "connection ended"
            cure = f"Check that the server there has a listener and a certificate for {origin.host}"
            raise Unreachable(f"TLS handshake failed: {reason}", where=where, cure=cure) from error
        with secure:
            yield secure

    def _refused(self, error: ssl.SSLCertVerificationError, origin: Origin, where: str) -> NotReady:
        seen = self._look(origin)
        by = f" (issuer {seen.issuer})" if seen else ""
        if error.verify_code in WRONG_NAME:
            names = ", ".join(seen.names) if seen and seen.names else "no name at all"
            problem, cure = f"certificate is not for {origin.host} but for {names}", "Serve one that covers the name"
        elif error.verify_code in EXPIRED:
            problem, cure = f"certificate has expired{_when(seen, 'not_after')}", "Renew it"
        elif error.verify_code in NOT_YET_VALID:
            problem, cure = f"certificate is not valid yet{_when(seen, 'not_before')}", "Check the clocks"
        else:
            problem = f"certificate is not trusted{by}: {error.verify_message}"
            cure = "Give the CA that signed it as ca" if not self._ca else "It was not signed by the given ca"
        return NotReady(problem, where=where, cure=cure)

    def _look(self, origin: Origin) -> Certificate | None:
        """The certificate that has just been refused, only to say what it is: nothing is sent over this connection."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            with self._way(origin.host, origin.port) as stream:
                stream.socket.settimeout(self._seconds)
                with context.wrap_socket(stream.socket, server_hostname=origin.host) as secure:
                    return _certificate(secure)
        except (OSError, Unreachable):
            return None

    def _exchange(
        self,
        request: _Request,
        stream: Stream,
        origin: Origin,
        connection: socket.socket,
        certificate: Certificate | None,
    ) -> Answer:
        where = f"{request.method} {origin}{request.path.partition('?')[0]} ({stream.peer})"
        sender = http.client.HTTPConnection(origin.host, origin.port)
        sender.sock = connection
        with _limit(connection, self._seconds) as out_of_time:
            try:
                sender.request(request.method, request.path, request.body, dict(request.headers))
                response = sender.getresponse()
                content = _read(response)
                if response.length:
                    raise http.client.IncompleteRead(b"", response.length)
            except (OSError, http.client.HTTPException) as error:
                if out_of_time.is_set() or isinstance(error, TimeoutError):
                    cure = "See whether the server is overloaded, or allow more time"
                    raise Unreachable(f"no answer within {self._seconds:g} s", where=where, cure=cure) from error
                raise Unreachable(f"no whole HTTP answer: {error or type(error).__name__}", where=where) from error
        if content is None:
            raise Unreachable(f"answers with more than {MAX_ANSWER} bytes", where=where)
        return Answer(
            status=response.status,
            headers=tuple(response.getheaders()),
            body=content,
            peer=stream.peer,
            certificate=certificate,
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


def _read(response: http.client.HTTPResponse) -> bytes | None:
    content = bytearray()
    while chunk := response.read(CHUNK):
        content += chunk
        if len(content) > MAX_ANSWER:
            return None
    return bytes(content)


def _certificate(secure: ssl.SSLSocket) -> Certificate | None:
    der = secure.getpeercert(binary_form=True)
    return from_der(der) if der else None


def _when(seen: Certificate | None, field: str) -> str:
    if seen is None:
        return ""
    moment: datetime = getattr(seen, field)
    word = "on" if field == "not_after" else "before"
    return f" {word} {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
