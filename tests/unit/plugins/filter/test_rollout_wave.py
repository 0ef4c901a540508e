# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a rollout."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.splithorizon.registry.plugins.filter.rollout_wave import rollout_wave

GROUPS = {
    "all": ["alpha", "beta", "a1", "a2", "a3", "b1"],
    "registry_nodes_of_alpha": ["a3", "a1", "a2"],
    "registry_nodes_of_beta": ["b1"],
    "registry_differs": ["a1", "a2", "a3", "b1"],
    "registry_surveyed": ["b1", "a1", "a2", "a3"],
    "registry_asked": ["alpha", "beta"],
    "registry_ready": ["beta", "alpha"],
    "clusters": ["alpha", "beta"],
}


def rollout_waves(groups: dict[str, list[str]], at_once: int | str = 1) -> list[list[str]]:
    """All waves, hosts in the inventory's order."""
    of = {host: rollout_wave(host, groups, at_once) for host in groups["all"]}
    return [[host for host in of if of[host] == number] for number in range(1, max(of.values()) + 1)]


def test_clusters_advance_side_by_side_and_their_nodes_one_after_the_other() -> None:
    assert rollout_waves(GROUPS) == [["a1", "b1"], ["a2"], ["a3"]]


def test_nodes_that_do_not_differ_are_in_no_wave() -> None:
    assert rollout_waves({**GROUPS, "registry_differs": ["a3"]}) == [["a3"]]
    assert rollout_waves({**GROUPS, "registry_differs": []}) == []
    assert rollout_waves({"all": ["alpha"], "clusters": ["alpha"]}) == []


def test_several_at_once() -> None:
    for two in (2, "2"):  # of an inventory, of a command line
        assert rollout_waves(GROUPS, at_once=two) == [["a1", "a2", "b1"], ["a3"]]


@pytest.mark.parametrize("wrong", [0, -1, "0", "two", "", 1.5])
def test_what_is_no_number_of_nodes_is_told(wrong: int) -> None:
    with pytest.raises(AnsibleFilterError, match=r"registry_nodes_at_once: .* is no number of nodes"):
        rollout_waves(GROUPS, at_once=wrong)


def test_a_cluster_whose_check_or_step_failed_keeps_all_its_nodes_as_they_are() -> None:
    assert rollout_waves({**GROUPS, "registry_ready": ["beta"]}) == [["b1"]]


def test_a_cluster_of_which_a_node_cannot_be_changed_keeps_all_its_nodes_as_they_are() -> None:
    assert rollout_waves({**GROUPS, "registry_surveyed": ["b1", "a1", "a3"]}) == [["b1"]]


def test_nodes_of_a_cluster_that_the_limit_leaves_out_are_changed() -> None:
    limited = {**GROUPS, "registry_nodes_of_alpha": ["a2"], "registry_asked": [], "registry_ready": []}
    assert rollout_waves({**limited, "registry_nodes_of_beta": []}) == [["a2"]]


BIG = {
    "all": ["a", "w1", "c1", "c2", "w2", "c3", "c4", "c5", "w3"],
    "registry_nodes_of_a": ["c1", "c2", "c3", "c4", "c5", "w1", "w2", "w3"],
    "registry_control_planes": ["c5", "c1", "c2", "c3", "c4"],
    "registry_differs": ["c1", "c2", "c3", "c4", "c5", "w1", "w2", "w3"],
    "registry_surveyed": ["c1", "c2", "c3", "c4", "c5", "w1", "w2", "w3"],
}


def test_control_planes_change_apart_from_workers_and_never_more_than_etcd_can_spare() -> None:
    assert rollout_waves(BIG, at_once=9) == [["w1", "w2", "w3"], ["c1", "c2"], ["c3", "c4"], ["c5"]]


def test_how_many_control_planes_differ_does_not_count_for_the_quorum() -> None:
    two = {**BIG, "registry_differs": ["c4", "c5"]}
    assert rollout_waves(two, at_once=9) == [["c4", "c5"]]
    three = {**two, "registry_nodes_of_a": ["c3", "c4", "c5"]}
    assert rollout_waves(three, at_once=9) == [["c4"], ["c5"]]


def test_one_control_plane_is_one_at_once() -> None:
    assert rollout_waves({**BIG, "registry_control_planes": ["c1"], "registry_differs": ["c1"]}) == [["c1"]]


def test_a_node_that_reboots_is_alone() -> None:
    assert rollout_waves({**BIG, "registry_reboots": ["w2"]}, at_once=3)[:3] == [["w1"], ["w2"], ["w3"]]
    assert rollout_waves({**BIG, "registry_reboots": ["w3"]}, at_once=3)[:2] == [["w1", "w2"], ["w3"]]
