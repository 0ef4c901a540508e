# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's registry on loopback, without a cluster: a real distribution behind the stand-in for Harbor's core."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
import typing as t
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import parse_version, realm

from integration.module_call import call
from sandbox.build import PARTS

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 10
BUILD_SECONDS = 600
OCI = "application/vnd.oci.image"
CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {storage}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: harbor-registry-basic-realm, path: {passwd}}}}}
"""
# The chart's own example line for its default user name and password.
PASSWD = "harbor_registry_user:$2a$05$IPnI.TSgP8ek1/ESjkULVemA.A3nSXPdN80ljsmcun7FtE3ViSYUq\n"
ROBOTS = {
    "robot$cluster-pull": {"secret": "pull", "permissions": {"library": ["pull"]}},
    "robot$ci": {"secret": "push", "permissions": {"library": ["pull", "push", "delete"]}},
}
PULL, PUSH = ("robot$cluster-pull", "pull"), ("robot$ci", "push")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Harbor:
    """Core at a port of loopback; ``host`` is what is sent as Host."""

    port: int
    host: str = "harbor-core"

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        sent = {"Host": self.host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def realm(self) -> str:
        found = re.fullmatch(
            r'Bearer realm="(.+)",service="harbor-registry"', self.ask("GET", "/v2/").headers["Www-Authenticate"]
        )
        assert found
        return found[1]

    def token(self, user: tuple[str, str], scope: str) -> str:
        query = urlencode({"service": "harbor-registry", "scope": scope})
        basic = "Basic " + base64.b64encode(":".join(user).encode()).decode()
        path = urlsplit(self.realm()).path
        return f"Bearer {json.loads(self.ask('GET', f'{path}?{query}', Authorization=basic).body)['token']}"

    def push(self, repository: str, tag: str, layer: bytes) -> str:
        """Digest of an image with one layer."""
        token = self.token(PUSH, f"repository:{repository}:pull,push")
        described = [self._blob(repository, token, kind, content) for kind, content in _contents(layer)]
        kind = f"{OCI}.manifest.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": described[0], "layers": described[1:]}
        path, body = f"/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode()
        assert self.ask("PUT", path, body, Authorization=token, Content_Type=kind).status == 201
        return _digest(body)

    def _blob(self, repository: str, token: str, kind: str, content: bytes) -> dict[str, t.Any]:
        start = self.ask("POST", f"/v2/{repository}/blobs/uploads/", Authorization=token)
        where = urlsplit(start.headers["Location"])
        assert (start.status, where.scheme, where.netloc) == (202, "http", self.host)
        path = f"{where.path}?{where.query}&{urlencode({'digest': _digest(content)})}"
        assert self.ask("PUT", path, content, Authorization=token).status == 201
        return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


def _contents(layer: bytes) -> list[tuple[str, bytes]]:
    rootfs = {"type": "layers", "diff_ids": [_digest(layer)]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    return [(f"{OCI}.config.v1+json", config), (f"{OCI}.layer.v1.tar", layer)]


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("go"):
        pytest.skip("no go on PATH to build the sandbox's programs with")
    folder = tmp_path_factory.mktemp("bin")
    command = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", f"{folder}/", "./cmd/..."]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    subprocess.run(command, cwd=PARTS / "harbor", env=environment, timeout=BUILD_SECONDS, check=True)
    return folder


@pytest.fixture(scope="module")
def behind(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A distribution and a job service; what core must be told of them."""
    folder = tmp_path_factory.mktemp("registry")
    registry, jobs = _free_port(), _free_port()
    passwd, config = folder / "passwd", folder / "config.yml"
    passwd.write_text(PASSWD)
    config.write_text(CONFIG.format(storage=folder / "storage", port=registry, passwd=passwd))
    listen = {"PORT": str(jobs), "SANDBOX_LISTEN": "127.0.0.1"}
    settings = {"CORE_URL": "http://harbor-core:80", "SANDBOX_ALONE": "yes", **listen}
    with ExitStack() as stack:
        stack.enter_context(_running([programs / "registry", "serve", config], {}, registry))
        stack.enter_context(_running([programs / "harbor-jobservice"], settings, jobs))
        yield {
            "REGISTRY_URL": f"http://127.0.0.1:{registry}",
            "JOBSERVICE_URL": f"http://127.0.0.1:{jobs}",
            "REGISTRY_CREDENTIAL_USERNAME": "harbor_registry_user",
            "REGISTRY_CREDENTIAL_PASSWORD": "harbor_registry_password",
            "SANDBOX_ROBOTS": json.dumps(ROBOTS),
        }


