# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: which nodes run containerd with registry credentials of before.

Talos before 1.14 writes credentials to cri.toml at once, and containerd reads that at its start only: a node whose file
is younger than its containerd owes a reboot, whoever changed it and whenever.
"""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._node_readings import (
    CONTAINERD_FOLDER,
    CREDENTIALS_FILE,
    Files,
    credentials_wait,
    parse_containerd_starts,
    parse_files,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_version import FIRST_THAT_RELOADS_AUTH
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import Talosctl

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import Node

__all__ = ["ContainerdReader"]


class ContainerdReader(Talosctl):
    """Files and start times of many nodes' containerd; of each node, or why it cannot be read."""

    def files(
        self, names: Sequence[str], folder: str, *, now: datetime, below: bool = True
    ) -> dict[str, Files | RegistryError]:
        """What is in a folder, and ``below`` it; nothing where there is no such folder."""
        command = ["list", "--long", *(["--recurse"] if below else []), folder]
        found = self._ask(command, names, lambda stdout: parse_files(stdout, now=now))
        return {name: {} if _is_absent(value) else value for name, value in found.items()}

    def containerd_starts(self, names: Sequence[str]) -> dict[str, datetime | RegistryError]:
        """When containerd started last, or a little later: by the clock once the answer is there."""
        return self._ask(["service", "cri"], names, lambda out: parse_containerd_starts(out, now=datetime.now(tz=UTC)))

    def owed_reboots(self, nodes: Iterable[Node]) -> set[str]:
        """Those that owe a reboot; of a node that does not tell, nothing is known."""
        names = [node.name for node in nodes if node.version < FIRST_THAT_RELOADS_AUTH and not node.is_as_booted]
        if not names:
            return set()
        now = datetime.now(tz=UTC)
        with ThreadPoolExecutor(max_workers=2) as pool:
            listed = pool.submit(self.files, names, CONTAINERD_FOLDER, now=now, below=False)
            started = pool.submit(self.containerd_starts, names)
            files, starts = listed.result(), started.result()
        written = {
            name: found.get(CREDENTIALS_FILE) for name, found in files.items() if not isinstance(found, RegistryError)
        }
        since = {name: found for name, found in starts.items() if not isinstance(found, RegistryError)}
        return {name for name in names if credentials_wait(written.get(name), since.get(name))}


def _is_absent(found: Files | RegistryError) -> bool:
    return isinstance(found, RegistryError) and "no such file or directory" in found.problem
