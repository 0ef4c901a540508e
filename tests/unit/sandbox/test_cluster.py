# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import typing as t
from pathlib import Path

import pytest

from sandbox.cluster import control_plane, kubeconfig, merge, rolled_out
from sandbox.model import CLUSTERS, by_name

if t.TYPE_CHECKING:
    from sandbox.process import Part


def _part(cluster: str, program: str) -> Part:
    return next(part for part in control_plane(by_name(cluster), Path("/f")) if part.argv[0] == program)


def test_the_api_server_comes_after_its_store_and_before_its_clients() -> None:
    programs = [part.argv[0] for part in control_plane(by_name("alpha"), Path("/f"))]
    assert programs[:2] == ["etcd", "kube-apiserver"]
    assert set(programs[2:]) == {"kube-controller-manager", "kube-scheduler", "kube-proxy"}


@pytest.mark.parametrize("cluster", CLUSTERS, ids=lambda cluster: cluster.name)
def test_parts_run_in_their_clusters_network(cluster: t.Any) -> None:
    parts = control_plane(cluster, Path("/f"))
    assert {part.network for part in parts} == {cluster.name}
    assert all(part.name.startswith(f"{cluster.name}-") for part in parts)


@pytest.mark.parametrize(
    "flag",
    [
        "--proxy-mode=nftables",
        "--hostname-override=beta-1",
        "--cluster-cidr=10.42.0.0/16",
        # A namespace's root may not set the machine's limits: kube-proxy must not try.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ],
)
def test_kube_proxy(flag: str) -> None:
    assert flag in _part("beta", "kube-proxy").argv


def test_nothing_listens_on_all_addresses() -> None:
    for cluster in CLUSTERS:
        for part in control_plane(cluster, Path("/f")):
            assert not any("0.0.0.0" in word or "[::]" in word for word in part.argv), part
    assert "--bind-address=10.5.0.2" in _part("alpha", "kube-apiserver").argv
    assert "--bind-address=127.0.0.1" in _part("alpha", "kube-scheduler").argv


def test_kubeconfigs_carry_their_keys_and_merge_by_context(tmp_path: Path) -> None:
    for name in ("ca", "crt", "key"):
        (tmp_path / name).write_text(name)
    files = {"ca": tmp_path / "ca", "certificate": tmp_path / "crt", "key": tmp_path / "key"}
    both = merge(kubeconfig(name, f"https://{name}", **files) for name in ("alpha", "beta"))
    assert both["current-context"] == "alpha"
    assert [context["name"] for context in both["contexts"]] == ["alpha", "beta"]
    assert both["clusters"][1]["cluster"]["server"] == "https://beta"
    assert base64.b64decode(both["users"][0]["user"]["client-key-data"]) == b"key"


def _deployment(generation: int, **status: int) -> dict[str, t.Any]:
    return {"kind": "Deployment", "metadata": {"generation": generation}, "spec": {"replicas": 2}, "status": status}


def _daemonset(**status: int) -> dict[str, t.Any]:
    return {"kind": "DaemonSet", "metadata": {"generation": 1}, "status": {"observedGeneration": 1, **status}}


@pytest.mark.parametrize(
    ("workload", "done"),
    [
        (_deployment(2, observedGeneration=2, replicas=2, readyReplicas=2, updatedReplicas=2), True),
        (_deployment(2, observedGeneration=1, replicas=2, readyReplicas=2, updatedReplicas=2), False),
        (_deployment(2, observedGeneration=2, replicas=3, readyReplicas=2, updatedReplicas=2), False),
        (_deployment(2, observedGeneration=2, replicas=2, readyReplicas=1, updatedReplicas=2), False),
        (_deployment(2), False),
        (_daemonset(desiredNumberScheduled=3, numberReady=3, updatedNumberScheduled=3), True),
        (_daemonset(desiredNumberScheduled=3, numberReady=3, updatedNumberScheduled=1), False),
        (_daemonset(desiredNumberScheduled=0), False),
    ],
    ids=["ready", "not yet seen", "an old pod left", "one not ready", "new", "ds ready", "ds old pods", "ds empty"],
)
def test_rolled_out(workload: dict[str, t.Any], done: bool) -> None:
    assert rolled_out(workload) is done
