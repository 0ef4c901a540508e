# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollout's modules on the sandbox: health, why a pull fails, Spegel's files, the lock. Leaves it as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from integration.module_call import inside_of
from integration.site_state import node_state
from sandbox.model import REGISTRY_NAME, by_name
from sandbox.paths import BIN, ROOT

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.module_call import Call, Json
    from sandbox.inside import Inside

pytestmark = pytest.mark.sandbox

WORKER = "alpha-worker-2"
REPOSITORY = "library/split-horizon-proof"
PUSHER = {"username": "robot$ci", "password": "sandbox-push-secret"}
PULLER = {"username": "robot$cluster-pull", "password": "sandbox-pull-secret"}


@pytest.fixture(scope="module")
def call(sandbox: Inside) -> Iterator[Call]:
    with inside_of(sandbox) as call:
        yield call


@pytest.fixture(scope="module")
def talos(sandbox: Inside) -> Json:
    places = sandbox.places
    return {"talosctl": str(BIN / "talosctl"), "talosconfig": str(places.talosconfig), "talos_context": "alpha"}


@pytest.fixture(scope="module")
def kubernetes(sandbox: Inside) -> Json:
    return {"kubeconfig": str(sandbox.places.kubeconfig), "context": "alpha"}


def address(node: str) -> str:
    return by_name("alpha").node(node).address


def test_health_of_nodes(call: Call, talos: Json, kubernetes: Json) -> None:
    both = talos | kubernetes
    for node, machine_type in (("alpha-cp-1", "controlplane"), (WORKER, "worker")):
        found = call("talos_node_health", node=address(node), machine_type=machine_type, timeout=10, **both)
        assert found["kubernetes_node"] == {"name": node, "unschedulable": False}, found
        assert found["services"]["kubelet"] == "Running"
        assert ("etcd" in found["services"]) == (machine_type == "controlplane")
    begin = time.monotonic()
    for wrong, said in (
        ({"node": address(WORKER), "machine_type": "controlplane"}, "service etcd is not there"),
        ({"node": "10.5.0.99"}, "node 10.5.0.99: "),
    ):
        found = call("talos_node_health", timeout=1, **both, **wrong)
        assert said in found["msg"], found
    assert time.monotonic() - begin < 30, "not bounded"


class Pull(t.Protocol):
    """A pull on one node; without ``reference`` of the image that is there."""

    def __call__(self, reference: str, account: Json) -> Json: ...


@pytest.fixture(scope="module")
def pull(call: Call, talos: Json, sandbox: Inside) -> Iterator[Pull]:
    registry = {
        "url": f"https://{REGISTRY_NAME}",
        "address": by_name("alpha").gateway_address,
        "ca": sandbox.places.ca.read_text(),
    }
    image = {**registry, **PUSHER, "repository": REPOSITORY, "tag": "m"}
    pushed = call("registry_proof_image", **image)["reference"]

    def one(reference: str, account: Json) -> Json:
        asked = {"image": reference or pushed, "registry": {**registry, **account}, "timeout": 4}
        return call("talos_image_pull", nodes=[address(WORKER)], **asked, **talos)

    yield one
    call("registry_proof_image", state="absent", **image)


@pytest.mark.parametrize(
    ("reference", "account", "words"),
    [
        ("", {**PULLER, "password": "wrong"}, ("the credentials do not open it", REGISTRY_NAME)),
        (f"{REGISTRY_NAME}/{REPOSITORY}:none", PULLER, ("there is no such image", ":none")),
        (
            f"nowhere.example.com/{REPOSITORY}:m",
            PULLER,
            ("within 4 s, though the registry gives it", "does not reach its endpoint"),
        ),
    ],
)
def test_why_an_image_is_not_pulled_is_told_within_seconds(
    pull: Pull, reference: str, account: Json, words: tuple[str, ...]
) -> None:
    begin = time.monotonic()
    found = pull(reference, account)
    assert time.monotonic() - begin < 20
    assert [word for word in words if word not in found["msg"]] == [], found


def as_talos_writes_them(hosts: Path) -> None:
    """Take away what Spegel has written, and put back what it has put aside."""
    for folder in hosts.iterdir():
        if folder.name != "_backup":
            shutil.rmtree(folder)
    for folder in (hosts / "_backup").iterdir():
        folder.rename(hosts / folder.name)
    (hosts / "_backup").rmdir()


def test_spegel_gets_its_files_back_where_they_are_missing(
    sandbox: Inside, call: Call, talos: Json, kubernetes: Json
) -> None:
    model = by_name("alpha")
    before = {name: found["hosts.toml"] for name, found in node_state(sandbox, model).items()}
    as_talos_writes_them(sandbox.places.node("alpha", WORKER) / "root/etc/cri/conf.d/hosts")
    asked = {"nodes": [node.address for node in model.nodes], **talos, **kubernetes}
    predicted = call("spegel_node_files", check=True, **asked)
    assert predicted["missing"].keys() == {address(WORKER)}
    assert call("spegel_node_files", check=True, **asked)["missing"] == predicted["missing"], "check mode restarted it"
    done = call("spegel_node_files", **asked)
    assert {key: done.get(key) for key in predicted} == predicted
    again = call("spegel_node_files", **asked)
    assert (again["changed"], again["missing"]) == (False, {}), again
    assert {name: found["hosts.toml"] for name, found in node_state(sandbox, model).items()} == before


def test_the_lease_of_a_rollout(sandbox: Inside, call: Call, kubernetes: Json) -> None:
    def lease() -> str:
        return sandbox.kubectl("alpha", "-n", "kube-system", "get", "lease", "-o", "name")

    def lock(**asked: t.Any) -> Json:
        return call("rollout_lock", **asked, **kubernetes)

    assert (lock(holder="first")["held"], lock(holder="first")["held"]) == (True, True)
    refused = lock(holder="second")
    assert (refused["held"], refused["holder"], refused["changed"]) == (False, "first", False)
    assert "splithorizon-registry-rollout" in lease()
    assert lock(holder="second", dead="first")["held"]
    lock(holder="first", state="released")
    assert "splithorizon-registry-rollout" in lease(), "it is the second's"
    lock(holder="second", state="released")
    assert "splithorizon-registry-rollout" not in lease()


def test_a_lease_of_another_host_is_told_and_keeps(sandbox: Inside, call: Call, kubernetes: Json) -> None:
    """Whether its process lives cannot be known from here; nor may the same number of this host be taken for it."""
    elsewhere = f"controller-2/another-boot/pid:[1]/{os.getpid()}/1"
    assert call("rollout_lock", holder=elsewhere, **kubernetes)["held"]
    try:
        ansible = Path(sys.executable).with_name("ansible")
        options = " ".join(f"{name}={value}" for name, value in (kubernetes | {"wait": 0}).items())
        _playbook, *inventory, _site = sandbox.playbook_argv("site.yml")
        refused = subprocess.run(
            [ansible, *inventory, "alpha", "-m", "splithorizon.registry.rollout_lock", "-a", options],
            env=sandbox.environment({"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert refused.returncode != 0
        told = " ".join(refused.stdout.split())
        assert f"another run changes this cluster's nodes: process {os.getpid()} on host controller-2, since" in told
        assert "should its host be gone, its lease is good until" in told
        assert call("rollout_lock", holder="other", **kubernetes)["holder"] == elsewhere
    finally:
        call("rollout_lock", holder=elsewhere, state="released", **kubernetes)
