# SPDX-License-Identifier: GPL-3.0-or-later
"""The ladder of the modules that change a cluster: create, modify and delete, each predicted, done, and done again.

After every one of its twelve steps the state is read by another reader than the module: kubectl, curl, DNS over UDP
from a pod, the nodes' disks. ``test_talos_modules.py`` has the ladder of the Talos module. Starts in the HTTP era.
"""

from __future__ import annotations

import json
import re
import tomllib
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from integration.module_call import inside_of
from sandbox.faults import Faults
from sandbox.model import CLUSTERS, REGISTRY_NAME, by_name
from sandbox.paths import TESTS
from sandbox.process import until
from sandbox.workloads.era import ERAS

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from integration.module_call import Call, Json
    from sandbox.inside import Inside

    Reader = Callable[[], "Seen"]

pytestmark = pytest.mark.sandbox

WAIT_SECONDS = 120
LADDER = "ladder.example.com"


class Seen(t.NamedTuple):
    """What there is, and how often it was written: to write what is there already does not go unseen."""

    content: Json
    writes: Json


class Step(t.NamedTuple):
    """What the module said when it did the change, and what is there since."""

    said: Json
    content: Json


class Rung(t.NamedTuple):
    """A wanted state, and what happens to the present one before it is asked for."""

    options: Json
    before: Callable[[], object] = lambda: None


def climb(call: Call, name: str, rungs: list[Rung], read: Reader) -> list[Step]:
    """Take three rungs, four steps each; at the end all is as it was."""
    start = read().content
    steps = []
    for rung in rungs:
        rung.before()
        before = read()
        predicted = call(name, check=True, **rung.options)
        assert predicted.get("changed") is True, predicted
        assert read() == before, "check mode changed something"
        done = call(name, **rung.options, wait_timeout=WAIT_SECONDS)
        assert {key: done.get(key) for key in predicted} == predicted
        after = read()
        assert after.content != before.content
        for check in (True, False):
            again = call(name, check=check, **rung.options)
            assert (again.get("changed"), again.get("diff")) == (False, []), again
            assert read() == after, f"changed something, check mode {check}"
        steps.append(Step(done, after.content))
    assert steps[-1].content == start, "something was left behind"
    return steps


def objects(sandbox: Inside, cluster: str, namespace: str, *names: str) -> dict[str, Json]:
    """``kind/name`` → object, by one kubectl."""
    found = json.loads(sandbox.kubectl(cluster, "-n", namespace, "get", *names, "-o", "json"))
    return dict(zip(names, found.get("items", [found]), strict=True))


@pytest.fixture(scope="module")
def put_back(request: pytest.FixtureRequest, sandbox: Inside) -> Iterator[None]:
    """A ladder that broke off leaves something behind: not for the tests that follow."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        for cluster in CLUSTERS:
            Faults(sandbox, cluster.name).reseed()


@pytest.fixture(scope="module")
def module(sandbox: Inside) -> Iterator[Call]:
    with inside_of(sandbox) as call:
        yield call


@pytest.fixture(scope="module", autouse=True)
def spegel(sandbox: Inside, put_back: None) -> Iterator[dict[str, Future[list[Step]]]]:
    """Spegel's ladders, climbed beside the other tests: to roll its pods node by node is mostly waiting."""
    with ThreadPoolExecutor(len(CLUSTERS)) as pool:
        yield {cluster.name: pool.submit(climb_spegel, sandbox, cluster.name) for cluster in CLUSTERS}


# CoreDNS

EXPANDED = f"{LADDER}.toolbox.svc.cluster.local"
TARGET, OTHER_TARGET = ERAS["beta"].internal, "kubernetes.default.svc.cluster.local"
ANSWER, NOTHING = [ERAS["beta"].internal_address], []


