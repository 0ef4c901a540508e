# SPDX-License-Identifier: GPL-3.0-or-later
"""The survey names exactly the steps that differ, proves a site where none does, and writes nothing."""

from __future__ import annotations

import base64
import importlib
import json
from contextlib import contextmanager

import loopback
import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.splithorizon.registry.plugins.module_utils import _cluster_survey, _http
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_find import DUE
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import Lookup, PodView
from fake_cluster import FakeCluster
from fake_harbor import REPOSITORY, ROBOT, FakeHarbor
from fake_harbor_api import ADMIN, FakeHarborApi

MODULE = "ansible_collections.splithorizon.registry.plugins.modules.cluster_survey"
NAME, TARGET = "harbor.example.com", "envoy-proxy.gw.svc.cluster.local"
COREFILE = f"""
.:53 {{
    rewrite stop name exact {NAME} {TARGET}
    kubernetes cluster.local
    forward . /etc/resolv.conf
    reload
}}
"""
GATEWAY = {"namespace": "envoy-gateway", "name": "eg"}
SELECTOR = {
    "app.kubernetes.io/component": "proxy",
    "gateway.envoyproxy.io/owning-gateway-name": "eg",
    "gateway.envoyproxy.io/owning-gateway-namespace": "envoy-gateway",
}
GENERATED = {"app.kubernetes.io/managed-by": "envoy-gateway", **SELECTOR}
LISTED = [
    "--mirrored-registries",
    f"https://{NAME}",
    "--mirror-targets",
    "http://$(NODE_IP):30020",
    "--prepend-existing=true",
]
SETTINGS = {"CORE_URL": "http://harbor-core:80"}
ASKED = {
    "alias": {"namespace": "gw", "name": "envoy-proxy", "gateway": GATEWAY},
    "route_timeout": {"hostname": NAME, "gateway": GATEWAY},
    "dns": {"rewrites": [{"name": NAME, "target": TARGET}]},
    "spegel": {"mirrored_registries": [f"https://{NAME}"]},
    "image_builders": {"registries": [{"host": NAME, "ca": ["/ca.crt"]}]},
    "harbor": {"namespace": "harbor", "external_url": f"https://{NAME}"},
}
PROOF = {
    "name": NAME,
    "target": TARGET,
    "alias": {"namespace": "gw", "name": "envoy-proxy"},
    "username": ROBOT[0],
    "password": ROBOT[1],
    "repository": REPOSITORY,
}


def thing(kind, namespace, name, *, labels=None, **rest):
    return {"kind": kind, "metadata": {"namespace": namespace, "name": name, "labels": labels or {}}, **rest}


def deployment(name):
    template = {"spec": {"containers": [{"name": name, "image": "goharbor/harbor-core:v2.15.2"}]}}
    return thing(
        "Deployment", "harbor", f"harbor-{name}", spec={"selector": {"matchLabels": {"c": name}}, "template": template}
    )


def replica(address):
    """One that leads the name to this address, and the target to the alias."""
    bare, target = (Lookup(name=f"{name}.", a=(ip,)) for name, ip in ((NAME, address), (TARGET, "10.96.0.9")))
    return PodView(pod="a", node="n", lookups=(bare,), target=target)


def builder():
    container = {"name": "daemon", "image": "moby/buildkit:v0.30.0", "volumeMounts": [{"name": "config"}]}
    pod = {"containers": [container], "volumes": [{"name": "config", "configMap": {"name": "config"}}]}
    return thing("Deployment", "build", "buildkitd", spec={"selector": {}, "template": {"spec": pod}})


