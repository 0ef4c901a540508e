# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from sandbox.loadbalancer import GATEWAY_LABEL, address_for
from sandbox.model import by_name

GATEWAY = {GATEWAY_LABEL: "envoy-gateway"}


@pytest.mark.parametrize(
    ("cluster", "service", "kind", "labels", "address"),
    [
        ("alpha", "envoy-gateway-system/envoy-x", "LoadBalancer", GATEWAY, "203.0.113.7"),
        ("beta", "envoy-gateway-system/envoy-x", "LoadBalancer", GATEWAY, "192.168.1.110"),
        ("beta", "harbor/harbor", "LoadBalancer", {}, "192.168.1.105"),
        ("beta", "harbor/harbor", "ClusterIP", {}, None),
        ("beta", "envoy-gateway-system/envoy-x", "ClusterIP", GATEWAY, None),
        ("alpha", "harbor/harbor", "LoadBalancer", {}, None),
    ],
)
def test_address(cluster: str, service: str, kind: str, labels: dict[str, str], address: str | None) -> None:
    namespace, name = service.split("/")
    found = {"metadata": {"namespace": namespace, "name": name, "labels": labels}, "spec": {"type": kind}}
    assert address_for(by_name(cluster), found) == address
