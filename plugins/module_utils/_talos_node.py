# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: what a rollout asks of a Talos node beside its configuration, through the talosctl program."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import NotReady, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_health import Service, parse_services
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import Talosctl

if t.TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TalosNode", "parse_listing"]


class TalosNode(Talosctl):
    """Services, directories and reboots of nodes. Nothing here but ``reboot`` ends a pending ``try``."""

    def services(self, name: str) -> dict[str, Service]:
        """Talos's services of one node."""
        return parse_services(self._asked(["service"], name, self.access.talos_timeout))

    def directory(self, names: Sequence[str], path: str) -> dict[str, set[str] | RegistryError]:
        """What a directory holds on each node, by one process for all of them."""
        return self._ask(["list", path], names, parse_listing)

    def reboot(self, name: str, *, seconds: int) -> None:
        """Reboot a node and wait until its API answers again with another boot; NotReady where that takes longer."""
        argv = ["reboot", "--wait", "--timeout", f"{seconds}s"]
        # talosctl ends by itself; what it does not end itself is ended a little later.
        answer = self._run(self.argv(*argv, nodes=[name]), None, seconds + self.access.talos_timeout)
        if answer.returncode == 0:
            return
        if answer.returncode is None or "deadline exceeded" in answer.stderr.lower():
            cure = "Look at its console; uncordon it when it is up, and run again"
            raise NotReady(f"not up again within {seconds} s of its reboot", where=f"node {name}", cure=cure)
        raise self._error(answer, name)

    def _asked(self, command: Sequence[str], name: str, seconds: float) -> str:
        answer = self._run(self.argv(*command, nodes=[name]), None, seconds)
        if answer.returncode != 0:
            raise self._error(answer, name)
        return answer.stdout


def parse_listing(stdout: str) -> dict[str, set[str]]:
    """`talosctl list` of one or many nodes (``NODE NAME``) → node: names in the directory, itself (``.``) left out."""
    result: dict[str, set[str]] = {}
    for line in stdout.splitlines():
        node, _space, name = line.partition(" ")
        if node and node != "NODE":
            result.setdefault(node, set()).update({name.strip()} - {".", ""})
    return result
