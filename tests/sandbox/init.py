# SPDX-License-Identifier: GPL-3.0-or-later
"""Process 1 of the sandbox: when it ends, for whatever reason, the kernel ends everything else inside.

It does three things only: start the engine, reap orphans, and end when its time has come. That is when the engine
ends, on SIGTERM, after ``--lifetime`` seconds, or when the ``--leash`` breaks: a pipe whose other end the caller holds,
and which closes with the caller however that one dies. A byte through it lets the sandbox off the leash.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
import time
import typing as t

__all__ = ["RELEASE", "main"]

RELEASE = b"r"
LONGEST_WAIT = 60.0


def main() -> int:
    options = _options()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    ended: list[str] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: ended.append(signal.Signals(number).name))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _private_run()
    engine = subprocess.Popen([sys.executable, "-m", "sandbox.engine", "--until", options.until])
    end = time.monotonic() + options.lifetime
    leash: int | None = options.leash
    while time.monotonic() < end and not ended:
        waiting = [wake_read] if leash is None else [wake_read, leash]
        ready = select.select(waiting, [], [], min(end - time.monotonic(), LONGEST_WAIT))[0]
        if wake_read in ready:
            os.read(wake_read, 4096)
        if leash is not None and leash in ready:
            if os.read(leash, 1) != RELEASE:
                return 0
            leash = None
        if _reap(engine.pid):
            return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sandbox.init", description=__doc__)
    parser.add_argument("--leash", type=int, required=True, help="file descriptor")
    parser.add_argument("--lifetime", type=float, required=True, help="seconds")
    parser.add_argument("--until", required=True, help="the last stage to start")
    return parser.parse_args()


def _private_run() -> None:
    """A /run of our own: names of network namespaces and sockets live there and vanish with us."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "sandbox", "/run"], check=True, timeout=10)


def _reap(engine: int) -> bool:
    """Collect children that have ended; whether the engine was among them."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid == engine:
            return True
        if pid == 0:
            return False


def _exit(code: int) -> t.NoReturn:
    # Not sys.exit: nothing may wait for threads or for the engine here, the kernel ends them.
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    _exit(main())
