# SPDX-License-Identifier: GPL-3.0-or-later
"""``tekton_registry`` on a cluster that knows Tekton's kinds: there, again, and back, read by kubectl.

The kinds are those of the real Tekton where its definitions are beside this checkout: then the API server checks what
is written by their schemas. There is no Tekton that would run anything, nor its webhook that converts between versions.
"""

from __future__ import annotations

import json
import typing as t

import pytest
import yaml

from integration.module_call import inside_of
from sandbox.model import REGISTRY_NAME

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration.module_call import Call, Json
    from sandbox.inside import Inside

pytestmark = pytest.mark.sandbox

CLUSTER, NAMESPACE, READER = "alpha", "tekton-builds", "tekton-reader"
INTERNAL = "harbor-core.default.svc.cluster.local"
TO_HTTPS: Json = {"name": REGISTRY_NAME, "replaces": [INTERNAL]}
TO_HTTP: Json = {"name": INTERNAL, "replaces": [REGISTRY_NAME], "transport": "http"}
# Plural and kind → versions, the one that is stored first.
KINDS = {
    ("tasks", "Task"): ("v1", "v1beta1"),
    ("pipelines", "Pipeline"): ("v1", "v1beta1"),
    ("stepactions", "StepAction"): ("v1beta1",),
    ("taskruns", "TaskRun"): ("v1", "v1beta1"),
    ("triggertemplates", "TriggerTemplate"): ("v1beta1",),
}
WATCHED = "tasks,pipelines,stepactions,taskruns,triggertemplates,cronjobs"
OBJECTS = """
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: buildkit}
spec:
  params: [{name: IMAGE}]
  steps:
    - name: build
      image: moby/buildkit:v0.30
      script: |
        #!/bin/sh
        # registry.insecure=true was needed with buildctl 0.12
        mkdir -p /tekton/home/.docker
        cp /workspace/dockerconfig/.dockerconfigjson /tekton/home/.docker/config.json
        buildctl build \\
          --output type=image,name=$(params.IMAGE),push=true@FLAG@ \\
          --export-cache type=registry,ref=@HOST@/library/cache,mode=max@FLAG@ \\
          --import-cache type=registry,ref=ghcr.io/example/cache,registry.insecure=true
---
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: unknown}
spec:
  params: [{name: IMAGE}]
  steps:
    - name: build
      image: moby/buildkit:v0.30
      args: [build, --output, "type=image,name=$(params.IMAGE),push=true,registry.insecure=true"]
---
apiVersion: tekton.dev/v1beta1
kind: Pipeline
metadata: {name: release}
spec:
  tasks:
    - name: build
      taskRef: {name: buildkit}
      params:
        - {name: IMAGE, value: "@HOST@/library/app"}
---
apiVersion: tekton.dev/v1beta1
kind: StepAction
metadata: {name: buildkit}
spec:
  image: moby/buildkit:v0.30
  command: [buildctl]
  args: [build, --output, "type=image,name=@HOST@/library/app,push=true@FLAG@"]
---
apiVersion: triggers.tekton.dev/v1beta1
kind: TriggerTemplate
metadata: {name: push}
spec:
  resourcetemplates:
    - apiVersion: tekton.dev/v1
      kind: TaskRun
      metadata: {generateName: build-}
      spec:
        taskRef: {name: buildkit}
        params:
          - {name: IMAGE, value: "@HOST@/library/app"}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: 0 4 * * *
  suspend: true
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: build
              image: moby/buildkit:v0.30
              command: [sh, -c, "buildctl build --output type=image,name=@HOST@/library/app,push=true@FLAG@"]
---
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: build-1}
spec:
  taskRef: {name: buildkit}
  params:
    - {name: IMAGE, value: "harbor-core.default.svc.cluster.local/library/app"}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tekton-reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: tekton-reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: tekton-reader}]
"""
READER_ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": READER},
    "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}],
}


def objects(host: str, flag: str) -> list[Json]:
    found = yaml.safe_load_all(OBJECTS.replace("@HOST@", host).replace("@FLAG@", flag))
    return [each for each in found if each]


def definition(plural: str, kind: str, definitions: Path) -> Json:
    real = definitions / f"tektoncd+pipeline__config__300-crds__300-{kind.lower()}.yaml"
    if real.is_file():
        found: Json = yaml.load(real.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        found["spec"].pop("conversion", None)
        return found
    group = "triggers.tekton.dev" if kind == "TriggerTemplate" else "tekton.dev"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = KINDS[plural, kind]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "singular": kind.lower()},
            "versions": [
                {"name": name, "served": True, "storage": name == versions[0], "schema": schema} for name in versions
            ],
        },
    }


