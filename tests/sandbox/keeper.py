# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox from outside: start it, stop it, find it.

All of it is one process tree in namespaces of its own: ``unshare`` outside, process 1 (``init``) inside. Killing either
ends everything, since the kernel then ends the whole process namespace, and mounts, networks and addresses end with
the last process. A lock file that both hold open says whether a sandbox runs: it cannot be left behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import typing as t
from contextlib import suppress
from dataclasses import dataclass

from .init import RELEASE
from .paths import TESTS
from .process import Failed, tail

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .paths import Paths

__all__ = ["LIFETIME", "Running", "find", "start", "stop", "unshare", "up"]

LIFETIME = "4h"
START_SECONDS = 600.0
STOP_SECONDS = 15.0
UNITS = {"s": 1, "m": 60, "h": 3600}
REFUSED = (
    "this machine does not allow namespaces of our own ({error}). "
    "As an ordinary user allow user namespaces (sysctl kernel.unprivileged_userns_clone=1 and "
    "kernel.apparmor_restrict_unprivileged_userns=0, where they exist), or run as root"
)


@dataclass(frozen=True)
class Running:
    """A sandbox that runs: ids of ``unshare`` and of process 1, as seen from outside; ``rootless`` has a user ns."""

    unshare: int
    init: int
    rootless: bool


class Leash:
    """While held, the sandbox ends with this process. ``release`` lets it live on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.write(self._descriptor, RELEASE)
        os.close(self._descriptor)


def up(places: Paths, *, until: str, lifetime: str, say: Callable[[str], None]) -> Leash | None:
    """Start the sandbox and wait until it is ready; a sandbox that runs already is waited for instead.

    Returns the leash that holds a sandbox started here; ``None`` if it was there before.
    """
    leash = None
    lock = _lock(places)
    if lock is not None:
        leash = start(places, lock, until=until, lifetime=seconds(lifetime))
    try:
        follow(places, say)
    except BaseException:
        if leash:
            stop(places)
        raise
    return leash


def start(places: Paths, lock: int, *, until: str, lifetime: float) -> Leash:
    """Start the process tree, on a leash; ``lock`` is the descriptor that proves that there is none yet."""
    shutil.rmtree(places.run, ignore_errors=True)
    places.logs.mkdir(parents=True)
    places.progress.touch()
    ours, theirs = os.pipe()
    command = [*unshare(rootless=os.geteuid() != 0), sys.executable, "-m", "sandbox.init"]
    command += [f"--leash={ours}", f"--lifetime={lifetime}", f"--until={until}"]
    log = places.logs / "sandbox.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            pass_fds=(ours, lock),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    os.close(ours)
    os.close(lock)
    try:
        _remember(places, process, log)
    except BaseException:
        os.close(theirs)
        raise
    return Leash(theirs)


def unshare(*, rootless: bool) -> list[str]:
    """The command that makes the namespaces; ordinary users need a user namespace to own the others."""
    own = ["--user", "--map-root-user"] if rootless else []
    return ["unshare", *own, "--net", "--mount", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]


def follow(places: Paths, say: Callable[[str], None]) -> None:
    """Show the progress of a start until it is ready; ``Failed`` says why it is not going to be."""
    end = time.monotonic() + START_SECONDS
    shown = 0
    while time.monotonic() < end:
        alive = _held(places)
        lines = places.progress.read_text().splitlines() if places.progress.exists() else []
        for line in lines[shown:]:
            say(line)
        shown = len(lines)
        now = state(places)
        if now.get("error"):
            raise Failed(now["error"])
        if not alive:
            raise Failed(f"the sandbox ended while it started:\n{tail(places.logs / 'sandbox.log')}")
        if now.get("ready"):
            return
        time.sleep(0.05)
    raise Failed(f"the sandbox is not ready after {START_SECONDS:.0f} s: see {places.logs}")


def stop(places: Paths) -> bool:
    """End the sandbox, if there is one, and wait until nothing of it is left; whether there was one."""
    if not _held(places):
        return False
    try:
        running = find(places)
    except Failed:
        # Between its first lock and its first note; its starter is about to note its ids, or to die with it.
        time.sleep(1)
        running = find(places)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in (running.init, running.unshare):
            _kill(pid, number)
        end = time.monotonic() + STOP_SECONDS
        while time.monotonic() < end:
            if not _held(places) and not _exists(running.init):
                return True
            time.sleep(0.02)
    raise Failed(f"process {running.init} of the sandbox does not end")


def find(places: Paths) -> Running:
    """The running sandbox; ``Failed`` if there is none."""
    if not _held(places):
        raise Failed("no sandbox is running: start one with `make sandbox`")
    try:
        return Running(**json.loads(places.keeper.read_text()))
    except (OSError, ValueError, TypeError):
        raise Failed("the sandbox is only just starting: try again") from None


def state(places: Paths) -> dict[str, t.Any]:
    """What the engine last said about itself: stage, ready, error, parts."""
    try:
        return t.cast("dict[str, t.Any]", json.loads(places.state.read_text()))
    except (OSError, ValueError):
        return {}


def seconds(text: str) -> float:
    """``90``, ``90s``, ``15m`` or ``4h`` in seconds."""
    number, unit = (text[:-1], UNITS[text[-1]]) if text[-1:] in UNITS else (text, 1)
    try:
        return float(number) * unit
    except ValueError:
        raise Failed(f"{text!r} is no duration: write 90s, 15m or 4h") from None


def _lock(places: Paths) -> int | None:
    """Take the lock of a sandbox that does not run, as an open descriptor; ``None`` if one runs."""
    places.home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _held(places: Paths) -> bool:
    descriptor = _lock(places)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def _remember(places: Paths, process: subprocess.Popen[bytes], log: Path) -> None:
    """Note the ids of the tree; process 1 is the one child that ``unshare`` has."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Failed(REFUSED.format(error=tail(log) or f"unshare ended with {process.returncode}"))
        children = _children(process.pid)
        if children:
            ids = {"unshare": process.pid, "init": children[0], "rootless": os.geteuid() != 0}
            places.keeper.write_text(json.dumps(ids))
            return
        time.sleep(0.01)
    process.kill()
    raise Failed("unshare does not get anywhere")


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as children:  # noqa: PTH123 (no file on disk)
            return [int(child) for child in children.read().split()]
    except OSError:
        return []


def _environment() -> dict[str, str]:
    """What process 1 gets: paths and Python's own settings, nothing else of the caller's."""
    kept = ("PATH", "HOME", "LANG", "SANDBOX_HOME", "VIRTUAL_ENV")
    system = "/usr/sbin:/usr/bin:/sbin:/bin"
    inherited = {name: os.environ[name] for name in kept if name in os.environ}
    return {**inherited, "PATH": f"{os.environ.get('PATH', '')}:{system}", "PYTHONPATH": str(TESTS)}


def _kill(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
