# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves when a node fails in it, when it is killed, and when it is told to do a part only.

The tests follow one another, from the HTTP era and back to it: nodes that fail alone, a rollout that stops at one, the
run after it killed, the run after that.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import typing as t
from dataclasses import dataclass

import pytest

from integration.site_state import State, everything, node_state
from sandbox.faults import Faults
from sandbox.model import CLUSTERS, by_name
from sandbox.observe import observe
from sandbox.paths import ROOT
from sandbox.recap import changed, failures, recap

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.inside import Inside

pytestmark = pytest.mark.sandbox

FAILING = "alpha-worker-1"
UNTOUCHED = "alpha-worker-2"
# The node that fails takes itself back soon; the others have their usual time.
SHORT_TRY = ("-e", json.dumps({"nodes_try_timeout": f"{{{{ 10 if inventory_hostname == '{FAILING}' else 180 }}}}"}))
SETTLE_SECONDS = 60


@dataclass(frozen=True)
class Stopped:
    """A run of ``site.yml`` from the HTTP era in which ``FAILING`` could not pull."""

    before: State
    after: State
    output: str
    returncode: int


@pytest.fixture(scope="module", autouse=True)
def _http_era_afterwards(sandbox: Inside) -> Iterator[None]:
    yield
    for cluster in CLUSTERS:
        Faults(sandbox, cluster.name).reseed()


def configured(found: dict[str, t.Any], image_name: str) -> dict[str, t.Any]:
    """What a node's own configuration gives it: without Spegel's files, which go when Talos writes its own."""
    hosts = [host for host in found["hosts.toml"].get(image_name, ()) if not re.search(r":3002\d$", host)]
    return {**found, "hosts.toml": hosts[:1]}


def site(inside: Inside, *clusters: str) -> State:
    """Every object, and what nodes are configured to."""
    found = everything(inside, *clusters)
    for cluster, parts in found.items():
        name = by_name(cluster).image_name
        parts["nodes"] = {node: configured(one, name) for node, one in parts["nodes"].items()}
    return found


def nodes(inside: Inside, cluster: str = "alpha") -> dict[str, dict[str, t.Any]]:
    model = by_name(cluster)
    return {name: configured(found, model.image_name) for name, found in node_state(inside, model).items()}


def is_on_trial(inside: Inside, node: str, before: dict[str, t.Any]) -> bool:
    """Whether the files in use have changed and the configuration on disk has not."""
    now = nodes(inside)[node]
    return bool(now["hosts"] != before["hosts"] and now["stored"] == before["stored"])


def eventually(inside: Inside, node: str, wanted: dict[str, t.Any]) -> None:
    """The node takes itself back."""
    end = time.monotonic() + SETTLE_SECONDS
    while (found := nodes(inside)[node]) != wanted:
        assert time.monotonic() < end, (found, wanted)
        time.sleep(0.5)


def differing(before: State, after: State) -> set[str]:
    """Paths to what differs, as ``alpha/nodes/alpha-cp-1``."""
    return {
        f"{cluster}/{part}/{name}"
        for cluster, parts in before.items()
        for part, found in parts.items()
        for name in found.keys() | after[cluster][part].keys()
        if found.get(name) != after[cluster][part].get(name)
    }


@pytest.mark.parametrize(
    ("point", "action", "words"),
    [("before-apply", "refuse", "cannot be reached (not now)"), ("after-apply", "die", "cannot be reached")],
)
def test_a_node_that_fails_is_as_it_was(sandbox: Inside, point: str, action: str, words: str) -> None:
    before = site(sandbox, "alpha")
    with Faults(sandbox, "alpha").node(FAILING, point, action, message="not now", times=1):
        done = sandbox.playbook("site.yml", "--limit", FAILING, *SHORT_TRY)
    own, outcome = failures(done.stdout)[FAILING]
    assert done.returncode == 2
    assert words in own
    assert f"Failed: {FAILING}" in outcome
    eventually(sandbox, FAILING, before["alpha"]["nodes"][FAILING])
    assert differing(before, site(sandbox, "alpha")) == set()


def test_names_are_not_rewritten_to_a_service_that_is_not_there(sandbox: Inside) -> None:
    before = site(sandbox)
    done = sandbox.playbook("site.yml", "--tags", "dns", "--limit", "beta")
    (said,) = failures(done.stdout)["beta"]
    assert "no such Service" in said
    assert "tag gateway_alias first" in said
    assert differing(before, site(sandbox)) == set()


