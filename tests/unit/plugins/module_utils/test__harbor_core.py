# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils import _harbor, _harbor_core, _kubernetes
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    Conflict,
    NotPermitted,
    NotReady,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_change import carry_out
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_files import Asked
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_live import Live, change_cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_ways import InConfigMaps, InRelease
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


def deployment(component, image="goharbor/harbor-core:v2.13.1", **env):
    container = {"name": component, "image": image, "ports": [{"containerPort": 8080}]}
    container["envFrom"] = [{"configMapRef": {"name": f"harbor-{component}"}}]
    container["env"] = [{"name": key, "value": value} for key, value in env.items()]
    labels = {"component": component}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    metadata = {"namespace": NAMESPACE, "name": f"harbor-{component}", "labels": labels}
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


def way_of(harbor, external_url=NEW, core_url=None):
    found = harbor.read()
    plan = _harbor.plan(
        fullname="harbor",
        namespace=NAMESPACE,
        external_url=external_url,
        core_url=core_url,
        core=found.core_map["data"],
        jobservice=found.jobservice_map["data"],
        overrides=found.overrides,
    )
    return InConfigMaps(harbor, found, plan)


def values(fake, name):
    return fake.objects["ConfigMap", NAMESPACE, name]["data"]


def carried_out(harbor, way):
    return carry_out(harbor, way, realms={}, of_interest=[], wait=True)


def restarts(fake):
    return [name for kind, name, _body in fake.writes if kind == "Deployment"]


def test_both_maps_are_written_and_nothing_else_in_them():
    fake = cluster()
    way_of(harbor_on(fake)).write()
    assert values(fake, "harbor-core") == {"EXT_ENDPOINT": NEW, "CORE_URL": OWN, "LOG_LEVEL": "info"}
    assert values(fake, "harbor-jobservice-env") == {"CORE_URL": OWN}


def test_somebody_elses_write_in_between_leaves_both_maps_as_they_were():
    fake = cluster()
    way = way_of(harbor_on(fake))
    fake.objects["ConfigMap", NAMESPACE, "harbor-jobservice-env"]["metadata"]["resourceVersion"] = "8"
    with pytest.raises(Conflict):
        way.write()
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


BEFORE = {"EXT_ENDPOINT": OLD, "CORE_URL": PATCHED, "LOG_LEVEL": "info"}


def ill_with_the_new_url(fake):
    return ILL if values(fake, "harbor-core")["EXT_ENDPOINT"] == NEW else WELL


def test_health_that_never_comes_puts_the_old_values_back():
    fake = cluster(health=ill_with_the_new_url)
    harbor = harbor_on(fake, seconds=0.02)
    with pytest.raises(NotReady) as error:
        carried_out(harbor, way_of(harbor))
    assert values(fake, "harbor-core") == BEFORE
    assert values(fake, "harbor-jobservice-env") == {"CORE_URL": PATCHED}
    assert restarts(fake) == ["harbor-core", "harbor-jobservice"] * 2
    assert "to be healthy: jobservice: refused" in error.value.problem
    assert error.value.cure == "The old values are back, and Harbor is healthy with them"


def test_a_database_that_goes_during_the_restart_is_told_with_the_old_values_back():
    gone = {"status": "unhealthy", "components": [{"name": "database", "status": "unhealthy", "error": "refused"}]}
    fake = cluster(health=[WELL, gone])
    harbor = harbor_on(fake, seconds=0.05)
    with pytest.raises(NotReady) as error:
        carried_out(harbor, way_of(harbor))
    assert values(fake, "harbor-core") == BEFORE
    assert "database: refused" in error.value.problem
    assert "with them too: waited" in error.value.cure


@pytest.mark.parametrize("component", ["database", "redis", "registry", "registryctl"])
def test_without_what_core_needs_to_start_nothing_is_changed(component):
    ill = {"status": "unhealthy", "components": [{"name": component, "status": "unhealthy", "error": "refused"}]}
    fake = cluster(health=[ill])
    harbor = harbor_on(fake)
    with pytest.raises(Conflict, match=f"is not healthy: {component}: refused. .*Nothing was changed"):
        carried_out(harbor, way_of(harbor))
    assert fake.writes == []


def test_what_was_ill_before_is_not_waited_for_and_told():
    fake = cluster(health=[ILL])
    harbor = harbor_on(fake, seconds=0.02)
    with pytest.raises(NotReady) as error:
        carried_out(harbor, way_of(harbor))
    assert error.value.cure.endswith("was not healthy before the change either: jobservice: refused")


