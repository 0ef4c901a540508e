# SPDX-License-Identifier: GPL-3.0-or-later
"""The Talos modules against three Talos nodes of the sandbox on the loopback, read with talosctl and from their disks.

``a`` and ``b`` are Talos 1.13, ``old`` is 1.11 in a cluster of its own. Each test has a node as it was generated.
"""

from __future__ import annotations

import contextlib
import json
import math
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
import yaml
from certificate import CA

from integration import module_call
from sandbox import build
from sandbox.process import until

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.module_call import Json

# A loopback network of this process's own: the tests of another checkout may run at the same time.
SUBNET = f"127.{8 + os.getpid() // 250 % 240}.{os.getpid() % 250}"
NODES = {"a": f"{SUBNET}.2", "b": f"{SUBNET}.3", "old": f"{SUBNET}.4"}
CONTEXTS = {"a": "lab", "b": "lab", "old": "old"}
VERSIONS = {"a": "v1.13.0", "b": "v1.13.0", "old": "v1.11.6"}
UNREACHABLE = f"{SUBNET}.99"

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


class Configs(t.NamedTuple):
    """A node's configuration in use, and the one on its disk, which a reboot brings back."""

    active: str
    persistent: str


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
        self.touched: set[str] = set()
        self.patience = 0  # seconds of a try that is to end by itself: some calls long, however busy the machine is
        self._generate("lab", ["a", "b"], "v1.13.0")
        self._generate("old", ["old"], "v1.11.0")

    def start_all(self) -> None:
        for name in NODES:
            self.start(name)
        self.mirror("a", check=True, **HTTPS)
        begun = time.monotonic()
        self.mirror("b", check=True, **HTTPS)
        self.patience = max(2, math.ceil(8 * (time.monotonic() - begun)))

    def _generate(self, cluster: str, names: list[str], version: str) -> None:
        nodes = [f"--node={name}={NODES[name]},{'worker' if name == 'b' else 'controlplane'}" for name in names]
        command = [_program("talos-node"), "gen", "--out", self.folder / cluster, "--cluster", cluster]
        rest = [
            "--endpoint",
            f"https://{NODES['a']}:6443",
            "--talosconfig",
            self.talosconfig,
            "--talos-version",
            version,
        ]
        subprocess.run([*command, *rest, *nodes], check=True, timeout=60)

    def start(self, name: str) -> None:
        made = self.folder / CONTEXTS[name]
        for part in ("root", "state"):
            (self.folder / name / part).mkdir(parents=True, exist_ok=True)
        command = ["setpriv", "--pdeathsig", "KILL", "--", _program("talos-node")]
        command += ["--name", name, "--address", NODES[name], "--os-ca", made]
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

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(10)

    def reset(self, name: str) -> None:
        """As generated: configuration, and nothing told to fail."""
        self.touched.discard(name)
        (self.folder / name / "state" / "control.json").unlink(missing_ok=True)
        if self.processes[name].poll() is not None:
            shutil.rmtree(self.folder / name)
            self.start(name)
        self.ctl(name, "apply-config", "-f", str(self._generated(name)), "--mode", "no-reboot")

    def original(self, name: str) -> str:
        return self._generated(name).read_text().rstrip("\n")

    def _generated(self, name: str) -> Path:
        return self.folder / CONTEXTS[name] / f"{name}.yaml"

    def tell(self, name: str, point: str, **what: t.Any) -> None:
        self.touched.add(name)
        (self.folder / name / "state" / "control.json").write_text(json.dumps({point: what}))

    def apply(self, name: str, text: str, mode: str) -> None:
        self.touched.add(name)
        self.ctl(name, "apply-config", "-f", "/dev/stdin", "--mode", mode, stdin=text)

    def ctl(self, name: str, *command: str, stdin: str | None = None, check: bool = True) -> str:
        argv = [_program("talosctl"), *command, "--talosconfig", self.talosconfig]
        argv += ["--context", CONTEXTS[name], "--nodes", NODES[name]]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def file(self, name: str, path: str) -> str:
        """From the node's disk; empty where there is none."""
        found = self.folder / name / "root" / path.removeprefix("/")
        return found.read_text() if found.exists() else ""

    def configs(self, name: str) -> Configs:
        shown = self.ctl(name, "get", "mc", "-o", "yaml")
        found = {one["metadata"]["id"]: one["spec"] for one in yaml.load_all(shown, Loader=yaml.CSafeLoader)}
        return Configs(found["v1alpha1"].rstrip("\n"), found["persistent"].rstrip("\n"))

    def active(self, name: str) -> str:
        return self.configs(name).active

    def state(self, name: str) -> tuple[Configs, str, str]:
        return self.configs(name), self.file(name, HOSTS_TOML), self.file(name, "/etc/hosts")

    def options(self, name: str) -> Json:
        talosctl = str(_program("talosctl"))
        return {"talosconfig": str(self.talosconfig), "talosctl": talosctl, "talos_context": CONTEXTS[name]}

    def mirror(self, name: str, *, check: bool = False, **options: t.Any) -> Json:
        self.touched |= set() if check else {name}
        return call("talos_registry_mirror", check=check, **{"node": NODES[name], **self.options(name), **options})

    def survey(self, names: list[str], wanted: Json, **options: t.Any) -> Json:
        nodes = [NODES.get(name, name) for name in names]
        return call("talos_registry_survey", nodes=nodes, **{**wanted, **self.options("a"), **options})


