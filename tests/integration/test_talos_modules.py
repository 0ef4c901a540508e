# SPDX-License-Identifier: GPL-3.0-or-later
"""The Talos modules against three Talos nodes of the sandbox on the loopback, read back with talosctl alone.

``a`` and ``b`` are Talos 1.13, ``old`` is 1.11 in a cluster of its own. Each test has a node as it was generated.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from sandbox import build

if t.TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, t.Any]

NODES = {"a": "127.8.0.2", "b": "127.8.0.3", "old": "127.8.0.4"}
CONTEXTS = {"a": "lab", "b": "lab", "old": "old"}
VERSIONS = {"a": "v1.13.0", "b": "v1.13.0", "old": "v1.11.6"}
UNREACHABLE = "127.8.0.99"
CA = """-----BEGIN CERTIFICATE-----
MIIBfjCCASOgAwIBAgIUFCvKIkkuzARTF1vyKiUo+JzYIrYwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJdW5pdCB0ZXN0MB4XDTI2MTEyMTE0MjQxOVoXDTM2MTExODE0
MjQxOVowFDESMBAGA1UEAwwJdW5pdCB0ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEJ9Ltr5+1kPm0GGU2Qp8KaZFX9keNNMXQ3ew3z8wnRbElNbMTqNJ5Kh1T
TySH6pMwVJIm4bP45UVGr4hjBmEQGaNTMFEwHQYDVR0OBBYEFFSqE3g4zBNn57RI
j9+7NQ8cdBCRMB8GA1UdIwQYMBaAFFSqE3g4zBNn57RIj9+7NQ8cdBCRMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhALaha2B1vjUThVJe55uxo+Si
YDHWnth/FNZzkp8Lm1ytAiEAs7YE45KfjkS1HB7LUa1QhJG2wcXNmWwZ5CKTFpt4
4j0=
-----END CERTIFICATE-----
"""

HTTP: Json = {
    "mirrors": [{"name": "harbor.example.com", "endpoints": ["http://harbor-core.default.svc.cluster.local"]}],
    "auth": [{"name": "harbor-core.default.svc.cluster.local", "username": "robot$pull", "password": "hunter2-old"}],
    "hosts": [{"ip": "10.96.0.44", "names": ["harbor-core.default.svc.cluster.local"]}],
}
HTTPS: Json = {
    "mirrors": [{"name": "harbor.example.com", "endpoints": ["https://harbor.example.com"]}],
    "auth": [
        {"name": "harbor-core.default.svc.cluster.local", "state": "absent"},
        {"name": "harbor.example.com", "username": "robot$pull", "password": "hunter2-new"},
    ],
    "tls": [{"name": "harbor.example.com", "ca": CA}],
    "hosts": [{"ip": "10.96.0.44", "state": "absent"}, {"ip": "10.96.7.9", "names": ["harbor.example.com"]}],
}
GONE: Json = {
    kind: [{"state": "absent", **{key: item[key] for key in ("name", "ip") if key in item}} for item in items]
    for kind, items in HTTPS.items()
}


def _program(name: str) -> Path:
    found = Path(os.environ.get("TALOS_PROGRAMS", build.BIN)) / name
    if not found.exists():
        build.build_all()
    return found


class Lab:
    """The nodes, and talosctl as the independent reader."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.talosconfig = folder / "talosconfig"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._generate("lab", ["a", "b"], "v1.13.0")
        self._generate("old", ["old"], "v1.11.0")
        for name in NODES:
            self.start(name)

    def _generate(self, cluster: str, names: list[str], version: str) -> None:
        nodes = [f"--node={name}={NODES[name]},{'worker' if name == 'b' else 'controlplane'}" for name in names]
        command = [_program("talos-node"), "gen", "--out", self.folder / cluster, "--cluster", cluster]
        rest = ["--endpoint", "https://127.8.0.2:6443", "--talosconfig", self.talosconfig, "--talos-version", version]
        subprocess.run([*command, *rest, *nodes], check=True, timeout=60)

    def start(self, name: str) -> None:
        made = self.folder / CONTEXTS[name]
        for part in ("root", "state"):
            (self.folder / name / part).mkdir(parents=True, exist_ok=True)
        command = [_program("talos-node"), "--name", name, "--address", NODES[name], "--os-ca", made]
        command += ["--root", self.folder / name / "root", "--state", self.folder / name / "state"]
        command += ["--config", made / f"{name}.yaml", "--talos-version", VERSIONS[name]]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection((NODES[name], 50000), timeout=1):
                return
            time.sleep(0.1)
        raise AssertionError((self.folder / f"{name}.log").read_text())

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(10)

    def reset(self, name: str) -> None:
        """As generated: configuration, and nothing told to fail."""
        (self.folder / name / "state" / "control.json").unlink(missing_ok=True)
        if self.processes[name].poll() is not None:
            shutil.rmtree(self.folder / name)
            self.start(name)
        self.ctl(name, "apply-config", "-f", str(self.original_file(name)), "--mode", "no-reboot")

    def original_file(self, name: str) -> Path:
        return self.folder / CONTEXTS[name] / f"{name}.yaml"

    def tell(self, name: str, point: str, **what: t.Any) -> None:
        (self.folder / name / "state" / "control.json").write_text(json.dumps({point: what}))

    def ctl(self, name: str, *command: str, stdin: str | None = None, check: bool = True) -> str:
        argv = [_program("talosctl"), *command, "--talosconfig", self.talosconfig]
        argv += ["--context", CONTEXTS[name], "--nodes", NODES[name]]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def read(self, name: str, path: str) -> str:
        return self.ctl(name, "read", path, check=False)

    def active(self, name: str) -> str:
        return self.ctl(name, "get", "mc", "v1alpha1", "-o", "jsonpath={.spec}").rstrip("\n")

    def persistent(self, name: str) -> str:
        return self.ctl(name, "get", "mc", "persistent", "-o", "jsonpath={.spec}").rstrip("\n")

    def options(self, name: str) -> Json:
        talosctl = str(_program("talosctl"))
        return {"talosconfig": str(self.talosconfig), "talosctl": talosctl, "talos_context": CONTEXTS[name]}

    def mirror(self, name: str, *, check: bool = False, **options: t.Any) -> Json:
        return call("talos_registry_mirror", check=check, **{"node": NODES[name], **self.options(name), **options})

    def survey(self, names: list[str], wanted: Json, **options: t.Any) -> Json:
        nodes = [NODES.get(name, name) for name in names]
        return call("talos_registry_survey", nodes=nodes, **{**wanted, **self.options("a"), **options})