@pytest.mark.parametrize(
    ("denied", "said"),
    [
        ([("patch", "configmaps")], "may not patch configmaps harbor-core, patch configmaps harbor-jobservice-env"),
        (
            [("patch", "deployments.apps")],
            "may not patch deployments.apps harbor-core, patch deployments.apps harbor-j",
        ),
        ([("create", "pods/portforward")], "may not create pods/portforward"),
    ],
)
def test_a_missing_right_is_named_before_any_change(denied, said):
    fake = cluster(denied=denied)
    harbor = harbor_on(fake)
    with pytest.raises(NotPermitted, match=f"namespace harbor: the account {said}"):
        carried_out(harbor, way_of(harbor))
    assert fake.writes == []


def test_what_the_deployment_sets_itself_is_what_counts():
    fake = cluster()
    fake.objects["Deployment", NAMESPACE, "harbor-core"] = deployment("core", CORE_URL=PATCHED, LOG_LEVEL="debug")
    harbor = harbor_on(fake)
    way = way_of(harbor, core_url=PATCHED)
    assert way.before["harbor-core"] == {"EXT_ENDPOINT": OLD, "CORE_URL": PATCHED}
    with pytest.raises(Conflict, match=r"Deployment harbor/harbor-core: sets CORE_URL=.* itself \(extraEnvVars"):
        way_of(harbor)


# A HelmRelease

LABELS = {"helm.toolkit.fluxcd.io/name": "hub", "helm.toolkit.fluxcd.io/namespace": "flux"}


def released(**more):
    """A cluster whose Flux brings the values of a release to the objects at once, as the chart does."""

    def helm(fake, kind, _name):
        if kind != "HelmRelease":
            return
        given = fake.objects["HelmRelease", "flux", "hub"]["spec"]["values"]
        values(fake, "harbor-core")["EXT_ENDPOINT"] = given["externalURL"]
        for component in ("core", "jobservice"):
            env = {one["name"]: one["value"] for one in given.get(component, {}).get("extraEnvVars", [])}
            fake.objects["Deployment", NAMESPACE, f"harbor-{component}"] = deployment(component, **env)

    spec = {
        "chart": {"spec": {"chart": "harbor", "version": "1.19.1"}},
        "releaseName": "harbor",
        "values": {
            "externalURL": OLD,
            "core": {"replicas": 2, "extraEnvVars": [{"name": "A", "value": "1"}]},
            "b": True,
        },
    }
    metadata = {"namespace": "flux", "name": "hub", "resourceVersion": "3"}
    fake = cluster(after_write=more.pop("after_write", helm), **more)
    release = {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": metadata, "spec": spec}
    fake.objects["HelmRelease", "flux", "hub"] = release
    for name in ("harbor-core", "harbor-jobservice-env"):
        found = fake.objects["ConfigMap", NAMESPACE, name]
        found["metadata"]["labels"] = LABELS
        found["data"]["CORE_URL"] = OWN
    return fake


def release_values(fake):
    return fake.objects["HelmRelease", "flux", "hub"]["spec"]["values"]


def way_by_release(harbor, **asked):
    return InRelease(harbor, harbor.read(), Asked(external_url=NEW, **asked), name=None)


def test_a_release_gets_values_and_flux_is_waited_for():
    fake = released()
    harbor = harbor_on(fake)
    way = way_by_release(harbor, core_url=PATCHED)
    carried_out(harbor, way)
    wanted = {"name": "CORE_URL", "value": PATCHED}
    assert release_values(fake) == {
        "externalURL": NEW,
        "core": {"replicas": 2, "extraEnvVars": [{"name": "A", "value": "1"}, wanted]},
        "jobservice": {"extraEnvVars": [wanted]},
        "b": True,
    }
    assert (
        harbor.read().effective
        == way.after
        == {
            "harbor-core": {"EXT_ENDPOINT": NEW, "CORE_URL": PATCHED},
            "harbor-jobservice-env": {"CORE_URL": PATCHED},
        }
    )
    assert restarts(fake) == []  # Helm restarts what it changes
    assert not way_by_release(harbor, core_url=PATCHED).changed


def test_a_release_that_makes_harbor_ill_gets_its_values_back():
    fake = released(health=ill_with_the_new_url)
    before = release_values(fake) | {}
    harbor = harbor_on(fake, seconds=0.02)
    with pytest.raises(NotReady, match="The old values are back, and Harbor is healthy with them"):
        carried_out(harbor, way_by_release(harbor, core_url=PATCHED))
    assert release_values(fake) == before


def test_a_release_that_flux_does_not_apply_is_told_with_its_reason():
    fake = released(after_write=lambda *_: None)
    condition = {"type": "Ready", "status": "False", "message": "chart not found"}
    fake.objects["HelmRelease", "flux", "hub"]["status"] = {"conditions": [condition]}
    harbor = harbor_on(fake, seconds=0.02)
    with pytest.raises(NotReady, match="Flux to apply HelmRelease flux/hub; Flux says: chart not found"):
        carried_out(harbor, way_by_release(harbor))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"suspend": True}, "HelmRelease flux/hub: is suspended"),
        ({"releaseName": "other"}, "named other-harbor-…, not harbor-…"),
        ({"values": None, "valuesFrom": [{"kind": "ConfigMap", "name": "v"}]}, "takes its values from elsewhere"),
    ],
)
def test_a_release_that_cannot_be_edited(change, said):
    fake = released()
    fake.objects["HelmRelease", "flux", "hub"]["spec"] |= change
    harbor = harbor_on(fake)
    with pytest.raises((BadInput, Conflict), match=said):
        way_by_release(harbor, fullname="harbor")


