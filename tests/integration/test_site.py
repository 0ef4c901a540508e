# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks on the sandbox, in the order in which an operator runs them: there, again, back, again, there.

The last way there is Molecule's: its scenario is the same playbooks from another hand.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import typing as t
from pathlib import Path

import pytest
import yaml

from integration.leaks import Leaks
from integration.module_call import inside_of
from integration.site_state import state
from sandbox.builds import build
from sandbox.model import CLUSTERS, REGISTRY_NAME
from sandbox.observe import observe, pod_dns
from sandbox.paths import ROOT
from sandbox.recap import changed, failures, recap
from sandbox.workloads import coredns

if t.TYPE_CHECKING:
    from subprocess import CompletedProcess

    from integration.site_state import State
    from sandbox.inside import Inside

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("http_era_afterwards")]


def succeeded(done: CompletedProcess[str]) -> CompletedProcess[str]:
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}"
    return done


def counts(done: CompletedProcess[str]) -> dict[str, int]:
    return {host: counters["changed"] for host, counters in recap(done.stdout).items()}


def diff_lines(done: CompletedProcess[str]) -> list[str]:
    return sorted(line for line in done.stdout.splitlines() if line.startswith(("+", "-")))


TALOS_MARK = "config.k8s.io/owning-inventory"
PASSWORDS = ["sandbox-pull-secret", "sandbox-push-secret"]


def machine_tokens(inside: Inside) -> list[str]:
    """What every configuration of a node holds."""
    configurations = (
        (inside.places.node(cluster.name, node.name) / "state" / "config.yaml").read_text()
        for cluster in CLUSTERS
        for node in cluster.nodes
    )
    return [next(yaml.safe_load_all(text))["machine"]["token"] for text in configurations]


@pytest.fixture(scope="module")
def http_era(sandbox: Inside) -> State:
    found = state(sandbox)
    assert found["beta"]["core"]["EXT_ENDPOINT"] == "http://192.168.1.105", "the sandbox is not in the HTTP era"
    return found


def test_before_the_migration_all_get_the_same(sandbox: Inside, http_era: State) -> None:
    cluster = CLUSTERS[1]
    with inside_of(sandbox) as call:
        found = call(
            "split_horizon",
            kubeconfig=str(sandbox.places.kubeconfig),
            context=cluster.name,
            talosconfig=str(sandbox.places.talosconfig),
            talos_context=cluster.name,
            name=REGISTRY_NAME,
            nodes=[node.address for node in cluster.nodes],
            resolver=cluster.lan_address,
        )
    seen = pod_dns(sandbox, cluster.name)
    assert {pod["pod"]: pod["gets"] for pod in found["pods"]} == {pod: answers["bare"] for pod, answers in seen.items()}
    assert [(node["gets"], node["by"]) for node in found["nodes"]] == [([cluster.gateway_address], cluster.lan_address)]
    assert found["verdict"] == "single"
    assert found["reasons"] == [f"pods get what the outside gets: {cluster.gateway_address}"]


