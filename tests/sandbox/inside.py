# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands inside a running sandbox, for those outside: the demo, the tests, the benchmark."""

from __future__ import annotations

import os
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

from . import keeper
from .paths import ROOT, paths
from .shell import command, environment

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .paths import Paths

__all__ = ["INVENTORY", "Inside"]

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
INVENTORY = ROOT / "inventories" / "sandbox" / "hosts.yml"


@dataclass(frozen=True)
class Inside:
    """The sandbox that runs. ``cluster`` puts a command on that cluster's nodes, else it is on the LAN."""

    places: Paths

    @classmethod
    def attach(cls) -> Inside:
        places = paths()
        keeper.find(places)
        return cls(places)

    def argv(self, words: Sequence[str], *, cluster: str | None = None) -> list[str]:
        return command(self.places, keeper.find(self.places), words, cluster=cluster)

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**environment(self.places, os.environ), **(extra or {})}

    def run(
        self, *words: str, cluster: str | None = None, seconds: float = 60, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run to its end, at most ``seconds``; the exit code is the caller's to judge."""
        return subprocess.run(
            self.argv(words, cluster=cluster),
            env=self.environment(),
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def kubectl(self, cluster: str, *words: str, seconds: float = 30, stdin: str | None = None) -> str:
        """Standard output of kubectl in the cluster's context; an error where it fails."""
        done = self.run("kubectl", f"--context={cluster}", *words, seconds=seconds, stdin=stdin)
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def talosctl(self, cluster: str, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        return self.run("talosctl", "--context", cluster, *words, seconds=seconds)

    def from_pod(self, cluster: str, *words: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
        """A command where a pod stands."""
        exec_words = ("exec", "-n", "toolbox", "toolbox", "--")
        return self.run("kubectl", f"--context={cluster}", *exec_words, *words, seconds=seconds)

    def playbook_argv(self, playbook: str, *words: str) -> list[str]:
        """From outside, as a user calls it: the inventory's interpreter is what enters the sandbox."""
        return [str(PLAYBOOK), "-i", str(INVENTORY), str(ROOT / playbook), *words]

    def playbook(
        self, playbook: str, *words: str, seconds: float = 600, extra: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """``ansible-playbook`` on the sandbox's inventory, from the checkout; ``extra`` goes to its environment."""
        return subprocess.run(
            self.playbook_argv(playbook, *words),
            env=self.environment(
                {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0", **(extra or {})}
            ),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
