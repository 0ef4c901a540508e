# SPDX-License-Identifier: GPL-3.0-or-later
"""That the HTTP era holds: what the migration has to find, seen from a pod, from the nodes and from outside."""

from __future__ import annotations

import typing as t

from ..model import REGISTRY_NAME
from ..process import Failed, run
from . import talos, toolbox
from .era import ERAS

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ..cluster import Cluster
    from ..model import NodeModel

__all__ = ["era"]

CURL = ("curl", "-sS", "-o", "/dev/null", "--connect-timeout", "2", "--max-time", "5", "-D", "-")
PULL_SECONDS = 60


def era(cluster: Cluster) -> None:
    """``Failed`` with everything that does not hold."""
    checks: dict[str, Callable[[Cluster], None]] = {
        "a pod reaches Harbor by its internal name": _internal_from_pod,
        "a pod does not reach the public name": _public_from_pod,
        "the LAN and the nodes reach the public name over TLS": _public_from_outside,
        "the gateway answers over http as well": _gateway_http,
        "every node pulls the image, by Talos and by the kubelet": _pulls,
    }
    wrong = []
    for what, check in checks.items():
        try:
            check(cluster)
        except Failed as exc:
            wrong.append(f"{what}: {exc}")
    if wrong:
        raise Failed(f"{cluster.name}: the HTTP era does not hold:\n" + "\n".join(wrong))


def _internal_from_pod(cluster: Cluster) -> None:
    name = ERAS[cluster.name].internal
    _realm(toolbox.run(cluster, *CURL, f"http://{name}/v2/"), f"http://{name}")


def _public_from_pod(cluster: Cluster) -> None:
    try:
        answer = toolbox.run(cluster, *CURL, f"https://{REGISTRY_NAME}/v2/")
    except Failed:
        return
    raise Failed(f"it does: {answer}")


def _public_from_outside(cluster: Cluster) -> None:
    scheme = ERAS[cluster.name].external_url.partition("://")[0]
    pinned = ("--resolve", f"{REGISTRY_NAME}:443:{cluster.model.gateway_address}", "--cacert", str(cluster.paths.ca))
    for network in (None, cluster.name):
        answer = run([*CURL, *pinned, f"https://{REGISTRY_NAME}/v2/"], network=network)
        _realm(answer, f"{scheme}://{REGISTRY_NAME}")


def _gateway_http(cluster: Cluster) -> None:
    scheme = ERAS[cluster.name].external_url.partition("://")[0]
    pinned = ("--resolve", f"{REGISTRY_NAME}:80:{cluster.model.gateway_address}")
    _realm(run([*CURL, *pinned, f"http://{REGISTRY_NAME}/v2/"]), f"{scheme}://{REGISTRY_NAME}")


def _pulls(cluster: Cluster) -> None:
    image = ERAS[cluster.name].image
    for node in cluster.model.nodes:
        talos.talosctl(cluster, "-n", node.address, "image", "pull", image, timeout=PULL_SECONDS)
        _pod(cluster, node, image)


def _pod(cluster: Cluster, node: NodeModel, image: str) -> None:
    """A pod that has to pull; it is taken away again."""
    name = f"pull-{node.name}"
    container = {"name": "app", "image": image, "imagePullPolicy": "Always"}
    spec = {"nodeName": node.name, "containers": [container], "terminationGracePeriodSeconds": 0}
    metadata = {"name": name, "namespace": "toolbox"}
    cluster.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}])
    try:
        cluster.wait(f"pod {name} runs", lambda: _runs(cluster, name), timeout=PULL_SECONDS)
    finally:
        cluster.kubectl("-n", "toolbox", "delete", "pod", name, "--grace-period=0", "--force")


def _runs(cluster: Cluster, name: str) -> bool:
    pod = cluster.api.get(f"/api/v1/namespaces/toolbox/pods/{name}")
    return bool(pod["status"]["phase"] == "Running")


def _realm(headers: str, start: str) -> None:
    line = next((line for line in headers.splitlines() if line.lower().startswith("www-authenticate:")), "")
    if f'realm="{start}' not in line:
        raise Failed(f"no realm at {start}: {line or headers}")
