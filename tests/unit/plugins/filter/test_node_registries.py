# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes are to have, in both states, for the two sites of the guides."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.splithorizon.registry.plugins.filter.node_registries import node_registries

GUIDE_2: dict[str, t.Any] = {
    "name": "harbor.example.com",
    "image_names": ["192.168.1.105"],
    "internal_name": "harbor.harbor.svc.cluster.local",
    "internal_address": "10.43.216.243",
    "username": "robot$cluster-pull",
    "password": "secret",
}


def test_http_is_what_guide_2_sets_up() -> None:
    wanted = node_registries("http", **GUIDE_2)
    assert {"name": "192.168.1.105", "endpoints": ["http://harbor.harbor.svc.cluster.local"]} in wanted["mirrors"]
    assert wanted["auth"][0] == {
        "name": "harbor.harbor.svc.cluster.local",
        "username": "robot$cluster-pull",
        "password": "secret",
    }
    assert {"ip": "10.43.216.243", "names": ["harbor.harbor.svc.cluster.local"]} in wanted["hosts"]
    assert wanted["tls"] == [{"name": "harbor.example.com", "state": "absent"}]


def test_https_mirrors_old_names_to_the_public_one_and_retires_the_internal_one() -> None:
    wanted = node_registries("https", **GUIDE_2, ca="PEM")
    assert wanted["mirrors"] == [
        {"name": "192.168.1.105", "endpoints": ["https://harbor.example.com"]},
        {"name": "harbor.example.com", "state": "absent"},
    ]
    assert wanted["auth"][0]["name"] == "harbor.example.com"
    assert {"name": "harbor.harbor.svc.cluster.local", "state": "absent"} in wanted["auth"]
    assert wanted["tls"] == [{"name": "harbor.example.com", "ca": "PEM"}]
    assert wanted["hosts"] == [{"names": ["harbor.harbor.svc.cluster.local"], "state": "absent"}]


def test_a_public_name_in_images_needs_no_mirror_over_https() -> None:
    wanted = node_registries("https", **{**GUIDE_2, "image_names": ["harbor.example.com"]})
    assert wanted["mirrors"] == [{"name": "harbor.example.com", "state": "absent"}]


def test_a_node_that_cannot_reach_the_load_balancer_gets_the_name_in_its_hosts() -> None:
    wanted = node_registries("https", **GUIDE_2, host_address="10.43.7.9")
    assert {"ip": "10.43.7.9", "names": ["harbor.example.com"]} in wanted["hosts"]


@pytest.mark.parametrize("transport", ["https", "http"])
def test_going_there_and_back_leaves_no_key_undecided(transport: str) -> None:
    """Every key that one state sets is set or absent in the other, so nothing of it stays behind."""
    other = {"https": "http", "http": "https"}[transport]
    set_keys, decided_keys = (node_registries(way, **GUIDE_2, ca="PEM") for way in (transport, other))
    for kind in ("mirrors", "auth", "tls"):
        assert {item["name"] for item in set_keys[kind]} <= {item["name"] for item in decided_keys[kind]}
    names = {name for item in set_keys["hosts"] if item.get("state") != "absent" for name in item["names"]}
    assert names <= {name for item in decided_keys["hosts"] for name in item["names"]}


@pytest.mark.parametrize("transport", ["https", "http"])
def test_more_of_the_site_comes_after_its_own(transport: str) -> None:
    hub = {"name": "docker.io", "endpoints": ["https://mirror.gcr.io"]}
    own = node_registries(transport, **GUIDE_2)
    assert node_registries(transport, **GUIDE_2, more={"mirrors": [hub]}) == {**own, "mirrors": [*own["mirrors"], hub]}


def test_more_under_an_unknown_key_is_told() -> None:
    with pytest.raises(AnsibleFilterError, match="registry_node_settings has mirror; it may have mirrors, auth"):
        node_registries("https", **GUIDE_2, more={"mirror": []})
