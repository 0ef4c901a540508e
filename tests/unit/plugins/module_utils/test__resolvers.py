# SPDX-License-Identifier: GPL-3.0-or-later
"""A resolver on loopback, one that says nothing, and which of several counts."""

from __future__ import annotations

import socket
import threading
import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils import _resolvers
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import Lookup
from ansible_collections.splithorizon.registry.plugins.module_utils._resolvers import ask_outside, ask_resolver
from dns import message, rdatatype, rrset

if t.TYPE_CHECKING:
    from collections.abc import Iterator

RECORDS = {"A": ("10.0.0.2", "10.0.0.1"), "AAAA": ("fd00::1",)}
NAME = "harbor.example.com."


def answer(question: message.Message) -> message.Message:
    asked = question.question[0]
    found = message.make_response(question)
    if asked.name.to_text() == NAME:
        kind = rdatatype.to_text(asked.rdtype)
        found.answer = [rrset.from_text(asked.name, 30, "IN", kind, *RECORDS[kind])]
    else:
        found.set_rcode(3)
    return found


@pytest.fixture
def port() -> Iterator[int]:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    end = server.getsockname()[1]

    def run() -> None:
        while True:
            data, peer = server.recvfrom(4096)
            if not data:
                return
            server.sendto(answer(message.from_wire(data)).to_wire(), peer)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield end
    server.sendto(b"", server.getsockname())
    thread.join(5)
    server.close()


def test_both_families(port: int) -> None:
    found = ask_resolver("127.0.0.1", NAME, port=port)
    assert found == Lookup(
        name=NAME, a=("10.0.0.1", "10.0.0.2"), aaaa=("fd00::1",), rcode="NOERROR", rcode_six="NOERROR"
    )


def test_a_name_that_is_not_there(port: int) -> None:
    assert ask_resolver("127.0.0.1", "other.", port=port).nothing == "NXDOMAIN"


def test_no_answer_is_bounded_and_said() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        found = ask_resolver("127.0.0.1", NAME, port=silent.getsockname()[1], seconds=0.1)
    assert found.problem == "no answer within 0.1 s"


def test_the_first_that_answers_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"a": Lookup(name=NAME, problem="late"), "b": Lookup(name=NAME, rcode="NXDOMAIN"), "c": Lookup(name=NAME)}
    monkeypatch.setattr(_resolvers, "_own_resolvers", lambda: ["a", "b", "c"])

    def asker(address: str, name: str) -> Lookup:
        assert name == NAME
        return answers[address]

    assert ask_outside("harbor.example.com", resolver=None, asker=asker).address == "b"
    assert ask_outside("harbor.example.com", resolver="c", asker=asker).address == "c"
    monkeypatch.setattr(_resolvers, "_own_resolvers", list)
    found = ask_outside("harbor.example.com", resolver=None, asker=asker)
    assert (found.address, found.lookup.problem) == ("/etc/resolv.conf", "this machine has no resolver")
