# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run may change on the sandbox, and all that it could have changed, by readers that are not the product's."""

from __future__ import annotations

import hashlib
import json
import typing as t

from sandbox.model import CLUSTERS
from sandbox.observe import node_hosts

if t.TYPE_CHECKING:
    from sandbox.inside import Inside
    from sandbox.model import ClusterModel

__all__ = ["State", "everything", "node_state", "state"]

State = dict[str, t.Any]

# Kinds that someone may change; a restart is in the template of a Deployment or DaemonSet.
KINDS = "configmaps,services,secrets,deployments.apps,daemonsets.apps"


def state(inside: Inside) -> State:
    """All that the collection may change, read with kubectl and from the nodes' disks."""
    return {cluster.name: _state(inside, cluster) for cluster in CLUSTERS}


def _state(inside: Inside, cluster: ClusterModel) -> State:
    objects = {
        (one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]): one
        for one in _listed(inside, cluster, "configmaps,services")
    }
    harbor = cluster.harbor_namespace
    return {
        "Corefile": objects["ConfigMap", "kube-system", "coredns"]["data"]["Corefile"],
        "core": objects["ConfigMap", harbor, "harbor-core"]["data"],
        "jobservice": objects["ConfigMap", harbor, "harbor-jobservice-env"]["data"],
        "alias": ("Service", "envoy-gateway-system", "envoy-proxy") in objects,
        "nodes": {node.name: node_hosts(inside, cluster, node) for node in cluster.nodes},
        "hosts": {
            node.name: (inside.places.node(cluster.name, node.name) / "root/etc/hosts").read_text()
            for node in cluster.nodes
        },
    }


def everything(inside: Inside, *clusters: str) -> State:
    """Every object of the clusters (default: all) that has settings, and every node: for "nothing was changed"."""
    wanted = [cluster for cluster in CLUSTERS if cluster.name in clusters or not clusters]
    return {
        cluster.name: {"objects": _objects(inside, cluster), "nodes": node_state(inside, cluster)} for cluster in wanted
    }


def node_state(inside: Inside, cluster: ClusterModel) -> dict[str, dict[str, t.Any]]:
    """Node → its configuration on disk (a digest: it holds keys), and the files of the one in use."""
    found = {}
    for node in cluster.nodes:
        place = inside.places.node(cluster.name, node.name)
        found[node.name] = {
            "stored": _digest((place / "state" / "config.yaml").read_bytes()),
            "hosts.toml": node_hosts(inside, cluster, node),
            "hosts": (place / "root" / "etc" / "hosts").read_text(),
        }
    return found


def _objects(inside: Inside, cluster: ClusterModel) -> dict[str, State]:
    kinds = KINDS + (",helmreleases" if cluster.name == "alpha" else "")
    return {
        f"{one['kind']} {one['metadata']['namespace']}/{one['metadata']['name']}": {
            part: _digest(json.dumps(one[part]).encode()) if one["kind"] == "Secret" else one[part]
            for part in ("data", "spec")
            if part in one
        }
        for one in _listed(inside, cluster, kinds)
    }


def _listed(inside: Inside, cluster: ClusterModel, kinds: str) -> list[State]:
    listed = json.loads(inside.kubectl(cluster.name, "get", kinds, "-A", "-o", "json"))
    return t.cast("list[State]", listed["items"])


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
