# SPDX-License-Identifier: GPL-3.0-or-later
"""Inside the sandbox: brings it up stage by stage, then keeps its parts running."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
import traceback
import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import yaml

from . import hints, lan, network, nodes, pki, workloads
from .cluster import Cluster, merge
from .loadbalancer import LoadBalancer
from .model import CLUSTERS, STAGES
from .paths import paths, write_secret
from .process import Failed, Supervisor

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .paths import Paths

__all__ = ["main"]

REPORT_SECONDS = 2.0


class Engine:
    """The running sandbox, seen from inside."""

    def __init__(self, places: Paths) -> None:
        self.paths = places
        self.supervisor = Supervisor(places.logs)
        self.clusters: list[Cluster] = []
        self._lock = threading.Lock()
        self._state: dict[str, t.Any] = {"ready": False, "stage": "", "error": ""}

    def bring_up(self, last: str) -> None:
        for stage in STAGES[: STAGES.index(last) + 1]:
            getattr(self, f"_{stage.replace('-', '_')}")()
            self.note(stage=stage)
        self.note(ready=True)

    def note(self, **changes: t.Any) -> None:
        """Change the state that those outside read, and write it anew as a whole."""
        with self._lock:
            self._state.update(changes)
            text = json.dumps({**self._state, "parts": self.supervisor.report()}, indent=2)
            partial = self.paths.state.with_suffix(".partial")
            partial.write_text(text)
            partial.rename(self.paths.state)

    def say(self, line: str) -> None:
        with self._lock, self.paths.progress.open("a") as out:
            out.write(f"{line}\n")

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self.say(f"{what:<44} {time.monotonic() - begin:6.1f} s")

    def each(self, what: str, action: Callable[[Cluster], None]) -> None:
        """Do something for all clusters side by side, with a line for each."""

        def one(cluster: Cluster) -> None:
            with self.step(f"{cluster.name}: {what}"):
                action(cluster)

        with ThreadPoolExecutor(len(self.clusters)) as pool:
            for future in [pool.submit(one, cluster) for cluster in self.clusters]:
                future.result()

    def _network(self) -> None:
        with self.step("network"):
            network.build()
            lan.point_resolver(self.paths)

    def _control_plane(self) -> None:
        with self.step("keys, certificates, LAN DNS"):
            public = pki.Authority("sandbox public CA")
            self.paths.ca.write_text(public.pair.certificate)
            self.clusters = [Cluster(model, self.paths, self.supervisor, public) for model in CLUSTERS]
            for cluster in self.clusters:
                cluster.prepare()
            configs = [yaml.safe_load(cluster.kubeconfig.read_text()) for cluster in self.clusters]
            write_secret(self.paths.kubeconfig, yaml.safe_dump(merge(configs)))
            lan.start(self.paths, self.supervisor)
        self.each("control plane", Cluster.start_control_plane)
        for cluster in self.clusters:
            LoadBalancer(cluster.model, cluster.api).start()

    def _nodes(self) -> None:
        self.each("machine configurations", nodes.generate)
        write_secret(self.paths.talosconfig, yaml.safe_dump(nodes.talosconfig(self.clusters)))
        self.each("nodes", nodes.start)

    def _workloads(self) -> None:
        self.each("workloads", workloads.seed)


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox.engine", description=__doc__)
    parser.add_argument("--until", choices=STAGES, default=STAGES[-1])
    engine = Engine(paths())
    try:
        engine.bring_up(parser.parse_args().until)
    except Failed as exc:
        engine.note(error="\n".join([str(exc), *hints.hints(engine.paths.logs)]))
        return 1
    except Exception:
        engine.note(error=f"the sandbox itself failed:\n{traceback.format_exc()}")
        return 1
    while True:
        time.sleep(REPORT_SECONDS)
        engine.note()


if __name__ == "__main__":
    sys.exit(main())
