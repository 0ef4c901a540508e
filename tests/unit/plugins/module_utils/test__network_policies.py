# SPDX-License-Identifier: GPL-3.0-or-later
"""What network policies would do to pods behind the alias is told, and nothing is told of those that let them in."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._network_policies import (
    Proxies,
    cilium_gateway_notes,
    cilium_notes,
    names_notes,
    network_notes,
)

Json = dict[str, t.Any]
HOST = "harbor.example.com"
PROXIES = Proxies(
    namespace="gw",
    labels={"app": "envoy", "tier": "edge"},
    port=10443,
    addresses=["203.0.113.7", "lb.example.com"],
)
EVERYWHERE = {"namespaceSelector": {}}


def network(*, namespace: str = "gw", name: str = "p", **spec: t.Any) -> Json:
    return {"metadata": {"namespace": namespace, "name": name}, "spec": {"podSelector": {}, **spec}}


CLOSED = network(name="closed", ingress=[])


@pytest.mark.parametrize(
    "policies",
    [
        [CLOSED],
        [network()],
        [network(policyTypes=["Ingress", "Egress"])],
        [network(podSelector={"matchLabels": {"app": "envoy"}})],
        [network(podSelector={"matchExpressions": [{"key": "tier", "operator": "In", "values": ["edge", "x"]}]})],
        [network(ingress=[{"from": [{"podSelector": {}}]}])],
        [network(ingress=[{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}])],
        [network(ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]}])],
        [network(ingress=[{"from": [{**EVERYWHERE, "podSelector": {"matchLabels": {"a": "b"}}}]}])],
        [network(ingress=[{"from": [EVERYWHERE], "ports": [{"port": 443}]}])],
        [network(ingress=[{"ports": [{"port": 10443, "protocol": "UDP"}]}])],
        [network(ingress=[{"ports": [{"port": 10000, "endPort": 10442}]}])],
    ],
)
def test_closed(policies: list[Json]) -> None:
    (note,) = network_notes(policies, PROXIES)
    assert "would not get to port 10443" in note
    assert f"because of NetworkPolicy gw/{policies[0]['metadata']['name']}" in note


@pytest.mark.parametrize(
    "policies",
    [
        [],
        [network(namespace="elsewhere")],
        [network(policyTypes=["Egress"], egress=[])],
        [network(podSelector={"matchLabels": {"app": "other"}})],
        [CLOSED, network(ingress=[{}])],
        [CLOSED, network(ingress=[{"from": [{"podSelector": {}}, EVERYWHERE]}])],
        [network(ingress=[{"from": [EVERYWHERE], "ports": [{"port": 443}, {"port": 10443}]}])],
        [network(ingress=[{"ports": [{"port": 10000, "endPort": 11000}]}])],
        [network(ingress=[{"ports": [{"protocol": "TCP"}]}])],
    ],
)
def test_open(policies: list[Json]) -> None:
    assert network_notes(policies, PROXIES) == []


def test_egress_to_the_outer_address() -> None:
    def out(cidr: str) -> Json:
        return network(namespace="build", policyTypes=["Egress"], egress=[{"to": [{"ipBlock": {"cidr": cidr}}]}])

    (note,) = network_notes([out("203.0.113.0/24")], PROXIES)
    assert "NetworkPolicy build/p" in note
    assert "Allow egress to namespace gw, port 10443" in note
    assert network_notes([out("0.0.0.0/0"), out("198.51.100.0/24"), out("2001:db8::/32")], PROXIES) == []


# Cilium


def cilium(*, namespace: str | None = None, name: str = "p", **spec: t.Any) -> Json:
    kind = "CiliumNetworkPolicy" if namespace else "CiliumClusterwideNetworkPolicy"
    where = {"namespace": namespace} if namespace else {}
    return {"kind": kind, "metadata": {**where, "name": name}, "spec": {"endpointSelector": {}, **spec}}


EVERY_NAMESPACE = {"matchExpressions": [{"key": "k8s:io.kubernetes.pod.namespace", "operator": "Exists"}]}
DENY = cilium(name="deny", ingress=[{}])


@pytest.mark.parametrize(
    "policies",
    [
        [DENY],
        [cilium(namespace="gw", ingress=[])],
        [cilium(namespace="gw", ingress=[{"fromEndpoints": [{}]}])],
        [cilium(ingress=[{"fromEntities": ["world", "host"]}])],
        [cilium(endpointSelector={"matchLabels": {"k8s:io.kubernetes.pod.namespace": "gw"}}, ingress=[{}])],
        [cilium(ingress=[{"fromEntities": ["cluster"], "toPorts": [{"ports": [{"port": "443"}]}]}])],
        [cilium(ingress=[{"fromEntities": ["all"], "toPorts": [{"ports": [{"port": "10443", "protocol": "UDP"}]}]}])],
        [{**DENY, "spec": None, "specs": [DENY["spec"]]}],
    ],
)
def test_closed_by_cilium(policies: list[Json]) -> None:
    (note,) = cilium_notes(policies, PROXIES)
    assert "would not get to port 10443" in note
    assert policies[0]["kind"] in note


@pytest.mark.parametrize(
    "policies",
    [
        [],
        [cilium(namespace="elsewhere", ingress=[{}])],
        [cilium(egress=[{}])],
        [cilium(endpointSelector={"matchLabels": {"app": "other"}}, ingress=[{}])],
        [
            cilium(endpointSelector=None, nodeSelector={}, ingress=[{}])
            | {"spec": {"nodeSelector": {}, "ingress": [{}]}}
        ],
        [DENY, cilium(namespace="gw", ingress=[{"fromEntities": ["cluster"]}])],
        [DENY, cilium(namespace="gw", ingress=[{"fromEndpoints": [EVERY_NAMESPACE]}])],
        [DENY, cilium(ingress=[{"toPorts": [{"ports": [{"port": "10000", "endPort": 10999, "protocol": "TCP"}]}]}])],
        [DENY, cilium(ingress=[{"fromEntities": ["all"], "toPorts": [{"ports": [{"port": "10443"}]}]}])],
    ],
)
def test_open_in_cilium(policies: list[Json]) -> None:
    assert cilium_notes(policies, PROXIES) == []


def test_gateway_of_cilium_needs_a_rule_of_its_own() -> None:
    """Guide 4: a default deny by namespaces does not select the endpoint, and yet it answers 403."""
    others = {
        "matchExpressions": [{"key": "io.kubernetes.pod.namespace", "operator": "NotIn", "values": ["kube-system"]}]
    }
    deny = cilium(name="default-deny", endpointSelector=others, ingress=[{}])
    itself = {"matchExpressions": [{"key": "reserved:ingress", "operator": "Exists"}]}
    (note,) = cilium_gateway_notes([deny], PROXIES)
    assert "answer 403, because of CiliumClusterwideNetworkPolicy default-deny" in note
    assert "reserved:ingress" in note
    allow = cilium(endpointSelector=itself, ingress=[{"fromEntities": ["world", "cluster"]}])
    assert cilium_gateway_notes([deny, allow], PROXIES) == []
    one = cilium(endpointSelector={"matchLabels": {"app": "db"}}, ingress=[{}])
    assert cilium_gateway_notes([one, cilium(namespace="gw", ingress=[{}])], PROXIES) == []


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([{"matchName": HOST}], True),
        ([{"matchPattern": "*.example.com"}], True),
        ([{"matchName": "git.example.com"}, {"matchPattern": "*.example.org"}], False),
    ],
)
def test_egress_by_the_registrys_name(names: list[Json], told: bool) -> None:
    found = names_notes([cilium(namespace="build", egress=[{"toFQDNs": names}])], hostname=HOST, proxies=PROXIES)
    assert [("CiliumNetworkPolicy build/p" in note, "port 10443" in note) for note in found] == [(True, True)] * told
