# SPDX-License-Identifier: GPL-3.0-or-later
"""Harbor as its chart deploys it: objects of the chart, programs that answer as Harbor does."""

from __future__ import annotations

import functools
import hashlib
import json
import typing as t

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ..model import by_name
from . import manifests
from .era import ERAS, PULL, PUSH

if t.TYPE_CHECKING:
    from ..api import Json
    from ..cluster import Cluster

__all__ = ["ADMIN_PASSWORD", "COMPONENTS", "chart", "config_maps", "install"]

ADMIN_PASSWORD = "Harbor12345"
VERSION = "2.15.2"
COMPONENTS = ("harbor-registry", "harbor-core", "harbor-jobservice")
READY_SECONDS = 240


def install(cluster: Cluster) -> None:
    cluster.apply(_objects(cluster.name))
    for name in COMPONENTS:
        cluster.wait_rollout("Deployment", cluster.model.harbor_namespace, name, timeout=READY_SECONDS)
    # Ready pods are not enough: core has to find the others by their Services.
    cluster.wait("Harbor healthy", lambda: _healthy(cluster), timeout=READY_SECONDS)


def _healthy(cluster: Cluster) -> bool:
    url = f"http://{ERAS[cluster.name].internal_address}/api/v2.0/health"
    health = json.loads(cluster.run(["curl", "-sS", "--max-time", "5", url]))
    return bool(health["status"] == "healthy")


def config_maps(cluster: str) -> list[Json]:
    """The two ConfigMaps that hold Harbor's addresses, as they were at the start."""
    names = {"harbor-core", "harbor-jobservice-env"}
    return [o for o in _objects(cluster) if o["kind"] == "ConfigMap" and o["metadata"]["name"] in names]


@functools.cache
def _token_key() -> str:
    """Harbor signs tokens by RSA; the chart makes a key of 2048 bits."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _robots() -> Json:
    rights = {PULL: ["pull"], PUSH: ["pull", "push", "delete"]}
    return {robot.name: {"secret": robot.secret, "permissions": {"library": rights[robot]}} for robot in rights}


def chart(cluster: str, values: Json, *, namespace: str, release: str) -> list[Json]:
    """What a HelmRelease changes of the release at the start: both ConfigMaps and the Deployments that take them."""
    core_url = "http://harbor-core:80"
    objects = {
        (one["kind"], one["metadata"]["name"]): one for one in _objects(cluster, values["externalURL"], core_url)
    }
    found = []
    for component, config_map in (("core", "harbor-core"), ("jobservice", "harbor-jobservice-env")):
        settings, deployment = objects["ConfigMap", config_map], objects["Deployment", f"harbor-{component}"]
        template = deployment["spec"]["template"]
        template["spec"]["containers"][0]["env"] += values.get(component, {}).get("extraEnvVars", [])
        content = json.dumps(settings["data"], sort_keys=True).encode()
        template["metadata"]["annotations"]["checksum/configmap"] = hashlib.sha256(content).hexdigest()
        found += [settings, deployment]
    prefix = "helm.toolkit.fluxcd.io"
    for one in found:
        one["metadata"]["labels"] |= {f"{prefix}/name": release, f"{prefix}/namespace": namespace}
    return found


def _objects(cluster: str, external_url: str = "", core_url: str = "") -> list[Json]:
    era, model = ERAS[cluster], by_name(cluster)
    exposed = (model.harbor_namespace, "harbor") in model.balanced
    return manifests.objects(
        "harbor",
        cluster=model,
        external_url=external_url or era.external_url,
        core_url=core_url or era.core_url,
        core_cluster_ip="" if exposed else era.internal_address,
        exposed_cluster_ip=era.internal_address if exposed else "",
        harbor_version=VERSION,
        harbor_image=f"v{VERSION}",
        admin_password=ADMIN_PASSWORD,
        token_key=_token_key(),
        robots=_robots(),
    )
