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
import struct
import subprocess
import sys
import time
import typing as t
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .init import RELEASE
from .model import STAGES
from .paths import TESTS
from .process import Failed, tail

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from .paths import Paths

__all__ = ["LIFETIME", "Failed", "Running", "find", "held", "rootless", "start", "stop", "unshare", "up", "wait"]

LIFETIME = "4h"
START_SECONDS = 600.0
STOP_SECONDS = 15.0
CAP_SYS_ADMIN = 1 << 21
FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, process
UNITS = {"s": 1, "m": 60, "h": 3600}
REFUSED = (
    "this machine does not allow namespaces of our own ({error}). "
    "As an ordinary user allow user namespaces (sysctl kernel.unprivileged_userns_clone=1 and "
    "kernel.apparmor_restrict_unprivileged_userns=0, where they exist), or run as root"
)


@dataclass(frozen=True)
class Running:
    """A sandbox that runs. ``init`` is the id of its process 1 as seen from outside, ``born`` when that was started
    (in the kernel's ticks: the same id may be given to another process later); ``rootless`` has a user namespace.
    """

    init: int
    born: int
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
        stage = follow(places, say)["stage"]
        if STAGES.index(stage) < STAGES.index(until):
            raise Failed(f"the sandbox that runs was started only up to stage {stage}: `make sandbox-down` first")
    except BaseException:
        if leash:
            stop(places)
        raise
    return leash


def start(places: Paths, lock: int, *, until: str, lifetime: float) -> Leash:
    """Start the process tree, on a leash; ``lock`` is the descriptor that proves that there is none yet."""
    shutil.rmtree(places.run, ignore_errors=True)
    for left in (places.kubeconfig, places.talosconfig, places.ca):
        left.unlink(missing_ok=True)
    places.logs.mkdir(parents=True)
    places.progress.touch()
    ours, theirs = os.pipe()
    command = [*unshare(rootless=rootless()), sys.executable, "-m", "sandbox.init"]
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


def rootless() -> bool:
    """Whether we lack the right to make namespaces: as an ordinary user, and as root of most containers."""
    status = Path("/proc/self/status").read_text()
    effective = int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)
    return not effective & CAP_SYS_ADMIN


def unshare(*, rootless: bool) -> list[str]:
    """The command that makes the namespaces; ordinary users need a user namespace to own the others."""
    own = ["--user", "--map-root-user"] if rootless else []
    return ["unshare", *own, "--net", "--mount", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]


def follow(places: Paths, say: Callable[[str], None]) -> dict[str, t.Any]:
    """Show the progress of a start until it is ready; its state then. ``Failed`` says why it will not be ready."""
    end = time.monotonic() + START_SECONDS
    shown = 0
    while time.monotonic() < end:
        alive = held(places)
        lines, now = _news(places)
        for line in lines[shown:]:
            say(line)
        shown = len(lines)
        if now.get("error"):
            raise Failed(now["error"])
        if not alive:
            log = tail(places.logs / "sandbox.log")
            raise Failed(state(places).get("error") or f"the sandbox ended while it started:\n{log}")
        if now.get("ready"):
            return now
        time.sleep(0.05)
    raise Failed(f"the sandbox is not ready after {START_SECONDS:.0f} s: see {places.logs}")


def _news(places: Paths) -> tuple[list[str], dict[str, t.Any]]:
    """Progress and state of the sandbox that runs now, not of one before whose files are still there."""
    if _noted(places) is None:
        return [], {}
    return places.progress.read_text().splitlines(), state(places)


def stop(places: Paths) -> bool:
    """End the sandbox, if there is one, and wait until nothing of it is left; whether there was one."""
    end = time.monotonic() + STOP_SECONDS
    killing = end - STOP_SECONDS / 2
    was = False
    while time.monotonic() < end:
        # Asked anew each time: a sandbox that is only just starting has not noted its ids yet.
        running = _noted(places)
        if not held(places) and not running:
            return was
        was = True
        if running:
            number = signal.SIGTERM if time.monotonic() < killing else signal.SIGKILL
            with suppress(ProcessLookupError):
                os.kill(running.init, number)
        time.sleep(0.02)
    raise Failed(f"the sandbox in {places.home} does not end")


def wait(places: Paths) -> None:
    """Return when no sandbox runs any more."""
    while held(places):
        time.sleep(0.2)


def find(places: Paths) -> Running:
    """The running sandbox; ``Failed`` if there is none."""
    running = _noted(places)
    if running:
        return running
    if held(places):
        raise Failed("the sandbox is only just starting: try again")
    raise Failed("no sandbox is running: start one with `make sandbox`")


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


def _open_lock(places: Paths) -> int:
    try:
        places.home.mkdir(parents=True, exist_ok=True)
        return os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as exc:
        raise Failed(
            f"{exc.filename} belongs to another user: use a checkout of your own, or set SANDBOX_HOME"
        ) from exc


def _lock(places: Paths) -> int | None:
    """Take the lock of a sandbox that does not run, as an open descriptor; ``None`` if one runs."""
    descriptor = _open_lock(places)
    try:
        # A lock of the open file, so that the processes that inherit it hold it too.
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def held(places: Paths) -> bool:
    """Whether a sandbox runs; asking takes no lock, so that it cannot be mistaken for one."""
    descriptor = _open_lock(places)
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
    finally:
        os.close(descriptor)
    return bool(struct.unpack(FLOCK, answer)[0] != fcntl.F_UNLCK)


def _whole_file(kind: int) -> bytes:
    return struct.pack(FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def _remember(places: Paths, process: subprocess.Popen[bytes], log: Path) -> None:
    """Note process 1: the one child that ``unshare`` has."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Failed(REFUSED.format(error=tail(log) or f"unshare ended with {process.returncode}"))
        for child in _children(process.pid):
            running = Running(child, _born(child), rootless())
            partial = places.keeper.with_suffix(".partial")
            partial.write_text(json.dumps(asdict(running)))
            partial.rename(places.keeper)
            return
        time.sleep(0.01)
    process.kill()
    raise Failed("unshare does not get anywhere")


def _noted(places: Paths) -> Running | None:
    """The sandbox that was noted last, if it still lives."""
    try:
        running = Running(**json.loads(places.keeper.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return running if running.born == _born(running.init) != 0 else None


def _born(pid: int) -> int:
    """When a process was started, in ticks since boot; 0 if there is no such process any more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _environment() -> dict[str, str]:
    """What process 1 gets: paths and Python's own settings, nothing else of the caller's."""
    kept = ("PATH", "HOME", "LANG", "SANDBOX_HOME", "VIRTUAL_ENV")
    system = "/usr/sbin:/usr/bin:/sbin:/bin"
    inherited = {name: os.environ[name] for name in kept if name in os.environ}
    return {**inherited, "PATH": f"{os.environ.get('PATH', '')}:{system}", "PYTHONPATH": str(TESTS)}
