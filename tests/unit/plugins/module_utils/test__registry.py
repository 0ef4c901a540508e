# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
import tarfile
from contextlib import contextmanager

import loopback
import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _http, _registry
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    Conflict,
    NotPermitted,
    NotReady,
)
from fake_harbor import REPOSITORY, ROBOT, FakeHarbor, digest_of

TIMING = _http.Timing(connect=0, tls=0, answer=0)


@pytest.fixture
def harbor():
    return FakeHarbor()


@contextmanager
def talking(harbor, *, user=ROBOT, url="http://harbor.example.com", **tls):
    origin = _http.parse_url(url, where="url")
    with loopback.serve(harbor, **tls) as port:

        @contextmanager
        def way(host, _port):
            assert host == origin.host
            with _http.direct(seconds=5)("127.0.0.1", port) as stream:
                yield stream

        client = _http.Client(way=way, seconds=5)
        yield _registry.Registry(origin=origin, client=client, username=user[0], password=user[1])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            'Bearer realm="https://h.example.com/service/token",service="harbor-registry",scope="repository:a/b:pull,push"',
            ("Bearer", "https://h.example.com/service/token", "harbor-registry", "repository:a/b:pull,push"),
        ),
        ('bearer service="s" , realm="https://h/t"', ("Bearer", "https://h/t", "s", "")),
        ('Basic realm="harbor"', ("Basic", "harbor", "", "")),
        ("Bearer realm=https://h/t,error=invalid_token", ("Bearer", "https://h/t", "", "")),
        ("Negotiate", ("Negotiate", "", "", "")),
    ],
)
def test_a_challenge_is_read(header, expected):
    found = _registry.parse_challenge(header)
    assert (found.scheme, found.realm, found.service, found.scope) == expected


def test_no_challenge_is_none():
    assert _registry.parse_challenge("") is None


@pytest.mark.captures
def test_every_challenge_of_a_real_harbor_is_read(captures):
    seen = 0
    for setting in yaml.safe_load((captures / "harbor-2.15" / "realms.yaml").read_text()):
        for answer in setting["realms"].values():
            header = answer.removeprefix("401 ")
            found = _registry.parse_challenge(header)
            again = f'{found.scheme} realm="{found.realm}"' + (f',service="{found.service}"' if found.service else "")
            assert again == header
            seen += 1
    assert seen > 50


def test_the_challenge_is_asked_without_credentials(harbor):
    with talking(harbor) as registry:
        answer, challenge = registry.ask()
    assert (answer.status, challenge.realm) == (401, harbor.realm)
    assert "Authorization" not in harbor.requests[0][2]


def test_good_credentials_open_a_repository_that_is_still_empty(harbor):
    with talking(harbor) as registry:
        assert registry.refusal(REPOSITORY) == ""
        assert registry.refusal(None) == ""


def test_a_token_for_a_wrong_password_proves_nothing(harbor):
    with talking(harbor, user=("robot$ci", "wrong")) as registry:
        assert "username or password is wrong" in registry.refusal(REPOSITORY)


def test_good_credentials_without_the_right(harbor):
    with talking(harbor) as registry:
        assert "may not pull from other/app (401" in registry.refusal("other/app")


def test_a_token_service_that_refuses(harbor):
    harbor.token_status = 401
    with talking(harbor) as registry:
        assert "gives no token: status 401 no" in registry.refusal(REPOSITORY)


def test_a_token_service_that_redirects_for_ever_is_given_up(harbor):
    harbor.token_status = 301
    with talking(harbor) as registry, pytest.raises(NotReady, match="gives no token: status 301"):
        registry.refusal(REPOSITORY)
    assert len(harbor.requests) == 1 + _registry.MAX_REDIRECTS


def test_a_server_that_is_no_registry():
    no_registry = lambda handler: loopback.reply(handler, 404)  # noqa: E731
    with talking(no_registry) as registry, pytest.raises(NotReady, match="no registry answers at /v2/: status 404"):
        registry.ask()


def test_an_image_is_pushed_found_and_deleted(harbor):
    image = _registry.fresh_image(size=5000)
    with talking(harbor) as registry:
        assert registry.find(REPOSITORY, "t1") is None
        registry.push(REPOSITORY, "t1", image)
        digest, manifest = registry.find(REPOSITORY, "t1")
        assert digest == image.digest == digest_of(harbor.manifests["t1"])
        registry.delete(REPOSITORY, digest)
        assert registry.find(REPOSITORY, "t1") is None
    assert _registry.is_proof_image(manifest)
    assert {one["digest"] for one in [manifest["config"], *manifest["layers"]]} == set(harbor.blobs)


def test_a_fresh_image_is_a_tar_layer_that_its_config_names():
    image = _registry.fresh_image(size=10, random=lambda size: b"x" * size)
    manifest = json.loads(image.manifest)
    layer = image.blobs[manifest["layers"][0]["digest"]]
    config = json.loads(image.blobs[manifest["config"]["digest"]])
    assert config["rootfs"]["diff_ids"] == [digest_of(layer)]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert tar.extractfile("proof").read() == b"x" * 10
    assert _registry.fresh_image(size=10).digest != _registry.fresh_image(size=10).digest


@pytest.mark.parametrize(
    "location", ["https://harbor.example.com/v2/x/blobs/uploads/1", "http://10.0.0.9/v2/x/blobs/uploads/1"]
)
def test_an_upload_that_is_sent_elsewhere_is_named(harbor, location):
    harbor.location = location
    with talking(harbor) as registry, pytest.raises(NotReady, match="sends uploads to") as error:
        registry.push(REPOSITORY, "t1", _registry.fresh_image(size=10))
    assert "X-Forwarded-Proto" in error.value.cure


def test_a_push_without_the_right(harbor):
    with talking(harbor) as registry, pytest.raises(NotPermitted, match="credentials that may pull,push in other/app"):
        registry.push("other/app", "t1", _registry.fresh_image(size=10))


def test_a_registry_that_deletes_nothing(harbor):
    harbor.deletes = False
    with talking(harbor) as registry, pytest.raises(Conflict, match=r"storage.delete.enabled"):
        registry.delete(REPOSITORY, "sha256:0")


@pytest.mark.parametrize(
    ("url", "realm", "clear"),
    [
        ("https://h.example.com", "http://h.example.com/t", "http://h.example.com/t"),
        ("https://h.example.com", "https://h.example.com/t", ""),
        ("http://h.example.com", "http://h.example.com/t", ""),
    ],
)
def test_a_realm_that_takes_credentials_off_tls_is_told(url, realm, clear):
    answer = _http.Answer(
        status=401,
        headers=(("WWW-Authenticate", f'Bearer realm="{realm}"'),),
        body=b"",
        peer="",
        chain=(),
        timing=TIMING,
    )
    client = type("Client", (), {"send": lambda *_args, **_kwargs: answer})()
    registry = _registry.Registry(origin=_http.parse_url(url, where="url"), client=client)
    assert registry.realm_in_clear == clear


@pytest.mark.parametrize("name", ["", "Library/app", "library//app", "/app", "library/app:1", "library/app@sha256:0"])
def test_bad_repositories(name):
    with pytest.raises(BadInput, match="no repository name"):
        _registry.check_repository(name, where="repository")


@pytest.mark.parametrize("tag", ["", ".1", "a b", "a" * 129, "a/b", "t\n"])
def test_bad_tags(tag):
    with pytest.raises(BadInput, match="no tag"):
        _registry.check_tag(tag, where="tag")


def test_good_names():
    _registry.check_repository("library/a.b_c-d/e__f", where="repository")
    _registry.check_tag("20261121T140200-1", where="tag")
