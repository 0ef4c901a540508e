# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
import time

import loopback
import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils import _http
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotReady, Unreachable

NAME = "harbor.example.com"


@pytest.fixture(scope="module")
def ca():
    return loopback.make_ca()


def client_to(port, origin, *, ca=None, seconds=5):
    way = _http.direct(seconds=seconds, address="127.0.0.1", port=port, of=origin)
    return _http.Client(way=way, ca=ca.pem if ca else None, seconds=seconds)


def get(port, *, ca=None, scheme="https", host=None, seconds=5):
    origin = _http.parse_url(f"{scheme}://{NAME}", where="url")
    return client_to(port, origin, ca=ca, seconds=seconds).send("GET", origin, "/v2/", host=host)


def say_host(handler):
    loopback.reply(handler, 401, body=handler.headers["Host"].encode(), Www_Authenticate='Bearer realm="x"')


def test_tls_is_judged_by_the_urls_name_and_not_by_the_address(ca, tmp_path):
    certificate = loopback.make_certificate(ca, NAME)
    with loopback.serve(say_host, certificate=certificate, folder=tmp_path) as port:
        answer = get(port, ca=ca)
    assert (answer.status, answer.body) == (401, NAME.encode())
    assert answer.header("WWW-authenticate") == 'Bearer realm="x"'
    assert answer.peer == f"127.0.0.1:{port}"
    assert answer.certificate.covers(NAME)


def test_a_server_that_closes_at_once_has_shown_its_certificate(ca, tmp_path):
    certificate = loopback.make_certificate(ca, NAME)
    with loopback.serve(
        lambda handler: loopback.reply(handler, Connection="close"), certificate=certificate, folder=tmp_path
    ) as port:
        assert get(port, ca=ca).certificate.names == (NAME,)


def test_plain_http_has_no_certificate_and_takes_another_host():
    with loopback.serve(say_host) as port:
        answer = get(port, scheme="http", host="harbor-core:80")
    assert answer.body == b"harbor-core:80"
    assert answer.certificate is None


@pytest.mark.parametrize(
    ("names", "days", "said"),
    [
        (
            ["other.example.com", "*.example.org"],
            (-1, 30),
            "is not for harbor.example.com but for other.example.com, *.ex",
        ),
        (["10.0.0.1"], (-1, 30), "is not for harbor.example.com but for 10.0.0.1"),
        ([NAME], (-9, -2), "certificate has expired on 20"),
        ([NAME], (2, 9), "certificate is not valid yet before 20"),
    ],
)
def test_a_bad_certificate_is_named_for_what_it_is(ca, tmp_path, names, days, said):
    certificate = loopback.make_certificate(ca, *names, days=days)
    with loopback.serve(say_host, certificate=certificate, folder=tmp_path) as port, pytest.raises(NotReady) as error:
        get(port, ca=ca)
    assert said in error.value.problem
    assert error.value.where == f"https://{NAME} (127.0.0.1:{port})"


@pytest.mark.parametrize("trusted", [None, loopback.make_ca("Another CA")])
def test_an_untrusted_certificate_names_its_issuer(ca, tmp_path, trusted):
    certificate = loopback.make_certificate(ca, NAME)
    with (
        loopback.serve(say_host, certificate=certificate, folder=tmp_path) as port,
        pytest.raises(NotReady, match=r"not trusted .issuer CN=Loopback CA") as error,
    ):
        get(port, ca=trusted)
    assert ("given ca" if trusted else "as ca") in error.value.cure


def test_a_plain_http_server_is_named_as_one():
    with loopback.serve(say_host) as port, pytest.raises(NotReady, match="answers in plain HTTP, not TLS"):
        get(port)


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}: cannot connect: Connection refused"):
        get(port)


def test_a_name_that_does_not_resolve():
    origin = _http.parse_url("http://registry.invalid", where="url")
    with pytest.raises(Unreachable, match=r"registry.invalid: name does not resolve"):
        _http.Client(way=_http.direct(seconds=2)).send("GET", origin, "/v2/")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_never_answers_is_given_up(scheme):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(Unreachable, match=r"in time|within"):
            get(silent.getsockname()[1], scheme=scheme, seconds=0.3)
    assert time.monotonic() - start < 3


def test_an_answer_that_comes_byte_by_byte_is_given_up_as_a_whole():
    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _byte in range(1000):
            handler.wfile.write(b".")
            time.sleep(0.05)

    with loopback.serve(drip) as port:
        start = time.monotonic()
        with pytest.raises(Unreachable, match=r"no answer within 0.5 s"):
            get(port, scheme="http", seconds=0.5)
        assert time.monotonic() - start < 3


def test_an_answer_that_is_cut_is_no_answer():
    def cut(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"half")

    with loopback.serve(cut) as port, pytest.raises(Unreachable, match="no whole HTTP answer"):
        get(port, scheme="http")


def test_an_endless_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(_http, "MAX_ANSWER", 1000)
    with (
        loopback.serve(lambda handler: loopback.reply(handler, body=b"x" * 2000)) as port,
        pytest.raises(Unreachable, match="more than 1000 bytes"),
    ):
        get(port, scheme="http")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://harbor.example.com", ("https", "harbor.example.com", 443)),
        ("https://harbor.example.com/", ("https", "harbor.example.com", 443)),
        ("http://192.168.1.105", ("http", "192.168.1.105", 80)),
        ("https://harbor.example.com:8443", ("https", "harbor.example.com", 8443)),
        ("http://[fd00::1]:5000", ("http", "fd00::1", 5000)),
    ],
)
def test_a_url_is_scheme_host_and_port(url, expected):
    found = _http.parse_url(url, where="url")
    assert (found.scheme, found.host, found.port) == expected
    assert str(found) == url.removesuffix("/")


def test_the_schemes_own_port_is_left_out():
    assert _http.parse_url("https://harbor.example.com:443", where="url").netloc == "harbor.example.com"


@pytest.mark.parametrize(
    "url",
    ["harbor.example.com", "ftp://h.example.com", "https://h.example.com/v2/", "https://u:p@h.example.com", "https://"],
)
def test_anything_else_is_refused(url):
    with pytest.raises(BadInput) as error:
        _http.parse_url(url, where="url")
    assert error.value.where == "url"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", ("10.0.0.1", None)),
        ("10.0.0.1:8443", ("10.0.0.1", 8443)),
        ("fd00::1", ("fd00::1", None)),
        ("[fd00::1]", ("fd00::1", None)),
        ("[fd00::1]:443", ("fd00::1", 443)),
    ],
)
def test_an_address_may_have_a_port(text, expected):
    assert _http.parse_address(text, where="address") == expected


@pytest.mark.parametrize("text", ["", "harbor", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:70000", "10.0.0.1:x", ":443"])
def test_no_address_is_refused(text):
    with pytest.raises(BadInput):
        _http.parse_address(text, where="address")


def test_a_ca_that_is_no_certificate_is_refused_before_any_connection():
    with pytest.raises(BadInput, match="ca: is no PEM"):
        _http.Client(way=_http.direct(seconds=1), ca="nonsense")
