# SPDX-License-Identifier: GPL-3.0-or-later
"""site.yml on five simulated nodes that move to documents and to nothing but what the site names; the second refuses.

The tests follow one another: the rollout that stops, the one that resumes, and one that finds nothing to do.
"""

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

from integration.kubernetes_api import IP, Kubernetes, serving
from integration.leaks import Leaks
from sandbox.paths import ROOT
from sandbox.recap import changed, failures, recap
from sandbox.talos_fleet import Fleet, program, subnet

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.talos_fleet import FleetNode

NAME, INTERNAL = "harbor.example.com", "harbor.harbor.svc.cluster.local"
PASSWORD = "fleet-pull-secret"
FIRST, REFUSING, *LATER = (f"fleet-{number}" for number in range(1, 6))
# As guide 2 leaves a node, beside a mirror and a host entry of others.
AS_IT_WAS = f"""
machine:
  registries:
    mirrors:
      192.168.1.105: {{endpoints: ["http://{INTERNAL}"]}}
      quay.io: {{endpoints: ["https://quay.mirror.example.com"]}}
      docker.io: {{endpoints: ["https://mirror.gcr.io"]}}
    config: {{{INTERNAL}: {{auth: {{username: robot$cluster-pull, password: {PASSWORD}}}}}}}
  network:
    extraHostEntries: [{{ip: {IP}, aliases: [{INTERNAL}]}}, {{ip: 10.5.0.1, aliases: [api.example.com]}}]
"""
SITE = {
    "registry_cluster": "fleet",
    "registry_name": NAME,
    "registry_internal_name": INTERNAL,
    "registry_image_names": ["192.168.1.105"],
    "registry_pull_username": "robot$cluster-pull",
    "registry_pull_password": PASSWORD,
    "registry_talos_context": "fleet",
    "registry_migrate": True,
    "registry_exact": True,
    "registry_node_settings": {"mirrors": [{"name": "docker.io", "endpoints": ["https://mirror.gcr.io"]}]},
    "nodes_kubernetes": False,
}
A_DAY = 86400
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


class Site:
    """The fleet as a site, and what its nodes have on disk."""

    def __init__(self, fleet: Fleet, kubeconfig: Path) -> None:
        self.fleet = fleet
        self.temporary = fleet.folder / "temporary"
        self.temporary.mkdir()
        access = {
            "registry_kubeconfig": str(kubeconfig),
            "registry_talosconfig": str(fleet.talosconfig),
            "registry_talosctl": str(program("talosctl")),
        }
        nodes = {name: {"talos_address": node.address} for name, node in fleet.nodes.items()}
        groups = {"clusters": {"hosts": {"fleet": None}}, "nodes": {"hosts": nodes}}
        self.inventory = fleet.folder / "hosts.yml"
        self.inventory.write_text(yaml.safe_dump({"all": {"children": groups, "vars": SITE | access | LOCAL}}))

    def rollout(self, *options: str) -> subprocess.CompletedProcess[str]:
        """The nodes alone: their cluster is no more than its Lease."""
        playbook = str(Path(sys.executable).with_name("ansible-playbook"))
        argv = [playbook, "-i", str(self.inventory), str(ROOT / "site.yml"), "--limit", "nodes", *options]
        places = dict.fromkeys(("TMPDIR", "ANSIBLE_LOCAL_TEMP", "ANSIBLE_REMOTE_TEMP"), str(self.temporary))
        environment = {**os.environ, **places, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)

    def stored(self) -> dict[str, str]:
        return {name: (node.state / "config.yaml").read_text() for name, node in self.fleet.nodes.items()}

    def written(self, name: str) -> float:
        """When the node's configuration was made permanent."""
        return (self.fleet.nodes[name].state / "config.yaml").stat().st_mtime


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, network = tmp_path_factory.mktemp("fleet"), subnet()
    patch = folder / "as-it-was.yaml"
    patch.write_text(AS_IT_WAS)
    fleet = Fleet(folder)
    with serving(f"{network}.120", folder, name="fleet") as kubeconfig:
        try:
            fleet.add("fleet", [f"{network}.{number}" for number in range(121, 126)], patches=[patch])
            fleet.start()
            for node in fleet.nodes.values():
                age(node, -A_DAY)  # its containerd started after it, see below
            yield Site(fleet, kubeconfig)
        finally:
            fleet.stop()


