# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be on the machine: the commands of ``packages.txt``, installed when that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t
from pathlib import Path

from .process import Failed

if t.TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["missing", "provide"]

TABLE = Path(__file__).with_name("packages.txt")
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
APT_SECONDS = 600


def missing(table: str, found: Callable[[str], bool]) -> list[str]:
    """Packages of the table whose command is not there, in order, each once."""
    rows = [line.split("#", 1)[0].split() for line in table.splitlines()]
    return list(dict.fromkeys(row[1] for row in rows if row and not found(row[0])))


def provide() -> None:
    """Have all commands; as root with apt, install what is missing, else say what is to be installed."""
    wanted = missing(TABLE.read_text(), _found)
    if not wanted:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Failed(f"packages are missing: sudo apt-get install {' '.join(wanted)}")
    print(f"installing {' '.join(wanted)} ...", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *wanted]
    for command in (install, ["apt-get", "update", "-q"], install):
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=APT_SECONDS, check=False)
        if command is install and done.returncode == 0:
            return
    raise Failed(f"apt-get could not install {' '.join(wanted)}: {done.stderr.strip()[-500:]}")


def _found(command: str) -> bool:
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}") is not None
