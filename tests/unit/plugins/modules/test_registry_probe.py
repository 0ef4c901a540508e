# SPDX-License-Identifier: GPL-3.0-or-later
"""What the probe reads of a registry that works, and the kind of each trouble, from servers that have it."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import loopback
import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.splithorizon.registry.plugins.module_utils._client_words import CLIENTS_SAY
from ansible_collections.splithorizon.registry.plugins.module_utils._registry import fresh_image
from ansible_collections.splithorizon.registry.plugins.modules import registry_probe
from fake_harbor import REPOSITORY, ROBOT, FakeHarbor, digest_of

NAME = "harbor.example.com"
CA = loopback.make_ca()
LOGIN = {"username": ROBOT[0], "password": ROBOT[1], "repository": REPOSITORY}


@pytest.fixture
def harbor():
    """With an image of one large layer."""
    made = FakeHarbor()
    made.realm = f"https://{NAME}/service/token"
    image = fresh_image(size=50_000)
    made.manifests, made.blobs, made.image = {"1": image.manifest, image.digest: image.manifest}, image.blobs, image
    return made


@pytest.fixture
def run(capsys):
    def module(port=None, **options):
        there = {"url": f"https://{NAME}", "ca": CA.pem, **({"address": f"127.0.0.1:{port}"} if port else {})}
        with patch_module_args({**there, **options}), pytest.raises(SystemExit):
            registry_probe.main()
        return json.loads(capsys.readouterr().out)

    return module


@pytest.fixture
def serve(tmp_path):
    def served(answer, *names, days=(-1, 30), ca=CA):
        return loopback.serve(
            answer, certificate=loopback.make_certificate(ca, *(names or [NAME]), days=days), folder=tmp_path
        )

    return served


def test_what_a_registry_that_works_is(run, serve, harbor):
    with serve(harbor) as port:
        found = run(port, **LOGIN, tag="1")
    layer = max(harbor.image.blobs, key=lambda digest: len(harbor.image.blobs[digest]))
    assert (found["service"], sorted(found["tags"])) == ("harbor-registry", sorted(harbor.manifests))
    assert [one["subject"] for one in found["tls"]["chain"]] == ["CN=server", "CN=Loopback CA"]
    assert {key: found["pull"][key] for key in ("digest", "blob", "size", "source")} == {
        "digest": harbor.image.digest,
        "blob": layer,
        "size": len(harbor.image.blobs[layer]),
        "source": NAME,
    }
    assert all(value >= 0 for value in [*found["seconds"].values(), found["pull"]["blob_seconds"]])
    assert "addresses" not in found


def test_a_blob_too_large_is_passed_over_for_a_smaller_one(run, serve, harbor):
    config = min(harbor.image.blobs, key=lambda digest: len(harbor.image.blobs[digest]))
    with serve(harbor) as port:
        assert run(port, **LOGIN, tag=harbor.image.digest, max_blob=10_000)["pull"]["blob"] == config
        assert "no blob of at most 10 bytes" in run(port, **LOGIN, tag="1", max_blob=10)["msg"]


def test_an_index_leads_to_its_first_image(run, serve, harbor):
    harbor.manifests["all"] = json.dumps({"manifests": [{"digest": harbor.image.digest}]}).encode()
    with serve(harbor) as port:
        assert run(port, **LOGIN, tag="all")["pull"]["digest"] == harbor.image.digest


def test_a_blob_in_an_object_store_is_fetched_there_without_the_token(run, serve, harbor):
    seen = []

    def store(handler):
        seen.append((handler.path, handler.headers.get("Authorization")))
        loopback.reply(handler, 200, harbor.blobs[handler.path.rpartition("/")[2].partition("?")[0]])

    layer = max(harbor.image.blobs, key=lambda digest: len(harbor.image.blobs[digest]))
    with loopback.serve(store) as other, serve(harbor) as port:
        harbor.blob_location = f"http://127.0.0.1:{other}/bucket/{layer}?signature=s"
        assert run(port, **LOGIN, tag="1")["pull"]["source"] == "127.0.0.1"
    assert seen == [(f"/bucket/{layer}?signature=s", None)]


def test_by_dns_the_addresses_are_told(run):
    with loopback.serve(loopback.reply) as port:
        assert run(url=f"http://localhost:{port}")["addresses"][0] in ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    "case",
    [
        ({"status": 301, "Location": f"https://{NAME}/v2/"}, {"answer": "redirect", "status": 301}),
        (
            {"status": 401, "Www_Authenticate": f'Bearer realm="http://{NAME}/service/token"'},
            {"answer": "registry", "status": 401, "realm": f"http://{NAME}/service/token"},
        ),
        ({"status": 404}, {"answer": "other", "status": 404}),
        (None, {"answer": "none"}),
    ],
)
def test_plain_http_beside_it(run, serve, harbor, monkeypatch, case):
    answer, expected = case

    def plain(handler):
        loopback.reply(handler, **answer)

    with loopback.serve(plain) as http, serve(harbor) as port:
        free = http if answer else _free_port()
        real = socket.create_connection
        ports = {("127.0.0.1", 80): ("127.0.0.1", free)}
        monkeypatch.setattr(socket, "create_connection", lambda to, **how: real(ports.get(to, to), **how))
        found = run(port, plain_http=True)["http"]
    assert {key: found[key] for key in expected} == expected
    assert bool(found["problem"]) is (answer is None)


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def plain_server(run, **_parts):
    with loopback.serve(loopback.reply) as port:
        return run(port)


def nobody(run, **_parts):
    return run(_free_port())


def no_name(run, **_parts):
    return run(url="https://registry.invalid")


def closes_at_once(run, **_parts):
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_close_the_first, args=[server], daemon=True).start()
        return run(server.getsockname()[1])


def _close_the_first(server):
    server.accept()[0].close()


def foreign(run, serve, harbor):
    with serve(harbor, "other.example.com") as port:
        return run(port)


def over(run, serve, harbor):
    with serve(harbor, days=(-9, -2)) as port:
        return run(port)


def ends_soon(run, serve, harbor):
    with serve(harbor, days=(-9, 2)) as port:
        return run(port)


def authority_ends_soon(run, serve, harbor):
    with serve(harbor, days=(-1, 90)) as port:
        return run(port, min_valid_days=60)


def unknown_authority(run, serve, harbor):
    with serve(harbor, ca=loopback.make_ca("Another CA")) as port:
        return run(port)


def portal(run, serve, **_parts):
    with serve(lambda handler: loopback.reply(handler, 404)) as port:
        return run(port)


def realm_elsewhere(run, serve, harbor):
    harbor.realm = f"http://127.0.0.1:{_free_port()}/service/token"
    with serve(harbor) as port:
        return run(port, **LOGIN)


def realm_without_token(run, serve, harbor):
    harbor.token_status = 500
    with serve(harbor) as port:
        return run(port, **LOGIN)


def wrong_password(run, serve, harbor):
    with serve(harbor) as port:
        return run(port, **{**LOGIN, "password": "wrong-one"}, tag="1")


def no_image(run, serve, harbor):
    with serve(harbor) as port:
        return run(port, **LOGIN, tag="2")


def held_back(run, serve, harbor):
    harbor.manifest_status = 412
    with serve(harbor) as port:
        return run(port, **LOGIN, tag="1")


def changed_on_the_way(run, serve, harbor):
    harbor.blobs = dict.fromkeys(harbor.blobs, b"other")
    with serve(harbor) as port:
        return run(port, **LOGIN, tag="1")


def late(run, serve, **_parts):
    with serve(lambda _handler: time.sleep(3)) as port:
        return run(port, timeout=1)


TROUBLES = [
    (no_name, "name_unknown", "registry.invalid: name does not resolve"),
    (nobody, "unreachable", "cannot connect: Connection refused"),
    (plain_server, "plain_http", "answers in plain HTTP, not TLS"),
    (closes_at_once, "no_tls", "TLS handshake failed"),
    (foreign, "wrong_name", "certificate is not for harbor.example.com but for other.example.com"),
    (over, "expired", "certificate has expired on 20"),
    (ends_soon, "expired", "certificate expires on 20"),
    (authority_ends_soon, "expired", "certificate of its authority CN=Loopback CA expires on 20"),
    (unknown_authority, "untrusted", "certificate is not trusted (issuer CN=Another CA)"),
    (portal, "no_registry", "no registry answers at /v2/: status 404"),
    (realm_elsewhere, "no_token", "its realm does not answer: 127.0.0.1:"),
    (realm_without_token, "no_token", "gives no token: status 500"),
    (wrong_password, "access_denied", "status 401: unauthorized"),
    (no_image, "not_found", "there is no such image"),
    (held_back, "blocked", "status 412: held back. See the project's policy in Harbor"),
    (changed_on_the_way, "corrupt", "its bytes have digest sha256:"),
    (late, "slow", "no answer within 1 s"),
]


@pytest.mark.parametrize("case", TROUBLES, ids=[one[0].__name__ for one in TROUBLES])
def test_a_trouble_has_its_kind_and_the_words_of_clients(run, serve, harbor, case):
    trouble, kind, said = case
    found = trouble(run=run, serve=serve, harbor=harbor)
    assert found["failed"], found
    assert (found["kind"], found["clients_say"]) == (kind, CLIENTS_SAY[kind])
    assert said in found["msg"]


def test_every_kind_but_a_pushs_is_shown_above():
    assert {kind for _trouble, kind, _said in TROUBLES} == CLIENTS_SAY.keys() - {"upload_elsewhere"}


def test_the_guide_to_troubles_has_every_kind():
    text = (Path(__file__).parents[4] / "docs" / "troubleshooting.md").read_text()
    assert {kind for kind in CLIENTS_SAY if f"| `{kind}` |" in text} == CLIENTS_SAY.keys()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tag": "1"}, "missing parameter(s) required by 'tag': repository"),
        ({"tag": "no tag", "repository": REPOSITORY}, "tag: 'no tag' is no tag"),
        ({"url": "http://harbor.example.com", "plain_http": True}, "plain_http: the URL itself is http"),
    ],
)
def test_bad_input(run, options, said):
    found = run(**options)
    assert said in found["msg"]
    assert "kind" not in found


def test_digests_are_those_of_the_bytes(harbor):
    assert all(digest == digest_of(blob) for digest, blob in harbor.image.blobs.items())
