# SPDX-License-Identifier: GPL-3.0-or-later
"""One question, one answer, within the time given, whatever comes back."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._dns import Answer, ask
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Unreachable
from dns import flags, message, rrset

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Reply = t.Callable[[message.Message], bytes]


def framed(answer: message.Message) -> bytes:
    wire = answer.to_wire()
    return struct.pack("!H", len(wire)) + wire


def answer_with(*records: tuple[str, str], rcode: int = 0) -> Reply:
    def reply(question: message.Message) -> bytes:
        answer = message.make_response(question)
        answer.set_rcode(rcode)
        name = question.question[0].name
        answer.answer = [rrset.from_text(name, 30, "IN", rdtype, value) for rdtype, value in records]
        return framed(answer)

    return reply


@pytest.fixture
def served() -> Iterator[Callable[..., socket.socket]]:
    """A connection whose other end answers each question in turn by one of the replies, then closes."""
    ends: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(*replies: Reply, pieces: int = 65535) -> socket.socket:
        ours, theirs = socket.socketpair()
        ends.extend((ours, theirs))

        def run() -> None:
            for reply in replies:
                (size,) = struct.unpack("!H", theirs.recv(2, socket.MSG_WAITALL))
                question = message.from_wire(theirs.recv(size, socket.MSG_WAITALL))
                data = reply(question)
                for start in range(0, len(data), pieces):
                    theirs.sendall(data[start : start + pieces])
            with contextlib.suppress(OSError):  # the test may be over already
                theirs.shutdown(socket.SHUT_WR)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return ours

    yield serve
    for end in ends:
        end.close()
    for thread in threads:
        thread.join(5)


def test_addresses_are_sorted_and_of_the_type_asked(served: Callable[..., socket.socket]) -> None:
    connection = served(answer_with(("CNAME", "b."), ("A", "10.0.0.2"), ("A", "10.0.0.1")))
    assert ask(connection, "a.example.com.") == Answer(rcode="NOERROR", addresses=("10.0.0.1", "10.0.0.2"))


def test_several_questions_on_one_connection_in_small_pieces(served: Callable[..., socket.socket]) -> None:
    connection = served(
        answer_with(("A", "10.0.0.1")), answer_with(("AAAA", "fd00::1")), answer_with(rcode=3), pieces=3
    )
    assert ask(connection, "a.").addresses == ("10.0.0.1",)
    assert ask(connection, "a.", rdtype="AAAA").addresses == ("fd00::1",)
    assert ask(connection, "b.") == Answer(rcode="NXDOMAIN", addresses=())


def test_question_is_recursive_and_of_the_name(served: Callable[..., socket.socket]) -> None:
    seen: list[message.Message] = []

    def reply(question: message.Message) -> bytes:
        seen.append(question)
        return framed(message.make_response(question))

    ask(served(reply), "a.example.com.")
    assert seen[0].question[0].name.to_text() == "a.example.com."
    assert seen[0].flags & flags.RD


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (lambda question: b"", "connection closed"),
        (lambda question: b"\x00", "connection closed"),
        (lambda question: struct.pack("!H", 40) + b"x" * 10, "connection closed"),
        (lambda question: struct.pack("!H", 5) + b"12345", "no DNS message"),
        (lambda question: framed(message.make_response(message.make_query("other.", "A"))), "another question"),
    ],
)
def test_what_is_no_answer(served: Callable[..., socket.socket], reply: Reply, problem: str) -> None:
    with pytest.raises(Unreachable) as error:
        ask(served(reply), "a.example.com.")
    assert problem in error.value.problem
    assert "a.example.com." in error.value.where


def test_silence_ends_in_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        start = time.monotonic()
        with pytest.raises(Unreachable) as error:
            ask(ours, "a.example.com.", seconds=0.2)
        assert time.monotonic() - start < 2
        assert "timed out" in error.value.problem


def test_trickle_ends_in_time() -> None:
    ours, theirs = socket.socketpair()
    stop = threading.Event()

    def trickle() -> None:
        theirs.sendall(struct.pack("!H", 500))
        while not stop.wait(0.05):
            theirs.sendall(b"x")

    with ours, theirs:
        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        start = time.monotonic()
        with pytest.raises(Unreachable):
            ask(ours, "a.example.com.", seconds=0.4)
        assert time.monotonic() - start < 2
        stop.set()
        thread.join(5)