@pytest.fixture(scope="module")
def https_state(sandbox: Inside, http_era: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """The migration, once for this module. On the way: check mode predicts it, and no secret shows."""
    planned = succeeded(sandbox.playbook("site.yml", "--check", "--diff"))
    assert state(sandbox) == http_era, "check mode changed something"
    folder = tmp_path_factory.mktemp("temporary")
    places = dict.fromkeys(("TMPDIR", "ANSIBLE_LOCAL_TEMP", "ANSIBLE_REMOTE_TEMP"), str(folder))
    secrets = [*PASSWORDS, *machine_tokens(sandbox)]
    with Leaks(secrets, folder) as leaks:
        done = succeeded(sandbox.playbook("site.yml", "--diff", "-vvv", extra=places))
    assert leaks.looked_at == {"process", "file"}
    assert leaks.found == set()
    left = [path.name for path in folder.rglob("*")]
    assert [name for name in left if not name.startswith("k8srcp-")] == []  # the Kubernetes client's list of API kinds
    assert counts(planned) == counts(done)
    assert diff_lines(planned) == diff_lines(done)
    for secret in (*secrets, "PRIVATE KEY"):
        assert secret not in planned.stdout + planned.stderr + done.stdout + done.stderr
    assert changed(done.stdout) > 0
    return state(sandbox)


def test_the_migration_does_what_the_table_of_the_demo_promises(sandbox: Inside, https_state: State) -> None:
    assert https_state["alpha"]["nodes"]["alpha-cp-1"].get("harbor.example.com", [])[-1:] != [
        "http://harbor-core.default.svc.cluster.local"
    ]
    for name, view in observe(sandbox, tag="after").items():
        assert view.https_from_pod.startswith("401, certificate verified"), name
        assert view.realm == "https://harbor.example.com/service/token", name
        assert all(" fails " not in node.pull for node in view.nodes.values()), view


def test_a_second_run_changes_nothing(sandbox: Inside, https_state: State) -> None:
    done = succeeded(sandbox.playbook("site.yml"))
    assert changed(done.stdout) == 0
    assert state(sandbox) == https_state


def test_builds_go_by_the_public_name(sandbox: Inside, https_state: State) -> None:
    """Push, pull and cache; the daemon and the client trust the private authority, and nobody has an insecure flag."""
    text = json.loads(sandbox.kubectl("alpha", "get", "-n", "buildkit", "configmap", "buildkitd-config", "-o", "json"))
    registries = tomllib.loads(text["data"]["buildkitd.toml"])["registry"]
    assert registries == {"harbor.example.com": {"ca": ["/etc/registry-ca/ca.crt"]}}
    image = "harbor.example.com/library/site"
    cache = f"type=registry,ref={image}:cache"
    pushed = succeeded(build(sandbox, "alpha", f"{image}:1", f"--export-cache={cache},mode=max"))
    assert "CACHED" not in pushed.stderr
    prune = ("exec", "-n", "buildkit", "deployment/buildkitd", "--", "buildctl", "prune", "--all")
    sandbox.kubectl("alpha", *prune)
    assert "CACHED" in succeeded(build(sandbox, "alpha", f"{image}:1", f"--import-cache={cache}")).stderr
    sandbox.kubectl("alpha", *prune)
    succeeded(build(sandbox, "alpha", f"{image}:2", base=f"{image}:1", content="second"))


def test_the_doctor_finds_only_the_reboots_that_are_owed_and_changes_nothing(
    sandbox: Inside, https_state: State, tmp_path: Path
) -> None:
    """Credentials changed on Talos 1.13, and the run was not allowed to reboot; names and all else are as wanted."""
    page = f"{tmp_path}/{{{{ inventory_hostname }}}}.json"
    done = sandbox.playbook("playbooks/doctor.yml", "-e", f"doctor_page={page}")
    said = failures(done.stdout)
    assert said.keys() == {cluster.name for cluster in CLUSTERS}, done.stdout[-6000:]
    for cluster in CLUSTERS:
        told = " ".join(said[cluster.name])
        owed = [node.name for node in cluster.nodes if f"node {node.address}: the registry credentials were ch" in told]
        assert owed == [node.name for node in cluster.nodes], told
        assert told.count("Cure: ") == len(owed), told
    assert "the site is in the wanted state" in done.stdout
    assert changed(done.stdout) == 0
    assert state(sandbox) == https_state
    printed = " ".join(done.stdout.split())  # YAML folds long lines
    for cluster in CLUSTERS:
        (found,) = json.loads((tmp_path / f"{cluster.name}.json").read_text())
        assert (found["name"], found["verdict"]) == (REGISTRY_NAME, "split")
        seen = pod_dns(sandbox, cluster.name)
        assert {pod["pod"]: pod["gets"] for pod in found["pods"]} == {pod: seen[pod]["bare"] for pod in seen}
        assert {tuple(node["gets"]) for node in found["nodes"]} == {(cluster.gateway_address,)}
        assert len(found["nodes"]) == len(cluster.nodes)
        assert all(" ".join(line.split()) in printed for line in found["drawing"])


def test_after_an_upgrade_the_doctor_names_what_is_gone_and_the_next_run_puts_it_back(
    sandbox: Inside, https_state: State
) -> None:
    """What ``talosctl upgrade-k8s`` does to its ConfigMap, by its field manager and with its mark."""
    own = coredns.config_map("alpha")
    own["metadata"]["annotations"] = {TALOS_MARK: "talos-bootstrap-manifests-inventory"}
    how = ("apply", "--server-side", "--force-conflicts", "--field-manager=talos", "-f", "-")
    sandbox.kubectl("alpha", *how, stdin=json.dumps(own))
    try:
        done = sandbox.playbook("playbooks/doctor.yml", "--limit", "alpha")
        assert done.returncode != 0
        said = " ".join(done.stdout.split())
        assert "names: the rewrite is gone: the ConfigMap is Talos's own again" in said
        assert "Cure: ansible-playbook splithorizon.registry.dns" in said
        succeeded(sandbox.playbook("playbooks/dns.yml", "--limit", "alpha"))
    finally:
        sandbox.kubectl("alpha", "-n", "kube-system", "annotate", "configmap", "coredns", f"{TALOS_MARK}-")
    assert state(sandbox) == https_state
    assert {tuple(seen["bare"]) for seen in pod_dns(sandbox, "alpha").values()} != {(CLUSTERS[0].gateway_address,)}


def test_the_way_back_gives_the_http_era_back(sandbox: Inside, http_era: State, https_state: State) -> None:
    planned = succeeded(sandbox.playbook("playbooks/rollback.yml", "--check"))
    assert state(sandbox) == https_state
    done = succeeded(sandbox.playbook("playbooks/rollback.yml"))
    assert counts(planned) == counts(done)
    assert state(sandbox) == http_era
    assert changed(succeeded(sandbox.playbook("playbooks/rollback.yml")).stdout) == 0


def test_and_there_again_by_molecule(sandbox: Inside, https_state: State, tmp_path: Path) -> None:
    """One cluster; the other stays behind. Its `create` finds the sandbox that runs, `destroy` is not for this one."""
    for action in ("converge", "idempotence", "verify"):
        molecule(sandbox, action, tmp_path)
        assert state(sandbox)["beta"] == https_state["beta"], action


def molecule(inside: Inside, action: str, folder: Path) -> None:
    command = [str(Path(sys.executable).with_name("molecule")), action]
    settings = {"NO_COLOR": "1", "MOLECULE_EPHEMERAL_DIRECTORY": str(folder), "SANDBOX_LIMIT": "beta_cluster"}
    done = subprocess.run(
        command, cwd=ROOT, env=inside.environment(settings), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
