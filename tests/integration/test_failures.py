# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves when a node fails in it, when it is killed, when another runs beside it, and when a part is told.

The tests follow one another, from the HTTP era and back to it: steps told by tag; a rollout that stops at a node that
dies on trial; a node that is not healthy; a run that is kept out by another, which is killed; the run after that, in
which the certificate expires, and the one that resumes; a reboot that was put off. Rollouts are limited to the nodes
where the clusters' own steps do not matter.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from integration.site_state import State, everything, node_state
from sandbox.faults import Faults
from sandbox.model import CLUSTERS, by_name
from sandbox.paths import ROOT
from sandbox.process import until
from sandbox.recap import changed, failures, recap

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.inside import Inside

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("http_era_afterwards")]

FAILING = "alpha-worker-1"
UNTOUCHED = "alpha-worker-2"
SPEGEL = re.compile(r":3002\d$")
SETTLE_SECONDS = 60


@dataclass(frozen=True)
class Stopped:
    """A rollout over all nodes from the HTTP era in which ``FAILING`` died when it had the new configuration."""

    before: State
    after: State
    output: str
    returncode: int


def settings(**values: t.Any) -> tuple[str, str]:
    return "-e", json.dumps(values)


def configured(found: dict[str, t.Any], image_name: str) -> dict[str, t.Any]:
    """What a node's own configuration gives it: without Spegel's files, which go when Talos writes its own."""
    hosts = [host for host in found["hosts.toml"].get(image_name, ()) if not SPEGEL.search(host)]
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


def differing(before: State, after: State) -> set[str]:
    """Paths to what differs, as ``alpha/nodes/alpha-cp-1``."""
    return {
        f"{cluster}/{part}/{name}"
        for cluster, parts in before.items()
        for part, found in parts.items()
        for name in found.keys() | after[cluster][part].keys()
        if found.get(name) != after[cluster][part].get(name)
    }


def test_names_are_not_rewritten_to_a_service_that_is_not_there(sandbox: Inside) -> None:
    before = site(sandbox)
    done = sandbox.playbook("site.yml", "--tags", "dns", "--limit", "beta")
    (said,) = failures(done.stdout)["beta"]
    assert "no such Service" in said
    assert "tag gateway_alias" in said
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


@pytest.fixture(scope="module")
def stopped(sandbox: Inside) -> Stopped:
    before = site(sandbox)
    with Faults(sandbox, "alpha").node(FAILING, "after-apply", "die", times=1):
        done = sandbox.playbook("site.yml", "--limit", "nodes")
    return Stopped(before, site(sandbox), done.stdout, done.returncode)


def test_a_node_that_dies_on_trial_stops_its_cluster_and_no_other(stopped: Stopped) -> None:
    assert stopped.returncode == 2, stopped.output[-6000:]
    assert differing(stopped.before, stopped.after) == {"alpha/nodes/alpha-cp-1", "beta/nodes/beta-1"}
    said = failures(stopped.output)
    assert said.keys() == {FAILING}, "nodes of other clusters failed, or nodes of this one that were not entered"
    own, outcome = said[FAILING]
    assert "cannot be reached" in own
    assert f"alpha stopped at {FAILING}" in outcome
    assert f"Done: alpha-cp-1. Reverted: {FAILING}. Failed: none. Untouched: {UNTOUCHED}." in outcome
    assert recap(stopped.output)[UNTOUCHED]["changed"] == 0


def test_a_node_that_was_reverted_has_spegel_back(sandbox: Inside, stopped: Stopped) -> None:
    assert stopped.returncode == 2
    for node in (FAILING, UNTOUCHED, "alpha-cp-1"):
        hosts = node_state(sandbox, by_name("alpha"))[node]["hosts.toml"][by_name("alpha").image_name]
        assert SPEGEL.search(hosts[0]), (node, hosts)


def test_a_node_that_is_not_healthy_is_not_entered(sandbox: Inside, stopped: Stopped) -> None:
    # As a control plane it would have to have etcd.
    wrong = settings(nodes_machine_type="controlplane", nodes_health_timeout=1)
    done = sandbox.playbook("site.yml", "--limit", UNTOUCHED, *wrong)
    own, outcome = failures(done.stdout)[UNTOUCHED]
    assert done.returncode == 2
    assert "service etcd is not there" in own
    assert f"Reverted: none. Failed: none. Untouched: {UNTOUCHED}." in outcome
    assert differing(stopped.after, site(sandbox)) == set()


