# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of Tekton in a cluster: in the API version that is served, tried before any is written, runs only read."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotPermitted
from ansible_collections.splithorizon.registry.plugins.module_utils._image_references import registry_from
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_cluster import TektonCluster
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_plan import Wanted

Json = dict[str, t.Any]
WANTED = Wanted(registry=registry_from(name="harbor.example.com", replaces=["192.168.1.105"], http=False))


class Server:
    """Serves ``kinds`` (kind → API version), and refuses to write the object called ``locked``."""

    def __init__(self, objects: list[Json], kinds: dict[str, str], locked: str = "") -> None:
        self.dry_run = False
        self.writes: list[tuple[str, str, bool]] = []
        self._objects, self._kinds, self._locked = objects, kinds, locked

    def served(self, group: str) -> dict[str, str]:
        return {kind: version for kind, version in self._kinds.items() if version.startswith(f"{group}/")}

    def list(self, _version: str, kind: str, namespace: str | None) -> list[Json]:
        found = [each for each in self._objects if each["kind"] == kind]
        # Items of a list say neither their kind nor their version.
        return [
            {key: value for key, value in each.items() if key != "kind"}
            for each in found
            if namespace in (None, each["metadata"]["namespace"])
        ]

    def replace(self, body: Json) -> None:
        if body["metadata"]["name"] == self._locked:
            raise NotPermitted("forbidden", where=f"/{self._locked}")
        self.writes.append((body["apiVersion"], body["metadata"]["name"], self.dry_run))


def task(name: str, *, namespace: str = "builds", image: str = "192.168.1.105/a/b", **metadata: t.Any) -> Json:
    script = f"#!/bin/sh\nbuildctl build --output type=image,name={image},push=true,registry.insecure=true\n"
    spec = {"steps": [{"name": "build", "script": script}]}
    return {"kind": "Task", "metadata": {"name": name, "namespace": namespace, **metadata}, "spec": spec}


def tekton(*objects: Json, version: str = "v1", namespaces: tuple[str, ...] = (), locked: str = "") -> t.Any:
    kinds = dict.fromkeys(("Task", "TaskRun"), f"tekton.dev/{version}")
    server = Server(list(objects), kinds, locked)
    return server, TektonCluster(t.cast("t.Any", server), namespaces=namespaces)


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_every_write_is_tried_before_the_first(version: str) -> None:
    server, cluster = tekton(task("a"), task("b"), task("other", image="ghcr.io/a/b"), version=version)
    plan = cluster.plan(WANTED)
    assert plan.objects == ["Task builds/a", "Task builds/b", "Task builds/other"]
    cluster.write(plan.after)
    api = f"tekton.dev/{version}"
    assert server.writes == [(api, "a", True), (api, "b", True), (api, "a", False), (api, "b", False)]
    assert [finding.message for finding in plan.done if finding.kind == "flag"] == [
        f"Task builds/{name}, spec.steps[0].script, line 2: registry.insecure=true: "
        "left from plain HTTP, it switches verification off unseen"
        for name in ("a", "b")
    ]


def test_nothing_is_written_where_one_is_refused() -> None:
    server, cluster = tekton(task("a"), task("b"), locked="b")
    with pytest.raises(NotPermitted):
        cluster.write(cluster.plan(WANTED).after)
    assert server.writes == [("tekton.dev/v1", "a", True)]
    assert server.dry_run is False


def test_check_mode_only_tries() -> None:
    server, cluster = tekton(task("a"))
    server.dry_run = True
    cluster.write(cluster.plan(WANTED).after)
    assert server.writes == [("tekton.dev/v1", "a", True)]


def test_runs_give_values_and_are_not_planned() -> None:
    build = task("a", image="$(params.IMAGE)")
    build["spec"]["params"] = [{"name": "IMAGE"}]
    run = {"taskRef": {"name": "a"}, "params": [{"name": "IMAGE", "value": "192.168.1.105/a/b"}]}
    metadata = {"name": "a-1", "namespace": "builds"}
    elsewhere = {"kind": "TaskRun", "metadata": {**metadata, "namespace": "elsewhere"}, "spec": run}
    _, without = tekton(build, elsewhere)
    assert (without.plan(WANTED).after, len(without.plan(WANTED).unsure)) == ([], 1)
    _, cluster = tekton(build, elsewhere, {"kind": "TaskRun", "metadata": metadata, "spec": run})
    plan = cluster.plan(WANTED)
    assert (plan.objects, plan.unsure) == (["Task builds/a"], [])
    assert "insecure" not in plan.after[0]["spec"]["steps"][0]["script"]


def test_namespaces_and_owners() -> None:
    labels = {"kustomize.toolkit.fluxcd.io/name": "apps"}
    _, cluster = tekton(task("a", labels=labels), task("b", namespace="other"), namespaces=("builds",))
    plan = cluster.plan(WANTED)
    assert (plan.objects, plan.owners) == (
        ["Task builds/a"],
        {"Task builds/a": "Flux (Kustomization flux-system/apps)"},
    )


def test_cluster_without_tekton() -> None:
    cluster = TektonCluster(t.cast("t.Any", Server([], {"CronJob": "batch/v1"})), namespaces=())
    with pytest.raises(BadInput, match="no Tekton"):
        cluster.plan(WANTED)
