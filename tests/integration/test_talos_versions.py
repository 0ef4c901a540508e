# SPDX-License-Identifier: GPL-3.0-or-later
"""The Talos modules against a node of each version they support; each node's containerd says what it really took."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import typing as t
from dataclasses import dataclass
from http.server import ThreadingHTTPServer

import pytest

from integration import module_call
from integration.talos_replay import CREDENTIALS, Registry
from sandbox.process import until
from sandbox.talos_fleet import Fleet, program, subnet

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration.module_call import Json
    from sandbox.talos_fleet import FleetNode

IMAGE, OTHER_IMAGE = "library/bb:1", "library/bb:2"
PROMISED = "registry.example.com", "other.example.com"
UNAUTHORIZED = "pull access denied"


@dataclass(frozen=True)
class Version:
    tag: str
    layer: str
    restarts_containerd: bool = False
    repeats_pulls: bool = True


VERSIONS = {
    "1.11": Version("v1.11.6", "v1alpha1"),
    "1.12": Version("v1.12.11", "documents"),
    "1.13": Version("v1.13.9", "documents"),
    "1.14": Version("v1.14.0", "documents", restarts_containerd=True, repeats_pulls=False),
}


class Node:
    """One node, its containerd, and how to run modules against it."""

    def __init__(self, fleet: Fleet, node: FleetNode, version: Version, registry: str) -> None:
        self.fleet, self.node, self.version, self.registry = fleet, node, version, registry
        command = [program("talos-node"), "containerd", "--root", node.root, "--state", node.state]
        pipe = subprocess.PIPE
        self.containerd = subprocess.Popen([str(part) for part in command], stdin=pipe, stdout=pipe, text=True)
        self.talosctl = _talosctl_of(version, fleet.folder)

    @property
    def mirror(self) -> Json:
        return {"mirrors": [{"name": PROMISED[0], "endpoints": [f"http://{self.registry}"], "skip_fallback": True}]}

    def auth(self, password: str = CREDENTIALS[1]) -> Json:
        return {"auth": [{"name": self.registry, "username": CREDENTIALS[0], "password": password}]}

    @property
    def no_auth(self) -> Json:
        return {"auth": [{"name": self.registry, "state": "absent"}]}

    def set(self, wanted: Json, **options: t.Any) -> Json:
        return module_call.call(
            "talos_registry_mirror", node=self.node.address, **self._access, **{**wanted, **options}
        )

    def pull(self, image: str, *, seconds: int = 10) -> Json:
        """By Talos's own resolver, which takes credentials at once, and asks for no image that is there already."""
        options = {"nodes": [self.node.address], "image": f"{PROMISED[0]}/{image}", "timeout": seconds}
        return module_call.call("talos_image_pull", **options, **self._access)

    def pod_pulls(self, registry: str = PROMISED[0]) -> bool:
        """What the kubelet would get from containerd now: the image, or that it may not have it."""
        assert self.containerd.stdin and self.containerd.stdout
        self.containerd.stdin.write(f"{registry}/{IMAGE}\n")
        self.containerd.stdin.flush()
        answer: Json = json.loads(self.containerd.stdout.readline())
        assert ("image" in answer) != (UNAUTHORIZED in answer.get("error", "")), answer
        return "image" in answer

    def reboot(self) -> None:
        stamp = (self.node.state / "cri-start").read_text()
        assert self.ctl("reboot", "--wait=false").returncode == 0
        until("it reboots", lambda: (self.node.state / "cri-start").read_text() != stamp, timeout=10)
        until("it is up", lambda: self.ctl("version").returncode == 0, timeout=10)

    def has_run_for_a_while(self) -> None:
        """Credentials that come within seconds of containerd's start are taken for those of its start."""
        later = time.time() + 60
        os.utime(self.node.root / "etc/cri/conf.d/cri.toml", (later, later))

    def ctl(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        argv = [self.talosctl, *command, "--talosconfig", self.fleet.talosconfig, "--context", self.node.cluster]
        argv += ["--nodes", self.node.address]
        return subprocess.run(
            [str(part) for part in argv], input=stdin, capture_output=True, text=True, timeout=30, check=False
        )

    @property
    def _access(self) -> Json:
        return {
            "talosconfig": str(self.fleet.talosconfig),
            "talos_context": self.node.cluster,
            "talosctl": str(self.talosctl),
        }


def _talosctl_of(version: Version, folder: Path) -> Path:
    """The sandbox's talosctl, under the name of the node's version: the modules refuse one older than the node."""
    path = folder / f"talosctl-{version.tag}"
    path.write_text(
        f"""#!/bin/sh
[ "$1" = version ] || exec {program("talosctl")} "$@"
{program("talosctl")} "$@" | sed '1,/Tag:/s/Tag: .*/Tag: {version.tag}/'
"""
    )
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Node]]:
    network = subnet()
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    Registry.fill()
    registry = ThreadingHTTPServer((f"{network}.1", 0), Registry)
    threading.Thread(target=registry.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    made: dict[str, Node] = {}
    try:
        first, *others = [version.tag for version in VERSIONS.values()]
        fleet.add("old", [f"{network}.2"], versions=[first])
        fleet.add("new", [f"{network}.{number}" for number in range(3, 3 + len(others))], versions=others)
        fleet.start()
        for node, (name, version) in zip(fleet.nodes.values(), VERSIONS.items(), strict=True):
            made[name] = Node(fleet, node, version, f"{network}.1:{registry.server_port}")
        time.sleep(1)  # Talos tells times to the second: what comes in that of the boot looks as if it came with it
        yield made
    finally:
        for one in made.values():
            one.containerd.kill()
        fleet.stop()
        registry.shutdown()


@pytest.mark.parametrize("name", VERSIONS)
def test_settings_and_whether_a_reboot_is_needed(nodes: dict[str, Node], name: str) -> None:
    """Credentials come, a mirror comes, credentials go; ``reboot_required`` is what containerd then shows."""
    node = nodes[name]
    needs_reboot = not node.version.restarts_containerd

    wanted = {**node.mirror, **node.auth()}
    predicted = node.set(wanted, check=True)
    done = node.set(wanted)
    assert done == predicted
    assert (done.get("changed"), done.get("layer")) == (True, node.version.layer), done
    assert done["version"] == node.version.tag.removeprefix("v")
    assert done["reboot_required"] is needs_reboot
    assert node.pod_pulls() is not needs_reboot
    assert node.pull(IMAGE).get("failed") is not True
    node.has_run_for_a_while()
    again = node.set(wanted)
    assert (again["changed"], again["reboot_required"]) == (False, needs_reboot)
    if needs_reboot:
        node.reboot()
        assert node.set(wanted)["reboot_required"] is False
    assert node.pod_pulls()

    other = {"mirrors": [{**node.mirror["mirrors"][0], "name": PROMISED[1]}]}
    done = node.set(other)
    assert (done["changed"], done["reboot_required"]) == (True, False)
    assert node.pod_pulls(PROMISED[1])

    done = node.set(node.no_auth)
    assert (done["changed"], done["reboot_required"]) == (True, needs_reboot)
    assert node.pod_pulls() is needs_reboot


@pytest.mark.parametrize("name", ["1.13", "1.14"])
def test_a_wrong_password_is_told_in_time(nodes: dict[str, Node], name: str) -> None:
    node = nodes[name]
    node.set({**node.mirror, **node.auth("wrong")})
    begun = time.monotonic()
    refused = node.pull(OTHER_IMAGE, seconds=2)
    assert refused.get("failed"), refused
    said = "within 2 s" if node.version.repeats_pulls else "the registry refuses the node's credentials"
    assert said in refused["msg"]
    assert time.monotonic() - begun < 6


def test_a_node_before_1_12_knows_no_documents(nodes: dict[str, Node]) -> None:
    node = nodes["1.11"]
    before = node.ctl("get", "mc", "v1alpha1", "-o", "jsonpath={.spec}").stdout
    document = "---\napiVersion: v1alpha1\nkind: RegistryAuthConfig\nname: a\nusername: u\npassword: p\n"
    raw = node.ctl(
        "apply-config", "-f", "/dev/stdin", "--mode", "no-reboot", stdin=before.rstrip("\n") + "\n" + document
    )
    assert raw.stderr.strip().endswith('code = InvalidArgument desc = "RegistryAuthConfig" "v1alpha1": not registered')
    refused = node.set(node.mirror, layer="documents")
    assert "knows no registry documents" in refused["msg"]
    assert node.ctl("get", "mc", "v1alpha1", "-o", "jsonpath={.spec}").stdout == before
