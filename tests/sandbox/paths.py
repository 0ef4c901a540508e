# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the sandbox keeps its files. ``SANDBOX_HOME`` moves them, so that several sandboxes can run side by side."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BIN", "ROOT", "TESTS", "Paths", "paths", "write_secret"]

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
BIN = ROOT / ".cache" / "sandbox" / "bin"


@dataclass(frozen=True)
class Paths:
    """All places of one sandbox. ``run`` is wiped at every fresh start; what people look at lies beside it."""

    home: Path

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def logs(self) -> Path:
        return self.run / "logs"

    @property
    def state(self) -> Path:
        return self.run / "state.json"

    @property
    def progress(self) -> Path:
        """The lines that ``up`` shows; written inside, followed outside."""
        return self.run / "progress"

    @property
    def keeper(self) -> Path:
        """Process ids as seen from outside."""
        return self.run / "keeper.json"

    @property
    def lock(self) -> Path:
        """Held by the sandbox's first processes for as long as they live, whoever kills them and how."""
        return self.home / "lock"

    @property
    def kubeconfig(self) -> Path:
        return self.home / "kubeconfig"

    @property
    def talosconfig(self) -> Path:
        return self.home / "talosconfig"

    @property
    def python(self) -> Path:
        """A Python that runs inside."""
        return self.home / "python"

    @property
    def ca(self) -> Path:
        """Certificate of the authority that signs harbor.example.com, in PEM."""
        return self.home / "ca.crt"

    def cluster(self, name: str) -> Path:
        return self.run / name

    def node(self, cluster: str, name: str) -> Path:
        return self.run / cluster / name


def paths() -> Paths:
    home = os.environ.get("SANDBOX_HOME")
    return Paths(Path(home).resolve() if home else ROOT / ".cache" / "sandbox")


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, also while it is being written."""
    path.touch(mode=0o600)
    path.write_text(text)
