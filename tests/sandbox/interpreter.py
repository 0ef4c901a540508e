# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python that runs inside the sandbox, for ``ansible_python_interpreter``: modules then see the sandbox's network.

So ``ansible-playbook -i inventories/sandbox`` and Molecule work from outside as they do on any site. It is a shell
script with the sandbox's process ids in it, not a program that finds them: it is started for every module.
"""

from __future__ import annotations

import os
import shlex
import sys
import typing as t

from . import keeper
from .shell import PROXIES, command, environment

if t.TYPE_CHECKING:
    from .keeper import Running
    from .paths import Paths

__all__ = ["provide"]

SCRIPT = """\
#!/bin/sh
# Python inside the sandbox that was started last (tests/sandbox/interpreter.py).
case "$(cat /proc/{running.init}/stat 2>/dev/null)" in
*" {running.born} "*) ;;
*) echo 'no sandbox is running: start one with `make sandbox`' >&2; exit 1 ;;
esac
unset {proxies}
export {pointers}
exec {enter} "$@"
"""


def provide(places: Paths) -> None:
    """Write it for the sandbox that runs."""
    partial = places.python.with_suffix(".partial")
    partial.write_text(_script(places, keeper.find(places)))
    partial.chmod(0o755)
    partial.rename(places.python)


def _script(places: Paths, running: Running) -> str:
    pointers = environment(places, {"PATH": os.environ.get("PATH", "")})
    return SCRIPT.format(
        running=running,
        proxies=" ".join(f"{name} {name.upper()}" for name in PROXIES),
        pointers=" ".join(f"{name}={shlex.quote(value)}" for name, value in pointers.items()),
        enter=shlex.join(command(places, running, [sys.executable], cluster=None)),
    )
