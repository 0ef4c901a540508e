# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's part of the module rollout_lock: who this run is, and whether another one of this machine lives."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.splithorizon.registry.plugins.module_utils._rollout_lock import Holder

__all__ = ["ActionModule", "is_alive", "this_run"]

Json = dict[str, t.Any]

MODULE = "splithorizon.registry.rollout_lock"
POLL_SECONDS = 2.0


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Tries until the lease is this run's, or until the time to wait is over."""

    _requires_connection = True

    def run(self, tmp: t.Any = None, task_vars: Json | None = None) -> Json:
        del tmp
        super().run(task_vars=task_vars)
        if self._task.check_mode:
            return {"changed": False, "held": False}
        me = this_run(os.getppid())  # tasks run in a child of ansible-playbook
        arguments = {**self._task.args, "holder": str(me)}
        end = time.monotonic() + int(self._task.args.get("wait", 60))
        while True:
            found = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
            if found.get("failed") or found["held"] or self._task.args.get("state") == "released":
                return t.cast("Json", found)
            other = Holder.parse(found["holder"])
            if other and other.is_of_the_same_machine_as(me) and not is_alive(other):
                arguments["dead"] = found["holder"]  # nobody else may have taken it meanwhile
                continue
            if time.monotonic() >= end:
                raise AnsibleActionFail(refusal(found, other))
            time.sleep(POLL_SECONDS)


def refusal(found: Json, other: Holder | None) -> str:
    who = f"process {other.pid} on host {other.host}" if other else found["holder"] or "somebody else"
    return (
        f"another run changes this cluster's nodes: {who}, since {found['since']}. Wait until it has ended, then run "
        f"again; should its host be gone, its lease is good until {found['until']}"
    )


def this_run(pid: int) -> Holder:
    """The identity of a process of this machine."""
    boot = _text("/proc/sys/kernel/random/boot_id").strip()
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink()).replace("/", "_")
    except OSError:
        namespace = ""
    return Holder(socket.gethostname().replace("/", "_"), boot, namespace, pid, _started(pid))


def is_alive(holder: Holder) -> bool:
    """Whether a process of this machine still is the one that it was."""
    return bool(holder.started) and _started(holder.pid) == holder.started


def _started(pid: int) -> str:
    """When a process began, in ticks since the boot, or as ps writes it where there is no /proc; empty: it is gone."""
    if Path("/proc/self/stat").exists():
        fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
        return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""  # noqa: PLR2004
    asked = ["ps", "-o", "lstart=", "-p", str(pid)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    return "_".join(done.stdout.split())


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