def site():
    """What a migrated cluster has."""
    ports = [{"name": "http", "port": 80, "targetPort": 10080}, {"name": "https", "port": 443, "targetPort": 10443}]
    image = "ghcr.io/spegel-org/spegel:v0.7.4"
    pod = {
        "initContainers": [{"name": "configuration", "image": image, "args": ["configuration", *LISTED]}],
        "containers": [{"name": "registry", "image": image, "args": ["registry", *LISTED[:2]]}],
    }
    ready = [
        {"conditions": {"ready": True}, "addresses": ["10.244.0.9"], "targetRef": {"kind": "Pod", "name": "envoy-1"}}
    ]
    rule = {"timeouts": {"request": "0s"}}
    route = {"hostnames": [NAME], "parentRefs": [{"name": "eg", "namespace": "envoy-gateway"}], "rules": [rule]}
    slice_labels = {"kubernetes.io/service-name": "envoy-proxy"}
    return [
        thing("Service", "gw", "envoy-proxy", spec={"type": "ClusterIP", "selector": dict(SELECTOR), "ports": ports}),
        thing("Service", "gw", "envoy-envoy-gateway-eg-0", labels=GENERATED, spec={"ports": ports}),
        thing("Gateway", "envoy-gateway", "eg", spec={"gatewayClassName": "envoy", "listeners": []}),
        thing("HTTPRoute", "harbor", "harbor", spec=route),
        thing(
            "EndpointSlice", "gw", "s", labels=slice_labels, ports=[{"name": "https", "port": 10443}], endpoints=ready
        ),
        thing("ConfigMap", "kube-system", "coredns", data={"Corefile": COREFILE}),
        thing("DaemonSet", "kube-system", "spegel", spec={"template": {"spec": pod}}),
        thing("ConfigMap", "harbor", "harbor-core", data={**SETTINGS, "EXT_ENDPOINT": f"https://{NAME}"}),
        thing("ConfigMap", "harbor", "harbor-jobservice-env", data=dict(SETTINGS)),
        deployment("core"),
        deployment("jobservice"),
        builder(),
        thing("ConfigMap", "build", "config", data={"buildkitd.toml": f'[registry."{NAME}"]\n  ca = ["/ca.crt"]\n'}),
    ]


@pytest.fixture
def survey(monkeypatch, capsys, tmp_path):
    """Run the module on a cluster whose alias leads to a Harbor over TLS; ``survey.cluster`` and ``survey.harbor``."""
    module = importlib.import_module(MODULE)
    cluster, harbor, ca = FakeCluster(*site()), FakeHarbor(), loopback.make_ca()
    harbor.realm = f"https://{NAME}/service/token"
    monkeypatch.setattr(module, "Cluster", lambda _params: cluster)
    with loopback.serve(harbor, certificate=loopback.make_certificate(ca, NAME), folder=tmp_path) as port:

        @contextmanager
        def forward(_namespace, pod, port_of_pod):
            assert (pod, port_of_pod) == ("envoy-1", 10443)
            with _http.direct(seconds=5)("127.0.0.1", port) as stream:
                yield stream.socket

        def run(*, answer="10.96.0.9", **asked):
            monkeypatch.setattr(_cluster_survey, "ask_pods", lambda cluster, **question: (replica(answer),))
            given = {**ASKED, "proof": {**PROOF, "ca": ca.pem}, **asked}
            with patch_module_args(given), pytest.raises(SystemExit):
                module.main()
            return json.loads(capsys.readouterr().out)

        cluster.forward = forward
        run.cluster, run.harbor, run.gateway = cluster, harbor, {"address": f"127.0.0.1:{port}", "ca": ca.pem}
        yield run
    assert cluster.writes == []


def test_a_migrated_site_differs_nowhere_and_is_proven(survey):
    found = survey(gateway={"url": f"https://{NAME}", **survey.gateway})
    assert (found["differing"], found["proven"], found["problems"], found["changed"]) == ([], True, [], False)
    assert survey.harbor.requests[-1][1] == f"/v2/{REPOSITORY}/tags/list"


