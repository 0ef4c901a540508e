# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: ask one DNS server, over TCP, on a socket that is open already (a port-forward to a CoreDNS pod)."""

from __future__ import annotations

import struct
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Unreachable

if t.TYPE_CHECKING:
    import socket

__all__ = ["Answer", "ask"]

ANSWER_SECONDS = 8.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server said: the response code (``NOERROR``, ``NXDOMAIN``, …) and the addresses, sorted."""

    rcode: str
    addresses: tuple[str, ...]


def ask(connection: socket.socket, name: str, *, rdtype: str = "A", seconds: float = ANSWER_SECONDS) -> Answer:
    """Send one question and wait for its answer, at most ``seconds``; several may follow each other on a connection."""
    from dns import exception, flags, message, rcode, rdatatype  # noqa: PLC0415  # 0.1 s that only probes need

    where = f"DNS question {name} {rdtype}"
    # Without EDNS the answer may not fit, but over TCP there is no such limit.
    question = message.make_query(name, rdtype, flags=flags.RD)
    wire = question.to_wire()
    end = time.monotonic() + seconds
    try:
        connection.settimeout(seconds)
        connection.sendall(struct.pack("!H", len(wire)) + wire)
        (size,) = struct.unpack("!H", _receive(connection, 2, end))
        answer = message.from_wire(_receive(connection, size, end))
    except (OSError, EOFError) as error:
        raise Unreachable(f"no answer: {error or type(error).__name__}", where=where) from error
    except exception.DNSException as error:
        raise Unreachable(f"what came back is no DNS message: {error}", where=where) from error
    if not question.is_response(answer):
        raise Unreachable("the answer is to another question", where=where)
    wanted = rdatatype.from_text(rdtype)
    found = {record.address for group in answer.answer if group.rdtype == wanted for record in group}
    return Answer(rcode=rcode.to_text(answer.rcode()), addresses=tuple(sorted(found)))


def _receive(connection: socket.socket, size: int, end: float) -> bytes:
    data = b""
    while len(data) < size:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left)
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError("connection closed")
        data += piece
    return data
