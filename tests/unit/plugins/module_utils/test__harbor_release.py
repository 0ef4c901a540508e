# SPDX-License-Identifier: GPL-3.0-or-later
"""Names as Harbor's chart makes them, who asks for its core, and who owns its objects."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_release import (
    chart_fullname,
    client_hosts,
    fullnames,
    only_fullname,
    path_hosts,
    undone_by,
)

Json = dict[str, t.Any]


# From templates/_helpers.tpl of goharbor/harbor-helm: fullnameOverride, else the release where it contains the name.
@pytest.mark.parametrize(
    ("release", "values", "expected"),
    [
        ("harbor", {}, "harbor"),
        ("my-harbor-2", {}, "my-harbor-2"),
        ("registry", {}, "registry-harbor"),
        ("registry", {"nameOverride": "hub"}, "registry-hub"),
        ("hub-prod", {"nameOverride": "hub"}, "hub-prod"),
        ("registry", {"fullnameOverride": "reg"}, "reg"),
        ("registry", {"fullnameOverride": ""}, "registry-harbor"),
        ("r" * 70, {}, "r" * 63),
        ("r" * 62, {}, "r" * 62),
        ("a" * 55, {}, "a" * 55 + "-harbor"),
        ("a" * 56 + "-b", {"fullnameOverride": "a" * 62 + "-b"}, "a" * 62),
    ],
)
def test_fullname(release: str, values: Json, expected: str) -> None:
    assert chart_fullname(release=release, values=values) == expected


def deployment(name: str, *, component: str = "core", config_map: str = "") -> Json:
    container = {"name": component, "envFrom": [{"configMapRef": {"name": config_map or name}}, {"secretRef": {}}]}
    metadata = {"name": name, "labels": {"component": component}}
    return {"metadata": metadata, "spec": {"template": {"spec": {"containers": [container]}}}}


def test_harbors_are_told_from_other_deployments() -> None:
    others = [
        deployment("harbor-jobservice", component="jobservice"),
        deployment("kafka-core", config_map="kafka"),
        {"metadata": {"name": "x-core"}, "spec": {"template": {"spec": {"containers": [{"name": "x"}]}}}},
    ]
    assert fullnames([deployment("b-core"), deployment("a-harbor-core"), *others]) == ["a-harbor", "b"]


@pytest.mark.parametrize(
    ("found", "wanted", "said"),
    [
        (["harbor"], "registry", "no Harbor whose objects are named registry-….*There is harbor"),
        (["a-harbor", "harbor"], None, "2 Harbors run here. There is a-harbor, harbor; give fullname"),
        ([], None, "no Harbor runs here"),
        ([], "harbor", "There is no release of Harbor's chart"),
    ],
)
def test_a_wrong_or_doubtful_release_is_told_with_those_there_are(
    found: list[str], wanted: str | None, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        only_fullname(found, wanted=wanted, namespace="harbor")


@pytest.mark.parametrize(("found", "wanted"), [(["harbor"], None), (["a", "harbor"], "harbor")])
def test_the_release_that_is_meant(found: list[str], wanted: str | None) -> None:
    assert only_fullname(found, wanted=wanted, namespace="harbor") == "harbor"


def service(name: str, selector: Json | None, **more: t.Any) -> Json:
    spec = {"selector": selector, "clusterIP": "10.0.0.9", "ports": [{"port": 80}], **more.pop("spec", {})}
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": spec, **more}


def test_every_host_a_client_may_send() -> None:
    labels = {"app": "harbor", "release": "harbor", "component": "core", "x": "y"}
    ingress = {"loadBalancer": {"ingress": [{"ip": "192.168.1.105"}, {"hostname": "lb.example.com"}]}}
    services = [
        service("harbor-core", {"release": "harbor", "component": "core"}),
        service(
            "harbor",
            {"release": "harbor", "component": "nginx"},
            spec={"clusterIP": "fd00::1", "ports": [{"port": 8080}]},
            status=ingress,
        ),
        service("other-core", {"release": "other", "component": "core"}),
        service("harbor-registry", {"release": "harbor", "component": "registry"}),
        service("external", None),
    ]
    hosts = client_hosts(
        services=services,
        pod_labels=labels,
        domain="cluster.local",
        urls=["https://harbor.example.com", "http://harbor-core:80"],
        given=["old.example.com", "harbor.example.com"],
    )
    assert hosts == [
        *("old.example.com", "harbor.example.com", "harbor-core:80"),
        *("harbor-core", "harbor-core.ns", "harbor-core.ns.svc", "harbor-core.ns.svc.cluster.local", "10.0.0.9"),
        *("harbor:8080", "harbor.ns:8080", "harbor.ns.svc:8080", "harbor.ns.svc.cluster.local:8080", "[fd00::1]:8080"),
        *("192.168.1.105:8080", "lb.example.com:8080"),
    ]


def test_hosts_where_only_a_file_is_known() -> None:
    common: Json = {"fullname": "harbor", "domain": "c.l", "urls": ["http://harbor-core:80"], "given": []}
    assert path_hosts(**common, namespace=None) == ["harbor-core:80", "harbor-core"]
    assert path_hosts(**common, namespace="a")[1:] == [
        "harbor-core",
        "harbor-core.a",
        "harbor-core.a.svc",
        "harbor-core.a.svc.c.l",
    ]


FLUX = {"helm.toolkit.fluxcd.io/name": "harbor", "helm.toolkit.fluxcd.io/namespace": "apps"}
DRIFT = {"spec": {"driftDetection": {"mode": "enabled"}}}
HEALS = {"spec": {"syncPolicy": {"automated": {"selfHeal": True}}}}


@pytest.mark.parametrize(
    ("metadata", "owners", "expected"),
    [
        ({"labels": FLUX}, {"release": DRIFT}, "Flux (HelmRelease apps/harbor) within its interval (driftDetection is"),
        ({"labels": FLUX}, {"release": {"spec": {}}}, "Flux (HelmRelease apps/harbor) at its next upgrade"),
        ({"labels": FLUX}, {}, "Flux (HelmRelease apps/harbor) at its next upgrade"),
        (
            {"annotations": {"argocd.argoproj.io/tracking-id": "hub:/ConfigMap:a/b"}},
            {"application": HEALS},
            "Argo CD (Application hub) within minutes (selfHeal)",
        ),
        ({"labels": {"argocd.argoproj.io/instance": "hub"}}, {}, "Argo CD (Application hub) at its next sync"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "k"}}, {}, "Flux (Kustomization /k) within its interval"),
        ({"annotations": {"meta.helm.sh/release-name": "r"}}, {}, "Helm (release r) at its next upgrade"),
        ({"labels": {"heritage": "Helm", "release": "r"}}, {}, "Helm (release r) at its next upgrade"),
        ({"labels": {"heritage": "Tiller"}}, {}, ""),
        ({}, {}, ""),
    ],
)
def test_who_takes_a_live_patch_back(metadata: Json, owners: Json, expected: str) -> None:
    said = undone_by(metadata, **owners)
    assert said.startswith(expected)
    assert bool(said) == bool(expected)
