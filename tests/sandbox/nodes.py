# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of a cluster, each three programs: Talos's API, a container runtime, and the real kubelet."""

from __future__ import annotations

import typing as t
from pathlib import Path

import yaml

from . import kubelet, lan
from .cluster import kubeconfig
from .model import DOMAIN, KUBERNETES, TALOS
from .paths import BIN, write_secret
from .process import Part, run

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from .api import Json
    from .cluster import Cluster
    from .model import ClusterModel, NodeModel
    from .paths import Paths

__all__ = ["generate", "generate_command", "start", "talos_command", "talosconfig"]

IMAGES = Path(__file__).with_name("images.yaml")
SOCKETS = Path("/run/splithorizon")  # paths of sockets must be short; /run is the sandbox's own
TALOSCONFIG = "talosconfig"
RUNTIME_SECONDS = 120
READY_SECONDS = 240


def generate(cluster: Cluster) -> None:
    """Machine configurations of all nodes, and the cluster's own talosconfig."""
    run(generate_command(cluster.model, _generated(cluster)))


def talosconfig(clusters: Iterable[Cluster]) -> Json:
    """One talosconfig with the contexts of all clusters; the first one's is current."""
    configs = [yaml.safe_load((_generated(cluster) / TALOSCONFIG).read_text()) for cluster in clusters]
    contexts = {name: context for config in configs for name, context in config["contexts"].items()}
    return {"context": configs[0]["context"], "contexts": contexts}


def start(cluster: Cluster) -> None:
    """Start all nodes, and wait until Kubernetes finds them ready."""
    common = kubelet.Kubelet(
        cluster_dns=cluster.model.dns_service, client_ca=cluster.authority.pair.certificate, cluster_domain=DOMAIN
    )
    nodes = [_node(cluster.model, model, cluster.paths) for model in cluster.model.nodes]
    for node in nodes:
        _write_files(cluster, common, node)
        talos = talos_command(cluster.model, node, _generated(cluster))
        _start(cluster, node, "talos", talos)
        _start(cluster, node, "runtime", kubelet.pod_runtime_command(node, bin_dir=BIN, images=IMAGES))
    for node in nodes:
        cluster.wait(f"runtime of {node.name}", (node.run / "cri.sock").exists, timeout=RUNTIME_SECONDS)
        _start(cluster, node, "kubelet", kubelet.command(node, bin_dir=BIN))
    cluster.wait("all nodes ready", lambda: _all_ready(cluster), timeout=READY_SECONDS)


def generate_command(model: ClusterModel, out: Path) -> list[str]:
    nodes = [
        f"--node={node.name}={node.address},{'controlplane' if node.control_plane else 'worker'}"
        for node in model.nodes
    ]
    return [
        "talos-node",
        "gen",
        f"--out={out}",
        f"--cluster={model.name}",
        f"--endpoint={model.api_url}",
        f"--talosconfig={out / TALOSCONFIG}",
        f"--context={model.name}",
        f"--talos-version={TALOS}",
        f"--kubernetes-version={KUBERNETES.removeprefix('v')}",
        f"--pod-subnet={model.pod_range}",
        f"--service-subnet={model.service_range}",
        f"--dns-domain={DOMAIN}",
        *nodes,
    ]


def talos_command(model: ClusterModel, node: kubelet.Node, generated: Path) -> list[str]:
    """Its system trusts what the machine's does, so not the sandbox's authority: nodes must be told of that one."""
    return [
        "talos-node",
        f"--name={node.name}",
        f"--address={node.address}",
        f"--root={node.root}",
        f"--state={node.state}",
        f"--config={generated / node.name}.yaml",
        f"--os-ca={generated}",
        f"--members={generated / 'members.json'}",
        f"--resolver={model.lan_address}:53",
        f"--talos-version={model.node(node.name).talos}",
    ]


def _node(cluster: ClusterModel, model: NodeModel, paths: Paths) -> kubelet.Node:
    folder = paths.node(cluster.name, model.name)
    # Kubelets may not give themselves the control plane's label: their registration would be refused.
    return kubelet.Node(
        name=model.name,
        address=model.address,
        root=folder / "root",
        run=SOCKETS / cluster.name / model.name,
        state=folder / "state",
        pod_cidr=model.pod_range,
        resolver=f"{cluster.lan_address}:53",
    )


def _generated(cluster: Cluster) -> Path:
    return cluster.folder / "talos"


def _start(cluster: Cluster, node: kubelet.Node, program: str, argv: list[str]) -> None:
    cluster.supervisor.start(Part(f"{node.name}-{program}", tuple(argv), network=cluster.name))


def _write_files(cluster: Cluster, common: kubelet.Kubelet, node: kubelet.Node) -> None:
    """The kubelet's configuration and keys, below the node's root."""
    node.state.mkdir(parents=True)
    pair = cluster.authority.issue(
        f"system:node:{node.name}", organizations=["system:nodes"], names=[node.name, node.address]
    )
    certificate, key = pair.write(cluster.pki, node.name)
    access = kubeconfig(
        cluster.name, cluster.model.api_url, ca=cluster.pki / "ca.crt", certificate=certificate, key=key
    )
    texts = kubelet.files(common, node, kubeconfig=yaml.safe_dump(access), certificate=pair.certificate, key=pair.key)
    texts["/etc/resolv.conf"] = lan.resolver(cluster.model)
    for name, text in texts.items():
        path = node.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_secret(path, text)


def _all_ready(cluster: Cluster) -> bool:
    nodes = cluster.api.get("/api/v1/nodes")["items"]
    conditions = [c for node in nodes for c in node["status"].get("conditions", []) if c["type"] == "Ready"]
    return len(conditions) == len(nodes) and all(c["status"] == "True" for c in conditions)
