# SPDX-License-Identifier: GPL-3.0-or-later
"""``harbor_core_patch`` where things go wrong in a cluster. Starts in the HTTP era, and leaves it as it was.

What is there is read with kubectl and curl, and from the job service's own account of what it started with.
"""

from __future__ import annotations

import json
import re
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import yaml

from integration.module_call import inside_of
from sandbox.faults import Faults
from sandbox.model import REGISTRY_NAME
from sandbox.workloads.era import ERAS

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.module_call import Call, Json
    from sandbox.inside import Inside

pytestmark = pytest.mark.sandbox

WANTED = {"context": "beta", "namespace": "harbor", "external_url": f"https://{REGISTRY_NAME}"}
NOWHERE = "http://harbor-core.nowhere.svc.cluster.local:80"
SECONDS = 12
# All that a Role needs but one verb.
RULES = [
    {"apiGroups": [""], "resources": ["configmaps", "services", "pods"], "verbs": ["get", "list", "patch"]},
    {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["services/proxy"], "verbs": ["get"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
]


@pytest.fixture(scope="module", autouse=True)
def changed_release(sandbox: Inside, http_era_afterwards: None) -> Iterator[Future[None]]:
    """Beside the tests of the other cluster: to roll Harbor is mostly waiting."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(change_release, sandbox)


@pytest.fixture(scope="module")
def module(sandbox: Inside, http_era_afterwards: None) -> Iterator[Call]:
    with inside_of(sandbox) as call:
        yield call


def seen(sandbox: Inside) -> Json:
    """Harbor's settings in beta, how often its Deployments were changed, what it tells and what jobservice took."""
    names = ("configmap/harbor-core", "configmap/harbor-jobservice-env")
    found = json.loads(sandbox.kubectl("beta", "-n", "harbor", "get", *names, "-o", "json"))["items"]
    settings = "/api/v1/namespaces/harbor/services/harbor-jobservice:80/proxy/sandbox/settings"
    head = sandbox.run("curl", "-sSI", "-X", "GET", f"http://{ERAS['beta'].mirror}/v2/").stdout
    return {
        "data": [one["data"] for one in found],
        "realm": re.findall(r'realm="(.*?)"', head),
        "taken": json.loads(sandbox.kubectl("beta", "get", "--raw", settings)),
    }


def generations(sandbox: Inside) -> str:
    return sandbox.kubectl(
        "beta", "-n", "harbor", "get", "deployments", "-o", "jsonpath={.items[*].metadata.generation}"
    )


def test_nothing_is_changed_while_the_database_is_down(sandbox: Inside, module: Call) -> None:
    before = seen(sandbox), generations(sandbox)
    with Faults(sandbox, "beta").without_database():
        said = module("harbor_core_patch", **WANTED)
    assert said["failed"], said
    assert 'database: failed to run SQL "SELECT 1"' in said["msg"]
    assert said["cure"].endswith("Nothing was changed")
    assert (seen(sandbox), generations(sandbox)) == before


def test_a_core_url_that_leads_nowhere_is_taken_back(sandbox: Inside, module: Call) -> None:
    """Jobservice reads its settings from core before it serves anything, so that it never comes up."""
    before = seen(sandbox)
    said = module("harbor_core_patch", **WANTED, core_url=NOWHERE, wait_timeout=SECONDS)
    assert said["failed"], said
    assert "harbor-jobservice to roll out" in said["problem"]
    assert said["cure"] == "The old values are back, and Harbor is healthy with them"
    assert seen(sandbox) == before


def test_the_missing_verb_is_named_before_any_change(sandbox: Inside, module: Call) -> None:
    metadata = {"name": "half", "namespace": "harbor"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "half"}
    account = {"kind": "ServiceAccount", "name": "half", "namespace": "harbor"}
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": metadata}
    documents = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {**rbac, "kind": "Role", "rules": RULES},
        {**rbac, "kind": "RoleBinding", "roleRef": role, "subjects": [account]},
    ]
    sandbox.kubectl("beta", "apply", "-f", "-", stdin=yaml.safe_dump_all(documents))
    before = seen(sandbox), generations(sandbox)
    try:
        token = sandbox.kubectl("beta", "-n", "harbor", "create", "token", "half").strip()
        server = sandbox.kubectl("beta", "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
        account_of_half = {"host": server, "api_key": token, "validate_certs": False}
        wanted = {key: value for key, value in WANTED.items() if key != "context"}
        said = module("harbor_core_patch", **wanted, **account_of_half)
    finally:
        sandbox.kubectl("beta", "-n", "harbor", "delete", "serviceaccount,role,rolebinding", "half")
    assert said["failed"], said
    assert "may not patch deployments.apps harbor-core, patch deployments.apps harbor-jobservice" in said["problem"]
    assert (seen(sandbox), generations(sandbox)) == before


@contextmanager
def released(sandbox: Inside) -> Iterator[Json]:
    """A HelmRelease in alpha that makes Harbor's objects as they are, but for the CORE_URL that a person patched."""
    metadata = {"name": "harbor", "namespace": "default"}
    core = {"replicas": 1, "extraEnvVars": [{"name": "OTHER", "value": "1"}]}
    values = {"externalURL": ERAS["alpha"].external_url, "core": core, "x": True}
    spec = {"interval": "1h", "chart": {"spec": {"chart": "harbor", "version": "1.19.1"}}, "values": values}
    document = {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": metadata, "spec": spec}
    sandbox.kubectl("alpha", "apply", "-f", "-", stdin=json.dumps(document))
    sandbox.kubectl("alpha", "-n", "default", "wait", "helmrelease/harbor", "--for=condition=Ready", "--timeout=20s")
    try:
        yield document
    finally:
        sandbox.kubectl("alpha", "-n", "default", "delete", "helmrelease", "harbor")
        deployments = ("deployment/harbor-core", "deployment/harbor-jobservice")
        sandbox.kubectl("alpha", "-n", "default", "set", "env", *deployments, "OTHER-", "CORE_URL-")
        labels = [f"helm.toolkit.fluxcd.io/{key}-" for key in ("name", "namespace")]
        sandbox.kubectl("alpha", "-n", "default", "label", "configmap,deployment", "-l", "app=harbor", *labels)


def change_release(sandbox: Inside) -> None:
    """There and back, each predicted, done, and not done again."""
    core_url, inside = ERAS["alpha"].core_url, ERAS["alpha"].internal
    wanted = {
        "context": "alpha",
        "namespace": "default",
        "kind": "HelmRelease",
        "external_url": f"https://{REGISTRY_NAME}",
        "core_url": core_url,
    }
    entry = {"name": "CORE_URL", "value": core_url}

    def spec() -> Json:
        found = sandbox.kubectl("alpha", "-n", "default", "get", "helmrelease", "harbor", "-o", "json")
        return t.cast("Json", json.loads(found)["spec"])

    with released(sandbox) as release, inside_of(sandbox) as module:
        said = [module("harbor_core_patch", **wanted, check=check) for check in (True, False, True, False)]
        assert [one.get("changed") for one in said] == [True, True, False, False], said
        assert {key: said[1][key] for key in said[0]} == said[0]
        assert spec()["values"] == {
            **release["spec"]["values"],
            "core": {"replicas": 1, "extraEnvVars": [{"name": "OTHER", "value": "1"}, entry]},
            "jobservice": {"extraEnvVars": [entry]},
        }
        head = sandbox.from_pod("alpha", "curl", "-sS", "-o", "/dev/null", "-D", "-", f"http://{inside}/v2/").stdout
        assert f'realm="{core_url}/service/token"' in head
        back = module("harbor_core_patch", **{**wanted, "state": "absent"})
        assert back.get("changed"), back
        assert spec() == release["spec"]


def test_the_doctor_sees_that_core_and_jobservice_differ(sandbox: Inside, module: Call) -> None:
    robot = {"username": "robot$cluster-pull", "password": "sandbox-pull-secret", "repository": "library/app"}
    asked = {"context": "beta", "namespace": "harbor", "external_url": ERAS["beta"].external_url, **robot}
    well = module("harbor_doctor", **asked, hosts=[ERAS["beta"].mirror], registry=ERAS["beta"].mirror)
    assert (well["troubles"], well["local_replication"], well["runs"]) == ([], True, []), well
    assert well["tags"]
    change = json.dumps({"data": {"CORE_URL": NOWHERE}})
    names = ("-n", "harbor", "patch", "configmap", "harbor-jobservice-env", "--type=merge", "-p")
    before = seen(sandbox)["data"][1]["CORE_URL"]
    sandbox.kubectl("beta", *names, change)
    try:
        ill = module("harbor_doctor", **{**asked, "password": "wrong"})
    finally:
        sandbox.kubectl("beta", *names, json.dumps({"data": {"CORE_URL": before}}))
        for step in (("restart",), ("status", "--timeout=30s")):
            sandbox.kubectl("beta", "-n", "harbor", "rollout", *step, "deployment/harbor-jobservice", seconds=40)
    assert [one["kind"] for one in ill["troubles"]] == ["tags", "stale", "replication"], ill


def test_the_wrong_release_is_told_with_the_one_there_is(module: Call) -> None:
    said = module("harbor_core_patch", **WANTED, release="registry")
    assert said["failed"], said
    assert "named registry-harbor-…. There is harbor" in said["msg"]


def test_a_release_of_flux_and_back(changed_release: Future[None]) -> None:
    changed_release.result()
