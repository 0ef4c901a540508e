# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes are healthy: services as talosctl prints them, nodes as Kubernetes has them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_health import (
    Service,
    kubernetes_node,
    node_troubles,
    parse_services,
    troubles,
)

HEALTHY = """\
NODE       SERVICE      STATE     HEALTH   LAST CHANGE   LAST EVENT
10.5.0.2   apid         Running   OK       24m10s ago    Health check successful
10.5.0.2   containerd   Running   OK       24m11s ago    Health check successful
10.5.0.2   cri          Running   OK       24m10s ago    Health check successful
10.5.0.2   etcd         Running   OK       51s ago       Health check successful
10.5.0.2   kubelet      Running   OK       51s ago       Health check successful
10.5.0.2   machined     Running   OK       24m12s ago    Health check successful
10.5.0.2   syslogd      Finished  ?        24m12s ago    Service finished successfully
"""


def without(service: str) -> str:
    return "".join(line for line in HEALTHY.splitlines(keepends=True) if f" {service} " not in line)


def with_(service: str, state: str, health: str) -> str:
    return without(service) + f"10.5.0.2   {service}   {state}   {health}   1s ago   Something\n"


@pytest.mark.parametrize(
    ("stdout", "machine_type", "found"),
    [
        (HEALTHY, "controlplane", []),
        (HEALTHY, None, []),
        (without("etcd"), "worker", []),
        (without("etcd"), None, []),
        (without("etcd"), "controlplane", ["service etcd is not there"]),
        (without("kubelet"), "controlplane", []),
        (without("cri"), "worker", ["service cri is not there"]),
        (with_("kubelet", "Waiting", "?"), "worker", ["service kubelet is waiting"]),
        (with_("apid", "Running", "Fail"), "worker", ["service apid is running, and not healthy"]),
        (with_("containerd", "Running", "?"), "worker", ["service containerd is running, and not healthy yet"]),
        (with_("etcd", "Failed", "?"), None, ["service etcd is failed"]),
        ("", None, [f"service {name} is not there" for name in ("apid", "machined", "containerd", "cri")]),
    ],
)
def test_services_that_are_not_as_on_a_healthy_node(stdout: str, machine_type: str | None, found: list[str]) -> None:
    assert troubles(parse_services(stdout), machine_type=machine_type) == found


@pytest.mark.captures
def test_what_a_real_node_prints_over_several_lines(recorded: dict[str, dict[str, t.Any]]) -> None:
    services = parse_services(recorded["service"]["stdout"])
    assert services["kubelet"] == services["etcd"] == Service(state="Failed", health="?")
    assert services["cri"] == Service(state="Running", health="OK")
    assert not any(name.startswith("failed") for name in services), "an event's second line is no service"
    assert troubles(services, machine_type="controlplane") == ["service etcd is failed", "service kubelet is failed"]


def node(name: str, *addresses: str, ready: str | None = "True", cordoned: bool = False) -> dict[str, object]:
    conditions = [{"type": "MemoryPressure", "status": "False"}]
    if ready:
        conditions.append({"type": "Ready", "status": ready, "message": "kubelet stopped posting node status"})
    listed = [{"type": "InternalIP", "address": address} for address in addresses]
    spec = {"unschedulable": True} if cordoned else {}
    return {"metadata": {"name": name}, "spec": spec, "status": {"addresses": listed, "conditions": conditions}}


def test_a_node_is_found_by_any_of_its_addresses() -> None:
    found = kubernetes_node([node("a", "10.5.0.2"), node("b", "fd00::3", "10.5.0.3", cordoned=True)], "10.5.0.3")
    assert found
    assert (found.name, found.unschedulable, node_troubles(found, "10.5.0.3")) == ("b", True, [])


@pytest.mark.parametrize(
    ("ready", "said"),
    [("False", "not ready (kubelet stopped posting"), ("Unknown", "not ready (kubelet"), (None, "has not said so yet")],
)
def test_a_node_that_is_not_ready(ready: str | None, said: str) -> None:
    (trouble,) = node_troubles(kubernetes_node([node("a", "10.5.0.2", ready=ready)], "10.5.0.2"), "10.5.0.2")
    assert trouble.startswith("Kubernetes node a is not ready")
    assert said in trouble


def test_a_node_that_kubernetes_does_not_know() -> None:
    (trouble,) = node_troubles(kubernetes_node([node("a", "10.5.0.2")], "10.5.0.9"), "10.5.0.9")
    assert "no Kubernetes node has the address 10.5.0.9" in trouble
