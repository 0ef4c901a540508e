# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in the clusters, and the HTTP era they start from. ``seed`` puts it all in, in the order it needs."""

from __future__ import annotations

import functools
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ..helm_standin import HelmStandIn
from . import buildkit, check, coredns, crds, gateway, harbor, images, spegel, talos, toolbox

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ..api import Json
    from ..cluster import Cluster

__all__ = ["provide", "seed"]

Step = tuple[str, "Callable[[Cluster], None]"]

# Lines run side by side, the steps of a line one after the other.
LINES: tuple[tuple[Step, ...], ...] = (
    (("CRDs", crds.install), ("Envoy Gateway", gateway.controller), ("Gateway", gateway.publish)),
    (("CoreDNS", coredns.install), ("Harbor", harbor.install), ("images library/app", images.install)),
    # Spegel reads what Talos wrote when its pods start.
    (("Talos mirrors", talos.install), ("Spegel", spegel.install)),
    (("toolbox", toolbox.install), ("BuildKit", buildkit.install)),
)
LAST: tuple[Step, ...] = (("the HTTP era holds", check.era),)


def provide() -> None:
    """What has to be fetched before the sandbox's network closes around it."""
    crds.provide()


def seed(cluster: Cluster) -> None:
    """Fill a cluster whose nodes are ready; ``Failed`` says which step did not come to its end, and why."""
    HelmStandIn(cluster, functools.partial(_chart, cluster.name)).start()
    with ThreadPoolExecutor(len(LINES)) as pool:
        for future in [pool.submit(_line, cluster, line) for line in LINES]:
            future.result()
    _line(cluster, LAST)


def _chart(cluster: str, values: Json, *, namespace: str, release: str) -> list[Json]:
    """The chart of a HelmRelease: the sandbox knows two."""
    if "externalURL" in values:
        return harbor.chart(cluster, values, namespace=namespace, release=release)
    return spegel.render(values, namespace=namespace, release=release)


def _line(cluster: Cluster, steps: tuple[Step, ...]) -> None:
    for what, action in steps:
        begin = time.monotonic()
        action(cluster)
        with cluster.paths.progress.open("a") as out:
            out.write(f"{f'{cluster.name}: {what}':<44} {time.monotonic() - begin:6.1f} s\n")
