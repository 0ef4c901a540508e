# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node's kubelet and pod-runtime are started. Pure: data in, configuration and command lines out.

pod-runtime makes a mount namespace in which the node's root directory is ``/`` and the machine's /usr is lent to it,
and answers as the container runtime there. The kubelet joins that namespace, so the paths of its files, and of every
hostPath volume, are paths below the node's root. Write ``files(...)`` below it, start pod-runtime, then the kubelet.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Kubelet", "Node", "command", "configuration", "files", "pod_runtime_command"]

CONFIG = "/etc/kubernetes/kubelet.yaml"
KUBECONFIG = "/etc/kubernetes/kubeconfig-kubelet"
PASSWD = "/etc/passwd"  # where the kubelet looks for a user of its own, whose pods would have user namespaces
CLIENT_CA = "/etc/kubernetes/pki/ca.crt"
CERTIFICATE = "/etc/kubernetes/pki/kubelet.crt"
KEY = "/etc/kubernetes/pki/kubelet.key"
SOCKET = "/run/containerd/containerd.sock"

# How soon a changed ConfigMap or Secret is in the files of a pod.
SYNC_SECONDS = 1


@dataclass(frozen=True)
class Node:
    """One node of a cluster; the nodes of a cluster share its network namespace."""

    name: str
    address: str
    root: Path  # its file system, and where hostPath volumes are
    run: Path  # below the sandbox's private /run: cri.sock, node.pid
    state: Path  # its image store, shared with talos-node
    pod_cidr: str
    resolver: str = ""  # DNS server for image pulls, host:port
    system_ca: Path | None = None  # what image pulls trust in place of the machine's certificates
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kubelet:
    """What the kubelets of a cluster have in common. PEM and kubeconfig are texts, not paths."""

    cluster_dns: str
    client_ca: str  # signs the API server's client certificate
    cluster_domain: str = "cluster.local"


def configuration(cluster: Kubelet, node: Node) -> dict[str, t.Any]:
    """A KubeletConfiguration that needs no cgroups, no swap settings and no right beyond a user namespace's root."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # Several kubelets share a network namespace: each listens on its own address only.
        "address": node.address,
        "healthzBindAddress": node.address,
        "port": 10250,
        "healthzPort": 10248,
        "readOnlyPort": 0,
        "tlsCertFile": CERTIFICATE,
        "tlsPrivateKeyFile": KEY,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": CLIENT_CA},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDomain": cluster.cluster_domain,
        "clusterDNS": [cluster.cluster_dns],
        "resolvConf": "/etc/resolv.conf",
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "registerNode": True,
        "featureGates": {
            "KubeletInUserNamespace": True,
            "KubeletCrashLoopBackOffMax": True,
        },
        # No cgroups.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "localStorageCapacityIsolation": False,
        # Nothing is evicted or collected because the machine is full.
        "evictionHard": dict.fromkeys(_EVICTION_SIGNALS, "0%"),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "maxPods": 60,
        # Changes reach pods within seconds.
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "syncFrequency": f"{SYNC_SECONDS}s",
        "nodeStatusUpdateFrequency": "10s",
        "nodeStatusReportFrequency": "1m",
        "nodeLeaseDurationSeconds": 40,
        # Pods start at once, several at a time; a failed image pull or container is tried again soon.
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "crashLoopBackOff": {"maxContainerRestartPeriod": "10s"},
        "shutdownGracePeriod": "0s",
        "volumeStatsAggPeriod": "-1s",
        "logging": {"format": "text", "verbosity": 1},
    }


_EVICTION_SIGNALS = (
    "memory.available",
    "nodefs.available",
    "nodefs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
)


def files(cluster: Kubelet, node: Node, *, kubeconfig: str, certificate: str, key: str) -> dict[str, str]:
    """Path below ``node.root`` → content. kubeconfig: of user ``system:node:<name>`` in group ``system:nodes``.

    ``certificate`` must name ``node.address`` as an IP address where the API server verifies it
    (--kubelet-certificate-authority). KEY and KUBECONFIG are secrets: mode 0600.
    """
    return {
        CONFIG: json.dumps(configuration(cluster, node), indent=2) + "\n",
        KUBECONFIG: kubeconfig,
        PASSWD: "root:x:0:0:root:/root:/sbin/nologin\n",
        CLIENT_CA: cluster.client_ca,
        CERTIFICATE: certificate,
        KEY: key,
    }


def pod_runtime_command(node: Node, *, bin_dir: Path, images: Path) -> list[str]:
    """The node's container runtime; ready when ``<node.run>/cri.sock`` is there. Start it in the cluster's netns."""
    optional = {"--resolver": node.resolver, "--system-ca": str(node.system_ca or "")}
    required = {
        "--node-name": node.name,
        "--node-root": str(node.root),
        "--node-ip": node.address,
        "--pod-cidr": node.pod_cidr,
        "--run-dir": str(node.run),
        "--state": str(node.state),
        "--images": str(images),
        "--bin": str(bin_dir),
    }
    flags = required | {name: value for name, value in optional.items() if value}
    return [str(bin_dir / "pod-runtime"), "serve", *(word for flag in flags.items() for word in flag)]


def command(node: Node, *, bin_dir: Path) -> list[str]:
    """The node's kubelet, in the mount namespace of its pod-runtime. Start it in the cluster's netns."""
    arguments = {
        "--config": CONFIG,
        "--kubeconfig": KUBECONFIG,
        "--hostname-override": node.name,
        "--node-ip": node.address,
        "--node-labels": ",".join(f"{key}={value}" for key, value in sorted(node.labels.items())),
    }
    join = ["join", "--node-name", node.name, "--run-dir", str(node.run), "--"]
    kubelet = [str(bin_dir / "kubelet"), *(f"{flag}={value}" for flag, value in arguments.items() if value)]
    return [str(bin_dir / "pod-runtime"), *join, *kubelet]
