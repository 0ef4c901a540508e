# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils import _harbor, _harbor_core, _kubernetes
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict, NotReady
from fake_cluster import FakeCluster

NAMESPACE = "harbor"
OLD, NEW = "http://192.168.1.105", "https://harbor.example.com"
OWN, PATCHED = "http://harbor-core:80", "http://harbor-core.harbor.svc.cluster.local:80"
WELL = {"status": "healthy", "components": [{"name": "core", "status": "healthy"}]}
ILL = {"status": "unhealthy", "components": [{"name": "jobservice", "status": "unhealthy", "error": "refused"}]}


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(_kubernetes, "POLL_SECONDS", 0.01)


def config_map(name, data, written="2026-11-21T12:00:00Z"):
    fields = [{"time": written, "fieldsV1": {"f:data": {f"f:{key}": {} for key in data}}}]
    metadata = {"namespace": NAMESPACE, "name": name, "resourceVersion": "7", "managedFields": fields}
    return {"kind": "ConfigMap", "metadata": metadata, "data": data}


def deployment(component, image="goharbor/harbor-core:v2.13.1"):
    container = {"name": component, "image": image, "ports": [{"containerPort": 8080}]}
    spec = {"selector": {"matchLabels": {"component": component}}, "template": {"spec": {"containers": [container]}}}
    metadata = {"namespace": NAMESPACE, "name": f"harbor-{component}"}
    return {"kind": "Deployment", "metadata": metadata, "spec": spec}


def pod(component, started="2026-11-21T13:00:00Z"):
    metadata = {"namespace": NAMESPACE, "name": f"harbor-{component}-1", "labels": {"component": component}}
    statuses = [{"state": {"running": {"startedAt": started}}}]
    return {"kind": "Pod", "metadata": metadata, "spec": {}, "status": {"containerStatuses": statuses}}


def cluster(*pods, health=(WELL,), **how):
    return FakeCluster(
        config_map("harbor-core", {"EXT_ENDPOINT": OLD, "CORE_URL": PATCHED, "LOG_LEVEL": "info"}),
        config_map("harbor-jobservice-env", {"CORE_URL": PATCHED}),
        deployment("core"),
        deployment("jobservice"),
        *(pods or (pod("core"), pod("jobservice"))),
        health=health,
        **how,
    )


def harbor_on(fake, seconds=5):
    return _harbor_core.HarborCore(cluster=fake, namespace=NAMESPACE, fullname="harbor", seconds=seconds)


def planned(found):
    maps = {"core": found.core_map["data"], "jobservice": found.jobservice_map["data"]}
    return _harbor.plan(fullname="harbor", namespace=NAMESPACE, external_url=NEW, core_url=None, **maps)


def values(fake, name):
    return fake.objects["ConfigMap", NAMESPACE, name]["data"]


def test_both_maps_are_written_and_nothing_else_in_them():
    fake = cluster()
    found = harbor_on(fake).read()
    harbor_on(fake).write(planned(found), found)
    assert values(fake, "harbor-core") == {"EXT_ENDPOINT": NEW, "CORE_URL": OWN, "LOG_LEVEL": "info"}
    assert values(fake, "harbor-jobservice-env") == {"CORE_URL": OWN}


def test_somebody_elses_write_in_between_leaves_both_maps_as_they_were():
    fake = cluster()
    found = harbor_on(fake).read()
    fake.objects["ConfigMap", NAMESPACE, "harbor-jobservice-env"]["metadata"]["resourceVersion"] = "8"
    with pytest.raises(Conflict):
        harbor_on(fake).write(planned(found), found)
    assert values(fake, "harbor-core") == {"EXT_ENDPOINT": OLD, "CORE_URL": PATCHED, "LOG_LEVEL": "info"}


def test_core_restarts_before_jobservice():
    fake = cluster()
    harbor_on(fake).restart(["harbor-core", "harbor-jobservice"], wait=True)
    assert [name for _kind, name, _body in fake.writes] == ["harbor-core", "harbor-jobservice"]


def test_only_pods_of_before_the_last_write_are_stale():
    fake = cluster(pod("core", "2026-11-21T11:00:00Z"), pod("jobservice"))
    assert harbor_on(fake).read().stale == ("harbor-core",)
    assert harbor_on(cluster()).read().stale == ()


def test_the_version_is_that_of_the_image():
    assert harbor_on(cluster()).read().version == (2, 13, 1)


def test_waiting_ends_as_soon_as_all_is_well():
    assert harbor_on(cluster(health=[None, ILL, WELL])).wait_healthy() == WELL


def test_waiting_in_vain_names_the_component():
    with pytest.raises(NotReady, match="to be healthy: jobservice: refused"):
        harbor_on(cluster(health=[ILL]), seconds=0.05).wait_healthy()


def test_the_old_values_come_back_and_the_error_says_so():
    fake = cluster(health=[WELL])
    harbor = harbor_on(fake)
    found = harbor.read()
    plan = planned(found)
    harbor.write(plan, found)
    error = harbor.put_back(plan, NotReady("waited 5 s for core"), ill=[])
    assert values(fake, "harbor-core") == {"EXT_ENDPOINT": OLD, "CORE_URL": PATCHED, "LOG_LEVEL": "info"}
    assert values(fake, "harbor-jobservice-env") == {"CORE_URL": PATCHED}
    assert [name for kind, name, _body in fake.writes if kind == "Deployment"] == ["harbor-core", "harbor-jobservice"]
    assert str(error).endswith("waited 5 s for core. The old values are back, and Harbor is healthy with them")


def test_a_way_back_that_fails_is_told_too():
    fake = cluster(health=[ILL])
    harbor = harbor_on(fake, seconds=0.05)
    error = harbor.put_back(planned(harbor.read()), NotReady("waited"), ill=[])
    assert "did not succeed either" in error.cure
    assert "jobservice: refused" in error.cure


def test_what_was_ill_before_is_not_waited_for_and_told():
    fake = cluster(health=[ILL])
    harbor = harbor_on(fake)
    assert harbor.ill() == ["jobservice: refused"]
    error = harbor.put_back(planned(harbor.read()), NotReady("waited"), ill=harbor.ill())
    assert error.cure.endswith("was not healthy before the change either: jobservice: refused")


@pytest.mark.parametrize("name", ["harbor-core", "harbor-jobservice-env"])
def test_an_absent_config_map_is_named(name):
    fake = cluster()
    del fake.objects["ConfigMap", NAMESPACE, name]
    with pytest.raises(BadInput, match=f"ConfigMap harbor/{name}: does not exist"):
        harbor_on(fake).read()


def test_no_ready_core_pod_is_named():
    with pytest.raises(NotReady, match="Deployment harbor/harbor-core: no ready pod"):
        harbor_on(cluster()).challenges(["harbor.example.com"])
