# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils import _kubernetes
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict, NotReady
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel import Settings, from_args
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel_release import SpegelRelease
from fake_cluster import FakeCluster

BEFORE = Settings(registries=("https://docker.io",), prepend=True)
WANTED = Settings(registries=("https://docker.io", "https://harbor.example.com"), prepend=True)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(_kubernetes, "POLL_SECONDS", 0.01)


def daemon_set(settings=BEFORE, image="ghcr.io/spegel-org/spegel:v0.7.4"):
    listed = ["--mirrored-registries", *settings.registries]
    init = ["configuration", *listed, "--mirror-targets", "http://$(NODE_IP):30020", "--prepend-existing=true"]
    pod = {
        "initContainers": [{"name": "configuration", "image": image, "args": init}],
        "containers": [{"name": "registry", "image": image, "args": ["registry", *listed, "--containerd-sock=/s"]}],
    }
    metadata = {"namespace": "kube-system", "name": "spegel", "resourceVersion": "3", "generation": 1}
    status = {"observedGeneration": 1, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1}
    return {"kind": "DaemonSet", "metadata": metadata, "spec": {"template": {"spec": pod}}, "status": status}


def release(values=None, **spec):
    metadata = {"namespace": "kube-system", "name": "spegel", "resourceVersion": "5"}
    body = {"chartRef": {"kind": "OCIRepository"}, "values": values or {}, **spec}
    return {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": metadata, "spec": body}


def flux(cluster, kind, name):
    """What Flux makes of a release's new values."""
    if kind == "HelmRelease":
        values = cluster.objects[kind, "kube-system", name]["spec"]["values"]["spegel"]
        listed = Settings(registries=tuple(values["mirroredRegistries"]), prepend=True)
        cluster.objects["DaemonSet", "kube-system", "spegel"] = daemon_set(listed)


def spegel_on(cluster, kind="auto"):
    return SpegelRelease(cluster=cluster, namespace="kube-system", name="spegel", kind=kind)


def test_the_release_is_written_where_there_is_one_and_its_other_values_stay():
    values = {"service": {"registry": {"hostPort": 29999}}, "spegel": {"containerdRegistryConfigPath": "/etc/cri"}}
    cluster = FakeCluster(release(values), daemon_set(), after_write=flux)
    spegel = spegel_on(cluster)
    found = spegel.read()
    assert (found.kind, found.settings, found.version) == ("HelmRelease", BEFORE, (0, 7, 4))
    spegel.write(found, WANTED)
    spegel.wait(found, WANTED, seconds=1)
    lists = {"mirroredRegistries": list(WANTED.registries), "prependExisting": True}
    expected = {**values, "spegel": {**values["spegel"], **lists}}
    assert cluster.objects["HelmRelease", "kube-system", "spegel"]["spec"]["values"] == expected
    assert spegel.read().settings == WANTED


def test_the_daemon_set_is_written_in_both_containers():
    cluster = FakeCluster(daemon_set())
    spegel = spegel_on(cluster)
    found = spegel.read()
    assert (found.kind, found.targets) == ("DaemonSet", ["http://$(NODE_IP):30020"])
    spegel.write(found, WANTED)
    pod = cluster.objects["DaemonSet", "kube-system", "spegel"]["spec"]["template"]["spec"]
    both = [one for kind in ("initContainers", "containers") for one in pod[kind]]
    assert [from_args(one["args"]).registries for one in both] == [WANTED.registries] * 2
    spegel.wait(found, WANTED, seconds=1)


def test_somebody_elses_write_in_between_is_a_conflict():
    cluster = FakeCluster(daemon_set())
    spegel = spegel_on(cluster)
    found = spegel.read()
    cluster.objects["DaemonSet", "kube-system", "spegel"]["metadata"]["resourceVersion"] = "4"
    with pytest.raises(Conflict):
        spegel.write(found, WANTED)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("auto", "no HelmRelease or DaemonSet of this name"),
        ("HelmRelease", "no HelmRelease of this name"),
        ("DaemonSet", "no DaemonSet of this name"),
    ],
)
def test_no_spegel_at_all(kind, said):
    with pytest.raises(BadInput, match=f"kube-system/spegel: {said}"):
        spegel_on(FakeCluster(), kind).read()


def test_a_kind_that_is_asked_for_is_taken():
    cluster = FakeCluster(release(), daemon_set())
    assert spegel_on(cluster, "DaemonSet").read().kind == "DaemonSet"


def test_a_suspended_release_is_not_written():
    cluster = FakeCluster(release(suspend=True), daemon_set())
    spegel = spegel_on(cluster)
    with pytest.raises(Conflict, match="is suspended"):
        spegel.write(spegel.read(), WANTED)
    assert cluster.writes == []


@pytest.mark.parametrize(
    "objects",
    [
        (release(chart={"spec": {"version": "v0.0.30"}}),),
        (release(), daemon_set(image="ghcr.io/spegel-org/spegel:v0.0.30")),
        (daemon_set(image="ghcr.io/spegel-org/spegel:v0.0.30"),),
    ],
)
def test_a_version_before_0_1_is_refused(objects):
    with pytest.raises(Conflict, match=r"Spegel 0\.0\.30 is too old"):
        spegel_on(FakeCluster(*objects)).read()


def test_a_list_that_never_reaches_the_nodes_is_told_with_what_flux_says():
    condition = {"type": "Ready", "status": "False", "message": "values don't meet the specifications of the schema"}
    stuck = release() | {"status": {"conditions": [condition]}}
    spegel = spegel_on(FakeCluster(stuck, daemon_set()))
    with pytest.raises(NotReady, match="Flux says: values don't meet"):
        spegel.wait(spegel.read(), WANTED, seconds=0.05)


def test_a_daemon_set_that_still_rolls_is_waited_for():
    rolling = copy.deepcopy(daemon_set(WANTED))
    rolling["status"]["updatedNumberScheduled"] = 0
    spegel = spegel_on(FakeCluster(rolling))
    with pytest.raises(NotReady, match="to run with the new list on every node"):
        spegel.wait(spegel.read(), WANTED, seconds=0.05)