def call(module: str, *, check: bool = False, **options: t.Any) -> Json:
    """What the module exits with; nothing it says may hold a password."""
    loaded = importlib.import_module(f"ansible_collections.splithorizon.registry.plugins.modules.{module}")
    printed = io.StringIO()
    arguments = {**options, "_ansible_check_mode": check, "_ansible_diff": True}
    with patch_module_args(arguments), contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        loaded.main()
    result: Json = json.loads(printed.getvalue().splitlines()[-1])
    result.pop("invocation", None)
    assert "hunter2" not in json.dumps(result)
    return result


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    try:
        yield lab
    finally:
        lab.stop()


@pytest.fixture
def lab(started: Lab) -> Lab:
    for name in NODES:
        started.reset(name)
    return started


HOSTS_TOML = "/etc/cri/conf.d/hosts/harbor.example.com/hosts.toml"


@pytest.mark.parametrize("mode", ["no-reboot", "try"])
@pytest.mark.parametrize("name", ["b", "old"])
def test_ladder(lab: Lab, name: str, mode: str) -> None:
    """Create, modify and delete, each predicted, done and done again."""
    seen: list[tuple[str, str]] = []
    for wanted in (HTTP, HTTPS, GONE):
        before = lab.active(name)
        predicted = lab.mirror(name, check=True, mode=mode, **wanted)
        assert predicted.get("changed"), predicted
        assert lab.active(name) == before
        done = lab.mirror(name, mode=mode, **wanted)
        assert done == predicted
        if mode == "try":
            assert lab.persistent(name) == before
            assert done["pending"] == "try_or_staged"
            confirmation = lab.mirror(name, check=True, confirm=True, **wanted)
            confirmed = lab.mirror(name, confirm=True, **wanted)
            assert confirmed == confirmation
            assert (confirmed["changed"], confirmed["diff"]) == (True, done["diff"])
        assert lab.persistent(name) == lab.active(name) != before
        for again in (True, False):
            repeated = lab.mirror(name, check=again, mode=mode, **wanted)
            assert (repeated["changed"], repeated["diff"], repeated["reasons"]) == (False, [], [])
        assert not lab.mirror(name, confirm=True, **wanted)["changed"]
        seen.append((lab.read(name, HOSTS_TOML), lab.read(name, "/etc/hosts")))
    layer = "documents" if name == "b" else "v1alpha1"
    assert (done["layer"], done["hosts_layer"], done["version"]) == (layer, layer, VERSIONS[name].removeprefix("v"))
    assert "[host.'http://harbor-core.default.svc.cluster.local']" in seen[0][0]
    assert "10.96.0.44 harbor-core.default.svc.cluster.local\n" in seen[0][1]
    assert "[host.'https://harbor.example.com']" in seen[1][0]
    assert "harbor.example.com-ca.crt" in seen[1][0]
    assert "10.96.7.9 harbor.example.com\n" in seen[1][1]
    assert "10.96.0.44" not in seen[1][1]
    assert seen[2][0] == ""
    assert "10.96" not in seen[2][1]
    assert lab.active(name) == lab.original_file(name).read_text().rstrip("\n")


