# SPDX-License-Identifier: GPL-3.0-or-later
"""Envoy Gateway: the real controller, and the Gateway through which the registry is reached by its public name."""

from __future__ import annotations

import typing as t

from ..model import REGISTRY_NAME
from ..pki import faulty
from ..process import run
from . import manifests

if t.TYPE_CHECKING:
    from pathlib import Path

    from ..api import Json
    from ..cluster import Cluster
    from ..paths import Paths
    from ..pki import Pair

__all__ = ["SECRET", "certificates", "controller", "publish", "tls_secret"]

SECRET = ("envoy-gateway", "harbor-tls")
SYSTEM = "envoy-gateway-system"
PROXY = "app.kubernetes.io/component=proxy,gateway.envoyproxy.io/owning-gateway-name=envoy-gateway"
READY_SECONDS = 120


def controller(cluster: Cluster) -> None:
    """The controller; certificates for it and its proxies come from its own ``certgen`` (in the chart: a Job)."""
    objects = manifests.objects("envoy-gateway")
    # A kubelet that does not find a Secret to mount waits before it looks again: so namespace and Secrets come first.
    cluster.apply(one for one in objects if one["kind"] == "Namespace")
    environment = {"KUBECONFIG": str(cluster.kubeconfig), "ENVOY_GATEWAY_NAMESPACE": SYSTEM}
    run(["envoy-gateway", "certgen", "--disable-topology-injector"], env=environment)
    cluster.apply(objects)
    cluster.wait_rollout("Deployment", SYSTEM, "envoy-gateway", timeout=READY_SECONDS)


def publish(cluster: Cluster) -> None:
    """Gateway, certificate and route; done when the proxy has them and the Gateway its address."""
    # Envoy asks DNS where its controller is, and waits longer each time it does not learn it.
    cluster.wait_rollout("Deployment", "kube-system", "coredns", timeout=READY_SECONDS)
    good = cluster.public.issue(REGISTRY_NAME, names=[REGISTRY_NAME])
    store(certificates(cluster.paths, cluster.name), {"good": good, **faulty(cluster.public, REGISTRY_NAME)})
    cluster.apply([tls_secret(good.certificate, good.key), *manifests.objects("gateway", cluster=cluster.model)])
    cluster.wait("Envoy ready", lambda: _proxy_ready(cluster), timeout=READY_SECONDS)
    how = ["--for=condition=Programmed", "gateway/envoy-gateway", f"--timeout={READY_SECONDS}s"]
    cluster.kubectl("-n", SECRET[0], "wait", *how, timeout=READY_SECONDS + 5)


def tls_secret(certificate: str, key: str) -> Json:
    """The Secret that the https listener names."""
    namespace, name = SECRET
    data = {"tls.crt": certificate, "tls.key": key}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "stringData": data}


def certificates(paths: Paths, cluster: str) -> Path:
    """Folder of what tests may put in the Secret: ``good`` and the faulty ones, ``.crt`` and ``.key``."""
    return paths.cluster(cluster) / "certificates"


def store(folder: Path, pairs: t.Mapping[str, Pair]) -> None:
    for name, pair in pairs.items():
        pair.write(folder, name)


def _proxy_ready(cluster: Cluster) -> bool:
    query = {"labelSelector": PROXY}
    found = cluster.api.get(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments", query)["items"]
    return bool(found) and all(item.get("status", {}).get("readyReplicas", 0) >= 1 for item in found)
