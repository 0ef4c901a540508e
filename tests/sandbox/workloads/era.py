# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the two clusters stand before the migration: alpha at the end of guide 1, beta at the end of guide 2."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..model import REGISTRY_NAME

if t.TYPE_CHECKING:
    from ..api import Json

__all__ = ["ERAS", "PULL", "PUSH", "Era", "Robot"]


@dataclass(frozen=True)
class Robot:
    """A Harbor robot account of the sandbox."""

    name: str
    secret: str


PULL = Robot("robot$cluster-pull", "sandbox-pull-secret")
PUSH = Robot("robot$ci", "sandbox-push-secret")


@dataclass(frozen=True)
class Era:
    """The HTTP era of one cluster.

    ``mirror`` is the registry name of the images, ``internal`` the Service that nodes really pull from, at
    ``internal_address`` (its ClusterIP, fixed so that inventories can name it).
    ``builds``: whether BuildKit builds images there.
    """

    external_url: str
    core_url: str
    mirror: str
    internal: str
    internal_address: str
    documents: bool
    mirrored_registries: tuple[str, ...]
    builds: bool = False

    @property
    def image(self) -> str:
        return f"{self.mirror}/library/app:1"

    def patches(self) -> list[Json]:
        """Talos patches for a node: the form that the cluster's people use."""
        return self._documents() if self.documents else [self._v1alpha1()]

    def _v1alpha1(self) -> Json:
        auth = {"username": PULL.name, "password": PULL.secret}
        registries = {
            "mirrors": {self.mirror: {"endpoints": [f"http://{self.internal}"]}},
            "config": {self.internal: {"auth": auth}},
        }
        hosts = [{"ip": self.internal_address, "aliases": [self.internal]}]
        return {"machine": {"registries": registries, "network": {"extraHostEntries": hosts}}}

    def _documents(self) -> list[Json]:
        bodies: tuple[tuple[str, str, Json], ...] = (
            ("RegistryMirrorConfig", self.mirror, {"endpoints": [{"url": f"http://{self.internal}"}]}),
            ("RegistryAuthConfig", self.internal, {"username": PULL.name, "password": PULL.secret}),
            ("StaticHostConfig", self.internal_address, {"hostnames": [self.internal]}),
        )
        return [{"apiVersion": "v1alpha1", "kind": kind, "name": name, **body} for kind, name, body in bodies]


ERAS = {
    "alpha": Era(
        external_url=f"https://{REGISTRY_NAME}",
        core_url="http://harbor-core.default.svc.cluster.local:80",
        mirror=REGISTRY_NAME,
        internal="harbor-core.default.svc.cluster.local",
        internal_address="10.96.0.80",
        documents=False,
        mirrored_registries=("https://docker.io", "https://ghcr.io", f"http://{REGISTRY_NAME}"),
        builds=True,
    ),
    "beta": Era(
        external_url="http://192.168.1.105",
        core_url="http://harbor-core:80",
        mirror="192.168.1.105",
        internal="harbor.harbor.svc.cluster.local",
        internal_address="10.43.216.243",
        documents=True,
        mirrored_registries=("https://docker.io", "https://ghcr.io", "http://192.168.1.105"),
    ),
}