def test_predicted_hosts_are_the_written_ones(lab: Lab) -> None:
    done = lab.mirror("b", **HTTPS)
    expected = {"path": HOSTS_TOML, "hosts": ["https://harbor.example.com"], "server": None}
    assert done["hosts_toml"] == {"harbor.example.com": expected}
    assert done["reboot_required"] is True


def test_a_try_is_taken_back_and_then_cannot_be_confirmed(lab: Lab) -> None:
    before = lab.active("b")
    assert lab.mirror("b", mode="try", try_timeout=2, **HTTPS)["changed"]
    assert lab.active("b") != before
    time.sleep(3)
    assert lab.active("b") == before
    refused = lab.mirror("b", confirm=True, **HTTPS)
    assert "there is nothing to confirm" in refused["msg"]
    assert lab.active("b") == before


def test_an_interrupted_try_is_begun_anew(lab: Lab) -> None:
    before = lab.active("b")
    lab.mirror("b", mode="try", try_timeout=4, **HTTPS)
    again = lab.mirror("b", mode="try", try_timeout=60, **HTTPS)
    assert (again["changed"], again["pending"]) == (True, "try_or_staged")
    time.sleep(5)  # the first one's time is over
    assert lab.active("b") != before
    assert lab.persistent("b") == before
    assert lab.mirror("b", confirm=True, **HTTPS)["changed"]
    assert lab.persistent("b") == lab.active("b")


def test_an_interrupted_try_is_made_permanent_without_trial(lab: Lab) -> None:
    lab.mirror("b", mode="try", try_timeout=60, **HTTPS)
    assert lab.mirror("b", **HTTPS)["changed"]
    assert lab.persistent("b") == lab.active("b")
    assert not lab.mirror("b", **HTTPS)["changed"]


def test_check_mode_leaves_a_try_armed(lab: Lab) -> None:
    before = lab.active("b")
    lab.mirror("b", mode="try", try_timeout=3, **HTTPS)
    assert lab.mirror("b", check=True, **HTTPS)["changed"]
    assert lab.mirror("b", check=True, confirm=True, **HTTPS)["changed"]
    assert "not the one on disk" in lab.mirror("b", check=True, **HTTP)["msg"]
    time.sleep(4)
    assert lab.active("b") == before


@pytest.mark.parametrize("mode", ["try", "staged"])
@pytest.mark.parametrize("wanted", [HTTPS, GONE])
def test_another_ones_pending_configuration_is_refused(lab: Lab, mode: str, wanted: Json) -> None:
    text = lab.active("b").replace("wipe: false", "wipe: true")
    lab.ctl("b", "apply-config", "-f", "/dev/stdin", "--mode", mode, stdin=text)
    before = lab.active("b"), lab.persistent("b")
    for options in ({}, {"mode": "try"}, {"confirm": True}, {"check": True}):
        refused = lab.mirror("b", **options, **wanted)
        assert "the configuration in use is not the one on disk" in refused["msg"], refused
    found = lab.survey(["b"], wanted)["nodes"][NODES["b"]]
    assert "not the one on disk" in found["error"]
    assert found["pending"] == "try_or_staged"
    assert (lab.active("b"), lab.persistent("b")) == before


def test_a_staged_removal_is_not_undone_by_confirm(lab: Lab) -> None:
    original = lab.active("b")
    lab.mirror("b", **HTTPS)
    time.sleep(1.1)  # times are in whole seconds
    lab.ctl("b", "apply-config", "-f", "/dev/stdin", "--mode", "staged", stdin=original)
    refused = lab.mirror("b", confirm=True, **HTTPS)
    assert "a staged one waits for the next reboot" in refused["msg"]
    assert lab.persistent("b") == original


