# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from contextlib import contextmanager

import loopback
import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _harbor_api
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    Conflict,
    NotPermitted,
    NotReady,
    RegistryError,
    Unreachable,
)

FAILURES = {400: BadInput, 401: NotPermitted, 403: NotPermitted, 404: BadInput, 409: Conflict, 412: Conflict}


@contextmanager
def talking(answer, *, port=None):
    asked = {"url": "http://harbor.example.com", "ca": None, "username": "admin", "password": "SECRET", "timeout": 5}
    with loopback.serve(answer) as served:
        api = _harbor_api.connect({**asked, "address": f"127.0.0.1:{port or served}"}, warn=WARNED.append)
        api._sleep = SLEPT.append
        yield api


WARNED, SLEPT = [], []


@pytest.fixture(autouse=True)
def fresh():
    WARNED.clear()
    SLEPT.clear()


def scripted(*answers):
    """Answers one after the other, the last for ever; (status, body) each. ``asked`` collects method and path."""
    left = list(answers)

    def answer(handler):
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        answer.asked.append(f"{handler.command} {handler.path}")
        status, body = left.pop(0) if len(left) > 1 else left[0]
        loopback.reply(handler, status, body.encode())

    answer.asked = []
    return answer


def test_a_password_that_goes_in_clear_is_warned_of():
    with talking(scripted((200, '{"id": 1}'))) as api:
        assert api.get("/robots/1") == {"id": 1}
    assert WARNED == ["http://harbor.example.com is not encrypted: the password of admin goes there in clear"]


def test_pages_are_followed_to_the_last():
    everything = [{"id": number} for number in range(2 * _harbor_api.PAGE_SIZE + 1)]

    def answer(handler):
        query = dict(pair.split("=") for pair in handler.path.partition("?")[2].split("&"))
        first, size = (int(query["page"]) - 1) * int(query["page_size"]), int(query["page_size"])
        body = json.dumps(everything[first : first + size]).encode()
        loopback.reply(handler, 200, body, X_Total_Count=str(len(everything)))

    with talking(answer) as api:
        assert list(api.list("/robots")) == everything


def test_a_full_last_page_is_not_followed_by_an_empty_one():
    page = [{"id": number} for number in range(_harbor_api.PAGE_SIZE)]
    asked = []

    def answer(handler):
        asked.append(handler.path)
        loopback.reply(handler, 200, json.dumps(page).encode(), X_Total_Count=str(len(page)))

    with talking(answer) as api:
        assert len(list(api.list("/robots", q=_harbor_api.matching(name="a+b")))) == len(page)
    assert asked == ["/api/v2.0/robots?q=name%3Da%2Bb&page=1&page_size=100"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_read_is_repeated_while_harbor_is_on_its_way(status):
    with talking(scripted((status, "later"), (status, "later"), (200, "[]"))) as api:
        assert list(api.list("/robots")) == []
    assert SLEPT == [_harbor_api.PAUSE_SECONDS] * 2


def test_a_read_is_repeated_a_few_times_only():
    answer = scripted((503, "no healthy upstream"))
    with talking(answer) as api, pytest.raises(NotReady, match="status 503: no healthy upstream"):
        api.get("/robots/1")
    assert len(answer.asked) == _harbor_api.READS


def test_nobody_there_is_told_after_a_few_tries():
    with talking(scripted((200, "{}")), port=1) as api, pytest.raises(Unreachable, match="cannot connect"):
        api.get("/robots/1")
    assert len(SLEPT) == _harbor_api.READS - 1


def test_a_write_is_sent_once():
    answer = scripted((503, "no healthy upstream"), (200, "{}"))
    with talking(answer) as api, pytest.raises(NotReady):
        api.send("POST", "/robots", {"name": "a"})
    assert answer.asked == ["POST /api/v2.0/robots"]
    assert not SLEPT


@pytest.mark.parametrize(("status", "body", "said"), [(200, "", None), (404, '{"errors": []}', None), (200, "7", 7)])
def test_what_is_not_there_is_none(status, body, said):
    with talking(scripted((status, body))) as api:
        assert api.get("/system/gc/schedule") == said


def test_a_portal_in_the_place_of_the_api_is_told():
    with talking(scripted((200, "<!doctype html>"))) as api, pytest.raises(NotReady, match="no JSON in the answer"):
        api.get("/robots/1")


@pytest.mark.parametrize(("status", "opens"), [(200, True), (401, False)])
def test_credentials_are_what_they_open(status, opens):
    with talking(scripted((status, "{}"))) as api:
        assert api.opens("robot$a", "b") is opens


@pytest.mark.captures
def test_every_captured_error_is_told_in_harbors_words(captures):
    seen = set()
    for case in yaml.safe_load((captures / "harbor-2.15" / "api.yaml").read_text()):
        method, path = case["request"].split(" ")
        if not path.startswith("/api/") or case["status"] < 400 or method == "HEAD":
            continue
        answer = scripted((case["status"], json.dumps(case["response"])))
        with talking(answer) as api, pytest.raises(RegistryError) as error:
            api.send(method, path.removeprefix("/api/v2.0"), case.get("body"))
        assert type(error.value) is FAILURES.get(case["status"], NotReady), case["name"]
        assert case["response"]["errors"][0]["message"] in error.value.problem
        seen.add(case["status"])
    assert {400, 401, 404, 409, 412} <= seen