@contextmanager
def run_that_hangs(inside: Inside, node: str) -> Iterator[subprocess.Popen[bytes]]:
    """A rollout that is waiting for a node's pull, the node on trial; it is killed in the end."""
    before = nodes(inside)[node]
    with Faults(inside, "alpha").node(node, "pull", "hang"):
        process = subprocess.Popen(
            inside.playbook_argv("site.yml", "--limit", "alpha_cluster:!clusters", *settings(nodes_pull_timeout=90)),
            env=inside.environment({"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while not is_on_trial(inside, node, before):
                assert process.poll() is None, "the run ended before the node was on trial"
                time.sleep(0.2)
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_two_runs_are_kept_apart(sandbox: Inside, stopped: Stopped) -> None:
    with run_that_hangs(sandbox, FAILING) as first:
        second = sandbox.playbook("site.yml", "--limit", UNTOUCHED, *settings(nodes_lock_wait=0))
        own, outcome = failures(second.stdout)[UNTOUCHED]
        assert f"another run changes this cluster's nodes: process {first.pid} on host {os.uname().nodename}" in own
        assert f"Untouched: {UNTOUCHED}." in outcome
        assert is_on_trial(sandbox, FAILING, stopped.after["alpha"]["nodes"][FAILING])
        assert nodes(sandbox)[UNTOUCHED] == stopped.after["alpha"]["nodes"][UNTOUCHED]


@contextmanager
def certificate_that_expires_after(inside: Inside, node: str, before: State, waiting: str) -> Iterator[None]:
    """The gateway's certificate expires when ``node`` is done; until then ``waiting`` takes no configuration."""
    faults = Faults(inside, "alpha")
    busy = "another apply configuration is already in progress"
    with (
        ThreadPoolExecutor(1) as pool,
        faults.node(waiting, "before-apply", "refuse", code="FAILED_PRECONDITION", message=busy),
    ):

        def expire() -> None:
            until(f"{node} is done", lambda: stored_of(inside, node) != stored, timeout=120)
            faults.serve("expired")
            faults.control(faults.model.node(waiting)).unlink()

        stored = before["alpha"]["nodes"][node]["stored"]
        expired = pool.submit(expire)
        try:
            yield
            expired.result()
        finally:
            faults.serve("good")


def stored_of(inside: Inside, node: str) -> t.Any:
    return nodes(inside)[node]["stored"]


def test_a_certificate_that_expires_midway_stops_the_cluster(sandbox: Inside, stopped: Stopped) -> None:
    """The run before was killed between try and confirmation: its lease is there, and its try. That stops nobody."""
    before = site(sandbox, "alpha")
    patience = settings(nodes_lock_wait=0, nodes_pull_timeout=5, nodes_request_timeout=60, nodes_try_timeout=600)
    with certificate_that_expires_after(sandbox, FAILING, stopped.after, waiting=UNTOUCHED):
        done = sandbox.playbook("site.yml", "--limit", "alpha_cluster:!clusters", *patience)
    assert done.returncode == 2, done.stdout[-6000:]
    own, *outcome = failures(done.stdout)[UNTOUCHED]
    assert "split-horizon-proof" in own
    assert "within 5 s" in own or "does not trust the registry's certificate" in own
    assert f"Done: {FAILING}. Reverted: {UNTOUCHED}. Failed: none. Untouched: none." in " ".join(outcome)
    assert differing(before, site(sandbox, "alpha")) == {f"alpha/nodes/{FAILING}"}


def test_the_next_run_resumes_and_leaves_nothing_behind(sandbox: Inside, stopped: Stopped) -> None:
    assert stopped.returncode == 2
    done = sandbox.playbook("site.yml", "--limit", "alpha_cluster:!clusters", *settings(nodes_lock_wait=0))
    assert done.returncode == 0, done.stdout[-6000:]
    assert {host: counters["changed"] for host, counters in recap(done.stdout).items()} == {
        "alpha-cp-1": 0,
        FAILING: 0,
        UNTOUCHED: 1,
    }
    for cluster in CLUSTERS:
        assert "splithorizon" not in sandbox.kubectl(cluster.name, "get", "leases", "-n", "kube-system", "-o", "name")
        for node in cluster.nodes:
            active, stored = (
                sandbox.talosctl(cluster.name, "-n", node.address, "get", "mc", which, "-o", "jsonpath={.spec}").stdout
                for which in ("v1alpha1", "persistent")
            )
            assert active == stored, f"{node.name}: a configuration is pending"


def pods_on(inside: Inside, node: str) -> dict[str, str]:
    """Name → kind of its owner; empty for none."""
    field = f"spec.nodeName={node}"
    listed = json.loads(inside.kubectl("alpha", "get", "pods", "-A", "--field-selector", field, "-o", "json"))
    return {
        pod["metadata"]["name"]: next((owner["kind"] for owner in pod["metadata"].get("ownerReferences", ())), "")
        for pod in listed["items"]
    }


def test_a_reboot_that_was_put_off_is_caught_up_by_a_run_that_may_reboot(sandbox: Inside, stopped: Stopped) -> None:
    """Drained first; and no more than that node, which the limit names."""
    assert stopped.returncode == 2
    # Not where a pod stands that has no owner, or the only copy of the registry's images.
    node = next(
        node.name
        for node in by_name("alpha").nodes
        if not any(not kind or name.startswith("harbor-registry") for name, kind in pods_on(sandbox, node.name).items())
    )
    before, pods = site(sandbox, "alpha"), pods_on(sandbox, node)
    started = sandbox.places.node("alpha", node) / "state" / "cri-start"
    boot = started.read_text()
    limited = ("--limit", node, *settings(registry_reboot="allowed"))
    planned = sandbox.playbook("playbooks/rollback.yml", "--check", *limited)
    assert (changed(planned.stdout), pods_on(sandbox, node)) == (2, pods), "check mode: the change, and the reboot"
    done = sandbox.playbook("site.yml", *limited)
    assert done.returncode == 0, done.stdout[-6000:]
    assert changed(done.stdout) == 1, "the credentials came with an earlier run"
    assert started.read_text() != boot, "not rebooted"
    movable = {name for name, kind in pods.items() if kind != "DaemonSet"}
    assert movable and not movable & pods_on(sandbox, node).keys(), "not drained"
    assert "unschedulable" not in json.loads(sandbox.kubectl("alpha", "get", "node", node, "-o", "json"))["spec"]
    assert differing(before, site(sandbox, "alpha")) == set()
    again = sandbox.playbook("site.yml", "--check", *limited)
    assert (again.returncode, changed(again.stdout)) == (0, 0), again.stdout[-6000:]