def call(module: str, *, check: bool = False, **options: t.Any) -> Json:
    """What the module exits with; nothing it says may hold a password."""
    result = module_call.call(module, check=check, **options)
    assert "hunter2" not in json.dumps(result)
    return result


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    try:
        lab.start_all()
        yield lab
    finally:
        lab.stop()


@pytest.fixture
def lab(started: Lab) -> Lab:
    for name in sorted(started.touched):
        started.reset(name)
    return started


HOSTS_TOML = "/etc/cri/conf.d/hosts/harbor.example.com/hosts.toml"


@pytest.mark.parametrize(("name", "mode"), [("b", "try"), ("old", "no-reboot")])
def test_ladder(lab: Lab, name: str, mode: str) -> None:
    """Create, modify and delete, each predicted, done and done again; read after each step."""
    seen = []
    for wanted in (HTTP, HTTPS, GONE):
        before = lab.state(name)
        predicted = lab.mirror(name, check=True, mode=mode, **wanted)
        assert predicted.get("changed"), predicted
        assert lab.state(name) == before
        done = lab.mirror(name, mode=mode, **wanted)
        assert done == predicted
        if mode == "try":
            tried = lab.state(name)
            assert tried[0].persistent == before[0].persistent
            assert done["pending"] == "try_or_staged"
            confirmation = lab.mirror(name, check=True, confirm=True, **wanted)
            assert lab.state(name) == tried
            assert lab.mirror(name, confirm=True, **wanted) == confirmation
            assert (confirmation["changed"], confirmation["diff"]) == (True, done["diff"])
        after = lab.state(name)
        assert after[0].persistent == after[0].active != before[0].active
        for again in ({"check": True}, {}, {"confirm": True}):
            repeated = lab.mirror(name, **{"mode": mode, **again}, **wanted)
            assert (repeated["changed"], repeated["diff"], repeated["reasons"]) == (False, [], [])
            assert lab.state(name) == after
        seen.append(after[1:])
    layer = "documents" if name == "b" else "v1alpha1"
    assert (done["layer"], done["hosts_layer"], done["version"]) == (layer, layer, VERSIONS[name].removeprefix("v"))
    assert "[host.'http://harbor-core.default.svc.cluster.local']" in seen[0][0]
    assert ["10.96.0.44", "harbor-core.default.svc.cluster.local"] in _lines(seen[0][1])
    assert "[host.'https://harbor.example.com']" in seen[1][0]
    assert "harbor.example.com-ca.crt" in seen[1][0]
    assert ["10.96.7.9", "harbor.example.com"] in _lines(seen[1][1])
    assert "10.96.0.44" not in seen[1][1]
    assert seen[2][0] == ""
    assert "10.96" not in seen[2][1]
    assert lab.active(name) == lab.original(name)