def test_no_release_makes_the_objects():
    with pytest.raises(BadInput, match="harbor/harbor-core: no HelmRelease makes its objects"):
        way_by_release(harbor_on(cluster()))


# The whole of it, in check mode


def predict(fake, **more):
    fake.dry_run = True
    live = {"namespace": NAMESPACE, "kind": "ConfigMap", "helm_release": None, "hosts": [], "domain": "cluster.local"}
    asked = {key: more.pop(key) for key in list(more) if key in {"fullname", "release", "core_url"}}
    told = []
    where = Live(**{**live, "version": None, "wait": True, "seconds": 5, **more})
    changes, results = change_cluster(fake, Asked(external_url=NEW, **asked), where, warn=told.append)
    return changes, results, told


def test_the_table_of_realms_is_part_of_the_prediction():
    fake = cluster()
    spec = {"selector": {"component": "core"}, "clusterIP": "10.0.0.9", "ports": [{"port": 80}]}
    service = {"kind": "Service", "metadata": {"namespace": NAMESPACE, "name": "harbor-core"}, "spec": spec}
    fake.objects["Service", NAMESPACE, "harbor-core"] = service
    changes, results, told = predict(fake, core_url=PATCHED, hosts=["old.example.com"], version=(2, 14, 0))
    table = results["realms"]
    assert table["old.example.com"]["after"] == "https://old.example.com/service/token"
    assert table["harbor-core.harbor.svc.cluster.local"] == dict.fromkeys(
        ["before", "after"], f"{PATCHED}/service/token"
    )
    assert table["10.0.0.9"] == {
        "before": "http://10.0.0.9/service/token",
        "after": "https://10.0.0.9/service/token",
    }
    shown = next(change for change in changes if "realm" in change.what)
    assert shown.after == {host: both["after"] for host, both in table.items()}
    assert (results["fullname"], results["undone_by"], told) == ("harbor", "", [])


def test_who_takes_it_back_is_warned_of_once_something_changes():
    fake = released()
    told = predict(fake)[2]
    assert told == [
        "Flux (HelmRelease flux/hub) at its next upgrade takes this back. "
        "To make it last, give kind: HelmRelease, or path: a file in Git"
    ]
    assert predict(released(), kind="HelmRelease")[2] == []
    by_release = released()
    by_release.objects["HelmRelease", "flux", "hub"]["metadata"]["labels"] = {
        "kustomize.toolkit.fluxcd.io/name": "apps"
    }
    assert predict(by_release, kind="HelmRelease")[2] == [
        "Flux (Kustomization /apps) within its interval takes this back. To make it last, give path: a file in Git"
    ]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"release": "harbor"}, "harbor"),
        ({"release": "x"}, "x-harbor-….*There is harbor"),
        ({"fullname": "hub"}, "hub-…"),
    ],
)
def test_the_release_by_its_name(asked, expected):
    fake = cluster()
    fake.objects["Deployment", NAMESPACE, "harbor-core"]["metadata"]["labels"]["release"] = "harbor"
    if expected == "harbor":
        assert predict(fake, **asked)[1]["fullname"] == expected
    else:
        with pytest.raises(BadInput, match=expected):
            predict(fake, **asked)


@pytest.mark.parametrize("name", ["harbor-core", "harbor-jobservice-env"])
def test_an_absent_config_map_is_named(name):
    fake = cluster()
    del fake.objects["ConfigMap", NAMESPACE, name]
    with pytest.raises(BadInput, match=f"ConfigMap harbor/{name}: does not exist"):
        harbor_on(fake).read()


def test_no_ready_core_pod_is_named():
    with pytest.raises(NotReady, match="Deployment harbor/harbor-core: no ready pod"):
        harbor_on(cluster()).challenges(["harbor.example.com"])
