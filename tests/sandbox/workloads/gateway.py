# SPDX-License-Identifier: GPL-3.0-or-later
"""Envoy Gateway: the real controller, and the Gateway through which the registry is reached by its public name."""

from __future__ import annotations

import typing as t

from ..process import run
from . import certificates, manifests

if t.TYPE_CHECKING:
    from ..api import Json
    from ..cluster import Cluster
    from ..pki import Pair

__all__ = ["SECRET", "controller", "publish", "tls_secret"]

SECRET = ("envoy-gateway", "harbor-tls")
SYSTEM = "envoy-gateway-system"
PROXY = "app.kubernetes.io/component=proxy,gateway.envoyproxy.io/owning-gateway-name=envoy-gateway"
READY_SECONDS = 240


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
    good = certificates.store(certificates.folder(cluster.paths, cluster.name), cluster.public)
    cluster.apply([tls_secret(good), *manifests.objects("gateway", cluster=cluster.model)])
    cluster.wait("Envoy ready", lambda: _proxy_ready(cluster), timeout=READY_SECONDS)
    how = ["--for=condition=Programmed", "gateway/envoy-gateway", f"--timeout={READY_SECONDS}s"]
    cluster.kubectl("-n", SECRET[0], "wait", *how, timeout=READY_SECONDS + 5)


def tls_secret(pair: Pair) -> Json:
    """The Secret that the https listener names."""
    namespace, name = SECRET
    data = {"tls.crt": pair.certificate, "tls.key": pair.key}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "stringData": data}


def _proxy_ready(cluster: Cluster) -> bool:
    query = {"labelSelector": PROXY}
    found = cluster.api.get(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments", query)["items"]
    return bool(found) and all(item.get("status", {}).get("readyReplicas", 0) >= 1 for item in found)
