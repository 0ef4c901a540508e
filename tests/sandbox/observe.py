# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sandbox's clients see, asked with readers that are not the product's: curl in a pod, DNS over UDP, files."""

from __future__ import annotations

import json
import re
import time
import tomllib
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

from . import builds
from .model import CLUSTERS, REGISTRY_NAME
from .paths import TESTS
from .workloads.era import ERAS

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from .inside import Inside
    from .model import ClusterModel, NodeModel

__all__ = ["ClusterView", "NodeView", "node_hosts", "observe", "pod_dns"]

_REALM = re.compile(r'realm="([^"]*)"', re.IGNORECASE)
NAMES = {"bare": f"{REGISTRY_NAME}.", "expanded": f"{REGISTRY_NAME}.toolbox.svc.cluster.local."}


@dataclass
class NodeView:
    """One node: which hosts its hosts.toml files list per registry, and a pull with the way it took."""

    hosts: dict[str, list[str]]
    pull: str


@dataclass
class ClusterView:
    """One cluster, as its pods and nodes see it. ``dns`` is CoreDNS replica → name's form → addresses.

    ``builds``: name of the registry → what came of a build that was pushed by it; none where nobody builds.
    """

    dns: dict[str, dict[str, list[str]]]
    https_from_pod: str
    realm: str
    nodes: dict[str, NodeView] = field(default_factory=dict)
    builds: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, t.Any]:
        return asdict(self)


def observe(inside: Inside, *, tag: str) -> dict[str, ClusterView]:
    """All clusters, side by side. ``tag`` names an image of ``library/app`` that no node has pulled yet."""
    with ThreadPoolExecutor(len(CLUSTERS)) as pool:
        views = pool.map(lambda cluster: _cluster(inside, cluster, tag), CLUSTERS)
        return {cluster.name: view for cluster, view in zip(CLUSTERS, views, strict=True)}


def _cluster(inside: Inside, cluster: ClusterModel, tag: str) -> ClusterView:
    https, realm = _https(inside, cluster.name)
    view = ClusterView(dns=pod_dns(inside, cluster.name), https_from_pod=https, realm=realm)
    for node in cluster.nodes:
        view.nodes[node.name] = NodeView(
            hosts=node_hosts(inside, cluster, node), pull=_pull(inside, cluster, node, tag)
        )
    if ERAS[cluster.name].builds:
        view.builds = _builds(inside, cluster, tag)
    return view


def _builds(inside: Inside, cluster: ClusterModel, tag: str) -> dict[str, str]:
    """By Harbor's short name with the insecure flag, and by the name that builders use in this state of the site."""
    name = cluster.image_name if tag == "after" else ERAS[cluster.name].internal
    cache = f"type=registry,ref={name}/library/built:{tag}-cache"
    cached = ([f"--export-cache={cache},mode=max"], [f"--import-cache={cache}"])
    return {
        builds.SHORT: _built(inside, cluster, builds.SHORT, tag, [[]], output=",registry.insecure=true"),
        name: _built(inside, cluster, name, tag, cached),
    }


def _built(
    inside: Inside, cluster: ClusterModel, host: str, tag: str, flags: Iterable[list[str]], *, output: str = ""
) -> str:
    """What came of a build with each of these flags, one after the other."""
    took = []
    for words in flags:
        begin = time.monotonic()
        done = builds.build(inside, cluster.name, f"{host}/library/built:{tag}", *words, output=output, content=tag)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
            return f"fails: {said[-1].rpartition('failed to solve: ')[2] if said else done.stderr[-200:]}"
        took.append(f"{time.monotonic() - begin:.1f} s")
    return f"pushed in {', from its cache in '.join(took)}"


def pod_dns(inside: Inside, cluster: str) -> dict[str, dict[str, list[str]]]:
    """CoreDNS replica → name's form → addresses, asked over UDP from a pod."""
    listed = inside.kubectl(cluster, "get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns", "-o", "json")
    pods = {pod["metadata"]["name"]: pod["status"].get("podIP", "") for pod in json.loads(listed)["items"]}
    script = (TESTS / "sandbox" / "resolve.py").read_text()
    asked = inside.from_pod(cluster, "python3", "-c", script, *pods.values(), "--", *NAMES.values())
    answers = json.loads(asked.stdout)
    return {pod: {form: answers[address][name] for form, name in NAMES.items()} for pod, address in pods.items()}


def _https(inside: Inside, cluster: str) -> tuple[str, str]:
    url = f"https://{REGISTRY_NAME}/v2/"
    curl = ("curl", "-sS", "--max-time", "3", "--cacert", "/etc/sandbox/ca.crt", "-o", "/dev/null", "-D", "-", url)
    done = inside.from_pod(cluster, *curl)
    if done.returncode:
        return f"fails: {done.stderr.splitlines()[0].removeprefix('curl: ')}", ""
    found = _REALM.search(done.stdout)
    return f"{done.stdout.split(maxsplit=2)[1]}, certificate verified", found[1] if found else ""


def node_hosts(inside: Inside, cluster: ClusterModel, node: NodeModel) -> dict[str, list[str]]:
    """Registry → hosts in the order in which containerd asks them, the server last; read from the node's disk."""
    folder = inside.places.node(cluster.name, node.name) / "root" / "etc" / "cri" / "conf.d" / "hosts"
    found = {}
    for path in sorted(folder.glob("*/hosts.toml")):
        data = tomllib.loads(path.read_text())
        found[path.parent.name] = [*data.get("host", {}), *([data["server"]] if "server" in data else [])]
    return found


def _pull(inside: Inside, cluster: ClusterModel, node: NodeModel, tag: str) -> str:
    host = cluster.image_name
    begin = time.monotonic()
    pull = ("talosctl", "--context", cluster.name, "-n", node.address, "image", "pull", f"{host}/library/app:{tag}")
    done = inside.run("timeout", "20", *pull)
    took = time.monotonic() - begin
    if done.returncode:
        return f"{host}: fails after {took:.1f} s"
    log = inside.places.node(cluster.name, node.name) / "state" / "pulls.jsonl"
    last = json.loads(log.read_text().splitlines()[-1])
    return f"{host} → {last['url']} ({last['ip']}) {took:.2f} s"