def test_survey_asks_all_and_reports_each(lab: Lab) -> None:
    lab.mirror("a", **HTTPS)
    lab.mirror("b", mode="try", try_timeout=60, **HTTPS)
    found = lab.survey(["a", "b", UNREACHABLE], HTTPS, talos_timeout=5)
    assert found["changed"] is False
    nodes = found["nodes"]
    assert list(nodes) == [NODES["a"], NODES["b"], UNREACHABLE]
    assert (nodes[NODES["a"]]["differs"], nodes[NODES["a"]]["pending"], nodes[NODES["a"]]["error"]) == (
        False,
        "none",
        None,
    )
    assert (nodes[NODES["b"]]["differs"], nodes[NODES["b"]]["pending"]) == (True, "try_or_staged")
    assert nodes[UNREACHABLE]["differs"] is False
    assert f"node {UNREACHABLE}: the node cannot be reached" in nodes[UNREACHABLE]["error"]
    assert [diff["after_header"] for diff in found["diff"]] == [f"registry settings of node {NODES['b']}"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"talos_context": "lab-reader"}, "the credentials do not allow this"),
        ({"talos_context": "nope"}, "has the contexts: lab, lab-reader, old, old-reader"),
        ({"talos_context": "nope", "talos_endpoints": []}, "has the contexts: lab, lab-reader, old, old-reader"),
        ({"talosconfig": "/nowhere"}, "talosconfig: /nowhere is not there"),
        ({"talosctl": "/nowhere/talosctl"}, "cannot run /nowhere/talosctl"),
        ({"node": UNREACHABLE, "talos_timeout": 5}, "the node cannot be reached"),
        ({"talos_endpoints": [UNREACHABLE], "talos_timeout": 5}, "the node cannot be reached"),
        ({"talos_context": "old"}, "do not trust each other"),
        ({"node": "127.8.0.2,127.8.0.3"}, "is not a DNS name"),
        ({"try_timeout": 0}, "try_timeout: 0 is no number of seconds"),
        ({"mirrors": [{"name": "http://x", "endpoints": ["http://x"]}]}, "'http://x' has a scheme"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_input_is_one_error_before_any_change(lab: Lab, options: Json, said: str, check: bool) -> None:
    before = lab.active("b")
    refused = lab.mirror("b", check=check, **{**HTTPS, "talos_endpoints": [NODES["a"]], **options})
    assert refused.get("failed"), refused
    assert said in refused["msg"]
    assert lab.active("b") == before


def test_a_hanging_node_costs_its_time_only(lab: Lab) -> None:
    lab.tell("b", "before-read", action="hang")
    begun = time.monotonic()
    found = lab.survey(["a", "b"], HTTPS, talos_timeout=2)["nodes"]
    assert time.monotonic() - begun < 15
    assert found[NODES["a"]]["differs"] is True
    assert "no answer within 2 s" in found[NODES["b"]]["error"]


def test_a_refusing_node_is_told_and_left_alone(lab: Lab) -> None:
    before = lab.active("b")
    lab.tell("b", "before-apply", action="refuse", message="told to refuse")
    assert "told to refuse" in lab.mirror("b", **HTTPS)["msg"]
    assert lab.active("b") == before


def test_a_busy_node_is_asked_again(lab: Lab) -> None:
    busy = "another apply configuration is already in progress"
    lab.tell("b", "before-apply", action="refuse", code="FAILED_PRECONDITION", message=busy, times=2)
    assert lab.mirror("b", **HTTPS)["changed"]
    assert not lab.mirror("b", **HTTPS)["changed"]


def test_a_node_that_dies_after_storing_converges_when_it_is_back(lab: Lab) -> None:
    lab.tell("b", "after-persist", action="die", times=1)
    assert lab.mirror("b", talos_timeout=5, **HTTPS).get("failed")
    lab.processes["b"].wait(10)
    lab.start("b")
    assert lab.mirror("b", **HTTPS)["changed"] is False
    assert "[host.'https://harbor.example.com']" in lab.read("b", HOSTS_TOML)


def test_ad_hoc_through_ansible(lab: Lab) -> None:
    options = {"node": NODES["b"], **lab.options("b"), **HTTPS}
    ansible = Path(sys.executable).with_name("ansible")
    command = [ansible, "localhost", "-i", "localhost,", "-c", "local", "--diff", "-vvv"]
    command += ["-e", f"ansible_python_interpreter={sys.executable}"]
    command += ["-m", "splithorizon.registry.talos_registry_mirror", "-a", json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VALUE_HIDDEN" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    assert "hunter2" in lab.active("b")


def test_killed_at_any_moment_it_converges(lab: Lab) -> None:
    options = {"node": NODES["b"], **lab.options("b"), "mode": "try", "try_timeout": 60, **HTTPS}
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1]);"
        "from ansible.module_utils.testing import patch_module_args as p;"
        "from ansible_collections.splithorizon.registry.plugins.modules import talos_registry_mirror as m;\n"
        "with p(json.loads(sys.argv[2])): m.main()"
    )
    collections = str(Path(__file__).resolve().parents[2] / ".cache" / "collections")
    for moment in (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0):
        lab.reset("b")
        argv = [sys.executable, "-c", script, collections, json.dumps(options)]
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        tried = lab.mirror("b", mode="try", try_timeout=60, **HTTPS)
        assert tried.get("changed"), tried
        assert lab.mirror("b", confirm=True, **HTTPS)["changed"]
        assert not lab.mirror("b", **HTTPS)["changed"]
        assert lab.persistent("b") == lab.active("b")