@contextmanager
def _core(programs: Path, behind: dict[str, str], **settings: str) -> Iterator[Harbor]:
    port = _free_port()
    given = {"EXT_ENDPOINT": "https://harbor.example.com", "CORE_URL": "http://harbor-core:80", **behind, **settings}
    listen = {"PORT": str(port), "SANDBOX_LISTEN": "127.0.0.1", "SANDBOX_HEALTH_PERIOD_SECONDS": "0.05"}
    with _running([programs / "harbor-core"], {**given, **listen}, port):
        yield Harbor(port)


@pytest.fixture(scope="module")
def harbor(programs: Path, behind: dict[str, str]) -> Iterator[Harbor]:
    with _core(programs, behind) as core:
        yield core


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return t.cast("int", probe.getsockname()[1])


@contextmanager
def _running(command: list[t.Any], environment: dict[str, str], port: int) -> Iterator[None]:
    """The program, from when it takes connections."""
    argv = [str(word) for word in command]
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            end = time.monotonic() + SECONDS
            while not _listens(port):
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < end, f"{argv[0]} does not listen"
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _sick(harbor: Harbor, expected: set[str]) -> set[str]:
    """The components that are not healthy, as soon as they are those expected, or when time is over."""
    end = time.monotonic() + SECONDS
    while True:
        answer = harbor.ask("GET", "/api/v2.0/health")
        assert answer.status == 200
        health = json.loads(answer.body)
        sick = {component["name"] for component in health["components"] if component["status"] != "healthy"}
        assert (health["status"] == "healthy") is not bool(sick)
        if sick == expected or time.monotonic() > end:
            return sick
        time.sleep(0.02)


def test_an_image_that_one_robot_pushed_another_pulls(harbor: Harbor) -> None:
    layer = os.urandom(1 << 20)
    pushed = harbor.push("library/web", "1", layer)

    token = harbor.token(PULL, "repository:library/web:pull")
    manifest = harbor.ask("GET", "/v2/library/web/manifests/1", Authorization=token, Accept=f"{OCI}.manifest.v1+json")
    blob = harbor.ask("GET", f"/v2/library/web/blobs/{_digest(layer)}", Authorization=token)

    assert (manifest.status, manifest.headers["Docker-Content-Digest"]) == (200, pushed)
    assert blob.body == layer


@pytest.mark.parametrize(
    ("user", "repository", "asked", "status"),
    [
        (PULL, "library/web", "POST blobs/uploads/", 401),
        (("robot$ci", "wrong"), "library/web", "POST blobs/uploads/", 401),
        (PUSH, "other/web", "POST blobs/uploads/", 401),
        (PUSH, "library/web", "POST blobs/uploads/", 202),
        (("robot$ci", "wrong"), "library/nothing", "GET tags/list", 401),
        (PULL, "library/nothing", "GET tags/list", 404),
    ],
)
def test_a_token_is_always_given_and_opens_what_its_owner_may(
    harbor: Harbor, user: tuple[str, str], repository: str, asked: str, status: int
) -> None:
    token = harbor.token(user, f"repository:{repository}:pull,push")
    method, path = asked.split(" ")
    assert harbor.ask(method, f"/v2/{repository}/{path}", Authorization=token).status == status


FQDN = "harbor-core.default.svc.cluster.local"
NAMES = ("harbor-core", "HARBOR-CORE", FQDN, f"{FQDN}.", "harbor.example.com", "192.168.1.105", "[fd00::1]")
ASKED = [name + port for name in NAMES for port in ("", ":80", ":443", ":8080")]
SETTINGS = [
    ("https://harbor.example.com", "http://harbor-core:80", "v2.15.2"),
    ("https://harbor.example.com", f"http://{FQDN}:80", "v2.14.0"),
    ("http://192.168.1.105", f"http://{FQDN}", "v2.15.2"),
    ("https://harbor.example.com:8443", "https://harbor-core:443", "v2.13.2"),
    ("http://192.168.1.105", "http://harbor-core:8080", "v2.9.0"),
]


