# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs buildkitd, where it listens and where its buildkitd.toml is."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_find import DUE, find, mounting

Json = dict[str, t.Any]


def workload(*containers: Json, volumes: list[Json] | None = None, **annotations: str) -> Json:
    spec = {"containers": list(containers), "volumes": volumes or []}
    return {
        "metadata": {"namespace": "build", "name": "builder", "annotations": annotations},
        "spec": {"selector": {"matchLabels": {"b": "2", "a": "1"}}, "template": {"spec": spec}},
    }


def container(image: str = "moby/buildkit:v0.30.0", **more: t.Any) -> Json:
    return {"name": "daemon", "image": image, **more}


def keys_of(namespace: str, name: str) -> list[str]:
    return {"config": ["buildkitd.toml", "other"], "other": ["x"]}.get(name, []) if namespace == "build" else []


def found(one: Json) -> list[Json]:
    return [each.shown for each in find("Deployment", [one], keys_of)]


@pytest.mark.parametrize(
    "image",
    [
        "moby/buildkit",
        "moby/buildkit:v0.30.0-rootless",
        "docker.io/moby/buildkit:buildx-stable-1",
        "registry.example.com:5000/mirror/moby/buildkit@sha256:0123",
        "buildkitd:1",
    ],
)
def test_by_its_image(image: str) -> None:
    assert [one["container"] for one in found(workload({"name": "proxy", "image": "envoy"}, container(image)))] == [
        "daemon"
    ]


@pytest.mark.parametrize("words", [{"command": ["/usr/bin/buildkitd"]}, {"args": ["rootlesskit", "buildkitd"]}])
def test_by_its_command(words: Json) -> None:
    assert found(workload(container("own/builder:1", **words)))


@pytest.mark.parametrize("image", ["moby/buildkit-gateway:1", "example.com/buildkite/agent", "nginx:buildkit"])
def test_others_are_none(image: str) -> None:
    assert found(workload(container(image, args=["--note=buildkitd"]))) == []


@pytest.mark.parametrize(
    ("args", "address"),
    [
        ([], ""),
        (["--addr", "tcp://0.0.0.0:1234"], "tcp://127.0.0.1:1234"),
        (["--addr=tcp://0.0.0.0:1234", "--addr=unix:///run/x.sock"], "unix:///run/x.sock"),
        (["--debug", "--addr"], ""),
    ],
)
def test_where_it_listens(args: list[str], address: str) -> None:
    assert found(workload(container(args=args)))[0]["address"] == address


@pytest.mark.parametrize(
    ("volume", "place"),
    [
        ({"configMap": {"name": "config"}}, ("config", "buildkitd.toml")),
        ({"configMap": {"name": "other", "items": [{"key": "x", "path": "buildkitd.toml"}]}}, ("other", "x")),
        ({"projected": {"sources": [{"secret": {}}, {"configMap": {"name": "config"}}]}}, ("config", "buildkitd.toml")),
        ({"configMap": {"name": "other"}}, ("", "")),
        ({"configMap": {"name": "missing"}}, ("", "")),
        ({"emptyDir": {}}, ("", "")),
    ],
)
def test_where_its_text_is(volume: Json, place: tuple[str, str]) -> None:
    mounted = container(volumeMounts=[{"name": "v"}])
    (one,) = found(workload(mounted, volumes=[{"name": "v", **volume}, {"name": "not mounted"}]))
    assert (one["config_map"], one["key"]) == place
    assert one["selector"] == "a=1,b=2"


def test_a_config_map_that_nobody_mounts_is_nobodys() -> None:
    volumes = [{"name": "v", "configMap": {"name": "config"}}]
    assert found(workload(container(), volumes=volumes))[0]["config_map"] == ""
    assert list(mounting("Deployment", [workload(container(), volumes=volumes)], "config")) == []


def test_a_restart_that_is_due() -> None:
    volumes, mounts = [{"name": "v", "configMap": {"name": "config"}}], [{"name": "v"}]
    one = workload(container("own", volumeMounts=mounts), volumes=volumes, **{DUE: "buildkitd.toml"})
    (reader,) = mounting("StatefulSet", [one], "config")
    assert (reader.due, reader.where) == (True, "StatefulSet/builder")