def age(node: FleetNode, seconds: float) -> None:
    """Credentials' files are told from containerd's start by more seconds than this test wants to wait."""
    file = node.root / "etc/cri/conf.d/cri.toml"
    os.utime(file, (time.time() + seconds,) * 2)


def documents(text: str) -> tuple[dict[str, t.Any], dict[tuple[str, str], dict[str, t.Any]]]:
    """A configuration as (its v1alpha1 document's machine, (kind, name) → registry settings and host entries)."""
    found = list(yaml.safe_load_all(text))
    (main,) = (one for one in found if "kind" not in one)
    ours = {(one["kind"], one["name"]): one for one in found if "name" in one}
    return main["machine"], ours


@pytest.fixture(scope="module")
def stopped(site: Site) -> tuple[dict[str, str], subprocess.CompletedProcess[str]]:
    before = site.stored()
    refusal = {"before-apply": {"action": "refuse", "times": 1, "message": "told to refuse"}}
    (site.fleet.nodes[REFUSING].state / "control.json").write_text(json.dumps(refusal))
    with Leaks([PASSWORD], site.temporary) as leaks:
        done = site.rollout("-vvv")
    assert (leaks.found, leaks.looked_at) == (set(), {"process", "file"})
    return before, done


def test_the_second_of_five_nodes_refuses_and_the_rest_is_left_alone(
    site: Site, stopped: tuple[dict[str, str], subprocess.CompletedProcess[str]]
) -> None:
    before, done = stopped
    assert done.returncode == 2, done.stdout[-6000:]
    after = site.stored()
    assert {name for name in before if before[name] != after[name]} == {FIRST}
    said = failures(done.stdout)
    assert said.keys() == {REFUSING}
    own, outcome = said[REFUSING]
    assert "told to refuse" in own
    assert f"fleet stopped at {REFUSING}" in outcome
    assert f"Done: {FIRST}. Reverted: {REFUSING}. Failed: none. Untouched: {', '.join(LATER)}." in outcome
    assert (Kubernetes.leases, Kubernetes.lease) == (["taken", "given back"], None)
    assert PASSWORD not in done.stdout + done.stderr


def test_the_next_run_goes_on_where_that_one_stopped_two_by_two(
    site: Site, stopped: tuple[dict[str, str], subprocess.CompletedProcess[str]]
) -> None:
    assert stopped[1].returncode == 2
    done = site.rollout("-e", "registry_nodes_at_once=2")
    assert done.returncode == 0, done.stdout[-6000:]
    counted = {host: counters["changed"] for host, counters in recap(done.stdout).items()}
    assert counted == {FIRST: 0, REFUSING: 1, **dict.fromkeys(LATER, 1)}
    waves = [FIRST], [REFUSING, LATER[0]], LATER[1:]
    times = [[site.written(name) for name in wave] for wave in waves]
    assert max(times[0]) < min(times[1]) and max(times[1]) < min(times[2])
    for name, text in site.stored().items():
        machine, settings = documents(text)
        assert not machine.get("registries"), name
        assert not machine.get("network", {}).get("extraHostEntries"), name
        assert settings.keys() == {
            ("RegistryMirrorConfig", "192.168.1.105"),
            ("RegistryMirrorConfig", "docker.io"),
            ("RegistryAuthConfig", NAME),
            ("StaticHostConfig", "10.5.0.1"),
        }, name
        assert settings["RegistryMirrorConfig", "192.168.1.105"]["endpoints"] == [{"url": f"https://{NAME}"}]
        hosts = (site.fleet.nodes[name].root / "etc/hosts").read_text()
        assert ("api.example.com" in hosts, INTERNAL in hosts) == (True, False), name


def test_a_run_after_that_changes_nothing_and_says_who_owes_a_reboot(site: Site) -> None:
    for node in site.fleet.nodes.values():
        age(node, 60 if node.name in LATER else -A_DAY)
    done = site.rollout()
    assert (done.returncode, changed(done.stdout)) == (0, 0), done.stdout[-6000:]
    owing = [name for name in site.fleet.nodes if f"{name} is as wanted, and containerd still has" in done.stdout]
    assert owing == LATER