@pytest.mark.parametrize(("ext_endpoint", "core_url", "version"), SETTINGS)
def test_the_realm_is_as_predicted(
    programs: Path, behind: dict[str, str], ext_endpoint: str, core_url: str, version: str
) -> None:
    """Two that were written apart, the prediction and the sandbox's core, over a grid of settings and hosts."""
    settings = {"EXT_ENDPOINT": ext_endpoint, "CORE_URL": core_url, "SANDBOX_HARBOR_VERSION": version}
    rule = {"ext_endpoint": ext_endpoint, "core_url": core_url, "version": parse_version(version, where="")}
    with _core(programs, behind, **settings) as core:
        told = {host: Harbor(core.port, host).realm() for host in ASKED}
    assert told == {host: realm(host=host, **rule) for host in ASKED}


def test_health_is_what_the_components_answer(programs: Path, behind: dict[str, str], harbor: Harbor) -> None:
    assert _sick(harbor, set()) == set()
    with _core(programs, behind, JOBSERVICE_URL="http://127.0.0.1:1") as core:
        assert _sick(core, {"jobservice"}) == {"jobservice"}


def test_a_core_that_is_starting_takes_no_connections(programs: Path, behind: dict[str, str]) -> None:
    begin = time.monotonic()
    with _core(programs, behind, SANDBOX_STARTUP_SECONDS="0.5") as core:
        waited = time.monotonic() - begin
        assert core.ask("GET", "/api/v2.0/ping").status == 200
    assert waited >= 0.5


LIBRARY = [{"namespace": "library", "access": [{"resource": "repository", "action": "pull"}]}]
ROTATIONS: list[dict[str, t.Any]] = [
    {"secret": "First1secret", "permissions": LIBRARY, "duration": 30},
    {"secret": "Second1secret", "description": "rotated", "duration": -1},
    {"secret": "Second1secret", "disable": True},
    {"secret": "Third1secret", "disable": False},
    {"state": "absent"},
]


def test_robots_by_the_module_open_what_they_may(harbor: Harbor) -> None:
    """Every step is predicted, done, and done again; what a secret opens is asked here."""
    harbor.push("library/robots", "1", b"layer")
    there = {"url": f"http://127.0.0.1:{harbor.port}", "username": "admin", "password": "Harbor12345", "name": "made"}
    opened = []
    for options in ROTATIONS:
        predicted = call("harbor_robot", check=True, **there, **options)
        done = call("harbor_robot", **there, **options)
        again = call("harbor_robot", **there, **options)
        assert (predicted["changed"], predicted["diff"]) == (done["changed"], done["diff"]), options
        assert (done["changed"], again["changed"]) == (True, False), options
        secrets = ("First1secret", "Second1secret", "Third1secret")
        tokens = [harbor.token(("robot$made", secret), "repository:library/robots:pull") for secret in secrets]
        answers = [harbor.ask("GET", "/v2/library/robots/tags/list", Authorization=token) for token in tokens]
        opened.append([answer.status for answer in answers])
    assert opened == [[200, 401, 401], [401, 200, 401], [401, 401, 401], [401, 401, 200], [401, 401, 401]]


def test_the_probe_tells_what_a_token_opens(harbor: Harbor) -> None:
    digest = harbor.push("library/probed", "1", b"layer")
    place = {"url": "http://harbor-core:80", "address": f"127.0.0.1:{harbor.port}", "repository": "library/probed"}
    right = call("registry_probe", **place, username=PULL[0], password=PULL[1], tag="1")
    assert (right["token"], right["tags"], right["pull"]["digest"]) == (True, ["1"], digest)
    wrong = call("registry_probe", **place, username=PULL[0], password="wrong-one")
    assert (wrong["token"], "tags" in wrong) == (False, False)
    assert harbor.token((PULL[0], "wrong-one"), "repository:library/probed:pull")  # and yet Harbor gives a token
    refused = call("registry_probe", **place, username=PULL[0], password="wrong-one", tag="1")
    assert refused["kind"] == "access_denied"
