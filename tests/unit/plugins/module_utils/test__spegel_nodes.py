# SPDX-License-Identifier: GPL-3.0-or-later
"""On which nodes Spegel's pod runs and its files are missing."""

from __future__ import annotations

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Unreachable
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel_nodes import pods_by_node, without_files

WITH, WITHOUT = {"_backup", "docker.io"}, {"docker.io"}


def pod(name: str, node: str | None, *, ready: bool = True, deleted: bool = False) -> dict[str, object]:
    metadata = {"name": name, "uid": f"uid of {name}", **({"deletionTimestamp": "now"} if deleted else {})}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": metadata, "status": {"conditions": conditions, **({"hostIP": node} if node else {})}}


def missing(pods: list[dict[str, object]], **directories: set[str] | Unreachable) -> dict[str, str]:
    return {node: found.name for node, found in without_files(pods_by_node(pods), directories).items()}


def test_a_node_whose_pod_has_started_and_whose_files_are_gone() -> None:
    assert missing([pod("a", "n1"), pod("b", "n2")], n1=WITH, n2=WITHOUT) == {"n2": "b"}


@pytest.mark.parametrize(
    "pods",
    [
        [],
        [pod("a", "n1")],
        [pod("a", "n2", ready=False)],
        [pod("a", "n2", deleted=True)],
        [pod("a", None)],
    ],
)
def test_a_node_without_a_pod_that_has_started_misses_nothing(pods: list[dict[str, object]]) -> None:
    assert missing(pods, n2=WITHOUT) == {}


def test_of_two_pods_the_one_that_stays_counts() -> None:
    assert missing([pod("a", "n1", deleted=True), pod("b", "n1")], n1=WITHOUT) == {"n1": "b"}


def test_a_node_that_cannot_be_read_is_no_healthy_one() -> None:
    with pytest.raises(Unreachable, match="gone"):
        missing([pod("a", "n1")], n1=Unreachable("gone"))
