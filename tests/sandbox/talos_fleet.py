# SPDX-License-Identifier: GPL-3.0-or-later
"""Many Talos nodes without a sandbox: one process plays them all on loopback addresses, each with its own version.

They have Talos's API, configuration and files, and no Kubernetes. Root is not needed.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .build import BIN, build_all

if t.TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Fleet", "FleetNode", "program", "subnet"]

PORT = 50000
GENERATE_SECONDS = 60
START_SECONDS = 60
STOP_SECONDS = 20


def program(name: str) -> Path:
    """One of the sandbox's programs, built where it is missing; TALOS_PROGRAMS names another folder of them."""
    found = Path(os.environ.get("TALOS_PROGRAMS", BIN)) / name
    if not found.exists():
        build_all()
    return found


def subnet() -> str:
    """Three numbers of a loopback network of this process's own: other checkouts may test at the same time."""
    return f"127.{8 + os.getpid() // 250 % 240}.{os.getpid() % 250}"


@dataclass(frozen=True, kw_only=True)
class FleetNode:
    name: str
    address: str
    cluster: str
    version: str
    folder: Path

    @property
    def root(self) -> Path:
        """The directory that is the node's ``/``."""
        return self.folder / "root"

    @property
    def state(self) -> Path:
        """The directory of ``control.json``, ``pulls.jsonl`` and so on: parts/talos/README.md."""
        return self.folder / "state"


class Fleet:
    """Nodes below ``folder``; ``talosconfig`` has a context for each cluster, and ``<cluster>-reader``."""

    def __init__(self, folder: Path, *, reboot_seconds: float = 0.2) -> None:
        self.folder = folder
        self.talosconfig = folder / "talosconfig"
        self.nodes: dict[str, FleetNode] = {}
        self._reboot_seconds = reboot_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def add(
        self,
        cluster: str,
        addresses: Sequence[str],
        *,
        versions: Sequence[str] = ("v1.13.0",),
        control_planes: int = 1,
        patches: Sequence[Path] = (),
    ) -> list[FleetNode]:
        """A cluster with secrets of its own; its first nodes are its control planes.

        Node by node they play ``versions``, of which the last one goes on; all configurations are of the first, with
        ``patches`` (strategic merge patches) in them.
        """
        played = [*versions, *[versions[-1]] * (len(addresses) - len(versions))]
        nodes = [
            FleetNode(
                name=f"{cluster}-{number}",
                address=address,
                cluster=cluster,
                version=version,
                folder=self.folder / "nodes" / f"{cluster}-{number}",
            )
            for number, (address, version) in enumerate(zip(addresses, played, strict=True), start=1)
        ]
        kinds = ["controlplane"] * control_planes + ["worker"] * (len(nodes) - control_planes)
        command = [
            program("talos-node"),
            "gen",
            f"--out={self.folder / cluster}",
            f"--cluster={cluster}",
            f"--endpoint=https://{addresses[0]}:6443",
            f"--talosconfig={self.talosconfig}",
            f"--talos-version={versions[0]}",
            *[f"--patch={patch}" for patch in patches],
            *[f"--node={node.name}={node.address},{kind}" for node, kind in zip(nodes, kinds, strict=True)],
        ]
        subprocess.run(command, check=True, timeout=GENERATE_SECONDS)
        self.nodes |= {node.name: node for node in nodes}
        return nodes

    def start(self) -> None:
        """Start all nodes; they die with this process."""
        described = self.folder / "fleet.json"
        described.write_text(json.dumps([self._options(node) for node in self.nodes.values()]))
        command = ["setpriv", "--pdeathsig", "KILL", "--", str(program("talos-node")), "fleet", str(described)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        for node in self.nodes.values():
            self._wait(node, end)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.folder / "fleet.log"

    def config(self, node: FleetNode) -> Path:
        """The machine configuration that it was generated with."""
        return self.folder / node.cluster / f"{node.name}.yaml"

    def _options(self, node: FleetNode) -> dict[str, t.Any]:
        return {
            "Name": node.name,
            "Address": node.address,
            "Root": str(node.root),
            "State": str(node.state),
            "Config": str(self.config(node)),
            "OSCA": str(self.folder / node.cluster),
            "Members": str(self.folder / node.cluster / "members.json"),
            "TalosVersion": node.version,
            "RebootTime": int(self._reboot_seconds * 1e9),
        }

    def _wait(self, node: FleetNode, end: float) -> None:
        while True:
            try:
                with socket.create_connection((node.address, PORT), timeout=1):
                    return
            except OSError:
                if time.monotonic() > end or self._process is None or self._process.poll() is not None:
                    raise RuntimeError(f"{node.name} does not start: {self.log.read_text()[-2000:]}") from None
                time.sleep(0.05)
