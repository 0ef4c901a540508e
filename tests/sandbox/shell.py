# SPDX-License-Identifier: GPL-3.0-or-later
"""A command inside the sandbox: on its LAN, on a cluster's nodes, or where a pod stands."""

from __future__ import annotations

import os
import sys
import typing as t
from pathlib import Path

from .keeper import find
from .model import by_name
from .paths import BIN

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .keeper import Running
    from .paths import Paths

__all__ = ["command", "environment", "in_toolbox", "shell"]

PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy")

# Arguments: working directory, network namespace or "", resolv.conf or "", then the command.
# A caller outside has no id in here; another parent than 0 means that it was killed before setpriv could bind us to it.
ENTER = """
[ "$PPID" -eq 0 ] || exit 137
cd "$1" 2>/dev/null || cd /
network=$2 resolver=$3
shift 3
if [ -n "$resolver" ]; then mount --bind "$resolver" "$(realpath /etc/resolv.conf)"; fi
if [ -n "$network" ]; then exec nsenter --net="/run/netns/$network" -- "$@"; fi
exec "$@"
"""


def shell(places: Paths, argv: Sequence[str], *, cluster: str | None) -> t.NoReturn:
    """Become the command. It ends with its caller, even if that one is killed."""
    words = command(places, find(places), argv, cluster=cluster)
    sys.stdout.flush()
    os.execvpe(words[0], words, environment(places, os.environ))


def command(places: Paths, running: Running, argv: Sequence[str], *, cluster: str | None) -> list[str]:
    """The whole command line that enters the sandbox and runs ``argv`` there."""
    resolver = str(places.cluster(by_name(cluster).name) / "resolv.conf") if cluster else ""
    own = ["--user", "--preserve-credentials"] if running.rootless else []
    enter = ["nsenter", f"--target={running.init}", *own, "--net", "--mount", "--ipc", "--pid", "--"]
    private = ["unshare", "--mount", "--"] if resolver else []
    wrapped = ["sh", "-ec", ENTER, "sandbox", str(Path.cwd()), cluster or "", resolver, *argv]
    return [*enter, "setpriv", "--pdeathsig", "KILL", "--", *private, *wrapped]


def in_toolbox(cluster: str, argv: Sequence[str], *, terminal: bool) -> list[str]:
    """The command that runs ``argv`` in a cluster's toolbox pod."""
    interactive = ["--stdin", "--tty"] if terminal else ["--stdin"]
    return ["kubectl", f"--context={cluster}", "-n", "toolbox", "exec", *interactive, "toolbox", "--", *argv]


def environment(places: Paths, outside: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, pointed at the sandbox; proxies of the outside do not exist in there."""
    kept = {name: value for name, value in outside.items() if name.lower() not in PROXIES}
    path = f"{BIN}:{Path(sys.executable).parent}:{outside.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"
    pointers = {
        "KUBECONFIG": str(places.kubeconfig),
        "TALOSCONFIG": str(places.talosconfig),
        "SSL_CERT_FILE": str(places.ca),
    }
    return {**kept, **pointers, "PATH": path}
