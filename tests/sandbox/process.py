# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs inside the sandbox: once and bounded in time (``run``), or for as long as it lives (``Part``)."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
import typing as t
from dataclasses import dataclass, field

from .paths import BIN

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["Failed", "Part", "Supervisor", "in_network", "run", "tail", "until"]

LOG_BYTES = 8 << 20
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
HEALTHY_SECONDS = 10.0
CHECK_SECONDS = 5.0


class Failed(Exception):
    """A program or a wait inside the sandbox failed; the message is all a reader needs."""


def in_network(network: str | None, argv: Sequence[str]) -> list[str]:
    """``argv`` as it runs in a named network namespace; ``None`` is the LAN, where the sandbox itself lives."""
    return [*argv] if network is None else ["nsenter", f"--net=/run/netns/{network}", "--", *argv]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A clean environment: nothing of the user's (proxies, KUBECONFIG) reaches a part."""
    system = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    return {"PATH": f"{BIN}:{system}", "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8", **(extra or {})}


def run(
    argv: Sequence[str],
    *,
    network: str | None = None,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 30.0,
) -> str:
    """Standard output of a program; ``Failed`` with its words when it fails or takes longer than ``timeout`` s."""
    command = in_network(network, argv)
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            env=environment(env),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(argv)}: no end after {timeout:.0f} s") from None
    except FileNotFoundError as exc:
        raise Failed(f"{exc.filename}: no such program") from exc
    if done.returncode:
        raise Failed(f"{' '.join(argv)}: exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def until(what: str, question: Callable[[], bool], *, timeout: float, pause: float = 0.1) -> None:
    """Ask until the answer is true; ``Failed`` names what did not come, and the last error, after ``timeout`` s."""
    end = time.monotonic() + timeout
    last = ""
    while True:
        try:
            if question():
                return
        except (Failed, OSError, ValueError, KeyError) as exc:
            last = f" ({exc})"
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {timeout:.0f} s{last}")
        time.sleep(pause)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, or nothing where there is none."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


@dataclass(frozen=True)
class Part:
    """A program that runs as long as the sandbox; ``name`` also names its log."""

    name: str
    argv: tuple[str, ...]
    network: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


class Supervisor:
    """Keeps parts running: a part that ends is started again, after a pause that grows while it keeps ending."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._watches: dict[str, _Watch] = {}
        logs.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self._bound_logs, name="logs", daemon=True).start()

    def start(self, part: Part) -> None:
        if part.name in self._watches:
            raise Failed(f"part {part.name} runs already")
        if not shutil.which(part.argv[0], path=environment()["PATH"]):
            raise Failed(f"part {part.name}: no program {part.argv[0]}")
        watch = _Watch(part, self.log(part.name))
        self._watches[part.name] = watch
        watch.start()

    def stop(self, name: str) -> None:
        """End a part for good (``start`` may bring it back)."""
        self._watches.pop(name).stop()

    def restart(self, name: str) -> None:
        """End a part and let it come back at once, as after a crash."""
        self._watches[name].kill()

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def report(self) -> dict[str, dict[str, int]]:
        return {name: {"pid": w.pid, "restarts": w.restarts} for name, w in sorted(self._watches.items())}

    def restarts(self, name: str) -> int:
        return self._watches[name].restarts

    def _bound_logs(self) -> None:
        while True:
            time.sleep(CHECK_SECONDS)
            for log in self._logs.glob("*.log"):
                if log.stat().st_size > LOG_BYTES:
                    shutil.copyfile(log, log.with_suffix(".log.1"))
                    os.truncate(log, 0)


class _Watch(threading.Thread):
    def __init__(self, part: Part, log: Path) -> None:
        super().__init__(name=part.name, daemon=True)
        self.restarts = 0
        self.pid = 0
        self._part = part
        self._log = log
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            begin = time.monotonic()
            code = self._once()
            if self._stopping.is_set():
                return
            pause = FIRST_PAUSE if time.monotonic() - begin > HEALTHY_SECONDS else min(pause * 2, LONGEST_PAUSE)
            self._note(f"{self._part.name} ended with {code}, again in {pause:.1f} s")
            self._stopping.wait(pause)
            self.restarts += 1

    def kill(self) -> None:
        if self._process:
            self._process.kill()

    def stop(self) -> None:
        self._stopping.set()
        self.kill()
        self.join(timeout=10)

    def _once(self) -> int:
        """One life of the program. Appending makes truncating a grown log safe while the program holds it."""
        with self._log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    in_network(self._part.network, self._part.argv),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment(self._part.env),
                    cwd=self._part.folder,
                )
            except OSError as exc:
                self._note(f"{self._part.name} does not start: {exc}")
                return -1
            self.pid = self._process.pid
            if self._stopping.is_set():  # told so before there was a process to kill
                self._process.kill()
            return self._process.wait()  # without a limit: Python would poll for one, twenty times a second

    def _note(self, text: str) -> None:
        with self._log.open("a") as log:
            log.write(f"sandbox: {text}\n")
