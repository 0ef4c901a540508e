# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sandbox.kubelet import Node
from sandbox.model import TALOS, by_name
from sandbox.nodes import generate_command, talos_command


def test_every_node_gets_a_configuration_of_its_kind() -> None:
    words = generate_command(by_name("alpha"), Path("/out"))
    assert words[:2] == ["talos-node", "gen"]
    assert [word for word in words if word.startswith("--node=")] == [
        "--node=alpha-cp-1=10.5.0.2,controlplane",
        "--node=alpha-worker-1=10.5.0.3,worker",
        "--node=alpha-worker-2=10.5.0.4,worker",
    ]


def test_a_node_asks_its_own_sides_dns_and_trusts_no_authority_of_ours() -> None:
    folder = Path("/n")
    node = Node("beta-1", "192.168.1.98", root=folder, run=folder, state=folder, pod_cidr="10.42.1.0/24")
    words = talos_command(by_name("beta"), node, Path("/out"))
    assert "--address=192.168.1.98" in words
    assert "--resolver=192.168.1.1:53" in words
    assert not any(word.startswith("--system-ca") for word in words)


def test_a_node_plays_the_version_of_its_model() -> None:
    beta = by_name("beta")
    other = replace(beta, nodes=(replace(beta.nodes[0], talos="v1.14.0"),))
    folder = Path("/n")
    node = Node("beta-1", "192.168.1.98", root=folder, run=folder, state=folder, pod_cidr="10.42.1.0/24")
    assert "--talos-version=v1.14.0" in talos_command(other, node, folder)
    assert f"--talos-version={TALOS}" in talos_command(beta, node, folder)
    assert f"--talos-version={TALOS}" in generate_command(other, folder)