def _lines(hosts: str) -> list[list[str]]:
    return [line.split() for line in hosts.splitlines()]


def test_predicted_hosts_are_the_written_ones(lab: Lab) -> None:
    done = lab.mirror("b", **HTTPS)
    expected = {"path": HOSTS_TOML, "hosts": ["https://harbor.example.com"], "server": None}
    assert done["hosts_toml"] == {"harbor.example.com": expected}
    assert done["reboot_required"] is True


def test_a_try_is_taken_back_and_then_cannot_be_confirmed(lab: Lab) -> None:
    """Also where it was looked at in between: a dry run of Talos would have ended its timer."""
    before = lab.configs("b")
    assert lab.mirror("b", mode="try", try_timeout=lab.patience, **HTTPS)["changed"]
    assert lab.mirror("b", check=True, confirm=True, **HTTPS)["changed"]
    assert "not the one on disk" in lab.mirror("b", check=True, **HTTP)["msg"]
    assert lab.configs("b") != before
    until("the try is taken back", lambda: lab.configs("b") == before, timeout=lab.patience + 5)
    refused = lab.mirror("b", confirm=True, **HTTPS)
    assert "there is nothing to confirm" in refused["msg"]
    assert lab.configs("b") == before


def test_an_interrupted_try_is_begun_anew(lab: Lab) -> None:
    before = lab.configs("b")
    lab.mirror("b", mode="try", try_timeout=lab.patience, **HTTPS)
    end = time.monotonic() + lab.patience
    again = lab.mirror("b", mode="try", try_timeout=300, **HTTPS)
    assert (again["changed"], again["pending"]) == (True, "try_or_staged")
    time.sleep(max(end - time.monotonic(), 0) + 0.5)  # the first one's time is over
    trying = lab.configs("b")
    assert (trying.persistent, trying.active == before.active) == (before.persistent, False)
    assert lab.mirror("b", confirm=True, **HTTPS)["changed"]
    assert lab.configs("b") == (trying.active, trying.active)


def test_an_interrupted_try_is_made_permanent_without_trial(lab: Lab) -> None:
    lab.mirror("b", mode="try", try_timeout=300, **HTTPS)
    assert lab.mirror("b", **HTTPS)["changed"]
    active, persistent = lab.configs("b")
    assert persistent == active != lab.original("b")
    assert not lab.mirror("b", **HTTPS)["changed"]


@pytest.mark.parametrize("mode", ["try", "staged"])
def test_another_ones_pending_configuration_is_refused(lab: Lab, mode: str) -> None:
    lab.apply("b", lab.original("b").replace("wipe: false", "wipe: true"), mode)
    before = lab.configs("b")
    assert before.active != before.persistent
    for wanted, options in ((HTTPS, {}), (GONE, {"mode": "try"}), (HTTPS, {"confirm": True}), (GONE, {"check": True})):
        refused = lab.mirror("b", **options, **wanted)
        assert "the configuration in use is not the one on disk" in refused["msg"], refused
    found = lab.survey(["b"], HTTPS)["nodes"][NODES["b"]]
    assert "not the one on disk" in found["error"]
    assert found["pending"] == "try_or_staged"
    assert lab.configs("b") == before


def test_a_staged_removal_is_not_undone_by_confirm(lab: Lab) -> None:
    lab.mirror("b", **HTTPS)
    time.sleep(1.1)  # times are in whole seconds
    lab.apply("b", lab.original("b"), "staged")
    refused = lab.mirror("b", confirm=True, **HTTPS)
    assert "a staged one waits for the next reboot" in refused["msg"]
    assert lab.configs("b").persistent == lab.original("b")


