# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's manifests: that they fit together, and are what the real systems have."""

from __future__ import annotations

import itertools
import typing as t

import pytest
import yaml

from sandbox.model import CLUSTERS, by_name
from sandbox.workloads import coredns, harbor, manifests, spegel
from sandbox.workloads.era import ERAS

if t.TYPE_CHECKING:
    from pathlib import Path

TALOS_COREFILE = "siderolabs+talos__internal__app__machined__pkg__controllers__k8s__internal__k8stemplates__testdata__"
NAMES = [cluster.name for cluster in CLUSTERS]


def everything(name: str) -> list[dict[str, t.Any]]:
    model = by_name(name)
    return [
        coredns.config_map(name),
        *manifests.objects("coredns", cluster=model, corefile="", helm_labels="{}", helm_annotations="{}"),
        *manifests.objects("envoy-gateway"),
        *manifests.objects("gateway", cluster=model),
        *manifests.objects("toolbox", ca="pem"),
        *harbor._objects(name),
        *spegel.render(spegel.values(name)),
    ]


def of_kind(objects: list[dict[str, t.Any]], *kinds: str) -> list[dict[str, t.Any]]:
    return [one for one in objects if one["kind"] in kinds]


@pytest.mark.parametrize("name", NAMES)
def test_every_service_selects_a_pod(name: str) -> None:
    objects = everything(name)
    templates = [
        (o["metadata"]["namespace"], o["spec"]["template"]) for o in of_kind(objects, "Deployment", "DaemonSet")
    ]
    for service in of_kind(objects, "Service"):
        namespace, wanted = service["metadata"]["namespace"], service["spec"]["selector"].items()
        assert any(
            namespace == where and wanted <= template["metadata"]["labels"].items() for where, template in templates
        ), service["metadata"]["name"]


@pytest.mark.parametrize("name", NAMES)
def test_what_pods_mount_and_take_as_environment_is_there(name: str) -> None:
    objects = everything(name)
    there = {
        (o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]) for o in objects if "namespace" in o["metadata"]
    }
    # Its own certgen makes the controller's certificate.
    there.add(("Secret", "envoy-gateway-system", "envoy-gateway"))
    for workload in of_kind(objects, "Deployment", "DaemonSet"):
        namespace = workload["metadata"]["namespace"]
        assert set(_references(workload["spec"]["template"]["spec"], namespace)) <= there


def _references(spec: dict[str, t.Any], namespace: str) -> t.Iterator[tuple[str, str, str]]:
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            yield "ConfigMap", namespace, volume["configMap"]["name"]
        if "secret" in volume:
            yield "Secret", namespace, volume["secret"]["secretName"]
    for container in itertools.chain(spec["containers"], spec.get("initContainers", [])):
        for source in container.get("envFrom", []):
            ((kind, reference),) = source.items()
            yield {"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind], namespace, reference["name"]
        for variable in container.get("env", []):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield "Secret", namespace, reference["name"]


@pytest.mark.parametrize("name", NAMES)
def test_the_era_of_the_guides(name: str) -> None:
    core, jobs = harbor.config_maps(name)
    era = ERAS[name]
    assert core["data"]["EXT_ENDPOINT"] == era.external_url
    assert core["data"]["CORE_URL"] == jobs["data"]["CORE_URL"] == era.core_url
    assert f"http://{era.mirror}" in spegel.values(name)["spegel"]["mirroredRegistries"]
    addresses = {
        f"{o['metadata']['name']}.{o['metadata']['namespace']}.svc.cluster.local": o["spec"].get("clusterIP")
        for o in of_kind(harbor._objects(name), "Service")
    }
    assert addresses[era.internal] == era.internal_address


def test_patches_in_the_form_of_each_cluster() -> None:
    (legacy,) = ERAS["alpha"].patches()
    assert set(legacy["machine"]) == {"registries", "network"}
    assert [patch["kind"] for patch in ERAS["beta"].patches()] == [
        "RegistryMirrorConfig",
        "RegistryAuthConfig",
        "StaticHostConfig",
    ]


def test_spegel_takes_its_arguments_from_the_values() -> None:
    values = {"spegel": {"containerdRegistryConfigPath": "/x", "mirroredRegistries": ["https://a", "http://b"]}}
    (daemon_set,) = of_kind(spegel.render(values, release="spegel"), "DaemonSet")
    pod = daemon_set["spec"]["template"]["spec"]
    configuration, registry = pod["initContainers"][0]["args"], pod["containers"][0]["args"]
    for arguments in (configuration, registry):
        place = arguments.index("--mirrored-registries")
        assert arguments[place + 1 : place + 3] == ["https://a", "http://b"]
    assert configuration[-1] == "--prepend-existing=false"
    assert daemon_set["metadata"]["labels"]["helm.toolkit.fluxcd.io/name"] == "spegel"


def test_spegel_without_registries_has_no_such_argument() -> None:
    (daemon_set,) = of_kind(spegel.render({"spegel": {"containerdRegistryConfigPath": "/x"}}), "DaemonSet")
    assert "--mirrored-registries" not in daemon_set["spec"]["template"]["spec"]["initContainers"][0]["args"]


@pytest.mark.captures
def test_alpha_has_talos_own_corefile(captures: Path) -> None:
    file = captures / "corpus" / "corefile" / f"{TALOS_COREFILE}coredns-configmap-cluster-domain.yaml"
    theirs = yaml.safe_load(file.read_text())["data"]["Corefile"].splitlines()
    ours = coredns.corefile("alpha").splitlines()
    assert [(a, b) for a, b in zip(theirs, ours, strict=True) if a != b] == [("    reload", "    reload 2s 1s")]