@pytest.mark.parametrize(
    ("what", "path", "value", "step"),
    [
        ("Service envoy-proxy", ("spec", "selector"), {"app": "other"}, "alias"),
        ("Service envoy-proxy", ("spec", "type"), "LoadBalancer", "alias"),
        ("Service envoy-proxy", ("spec", "ports"), [{"port": 443, "targetPort": 443}], "alias"),
        ("EndpointSlice s", ("endpoints",), [], "alias"),
        ("HTTPRoute harbor", ("spec", "rules"), [{}], "route_timeout"),
        ("ConfigMap coredns", ("data", "Corefile"), COREFILE.replace("    rewrite", "    # rewrite"), "dns"),
        ("ConfigMap config", ("data", "buildkitd.toml"), "debug = true\n", "image_builders"),
        ("Deployment buildkitd", ("metadata", "annotations"), {DUE: "buildkitd.toml"}, "image_builders"),
        ("ConfigMap harbor-core", ("data", "EXT_ENDPOINT"), "http://192.168.1.105", "harbor"),
        ("ConfigMap harbor-jobservice-env", ("data", "CORE_URL"), "http://harbor.example:80", "harbor"),
    ],
)
def test_what_differs_is_named_and_nothing_proven_before_it_is_done(survey, what, path, value, step):
    changed = next(one for (kind, _, name), one in survey.cluster.objects.items() if f"{kind} {name}" == what)
    for step_down in path[:-1]:
        changed = changed[step_down]
    changed[path[-1]] = value
    found = survey()
    assert (found["differing"], found["proven"]) == ([step], False)
    assert survey.harbor.requests == []


CACHE = "cluster.local:53 {\n    forward . 10.96.0.9\n}\n.:53 {\n    forward . 1.1.1.1\n}\n"


def test_a_cache_that_is_to_pass_the_name_on_differs(survey):
    cache = thing("ConfigMap", "kube-system", "node-local-dns", data={"Corefile": CACHE})
    survey.cluster.objects["ConfigMap", "kube-system", "node-local-dns"] = cache
    assert survey(dns=ASKED["dns"])["differing"] == []
    asked = {**ASKED["dns"], "node_local": "pass_on"}
    assert survey(dns=asked)["differing"] == ["dns"]
    cache["data"]["Corefile"] = f"{NAME}:53 {{\n    forward . 10.96.0.9\n}}\n{CACHE}"
    assert survey(dns=asked)["differing"] == []


def test_spegel_that_lists_another_name_differs(survey):
    found = survey(spegel={"mirrored_registries": [f"https://{NAME}", "https://docker.io"]})
    assert found["differing"] == ["spegel"]


def test_an_alias_that_is_to_go_differs_until_it_is_gone(survey):
    asked = {**ASKED["alias"], "state": "absent"}
    assert survey(alias=asked)["differing"] == ["alias"]
    del survey.cluster.objects["Service", "gw", "envoy-proxy"]
    assert survey(alias=asked, proof=None)["differing"] == []


def test_an_alias_by_labels_needs_no_gateway(survey):
    del survey.cluster.objects["Gateway", "envoy-gateway", "eg"]
    given = {"namespace": "gw", "name": "envoy-proxy", "selector": SELECTOR, "ports": {"443": 10443}}
    assert survey(alias=given, route_timeout=None)["differing"] == []
    assert "there is no such Gateway" in survey(alias=given)["msg"]
    assert survey(alias={"namespace": "gw", "name": "envoy-proxy"})["failed"]


def test_what_does_not_hold_is_told_and_is_no_error(survey):
    found = survey(answer="203.0.113.7")
    assert (found["proven"], "203.0.113.7" in found["problems"][0]) == (False, True)
    survey.harbor.realm = "http://harbor.example.com/service/token"
    survey.harbor.token_status = 500
    assert not survey()["proven"]


def test_the_errors_are_those_of_the_steps(survey):
    del survey.cluster.objects["ConfigMap", "kube-system", "coredns"]
    found = survey()
    assert found["failed"]
    assert "ConfigMap kube-system/coredns" in found["msg"]


@pytest.mark.parametrize(
    ("text", "answer", "differing"),
    [
        (COREFILE, "10.96.0.9", []),
        (COREFILE, "203.0.113.7", ["dns"]),
        (COREFILE.replace("rewrite", "# rewrite"), "10.96.0.9", ["dns"]),
    ],
    ids=["as wanted", "not in the cluster yet", "not in the file"],
)
def test_rewrites_in_a_file_are_compared_with_it_and_with_what_pods_get(survey, tmp_path, text, answer, differing):
    path = tmp_path / "Corefile"
    path.write_text(text)
    del survey.cluster.objects["ConfigMap", "kube-system", "coredns"]
    asked = {**ASKED["dns"], "path": str(path)}
    assert survey(dns=asked, answer=answer)["differing"] == differing