def test_survey_asks_all_and_reports_each(lab: Lab) -> None:
    lab.mirror("a", **HTTPS)
    lab.mirror("b", mode="try", try_timeout=300, **HTTPS)
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
        ({"node": f"{NODES['a']},{NODES['b']}"}, "is not a DNS name"),
        ({"try_timeout": 0}, "try_timeout: 0 is no number of seconds"),
        ({"mirrors": [{"name": "http://x", "endpoints": ["http://x"]}]}, "'http://x' has a scheme"),
    ],
)
def test_bad_input_is_one_error_before_any_change(lab: Lab, options: Json, said: str) -> None:
    for check in (True, False):
        refused = lab.mirror("b", check=check, **{**HTTPS, "talos_endpoints": [NODES["a"]], **options})
        assert refused.get("failed"), refused
        assert said in refused["msg"]
    assert lab.configs("b") == (lab.original("b"), lab.original("b"))
    lab.touched.clear()


def test_a_hanging_node_costs_its_time_only(lab: Lab) -> None:
    lab.tell("b", "before-read", action="hang")
    begun = time.monotonic()
    found = lab.survey(["a", "b"], HTTPS, talos_timeout=2)["nodes"]
    assert time.monotonic() - begun < 15
    assert found[NODES["a"]]["differs"] is True
    assert "no answer within 2 s" in found[NODES["b"]]["error"]


def test_a_refusing_node_is_told_and_left_alone(lab: Lab) -> None:
    lab.tell("b", "before-apply", action="refuse", message="told to refuse")
    assert "told to refuse" in lab.mirror("b", **HTTPS)["msg"]
    assert lab.active("b") == lab.original("b")


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
    assert "[host.'https://harbor.example.com']" in lab.file("b", HOSTS_TOML)


def test_ad_hoc_through_ansible(lab: Lab) -> None:
    options = {"node": NODES["b"], **lab.options("b"), **HTTPS}
    ansible = Path(sys.executable).with_name("ansible")
    command = [ansible, "localhost", "-i", "localhost,", "-c", "local", "--diff", "-vvv"]
    command += ["-e", f"ansible_python_interpreter={sys.executable}"]
    command += ["-m", "splithorizon.registry.talos_registry_mirror", "-a", json.dumps(options)]
    lab.touched.add("b")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VALUE_HIDDEN" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    assert "hunter2" in lab.active("b")


@pytest.mark.parametrize("point", ["before-read", "before-apply", "after-apply"])
def test_killed_while_it_waits_for_the_node_it_converges(lab: Lab, point: str) -> None:
    """``after-apply``: the node has tried it and could not say so any more."""
    lab.tell("b", point, action="hang")
    options = {"node": NODES["b"], **lab.options("b"), "mode": "try", "try_timeout": 300, **HTTPS}
    asked = json.dumps({"module": "talos_registry_mirror", **options}) + "\n"
    argv, pipe = [sys.executable, module_call.__file__], subprocess.PIPE
    logged = len(lab.log("b"))
    process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
    assert process.stdin and process.stdout
    process.stdin.write(asked)
    process.stdin.flush()
    until(f"it waits at {point}", lambda: f"told to hang at {point}\n" in lab.log("b")[logged:], timeout=60)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.stdout.read() == "", "it was not killed, it ended"
    process.wait()
    lab.tell("b", "nowhere")
    assert (lab.active("b") == lab.original("b")) is (point != "after-apply")
    assert lab.mirror("b", mode="try", try_timeout=300, **HTTPS).get("changed")
    assert lab.mirror("b", confirm=True, **HTTPS)["changed"]
    assert not lab.mirror("b", **HTTPS)["changed"]
    active, persistent = lab.configs("b")
    assert active == persistent != lab.original("b")
