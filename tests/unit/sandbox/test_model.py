# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
import itertools

import pytest

from sandbox.model import CLUSTERS, ClusterModel, by_name

each = pytest.mark.parametrize("cluster", CLUSTERS, ids=lambda cluster: cluster.name)


@each
def test_nodes_and_router_share_the_cable(cluster: ClusterModel) -> None:
    cable = ipaddress.ip_interface(f"{cluster.lan_address}/{cluster.prefix}").network
    addresses = [cluster.lan_address, *(node.address for node in cluster.nodes)]
    assert all(ipaddress.ip_address(address) in cable for address in addresses)
    assert len(set(addresses)) == len(addresses)


@each
def test_pod_ranges_lie_in_the_clusters(cluster: ClusterModel) -> None:
    ranges = [ipaddress.IPv4Network(node.pod_range) for node in cluster.nodes]
    assert all(one.subnet_of(ipaddress.IPv4Network(cluster.pod_range)) for one in ranges)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(ranges, 2))


@each
def test_dns_service_lies_in_the_service_range(cluster: ClusterModel) -> None:
    assert ipaddress.ip_address(cluster.dns_service) in ipaddress.ip_network(cluster.service_range)


def test_nothing_overlaps() -> None:
    ranges = [ipaddress.ip_network(r) for c in CLUSTERS for r in (c.pod_range, c.service_range)]
    ranges += [ipaddress.ip_interface(f"{c.lan_address}/{c.prefix}").network for c in CLUSTERS]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(ranges, 2))
    balancers = [address for cluster in CLUSTERS for address in cluster.balancer_addresses]
    assert len(set(balancers)) == len(balancers)


@each
def test_the_first_node_is_a_control_plane(cluster: ClusterModel) -> None:
    assert cluster.nodes[0].control_plane
    assert cluster.api_url == f"https://{cluster.nodes[0].address}:6443"


def test_unknown_names_are_told() -> None:
    with pytest.raises(KeyError, match="no cluster gamma: there are alpha, beta"):
        by_name("gamma")
    with pytest.raises(KeyError, match="cluster beta has no node alpha-cp-1"):
        by_name("beta").node("alpha-cp-1")