def test_rewrites_in_a_map_that_the_corefile_imports(survey):
    asked = {**ASKED["dns"], "custom_config_map": "coredns-custom"}
    config_map = survey.cluster.objects["ConfigMap", "kube-system", "coredns"]
    rule = next(line for line in COREFILE.splitlines() if "rewrite" in line)
    config_map["data"]["Corefile"] = COREFILE.replace(rule, "    import custom/*.override")
    assert survey(dns=asked)["differing"] == ["dns"]
    custom = thing("ConfigMap", "kube-system", "coredns-custom", data={"splithorizon.override": rule.strip() + "\n"})
    survey.cluster.objects["ConfigMap", "kube-system", "coredns-custom"] = custom
    assert survey(dns=asked)["differing"] == []


def test_one_of_several_rewrites_that_is_missing_differs(survey):
    further = {"name": "other.example.com", "target": TARGET}
    assert survey(dns={"rewrites": [*ASKED["dns"]["rewrites"], further]})["differing"] == ["dns"]
    absent = {**further, "state": "absent"}
    assert survey(dns={"rewrites": [*ASKED["dns"]["rewrites"], absent]})["differing"] == []


LOGIN = {"name": NAME, "username": "robot$pull", "password": "One"}
PULL_SECRET = {"name": "pull", "namespaces": ["apps"], "registries": [LOGIN], "service_accounts": ["default"]}


def pull_secret(password="One"):
    auth = base64.b64encode(f"robot$pull:{password}".encode()).decode()
    text = base64.b64encode(json.dumps({"auths": {NAME: {"auth": auth}}}).encode()).decode()
    kind = "kubernetes.io/dockerconfigjson"
    return thing("Secret", "apps", "pull", type=kind, data={".dockerconfigjson": text})


def account(*listed):
    return thing("ServiceAccount", "apps", "default", imagePullSecrets=[{"name": name} for name in listed])


@pytest.mark.parametrize(
    ("objects", "entry", "differing"),
    [
        ([pull_secret(), account("old", "pull")], LOGIN, []),
        ([pull_secret("Two"), account("old", "pull")], LOGIN, ["pull_secrets"]),
        ([pull_secret(), account("old")], LOGIN, ["pull_secrets"]),
        ([thing("Namespace", None, "apps"), account("old", "pull")], LOGIN, ["pull_secrets"]),
        ([account("old")], {"name": NAME, "state": "absent"}, []),
        ([account("old", "pull")], {"name": NAME, "state": "absent"}, ["pull_secrets"]),
    ],
)
def test_pull_secrets_differ_with_what_lists_them(survey, objects, entry, differing):
    for one in objects:
        one["metadata"]["resourceVersion"] = "1"
        survey.cluster.objects[one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]] = one
    found = survey(pull_secrets=[{**PULL_SECRET, "registries": [entry]}])
    assert (found["differing"], found["proven"]) == (differing, not differing)


def test_a_pull_secret_in_a_namespace_that_is_not_there_is_wrong_input(survey):
    assert survey(pull_secrets=[PULL_SECRET])["msg"].startswith("namespace apps: does not exist")


@pytest.mark.parametrize(("secret", "differing"), [("Wanted1secret", []), ("Other1secret", ["robots"])])
def test_robots_differ_where_their_secret_opens_nothing(survey, tmp_path_factory, secret, differing):
    ca, harbor = loopback.make_ca(), FakeHarborApi()
    harbor.add("pull", "Wanted1secret")
    certificate = loopback.make_certificate(ca, NAME)
    with loopback.serve(harbor, certificate=certificate, folder=tmp_path_factory.mktemp("harbor")) as port:
        there = {"url": f"https://{NAME}", "address": f"127.0.0.1:{port}", "ca": ca.pem}
        account = {"username": ADMIN[0], "password": ADMIN[1]}
        found = survey(robots={**there, **account, "accounts": [{"name": "pull", "secret": secret}]})
    assert (found["differing"], found["proven"]) == (differing, not differing)
    assert {method for method, _path, _body in harbor.requests} == {"GET"}
