# SPDX-License-Identifier: GPL-3.0-or-later
"""The real CoreDNS takes an edited Corefile exactly when it took the original, and then answers as the plan says."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_custom import compose, plan_custom
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_values import corefile_of
from ansible_collections.splithorizon.registry.plugins.module_utils._dns import Answer, ask
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Unreachable
from ansible_collections.splithorizon.registry.plugins.module_utils._node_local import plan_corefile
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import plan_rewrite, plan_rewrites
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import (
    Rewrite,
    expanded_name,
    rewrite,
)
from coredns_process import COREDNS, accepted, all_accepted, own_network
from corpus.corefiles import corefiles, examined
from dns import message, query

if t.TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "unit" / "plugins" / "module_utils" / "data"
NAME = "harbor.example.com"
SERVICE = "envoy-proxy.envoy-gateway.svc.cluster.local"
CLUSTER_IP, OUTSIDE = "10.96.44.7", "203.0.113.7"


@pytest.fixture(scope="module")
def unshare() -> None:
    command = shutil.which("unshare")
    if not command or subprocess.run([*own_network(), "true"], check=False).returncode:
        pytest.skip("no network namespaces here")


@pytest.mark.usefixtures("unshare")
def test_edited_file_is_taken_as_the_original_was(tmp_path: Path) -> None:
    originals, edited = {}, {}
    for path in sorted((DATA / "rewrite" / "valid").iterdir()):
        case = yaml.safe_load(path.read_text())
        originals[path.stem] = case["before"]
        if "after" in case:
            edited[path.stem] = case["after"]
    for path in sorted((DATA / "rewrites" / "valid").iterdir()):
        case = yaml.safe_load(path.read_text())
        edited[f"rewrites_{path.stem}"] = case.get("after", case["before"])
    before = all_accepted(originals, tmp_path / "before")
    after = all_accepted(edited, tmp_path / "after")
    assert [name for name, taken in before.items() if not taken] == []
    assert [name for name, taken in after.items() if not taken] == []


@pytest.mark.captures
@pytest.mark.usefixtures("unshare")
def test_real_files_are_taken_as_before(captures: Path, tmp_path: Path) -> None:
    found = [examined(name, text) for name, text in corefiles(captures / "corpus" / "corefile")]
    before = all_accepted({each.name: each.text for each in found if each.edited}, tmp_path / "before")
    after = all_accepted({each.name: each.edited for each in found if each.edited}, tmp_path / "after")
    assert after == before
    assert any(before.values())


@pytest.mark.usefixtures("unshare")
def test_files_that_do_not_parse_are_refused_by_coredns_too(tmp_path: Path) -> None:
    texts = {path.stem: yaml.safe_load(path.read_text()) for path in (DATA / "rewrite" / "invalid").iterdir()}
    refused = {name: case["text"] for name, case in texts.items() if case.get("error") == "BadInput"}
    for path in (DATA / "corefile" / "invalid").iterdir():
        refused[f"corefile_{path.stem}"] = yaml.safe_load(path.read_text())["text"]
    taken = all_accepted(refused, tmp_path / "refused")
    assert [name for name, was in taken.items() if was] == []


@pytest.mark.usefixtures("unshare")
def test_edit_does_not_make_a_refused_file_good(tmp_path: Path) -> None:
    text = ".:53 {\n    kubernetes cluster.local\n    no_such_plugin\n}\n"
    edited = plan_rewrite(text=text, name=NAME, target=SERVICE).after
    assert not accepted(text, tmp_path / "before")
    assert not accepted(edited, tmp_path / "after")


class Kubernetes(BaseHTTPRequestHandler):
    """As much of an API server as CoreDNS's kubernetes plugin asks: one Service, and a pod at 127.0.0.1."""

    protocol_version = "HTTP/1.1"
    LISTS: t.ClassVar = {
        "/api/v1/services": (
            "ServiceList",
            [
                {
                    "metadata": {"name": "envoy-proxy", "namespace": "envoy-gateway"},
                    "spec": {"clusterIP": CLUSTER_IP, "clusterIPs": [CLUSTER_IP], "ports": [{"port": 443}]},
                }
            ],
        ),
        "/api/v1/pods": (
            "PodList",
            [
                {
                    "metadata": {"name": "client", "namespace": "app"},
                    "status": {"phase": "Running", "podIP": "127.0.0.1"},
                }
            ],
        ),
        "/api/v1/namespaces": ("NamespaceList", [{"metadata": {"name": name}} for name in ("app", "envoy-gateway")]),
        "/apis/discovery.k8s.io/v1/endpointslices": ("EndpointSliceList", []),
    }

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if "sendInitialEvents" in query:
            self._send(
                422, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422}
            )
        elif query.get("watch", ["false"])[0] in ("true", "1"):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Connection", "close")
            self.end_headers()
            time.sleep(60)
        elif url.path in self.LISTS:
            kind, items = self.LISTS[url.path]
            api = url.path.removeprefix("/apis/").removeprefix("/api/").rsplit("/", 1)[0]
            self._send(200, {"kind": kind, "apiVersion": api, "metadata": {"resourceVersion": "1"}, "items": items})
        else:
            self._send(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404})

    def _send(self, status: int, body: dict[str, t.Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def kubernetes() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kubernetes)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def free_port() -> int:
    """A port that is free for TCP and for UDP."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(tcp.getsockname())
        return int(tcp.getsockname()[1])


class Server(t.NamedTuple):
    """A running CoreDNS and its Corefile."""

    corefile: Path
    port: int

    def ask(self, name: str, rdtype: str = "A") -> Answer:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            return ask(connection, name, rdtype=rdtype)

    def answered_name(self, name: str) -> str:
        """The name that the answer is for: resolvers throw one for another name than they asked for away."""
        answer = query.tcp(message.make_query(name, "A"), "127.0.0.1", port=self.port, timeout=5)
        return answer.answer[0].name.to_text()

    def until(self, name: str, addresses: tuple[str, ...]) -> None:
        """Wait for the answer that a reload brings."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError, Unreachable):
                if self.ask(name).addresses == addresses:
                    return
            time.sleep(0.2)
        assert self.ask(name).addresses == addresses


class Ports(t.NamedTuple):
    """Where CoreDNS listens, for pods and as its own upstream, and where its API server does."""

    inside: int
    outside: int
    kubernetes: int

    def corefile(self, *, autopath: bool = True) -> str:
        return f"""
.:{self.inside} {{
    bind 127.0.0.1
    errors
    reload 2s 1s
    kubernetes cluster.local in-addr.arpa {{
        endpoint http://127.0.0.1:{self.kubernetes}
        pods verified
    }}
    {"autopath @kubernetes" if autopath else "# no autopath"}
    forward . 127.0.0.1:{self.outside}
}}
.:{self.outside} {{
    bind 127.0.0.1
    hosts {{
        {OUTSIDE} {NAME} other.example.com
    }}
}}
"""


@pytest.fixture
def ports(kubernetes: int) -> Ports:
    return Ports(free_port(), free_port(), kubernetes)


@contextlib.contextmanager
def started(corefile: Path, port: int) -> Iterator[Server]:
    process = subprocess.Popen([COREDNS, "-conf", corefile], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    running = Server(corefile, port)
    try:
        running.until(f"{SERVICE}.", (CLUSTER_IP,))
        yield running
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def server(tmp_path: Path, ports: Ports) -> Iterator[Server]:
    corefile = tmp_path / "Corefile"
    corefile.write_text(ports.corefile())
    with started(corefile, ports.inside) as running:
        yield running


def test_answers_before_and_after(server: Server) -> None:
    expanded = f"{NAME}.app.svc.cluster.local."
    assert server.ask(f"{NAME}.").addresses == (OUTSIDE,)
    assert server.ask(expanded).addresses == (OUTSIDE,)

    text = server.corefile.read_text()
    plan = plan_rewrite(text=text, name=NAME, target=SERVICE, port=server.port)
    exact, expanded_rule = plan.rules
    # What a rewrite of the bare name alone does: autopath goes round it without a word.
    server.corefile.write_text("".join(line for line in plan.after.splitlines(True) if expanded_rule not in line))
    server.until(f"{NAME}.", (CLUSTER_IP,))
    assert server.ask(expanded).addresses == (OUTSIDE,)

    server.corefile.write_text(plan.after)
    server.until(expanded, (CLUSTER_IP,))
    assert server.ask(f"{NAME}.").addresses == (CLUSTER_IP,)
    assert server.ask(f"{NAME}.", "AAAA") == Answer(rcode="NOERROR", addresses=())
    assert server.ask("other.example.com.").addresses == (OUTSIDE,)
    assert exact in plan.after

    back = plan_rewrite(text=plan.after, name=NAME, target=None, present=False, port=server.port)
    assert back.after == text
    server.corefile.write_text(back.after)
    server.until(f"{NAME}.", (OUTSIDE,))


EXACT = rewrite(name=NAME, target=SERVICE)
SUFFIX = rewrite(
    name=".gw.example.com",
    target=".envoy-gateway.svc.cluster.local",
    match="suffix",
    example="envoy-proxy.gw.example.com",
)
REGEX = rewrite(name=r"^(.*)\.apps\.example\.com\.$", target=SERVICE, match="regex", example="a.b.apps.example.com")
PREFIX = rewrite(name="web", target="envoy-proxy", match="prefix", example="web.envoy-gateway.svc.cluster.local")
SUBSTRING = rewrite(
    name="inner.example.com",
    target="svc.cluster.local",
    match="substring",
    example="envoy-proxy.envoy-gateway.inner.example.com",
)


@pytest.mark.parametrize(
    ("wanted", "autopath"),
    [([EXACT, SUFFIX, REGEX, PREFIX, SUBSTRING], False), ([EXACT, SUFFIX, REGEX], True)],
    ids=["every way to match", "with autopath"],
)
def test_each_way_to_match(tmp_path: Path, ports: Ports, wanted: list[Rewrite], autopath: bool) -> None:
    text = ports.corefile(autopath=autopath)
    planned = plan_rewrites(text=text, wanted=wanted, port=ports.inside)
    names = [each.asked for each in wanted]
    if autopath:
        names += [expanded_name(each.example, "cluster.local", namespace="app") for each in wanted]
    corefile = tmp_path / "Corefile"
    corefile.write_text(text)
    with started(corefile, ports.inside) as before:
        assert CLUSTER_IP not in {address for name in names for address in before.ask(name).addresses}
    corefile.write_text(planned.after)
    with started(corefile, ports.inside) as after:
        assert {name: after.ask(name).addresses for name in names} == dict.fromkeys(names, (CLUSTER_IP,))
        assert {name: after.answered_name(name) for name in names} == {name: name for name in names}
        assert after.ask("other.example.com.").addresses == (OUTSIDE,)


def test_file_that_the_corefile_imports(tmp_path: Path, ports: Ports) -> None:
    text = ports.corefile(autopath=False).replace("errors\n", "errors\n    import custom/*.override\n", 1)
    files = {"log.override": "log\n", "zone.server": "example.org {\n    whoami\n}\n"}
    key = "splithorizon.override"
    planned = plan_custom(corefile=text, files=files, key=key, wanted=[EXACT, REGEX], where="", port=ports.inside)
    corefile = tmp_path / "Corefile"
    corefile.write_text(text)
    (tmp_path / "custom").mkdir()
    for name, content in {**files, key: planned.after}.items():
        (tmp_path / "custom" / name).write_text(content)
    with started(corefile, ports.inside) as running:
        assert running.ask(EXACT.asked).addresses == running.ask(REGEX.asked).addresses == (CLUSTER_IP,)
        assert running.ask("other.example.com.").addresses == (OUTSIDE,)


def test_cache_before_coredns(tmp_path: Path, ports: Ports) -> None:
    """A rewrite of CoreDNS alone does not reach who asks NodeLocal DNSCache; a server block there brings it."""
    inside = tmp_path / "inside"
    inside.write_text(plan_rewrite(text=ports.corefile(), name=NAME, target=SERVICE, port=ports.inside).after)
    port = free_port()
    before = f"""
cluster.local:{port} {{
    errors
    cache {{
            success 9984 30
            denial 9984 5
    }}
    loop
    bind 127.0.0.1
    forward . 127.0.0.1:{ports.inside} {{
            force_tcp
    }}
    health 127.0.0.1:{free_port()}
    }}
.:{port} {{
    errors
    bind 127.0.0.1
    forward . 127.0.0.1:{ports.outside}
    }}
"""
    planned = plan_corefile(text=before, where="", wanted=[EXACT, REGEX], port=port)
    cache = tmp_path / "cache"
    with started(inside, ports.inside) as coredns:
        assert coredns.ask(f"{NAME}.").addresses == (CLUSTER_IP,)
        for text, addresses in ((before, (OUTSIDE,)), (planned.after, (CLUSTER_IP,))):
            cache.write_text(text)
            with started(cache, port) as running:
                assert running.ask(f"{NAME}.").addresses == addresses
                assert running.ask("other.example.com.").addresses == (OUTSIDE,)


HOMES = ROOT / "docs" / "dns-homes"
IMPORTING = ".:53 {\n  kubernetes cluster.local\n  import custom/*.override\n}\nimport custom/*.server\n"


@pytest.mark.usefixtures("unshare")
def test_documented_homes_are_taken(tmp_path: Path) -> None:
    """What the guide's files come to, before and after."""
    names = {_corefile_in(path): path.name for path in sorted(HOMES.iterdir())}
    assert "" not in names
    taken = all_accepted({name: text for text, name in names.items()}, tmp_path / "homes")
    assert [name for name, was in taken.items() if not was] == []


def _corefile_in(path: Path) -> str:
    if path.suffix != ".yaml":
        return path.read_text()
    document = yaml.safe_load(path.read_text())
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and "servers:" in value:
            waiting.append(yaml.safe_load(value))
        elif isinstance(value, dict) and "servers" in value:
            return corefile_of(value)
        elif isinstance(value, dict) and "Corefile" in value:
            return re.sub(r"__PILLAR__\w+", "10.96.0.9", value["Corefile"]).replace("169.254.20.10 10.96.0.10", "lo")
        elif isinstance(value, dict) and any(key.endswith((".override", ".server")) for key in value):
            return compose(IMPORTING, value)
        elif isinstance(value, (dict, list)):
            waiting += value.values() if isinstance(value, dict) else value
    return ""