def test_two_tags_are_two_changes(sandbox: Inside) -> None:
    before = site(sandbox)
    tags = ("--tags", "gateway_alias,dns", "--limit", "beta")
    done = sandbox.playbook("site.yml", *tags)
    assert done.returncode == 0, done.stdout[-4000:]
    assert differing(before, site(sandbox)) == {
        "beta/objects/ConfigMap kube-system/coredns",
        "beta/objects/Service envoy-gateway-system/envoy-proxy",
    }
    again = sandbox.playbook("site.yml", *tags, "--check")
    assert again.returncode == changed(again.stdout) == 0


@pytest.fixture(scope="module")
def stopped(sandbox: Inside) -> Stopped:
    before = site(sandbox)
    with Faults(sandbox, "alpha").node(FAILING, "pull", message="no room left"):
        done = sandbox.playbook("site.yml", *SHORT_TRY)
    eventually(sandbox, FAILING, before["alpha"]["nodes"][FAILING])
    return Stopped(before, site(sandbox), done.stdout, done.returncode)


def test_a_failed_pull_stops_its_cluster(stopped: Stopped) -> None:
    assert stopped.returncode == 2, stopped.output[-6000:]
    moved = {name for name in differing(stopped.before, stopped.after) if name.startswith("alpha/")}
    assert moved == {
        "alpha/objects/ConfigMap kube-system/coredns",
        "alpha/objects/Service envoy-gateway-system/envoy-proxy",
        "alpha/nodes/alpha-cp-1",
    }
    assert recap(stopped.output)[UNTOUCHED]["changed"] == 0


def test_it_says_what_is_done_what_failed_and_what_is_untouched(stopped: Stopped) -> None:
    said = failures(stopped.output)
    assert said.keys() == {FAILING, "alpha"}
    own, outcome = said[FAILING]
    assert "no room left" in own
    assert f"Done: alpha-cp-1. Failed: {FAILING}. Untouched: {UNTOUCHED}." in outcome
    assert said["alpha"] == [f"alpha: stopped at node {FAILING}"]


def test_the_other_cluster_comes_to_its_end(sandbox: Inside, stopped: Stopped) -> None:
    assert recap(stopped.output)["beta"]["failed"] == recap(stopped.output)["beta-1"]["failed"] == 0
    view = observe(sandbox, tag="before")["beta"]
    assert view.https_from_pod.startswith("401, certificate verified")
    assert view.realm == "https://harbor.example.com/service/token"
    assert all(" fails " not in node.pull for node in view.nodes.values()), view


def test_after_a_kill_in_the_rollout_a_run_converges_and_the_next_changes_nothing(
    sandbox: Inside, stopped: Stopped
) -> None:
    before = stopped.after["alpha"]["nodes"][FAILING]
    with Faults(sandbox, "alpha").node(FAILING, "pull", "hang"):
        process = subprocess.Popen(
            sandbox.playbook_argv("site.yml"),
            env=sandbox.environment({"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while not is_on_trial(sandbox, FAILING, before):
                assert process.poll() is None, "the run ended before the node was on trial"
                time.sleep(0.2)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    done = sandbox.playbook("site.yml")
    assert done.returncode == 0, done.stdout[-6000:]
    assert recap(done.stdout)[FAILING]["changed"] == recap(done.stdout)[UNTOUCHED]["changed"] == 1
    assert recap(done.stdout)["alpha-cp-1"]["changed"] == 0
    again = sandbox.playbook("site.yml")
    assert again.returncode == changed(again.stdout) == 0, again.stdout[-6000:]
    for cluster in CLUSTERS:
        for node in cluster.nodes:
            active, stored = (
                sandbox.talosctl(cluster.name, "-n", node.address, "get", "mc", which, "-o", "jsonpath={.spec}").stdout
                for which in ("v1alpha1", "persistent")
            )
            assert active == stored, f"{node.name}: a configuration is pending"


@pytest.mark.parametrize(
    ("limit", "moved"),
    [
        (UNTOUCHED, {f"alpha/nodes/{UNTOUCHED}"}),
        (
            "beta",
            {
                "beta/objects/ConfigMap harbor/harbor-core",
                "beta/objects/ConfigMap kube-system/coredns",
                "beta/objects/DaemonSet kube-system/spegel",
                "beta/objects/Deployment harbor/harbor-core",
                "beta/objects/Deployment harbor/harbor-jobservice",
                "beta/objects/Service envoy-gateway-system/envoy-proxy",
            },
        ),
    ],
)
def test_a_limit_keeps_everything_else_as_it_is(sandbox: Inside, limit: str, moved: set[str]) -> None:
    before = site(sandbox)
    done = sandbox.playbook("playbooks/rollback.yml", "--limit", limit)
    assert done.returncode == 0, done.stdout[-6000:]
    assert differing(before, site(sandbox)) == moved