@pytest.fixture(scope="module")
def module(sandbox: Inside) -> Iterator[Call]:
    with inside_of(sandbox) as call:
        yield call


@pytest.fixture(scope="module")
def builds(sandbox: Inside, request: pytest.FixtureRequest) -> Iterator[None]:
    """Objects of the HTTP era, in a namespace of their own, and the kinds; all of it gone afterwards."""
    definitions = [definition(*kind, request.config.rootpath.parent / "shared" / "corpus" / "crds") for kind in KINDS]
    names = [f"crd/{each['metadata']['name']}" for each in definitions]

    def create(items: list[Json], *words: str) -> None:
        stream = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        sandbox.kubectl(CLUSTER, "create", "-f", "-", *words, stdin=stream)

    try:
        create([*definitions, READER_ROLE])
        sandbox.kubectl(CLUSTER, "wait", "--for=condition=Established", *names)
        sandbox.kubectl(CLUSTER, "create", "namespace", NAMESPACE)
        create(objects(INTERNAL, ",registry.insecure=true"), "-n", NAMESPACE)
        yield
    finally:
        for what in ([f"namespace/{NAMESPACE}", f"clusterrole/{READER}"], names):
            sandbox.kubectl(CLUSTER, "delete", "--ignore-not-found", *what, seconds=60)


def read(sandbox: Inside) -> dict[tuple[str, str], Json]:
    found = json.loads(sandbox.kubectl(CLUSTER, "-n", NAMESPACE, "get", WATCHED, "-o", "json"))["items"]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def test_there_again_and_back(sandbox: Inside, builds: None, module: Call) -> None:
    common = {"context": CLUSTER, "namespaces": [NAMESPACE]}
    before = read(sandbox)

    predicted = module("tekton_registry", check=True, **common, **TO_HTTPS)
    assert predicted.get("changed") is True, predicted
    assert read(sandbox) == before
    done = module("tekton_registry", **common, **TO_HTTPS)
    assert {key: done[key] for key in predicted if key != "findings"} == {
        key: value for key, value in predicted.items() if key != "findings"
    }
    after = read(sandbox)
    for wanted in objects(REGISTRY_NAME, ""):
        key = (wanted["kind"], wanted["metadata"]["name"])
        if key in after and key not in {("TaskRun", "build-1"), ("Task", "unknown")}:
            assert contains(after[key]["spec"], wanted["spec"]), after[key]["spec"]
    assert after["TaskRun", "build-1"] == before["TaskRun", "build-1"]
    assert after["Task", "unknown"] == before["Task", "unknown"]
    (unsure,) = done["unsure"]
    assert unsure["where"] == f"Task {NAMESPACE}/unknown, spec.steps[0].args[2]"
    assert done["findings"] == [unsure["message"]]

    again = module("tekton_registry", **common, **TO_HTTPS)
    assert (again["changed"], read(sandbox)) == (False, after)

    back = module("tekton_registry", **common, **TO_HTTP)
    assert back.get("changed") is True, back
    assert {key: each["spec"] for key, each in read(sandbox).items()} == {
        key: each["spec"] for key, each in before.items()
    }


def contains(found: t.Any, wanted: t.Any) -> bool:
    """Whether all that is wanted is there; the server adds defaults."""
    if isinstance(wanted, dict):
        return all(key in found and contains(found[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(contains, found, wanted))
    return bool(found == wanted)


def test_without_permission_nothing_is_changed(sandbox: Inside, builds: None, module: Call) -> None:
    before = read(sandbox)
    refused = module("tekton_registry", context=CLUSTER, namespaces=[NAMESPACE], impersonate_user=READER, **TO_HTTPS)
    assert refused.get("failed"), refused
    assert READER in refused["problem"]
    assert refused["where"].endswith(("/buildkit", "/release", "/push", "/nightly"))
    assert read(sandbox) == before


def test_cluster_without_tekton(sandbox: Inside, module: Call) -> None:
    refused = module("tekton_registry", context="beta", **TO_HTTPS)
    assert (refused.get("failed"), refused.get("problem")) == (True, "this cluster has no Tekton")
