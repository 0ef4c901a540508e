# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor of Talos nodes against simulated nodes, each ill in its way, and an API server that knows one Service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
import yaml

from integration import module_call
from integration.kubernetes_api import IP, REGISTRY, SERVICE, Kubernetes, serving
from sandbox.paths import ROOT
from sandbox.process import until
from sandbox.recap import recap
from sandbox.talos_fleet import Fleet, program, subnet

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.module_call import Json
    from sandbox.talos_fleet import FleetNode

NAMES = ("well", "stale", "doubled", "tls", "trying", "stuck", "refused")
OLD_IP = "10.43.216.243"
MIRROR = {"machine": {"registries": {"mirrors": {REGISTRY: {"endpoints": [f"http://{SERVICE}"]}}}}}
INGEST = "var/lib/containerd/io.containerd.content.v1.content/ingest"
TRY_SECONDS = 5


def hosts(*entries: tuple[str, str]) -> Json:
    return {"machine": {"network": {"extraHostEntries": [{"ip": ip, "aliases": [name]} for ip, name in entries]}}}


def document(kind: str, name: str, **content: t.Any) -> Json:
    return {"apiVersion": "v1alpha1", "kind": kind, "name": name, **content}


PATCHES: dict[str, list[Json]] = {
    "well": [MIRROR, hosts((IP, SERVICE))],
    "stale": [MIRROR, hosts((OLD_IP, SERVICE), (OLD_IP, "other.example.com"))],
    "doubled": [
        hosts(("203.0.113.7", "harbor.example.com")),
        document("StaticHostConfig", "203.0.113.8", hostnames=["harbor.example.com", "b.example.com"]),
    ],
    "tls": [
        document("RegistryMirrorConfig", REGISTRY, endpoints=[{"url": "http://plain.example.com"}]),
        document("RegistryTLSConfig", "plain.example.com", insecureSkipVerify=True),
    ],
    "refused": [
        MIRROR,
        hosts((IP, SERVICE)),
        document("RegistryAuthConfig", SERVICE, username="robot$cluster-pull", password="hunter2"),
    ],
}


class Ward:
    """The nodes by name, and how to examine them."""

    def __init__(self, fleet: Fleet, kubeconfig: Path, gone: str) -> None:
        self.fleet, self.kubeconfig, self.gone = fleet, kubeconfig, gone
        self.nodes: dict[str, FleetNode] = dict(zip(NAMES, fleet.nodes.values(), strict=True))

    def doctor(self, *names: str, check: bool = False, **options: t.Any) -> Json:
        asked = {"nodes": [self.nodes[name].address for name in names], "kubeconfig": str(self.kubeconfig)}
        access = {
            "talosconfig": str(self.fleet.talosconfig),
            "talos_context": "ward",
            "talosctl": str(program("talosctl")),
        }
        return module_call.call("talos_registry_doctor", check=check, **{**asked, **access, **options})

    def playbook(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """doctor.yml on nodes only: its cluster has nothing else to examine."""
        site = {
            "registry_cluster": "ward",
            "registry_name": "harbor.example.com",
            "registry_internal_name": SERVICE,
            "registry_image_names": [REGISTRY],
            "registry_kubeconfig": str(self.kubeconfig),
            "registry_talosconfig": str(self.fleet.talosconfig),
            "registry_talosctl": str(program("talosctl")),
            "registry_talos_context": "ward",
        }
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        nodes = {name: {"talos_address": self.nodes[name].address} for name in ("well", "stale", "refused")}
        groups = {"clusters": {"hosts": {"ward": None}}, "nodes": {"hosts": nodes}}
        inventory = self.fleet.folder / "hosts.yml"
        inventory.write_text(yaml.safe_dump({"all": {"children": groups, "vars": site | local}}))
        argv = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory)]
        argv += [str(ROOT / "playbooks/doctor.yml"), "--limit", "nodes", *arguments]
        environment = {
            **os.environ,
            "TMPDIR": str(self.fleet.folder),
        }  # for the client's cache of what an API server has
        return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)

    def ctl(self, name: str, *command: str) -> str:
        argv = [str(program("talosctl")), *command, "--talosconfig", str(self.fleet.talosconfig), "--context", "ward"]
        argv += ["--nodes", self.nodes[name].address]
        return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout

    def patch(self, name: str, patch: Json, *how: str) -> None:
        self.ctl(name, "patch", "mc", "--mode", *(how or ("no-reboot",)), "-p", json.dumps(patch))

    def config(self, name: str, which: str = "v1alpha1") -> str:
        return self.ctl(name, "get", "mc", which, "-o", "jsonpath={.spec}")

    def etc_hosts(self, name: str) -> list[list[str]]:
        return [line.split() for line in (self.nodes[name].root / "etc/hosts").read_text().splitlines()]