def corefile_of_beta(sandbox: Inside) -> Reader:
    """The Corefile, and what each replica answers to a pod: for the name, then for the expanded name."""
    pods = ("get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns", "-o", "jsonpath={.items[*].status.podIP}")
    replicas = sandbox.kubectl("beta", *pods).split()
    assert len(replicas) == 2
    script = (TESTS / "sandbox" / "resolve.py").read_text()
    questions = ("python3", "-c", script, *replicas, "--", f"{LADDER}.", f"{EXPANDED}.")

    def read() -> Seen:
        found = objects(sandbox, "beta", "kube-system", "configmap/coredns")["configmap/coredns"]
        answers = json.loads(sandbox.from_pod("beta", *questions).stdout)
        addresses = [answer[f"{name}."] for name in (LADDER, EXPANDED) for answer in answers.values()]
        return Seen({"data": found["data"], "answers": addresses}, {"version": found["metadata"]["resourceVersion"]})

    return read


def test_coredns_rewrite(sandbox: Inside, module: Call) -> None:
    """With ``autopath``, so with two rules. What is modified is a rewrite from before ``autopath`` was turned on."""
    read = corefile_of_beta(sandbox)
    wanted = {"context": "beta", "name": LADDER, "target": TARGET}

    def contradicted() -> None:
        before = read()
        for check in (True, False):
            refused = module("coredns_rewrite", check=check, **{**wanted, "target": OTHER_TARGET})
            assert refused.get("failed"), refused
            assert TARGET in refused["msg"]
            assert read() == before

    def halved() -> None:
        contradicted()
        lines = read().content["data"]["Corefile"].splitlines(keepends=True)
        kept = [line for line in lines if "rewrite" not in line or "exact" in line]
        assert len(kept) == len(lines) - 1
        patch = json.dumps({"data": {"Corefile": "".join(kept)}})
        sandbox.kubectl("beta", "-n", "kube-system", "patch", "configmap", "coredns", "--type=merge", "-p", patch)
        bypassed = [ANSWER, ANSWER, NOTHING, NOTHING]
        until("autopath bypasses the rewrite", lambda: read().content["answers"] == bypassed, timeout=WAIT_SECONDS)

    rungs = [Rung(wanted), Rung(wanted, halved), Rung({**wanted, "state": "absent"})]
    created, modified, deleted = climb(module, "coredns_rewrite", rungs, read)
    assert created.said["rules"][0] == f"rewrite stop name exact {LADDER} {TARGET}"
    assert [line in created.content["data"]["Corefile"] for line in created.said["rules"]] == [True, True]
    assert created.content["answers"] == [ANSWER] * 4
    assert [replica["bare"] for replica in created.said["replicas"]] == [ANSWER] * 2
    assert (modified.said["rules"], modified.content) == (created.said["rules"], created.content)
    assert deleted.content["answers"] == [NOTHING] * 4


# Harbor

ADDRESS = ERAS["beta"].mirror
HOSTS = [ADDRESS, REGISTRY_NAME, "harbor-core.harbor.svc.cluster.local"]
CORE_URL = "http://harbor-core.harbor.svc.cluster.local:80"
MAPS = ("configmap/harbor-core", "configmap/harbor-jobservice-env")
DEPLOYMENTS = ("deployment/harbor-core", "deployment/harbor-jobservice")


def harbor_of_beta(sandbox: Inside) -> Reader:
    """Harbor's settings, and the realm that it tells each of HOSTS at the load balancer's address."""
    patient = ("--max-time", "20", "--retry", "5", "--retry-connrefused")
    curl = ("curl", "-sS", *patient, "-o", "/dev/null", "-D", "-", "--connect-to", f"::{ADDRESS}:80")
    urls = [f"http://{host}/v2/" for host in HOSTS]

    def read() -> Seen:
        found = objects(sandbox, "beta", "harbor", *MAPS, *DEPLOYMENTS)
        writes = {name: found[name]["metadata"]["resourceVersion"] for name in MAPS}
        writes |= {name: found[name]["metadata"]["generation"] for name in DEPLOYMENTS}
        answers = sandbox.run(*curl, *urls).stdout
        realms = re.findall(r'(?im)^www-authenticate: .*realm="(.*?)"', answers)
        return Seen({**{name: found[name]["data"] for name in MAPS}, "realms": realms}, writes)

    return read


