# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on a cluster in memory: check mode is the run, all is planned before one is written, nothing is told."""

from __future__ import annotations

import base64
import copy
import importlib
import json

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import NotPermitted
from fake_cluster import FakeCluster

PLUGINS = "ansible_collections.splithorizon.registry.plugins.modules"
PASSWORD = "Given1password"
ENTRY = {"name": "harbor.example.com", "username": "robot$pull", "password": PASSWORD}
AWAY = {"name": "harbor.example.com", "state": "absent"}
BOTH = {"name": "pull", "namespaces": ["apps", "ci", "apps"]}


def thing(kind, namespace, name, **rest):
    metadata = {"namespace": namespace, "name": name, "resourceVersion": "1", "uid": "1"}
    return {"kind": kind, **rest, "metadata": {**metadata, **rest.get("metadata", {})}}


def docker_config(namespace, *, kind="kubernetes.io/dockerconfigjson", **metadata):
    text = base64.b64encode(b'{"auths":{"quay.io":{"auth":"b2xkOm9sZA=="}}}').decode()
    return thing("Secret", namespace, "pull", type=kind, data={".dockerconfigjson": text}, metadata=metadata)


@pytest.fixture
def cluster():
    namespaces = [thing("Namespace", None, name) for name in ("apps", "ci")]
    accounts = [thing("ServiceAccount", name, "default", imagePullSecrets=[{"name": "old"}]) for name in ("apps", "ci")]
    return FakeCluster(*namespaces, *accounts, docker_config("apps"))


@pytest.fixture
def run(cluster, monkeypatch, capsys):
    told = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: told.append(text))

    def module(name, /, *, check=False, **options):
        loaded = importlib.import_module(f"{PLUGINS}.{name}")
        monkeypatch.setattr(loaded, "Cluster", lambda _auth, *, dry_run: copy.deepcopy(cluster) if dry_run else cluster)
        modes = {"_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args({**options, **modes}), pytest.raises(SystemExit):
            loaded.main()
        printed = capsys.readouterr().out
        assert PASSWORD not in printed
        assert base64.b64encode(f"robot$pull:{PASSWORD}".encode()).decode() not in printed
        return {key: value for key, value in json.loads(printed).items() if key != "invocation"}

    module.told = told
    return module


STEPS = [
    ("docker_config_secret", {**BOTH, "registries": [ENTRY], "config_json": True}),
    ("service_account_pull_secret", {"secret": "pull", "namespaces": ["apps", "ci"]}),
    ("service_account_pull_secret", {"secret": "pull", "namespaces": ["ci"], "list": "secrets"}),
    ("docker_config_secret", {**BOTH, "registries": [AWAY], "added_only": True}),
    ("service_account_pull_secret", {"secret": "pull", "namespaces": ["ci"], "state": "absent"}),
]


def test_there_and_back_each_step_predicted_done_and_done_again(run, cluster):
    said = []
    for name, options in STEPS:
        before = copy.deepcopy(cluster.objects)
        predicted = run(name, check=True, **options)
        assert cluster.objects == before
        done = run(name, **options)
        writes = len(cluster.writes)
        assert predicted == done
        assert (done["changed"], run(name, **options)["diff"], len(cluster.writes)) == (True, [], writes)
        said.append(done)
    assert [one.get("secrets") for one in said] == [
        {"apps": "present", "ci": "present"},
        None,
        None,
        {"apps": "present", "ci": "absent"},
        None,
    ]
    listed = {name: cluster.objects["ServiceAccount", name, "default"] for name in ("apps", "ci")}
    assert [one["name"] for one in listed["apps"]["imagePullSecrets"]] == ["old", "pull"]
    assert [one["name"] for one in listed["ci"]["imagePullSecrets"]] == ["old"]
    assert ("Secret", "ci", "pull") not in cluster.objects
    assert cluster.objects["Secret", "apps", "pull"]["data"] == docker_config("apps")["data"]


def test_what_a_tekton_run_is_bound_with(run):
    found = run("docker_config_secret", **BOTH, registries=[ENTRY])
    items = [{"key": ".dockerconfigjson", "path": "config.json"}]
    assert found["workspace"] == {"secret": {"secretName": "pull", "items": items}}


@pytest.mark.parametrize(
    ("objects", "namespaces", "said"),
    [
        ([], ["ci", "nowhere"], "namespace nowhere: does not exist. Create it first"),
        ([docker_config("ci", kind="Opaque")], ["apps", "ci"], "Secret ci/pull: is of type Opaque"),
    ],
)
def test_one_wrong_namespace_and_none_is_changed(run, cluster, objects, namespaces, said):
    for one in objects:
        cluster.objects["Secret", "ci", "pull"] = one
    assert said in run("docker_config_secret", name="pull", namespaces=namespaces, registries=[ENTRY])["msg"]
    assert cluster.writes == []


def test_one_account_that_is_not_there_and_none_is_changed(run, cluster):
    found = run("service_account_pull_secret", secret="pull", namespaces=["apps"], names=["default", "ci"])
    assert "ServiceAccount apps/ci: does not exist" in found["msg"]
    assert cluster.writes == []


def test_who_may_not_read_namespaces_may_make_the_secret(run, cluster, monkeypatch):
    def get(self, api_version, kind, namespace, name):
        if kind == "Namespace":
            raise NotPermitted("namespaces is forbidden")
        return FakeCluster.get(self, api_version, kind, namespace, name)

    monkeypatch.setattr(cluster, "get", get.__get__(cluster))
    assert run("docker_config_secret", name="pull", namespaces=["ci"], registries=[ENTRY])["changed"]


FLUX = "Secret apps/pull is managed by Flux (Kustomization flux-system/apps), which may take the change back"


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"kustomize.toolkit.fluxcd.io/name": "apps"}, [FLUX]),
        ({"app.kubernetes.io/managed-by": "splithorizon.registry"}, []),
    ],
)
def test_who_may_take_it_back_is_warned_of(run, cluster, labels, told):
    cluster.objects["Secret", "apps", "pull"] = docker_config("apps", labels=labels)
    run("docker_config_secret", name="pull", namespaces=["apps"], registries=[ENTRY])
    assert [text[: len(words)] for text, words in zip(run.told, told, strict=True)] == told
