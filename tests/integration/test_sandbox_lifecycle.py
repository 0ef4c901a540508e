# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox ends as a whole, whoever is killed and when, and leaves nothing behind.

Only its network is started: the process tree, mounts and namespaces are the same ones, and a start takes half a second.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from sandbox import keeper
from sandbox.paths import TESTS, Paths
from sandbox.process import until

if t.TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare on this machine")

SECONDS = 60


class Sandbox:
    """One sandbox of a test's own, driven through its command line."""

    def __init__(self, home: Path) -> None:
        self.paths = Paths(home)
        self.environment = {**os.environ, "SANDBOX_HOME": str(home), "PYTHONPATH": str(TESTS)}

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "sandbox", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    def call(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        try:
            output, _ = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
        return process.returncode, output

    def up(self) -> keeper.Running:
        code, output = self.call("up", "--until", "network")
        assert code == 0, output
        return keeper.find(self.paths)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    made = Sandbox(tmp_path / "home")
    mounts = _mounts()
    links = _links()
    yield made
    keeper.stop(made.paths)
    assert _mounts() == mounts, "a mount was left behind"
    assert _links() == links, "a network device was left behind"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One for all the tests that leave it running; its user has a proxy."""
    made = Sandbox(tmp_path_factory.mktemp("running"))
    made.environment |= {"HTTPS_PROXY": "http://proxy.invalid:3128", "http_proxy": "http://proxy.invalid:3128"}
    made.up()
    yield made
    keeper.stop(made.paths)


def test_up_finds_the_running_one(running: Sandbox) -> None:
    first = keeper.find(running.paths)
    code, output = running.call("up", "--until", "network")
    assert (code, "was up already" in output) == (0, True)
    assert keeper.find(running.paths) == first


def test_up_wants_no_more_than_the_running_one_has(running: Sandbox) -> None:
    code, output = running.call("up", "--no-build", "--until", "nodes")
    assert code == 1
    assert "only up to stage network" in output


def test_two_starts_at_once_make_one_sandbox(sandbox: Sandbox) -> None:
    both = [sandbox.start("up", "--until", "network") for _ in range(2)]
    outputs = [process.communicate(timeout=SECONDS)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted("already" in output for output in outputs) == [False, True]


def test_down_twice(sandbox: Sandbox) -> None:
    inside = _inside(sandbox.up())
    assert sandbox.call("down") == (0, "the sandbox is down\n")
    assert not _alive(inside)
    assert sandbox.call("down") == (0, "no sandbox was running\n")
    assert sandbox.call("status")[0] == 1


def test_comes_up_again_after_down(sandbox: Sandbox) -> None:
    first = sandbox.up()
    sandbox.call("down")
    assert sandbox.up().init != first.init


@pytest.mark.parametrize("victim", ["init", "unshare", "engine"])
def test_killing_a_process_ends_all(sandbox: Sandbox, victim: str) -> None:
    running = sandbox.up()
    inside = _inside(running)
    family = {"init": running.init, "unshare": _parent(running.init), "engine": _children(running.init)[0]}
    os.kill(family[victim], signal.SIGKILL)
    _gone(sandbox, inside)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_start_that_is_ended_leaves_nothing(sandbox: Sandbox, tmp_path: Path, number: signal.Signals) -> None:
    """Four of them, ended one after the other while they start."""
    begun = [sandbox, *(Sandbox(tmp_path / f"home-{count}") for count in range(3))]
    starters = [one.start("up", "--until", "network", "--foreground") for one in begun]
    inside = []
    for one, starter in zip(begun, starters, strict=True):
        time.sleep(0.15)
        inside.append(_inside_or_none(one))
        starter.send_signal(number)
    for one, starter, processes in zip(begun, starters, inside, strict=True):
        starter.communicate(timeout=SECONDS)
        _gone(one, processes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_foreground_takes_it_along(sandbox: Sandbox, number: signal.Signals) -> None:
    holder = sandbox.start("up", "--until", "network", "--foreground")
    until("ready", lambda: bool(keeper.state(sandbox.paths).get("ready")), timeout=SECONDS)
    inside = _inside(keeper.find(sandbox.paths))
    holder.send_signal(number)
    holder.communicate(timeout=SECONDS)
    _gone(sandbox, inside)


def test_foreground_ends_with_the_sandbox(sandbox: Sandbox) -> None:
    holder = sandbox.start("up", "--until", "network", "--foreground")
    until("ready", lambda: bool(keeper.state(sandbox.paths).get("ready")), timeout=SECONDS)
    sandbox.call("down")
    holder.communicate(timeout=SECONDS)


def test_ends_by_itself_after_its_lifetime(sandbox: Sandbox) -> None:
    code, output = sandbox.call("up", "--until", "network", "--lifetime", "2s")
    assert code == 0 or "ended while it started" in output, output  # a start takes longer on a busy machine
    _gone(sandbox, _inside_or_none(sandbox))


def test_a_stage_that_fails_is_told_and_leaves_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    hidden = tmp_path / "bin"
    hidden.mkdir()
    (hidden / "nft").write_text("#!/bin/sh\necho no tables today >&2\nexit 1\n")
    (hidden / "nft").chmod(0o755)
    sandbox.environment["PATH"] = f"{hidden}:{os.environ['PATH']}"
    code, output = sandbox.call("up", "--until", "network")
    assert code == 1
    assert "nft -f -: exit code 1: no tables today" in output
    assert "Traceback" not in output
    _gone(sandbox, None)


def test_shell_runs_inside(running: Sandbox) -> None:
    assert "lan-alpha" in running.call("shell", "ip", "-br", "link")[1]
    beta = running.call("shell", "--cluster", "beta", "sh", "-c", "ip -br -4 addr; cat /etc/resolv.conf; exit 7")
    assert beta[0] == 7
    assert "192.168.1.98/24" in beta[1]
    assert "nameserver 192.168.1.1" in beta[1]
    assert "10.5.0.1" in running.call("shell", "cat", "/etc/resolv.conf")[1]


def test_what_a_killed_shell_ran_ends_too(running: Sandbox) -> None:
    found = keeper.find(running.paths)
    before = _inside_ids(found)
    shell = running.start("shell", "sleep", "1000")
    until("sleep runs", lambda: len(_inside_ids(found)) > len(before), timeout=SECONDS)
    shell.kill()
    shell.communicate(timeout=SECONDS)
    until("sleep ends", lambda: _inside_ids(found) == before, timeout=SECONDS)


def test_no_proxy_of_the_outside_inside(running: Sandbox) -> None:
    assert "proxy.invalid" not in running.call("shell", "env")[1]


def test_state_says_what_runs(running: Sandbox) -> None:
    state = json.loads(running.paths.state.read_text())
    assert (state["ready"], state["stage"], state["parts"]) == (True, "network", {})


def _gone(sandbox: Sandbox, inside: str | None) -> None:
    """Nobody holds the lock, and no process is left in the sandbox's process namespace."""
    until("the lock is free", lambda: not keeper.held(sandbox.paths), timeout=SECONDS)
    if inside:
        until("its processes are gone", lambda: not _alive(inside), timeout=SECONDS)


def _inside(running: keeper.Running) -> str:
    """Identity of the sandbox's process namespace."""
    return str(Path(f"/proc/{running.init}/ns/pid").readlink())


def _inside_or_none(sandbox: Sandbox) -> str | None:
    try:
        return _inside(keeper.find(sandbox.paths))
    except (keeper.Failed, OSError):
        return None


def _alive(inside: str) -> list[int]:
    """Ids of the processes in a process namespace, zombies aside: those have none any more."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "ns/pid").readlink()) == inside:
                found.append(int(process.name))
        except OSError:
            continue
    return found


def _inside_ids(running: keeper.Running) -> set[int]:
    return set(_alive(_inside(running)))


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _mounts() -> set[str]:
    return {line.split(" - ")[0].split(" ", 3)[3] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


def _links() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}