def kinds(found: Json, what: str = "troubles") -> list[str]:
    return [one["kind"] for one in found[what]]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    folder = tmp_path_factory.mktemp("ward")
    network = subnet()
    fleet = Fleet(folder)
    addresses = [f"{network}.{number}" for number in range(101, 101 + len(NAMES))]
    with serving(f"{network}.100", folder, name="ward") as kubeconfig:
        try:
            fleet.add("ward", addresses)
            fleet.start()
            ward = Ward(fleet, kubeconfig, f"{network}.99")
            Kubernetes.refused_on = ward.nodes["refused"].address
            for name, patches in PATCHES.items():
                for patch in patches:
                    ward.patch(name, patch)
            yield ward
        finally:
            fleet.stop()


def test_all_are_examined_and_none_is_changed(ward: Ward) -> None:
    """Those that are well, and one that does not answer, keep no other from being read."""
    before = {name: ward.config(name) for name in NAMES}
    names = ("well", "stale", "doubled", "tls", "refused")
    later = time.time() + 60  # containerd had run for a while when the node got its credentials
    os.utime(ward.nodes["refused"].root / "etc/cri/conf.d/cri.toml", (later, later))
    addresses = [ward.nodes[name].address for name in names]
    found = ward.doctor(nodes=[*addresses, ward.gone], talos_timeout=5)
    told = {name: [one for one in found["troubles"] if one["node"] == ward.nodes[name].address] for name in names}
    assert {name: [one["kind"] for one in of] for name, of in told.items()} == {
        "well": [],
        "stale": ["stale_host"],
        "doubled": ["two_addresses"],
        "tls": ["tls_for_http"],
        "refused": ["unauthorized"],
    }, found
    assert [one["kind"] for one in found["troubles"] if one["node"] == ward.gone] == ["unreadable"]
    assert (found["changed"], found["repaired"], found["diff"]) == (False, [], [])
    assert f"harbor/harbor is {IP}" in told["stale"][0]["evidence"]
    refused = told["refused"][0]
    assert "401 Unauthorized" in refused["evidence"]
    assert f"{SERVICE} as robot$cluster-pull" in refused["evidence"]
    assert "containerd runs since" in refused["evidence"]
    assert "reboot" in refused["cure"]
    assert "hunter2" not in json.dumps(found)
    assert {name: ward.config(name) for name in NAMES} == before


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("stale", {OLD_IP: ["other.example.com"], IP: [SERVICE]}),
        ("doubled", {"203.0.113.8": ["harbor.example.com", "b.example.com"]}),
        ("tls", {}),
    ],
)
def test_a_repair_is_predicted_done_and_not_done_again(ward: Ward, name: str, after: dict[str, list[str]]) -> None:
    before = ward.config(name)
    own = [line for line in ward.etc_hosts(name) if line[0] not in {OLD_IP, "203.0.113.7", "203.0.113.8"}]
    predicted = ward.doctor(name, state="repaired", check=True)
    assert ward.config(name) == before
    done = ward.doctor(name, state="repaired")
    assert done == predicted
    assert (done["changed"], done["troubles"], len(done["repaired"])) == (True, [], 1), done
    assert len(done["diff"]) == 1
    assert ward.config(name) == ward.config(name, "persistent") != before
    assert ward.etc_hosts(name) == own + sorted([ip, *names] for ip, names in after.items())
    again = ward.doctor(name, state="repaired")
    assert (again["changed"], again["troubles"], again["repaired"]) == (False, [], []), again
    if name == "tls":
        folder = ward.nodes[name].root / "etc/cri/conf.d/hosts"
        assert "skip_verify" not in (folder / REGISTRY / "hosts.toml").read_text()
        assert not (folder / "plain.example.com").exists()