def test_harbor_core_patch(sandbox: Inside, module: Call) -> None:
    common = {"context": "beta", "namespace": "harbor", "hosts": HOSTS}
    https = {**common, "external_url": f"https://{REGISTRY_NAME}"}
    rungs = [
        Rung(https),
        Rung({**https, "core_url": CORE_URL}),
        Rung({**common, "external_url": ERAS["beta"].external_url, "state": "absent"}),
    ]
    created, modified, deleted = steps = climb(module, "harbor_core_patch", rungs, harbor_of_beta(sandbox))
    assert created.content[MAPS[0]]["EXT_ENDPOINT"] == f"https://{REGISTRY_NAME}"
    assert created.content["realms"] == [f"https://{host}/service/token" for host in HOSTS]
    assert [modified.content[name]["CORE_URL"] for name in MAPS] == [CORE_URL] * 2
    assert modified.content["realms"] == [*created.content["realms"][:2], f"{CORE_URL}/service/token"]
    assert deleted.content["realms"] == [f"http://{host}/service/token" for host in HOSTS]
    for said, content in steps:
        assert [said["realms"][host]["after"] for host in HOSTS] == content["realms"]
        assert said["restarted"] == ["harbor-core", "harbor-jobservice"]
        assert said["health"]["status"] == "healthy"


# Spegel


def spegel_of(sandbox: Inside, cluster: str) -> Reader:
    """Where the settings are kept, the DaemonSet's arguments, and each node's hosts.toml files."""
    names = ["daemonset/spegel", *(["helmrelease/spegel"] if cluster == "alpha" else [])]
    nodes = by_name(cluster).nodes
    folders = {node.name: sandbox.places.node(cluster, node.name) / "root/etc/cri/conf.d/hosts" for node in nodes}

    def read() -> Seen:
        found = objects(sandbox, cluster, "kube-system", *names)
        pods = found["daemonset/spegel"]["spec"]["template"]["spec"]
        content = {
            "arguments": [container["args"] for container in (*pods["initContainers"], *pods["containers"])],
            "release": found.get("helmrelease/spegel", {}).get("spec"),
            "files": {node: _hosts_toml(folder) for node, folder in folders.items()},
        }
        return Seen(content, {name: found[name]["metadata"]["generation"] for name in names})

    return read


def _hosts_toml(folder: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in sorted(folder.glob("*/hosts.toml"))}


def climb_spegel(sandbox: Inside, cluster: str) -> list[Step]:
    https, http = f"https://{LADDER}", f"http://{LADDER}"
    options = ({"mirrored_registries": [https]}, {"mirrored_registries": [http]}, {"removed_registries": [http]})
    rungs = [Rung({"context": cluster, **wanted}) for wanted in options]
    with inside_of(sandbox) as call:
        return climb(call, "spegel_registries", rungs, spegel_of(sandbox, cluster))


@pytest.mark.parametrize(("cluster", "kind"), [("beta", "DaemonSet"), ("alpha", "HelmRelease")])
def test_spegel_registries(spegel: dict[str, Future[list[Step]]], cluster: str, kind: str) -> None:
    steps = spegel[cluster].result()
    assert [step.said["kind"] for step in steps] == [kind] * 3
    for (said, content), scheme in zip(steps[:2], ("https", "http"), strict=True):
        url = f"{scheme}://{LADDER}"
        assert [arguments.count(url) for arguments in content["arguments"]] == [1, 1]
        if kind == "HelmRelease":
            assert content["release"]["values"]["spegel"]["mirroredRegistries"][-1] == url
        for files in content["files"].values():
            written, predicted = tomllib.loads(files[LADDER]), said["hosts_toml"][LADDER]
            assert written["server"] == predicted["server"] == url
            assert len(written["host"]) == len(predicted["hosts"]) == 2