def test_a_pending_try_is_told_and_left_armed(ward: Ward) -> None:
    before = ward.config("trying")
    ward.patch("trying", hosts((OLD_IP, SERVICE)), "try", "--timeout", f"{TRY_SECONDS}s")
    for options in ({}, {"state": "repaired", "check": True}, {"state": "repaired"}):
        found = ward.doctor("trying", **options)
        assert (found["changed"], kinds(found)) == (False, ["pending", "stale_host"]), found
        assert f"machine.network.extraHostEntries/{OLD_IP}" in found["troubles"][0]["evidence"]
        assert not any(one["repairable"] for one in found["troubles"])
    assert ward.config("trying") != before, "the try was over before it was looked at"
    until("the node takes it back", lambda: ward.config("trying") == before, timeout=2 * TRY_SECONDS)
    assert kinds(ward.doctor("trying")) == []


def test_downloads_and_spegels_files_are_read_from_the_node(ward: Ward) -> None:
    """What the stand-in for a node does not make itself is put below its root."""
    root = ward.nodes["stuck"].root
    for name, minutes in (("stuck", 15), ("alive", 0)):
        folder = root / INGEST / name
        folder.mkdir(parents=True)
        for file in ("data", "ref", "startedat"):
            (folder / file).write_text("x")
            age = 3600 if file == "ref" else 60 * minutes
            os.utime(folder / file, (time.time() - age,) * 2)
        os.utime(folder, (time.time() - 3600,) * 2)
    default = root / "etc/cri/conf.d/hosts/_default"
    default.mkdir()
    (default / "hosts.toml").write_text("[host.'http://10.5.0.3:30020']\n")
    found = ward.doctor("stuck", state="repaired")
    assert (found["changed"], kinds(found)) == (False, ["spegel_intercepts", "stale_ingest"]), found
    spegel, stale = found["troubles"]
    assert "rollout restart daemonset/spegel" in spegel["cure"]
    assert "1 download got" in stale["evidence"]
    assert stale["evidence"].endswith("ingest/stuck")
    assert "for 15" in stale["evidence"]
    assert (root / INGEST / "stuck" / "data").exists()


def test_without_kubernetes_only_the_nodes_are_asked(ward: Ward) -> None:
    found = ward.doctor("refused", "well", kubernetes=False, kubeconfig="/nowhere")
    assert kinds(found) == ["owed_reboot"], "its credentials' file is younger than its containerd, see above"
    assert "registry_reboot=allowed" in found["troubles"][0]["cure"]
    found = ward.doctor("well", kubeconfig="/nowhere")
    assert "Give a kubeconfig file that exists" in found["msg"], found


def test_the_playbook_tells_of_each_node_and_repairs_where_it_is_told_to(ward: Ward) -> None:
    ward.doctor("stale", state="repaired")
    ward.patch("stale", hosts((OLD_IP, SERVICE)))  # a second address of the name beside the right one
    ill = ward.config("stale")
    told = ward.playbook()
    assert {host: counts["failed"] for host, counts in recap(told.stdout).items()} == {
        "well": 0,
        "stale": 1,
        "refused": 1,
    }, told.stdout
    words = " ".join(told.stdout.split())  # lines are folded
    assert f"node {ward.nodes['stale'].address}: {SERVICE} has the addresses {IP} and {OLD_IP}" in words
    assert "401 Unauthorized" in words
    planned = ward.playbook("-e", "registry_repair=true", "--check")
    assert recap(planned.stdout)["refused"]["changed"] == 1, planned.stdout  # the first by name reads and repairs all
    assert ward.config("stale") == ill
    assert Kubernetes.leases == []
    done = ward.playbook("-e", "registry_repair=true")
    assert recap(done.stdout) == recap(planned.stdout)
    assert [line for line in ward.etc_hosts("stale") if SERVICE in line] == [[IP, SERVICE]]
    assert Kubernetes.leases == ["taken", "given back"]
    assert "hunter2" not in told.stdout + done.stdout
