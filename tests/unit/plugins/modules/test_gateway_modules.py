# SPDX-License-Identifier: GPL-3.0-or-later
"""What gateway_alias and gateway_route_timeout do to a cluster and return, in check mode and for real."""

from __future__ import annotations

import copy
import json
import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.splithorizon.registry.plugins.modules import gateway_alias, gateway_route_timeout
from fake_cluster import FakeCluster

Json = dict[str, t.Any]
HOST = "harbor.example.com"
GATEWAY = {"namespace": "gw", "name": "eg"}
SELECTOR = {
    "app.kubernetes.io/component": "proxy",
    "gateway.envoyproxy.io/owning-gateway-name": "eg",
    "gateway.envoyproxy.io/owning-gateway-namespace": "gw",
}
ALIAS = {"name": "envoy-proxy", "namespace": "gw-system", "gateway": GATEWAY, "hostname": HOST, "wait_timeout": 0}
LIMITS = {"hostname": HOST, "gateway": GATEWAY}
WANTED = {
    "type": "ClusterIP",
    "selector": SELECTOR,
    "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 10443}],
}


def thing(kind: str, namespace: str, name: str, labels: Json | None = None, **rest: t.Any) -> Json:
    return {"kind": kind, "metadata": {"namespace": namespace, "name": name, "labels": labels or {}}, **rest}


def site() -> list[Json]:
    generated = {"app.kubernetes.io/managed-by": "envoy-gateway", **SELECTOR}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    listener = {"name": "https", "port": 443}
    parent = {"name": "eg", "namespace": "gw"}
    spec = {"ports": [{"port": 443, "targetPort": 10443}]}
    return [
        thing("Gateway", "gw", "eg", spec={"gatewayClassName": "envoy", "listeners": [listener]}),
        thing("Service", "gw-system", "envoy-gw-eg-1", generated, spec=spec),
        thing("Pod", "gw-system", "envoy-1", {**SELECTOR, "app": "envoy"}, status=ready),
        thing("HTTPRoute", "harbor", "harbor", spec={"hostnames": [HOST], "parentRefs": [parent], "rules": [{}]}),
    ]


def slice_of(cluster: FakeCluster, kind: str, name: str) -> None:
    """The controller that finds the pods of a Service."""
    if kind == "Service" and (kind, "gw-system", name) in cluster.objects:
        labels = {"kubernetes.io/service-name": name}
        found = thing("EndpointSlice", "gw-system", name, labels, endpoints=[{"addresses": ["10.244.0.9"]}])
        cluster.objects["EndpointSlice", "gw-system", name] = found


class DryRun(FakeCluster):
    """Takes what it is sent, and keeps nothing."""

    def __init__(self, of: FakeCluster) -> None:
        super().__init__()
        self.objects = copy.deepcopy(of.objects)


class Runner:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.cluster = FakeCluster(*site())
        self.cluster.after_write = None
        self._patch, self._capsys = monkeypatch, capsys

    def __call__(self, module: t.Any, *, check: bool = False, **args: t.Any) -> Json:
        cluster = DryRun(self.cluster) if check else self.cluster
        warned: list[str] = []
        self._patch.setattr(module, "Cluster", lambda _params, dry_run: cluster)
        self._patch.setattr(AnsibleModule, "warn", lambda _self, text: warned.append(text))
        flags = {"_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args({**args, **flags}), pytest.raises(SystemExit):
            module.main()
        return {**json.loads(self._capsys.readouterr().out), "warned": warned}

    def put(self, found: Json) -> None:
        self.cluster.objects[found["kind"], found["metadata"].get("namespace"), found["metadata"]["name"]] = found

    def service(self) -> Json:
        return self.cluster.objects["Service", "gw-system", "envoy-proxy"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(monkeypatch, capsys)


@pytest.fixture
def with_endpoints(run: Runner) -> Runner:
    made = thing("EndpointSlice", "gw-system", "s", {"kubernetes.io/service-name": "envoy-proxy"})
    run.put({**made, "endpoints": [{"addresses": ["10.244.0.9"]}]})
    return run


def test_alias_is_made_as_predicted_and_left_alone(with_endpoints: Runner) -> None:
    run = with_endpoints
    predicted = run(gateway_alias, check=True, **ALIAS)
    assert run.cluster.writes == []
    done = run(gateway_alias, **ALIAS)
    assert predicted["changed"] is done["changed"] is True
    assert predicted["diff"] == done["diff"]
    assert run.service()["spec"] == WANTED
    assert (done["endpoints"], done["notes"], done["warned"]) == (["10.244.0.9"], [], [])
    assert done["generated"] == {
        "namespace": "gw-system",
        "service": "envoy-gw-eg-1",
        "stable": True,
        "mode": "gateway",
    }
    assert (done["selector"], done["ports"]) == (SELECTOR, {"443": 10443})
    again = run(gateway_alias, **ALIAS)
    assert (again["changed"], again["diff"], again["endpoints"]) == (False, [], ["10.244.0.9"])
    assert len(run.cluster.writes) == 1


def test_alias_that_leads_elsewhere_is_mended_and_keeps_the_rest(with_endpoints: Runner) -> None:
    run = with_endpoints
    labels = {"mine": "yes", "app.kubernetes.io/managed-by": "Helm"}
    metrics = {"name": "metrics", "port": 9000, "targetPort": 9000}
    run.put(
        thing(
            "Service",
            "gw-system",
            "envoy-proxy",
            labels,
            spec={"type": "ClusterIP", "selector": {"a": "b"}, "ports": [metrics]},
        )
    )
    predicted = run(gateway_alias, check=True, **ALIAS)
    done = run(gateway_alias, **ALIAS)
    assert predicted["diff"] == done["diff"]
    assert run.service()["spec"] == {**WANTED, "ports": [metrics, *WANTED["ports"]]}
    assert run.service()["metadata"]["labels"] == labels
    assert "managed by Helm" in done["warned"][0]
    assert run(gateway_alias, **ALIAS)["warned"] == []


def test_alias_is_taken_away_without_a_look_at_the_gateway(with_endpoints: Runner) -> None:
    run = with_endpoints
    run(gateway_alias, **ALIAS)
    del run.cluster.objects["Gateway", "gw", "eg"]
    gone = {**ALIAS, "state": "absent"}
    assert run(gateway_alias, check=True, **gone)["changed"] is True
    assert run(gateway_alias, **gone)["changed"] is True
    assert ("Service", "gw-system", "envoy-proxy") not in run.cluster.objects
    assert run(gateway_alias, **gone)["changed"] is False


def test_pods_of_another_kind_of_gateway(with_endpoints: Runner) -> None:
    run = with_endpoints
    run.put(thing("Pod", "gw-system", "traefik-1", {"app": "traefik"}, status=site()[2]["status"]))
    given = {"name": "envoy-proxy", "namespace": "gw-system", "hostname": HOST, "selector": {"app": "traefik"}}
    done = run(gateway_alias, **given, ports={"443": "8443"})
    assert run.service()["spec"]["ports"][0]["targetPort"] == 8443
    assert "generated" not in done
    assert "option ports" in run(gateway_alias, **given, ports={"https": 1})["msg"]
    assert run(gateway_alias, **given)["failed"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "Gateway", "gone": "eg"}, "Gateway gw/eg: there is no such Gateway. The cluster has: none"),
        ({"kind": "Pod", "gone": "envoy-1"}, "no pod with these labels is ready"),
        ({"kind": "Service", "gone": "envoy-gw-eg-1"}, "no Service was generated"),
        (
            thing(
                "ClientTrafficPolicy",
                "gw",
                "p",
                spec={"proxyProtocol": {}, "targetRefs": [{"kind": "Gateway", "name": "eg"}]},
            ),
            "PROXY protocol",
        ),
    ],
)
def test_nothing_is_changed_where_pods_could_not_be_served(run: Runner, change: Json, said: str) -> None:
    if "gone" in change:
        for key in [key for key in run.cluster.objects if (key[0], key[2]) == (change["kind"], change["gone"])]:
            del run.cluster.objects[key]
    else:
        run.put(change)
    for check in (True, False):
        assert said in run(gateway_alias, check=check, **ALIAS)["msg"]
    assert run.cluster.writes == []


def test_alias_without_endpoints_is_an_error(run: Runner) -> None:
    assert "no ready endpoint" in run(gateway_alias, **ALIAS)["msg"]


def test_policies_are_warned_of(with_endpoints: Runner) -> None:
    run = with_endpoints
    closed = thing("NetworkPolicy", "gw-system", "closed", spec={"podSelector": {"matchLabels": {"app": "envoy"}}})
    run.put(closed)
    names = [{"toFQDNs": [{"matchName": HOST}]}]
    run.put(thing("CiliumNetworkPolicy", "build", "out", spec={"endpointSelector": {}, "egress": names}))
    where = [{"kind": "Gateway", "name": "eg"}]
    run.put(thing("SecurityPolicy", "gw", "s", spec={"targetRefs": where, "authorization": {"defaultAction": "Deny"}}))
    done = run(gateway_alias, **ALIAS)
    assert done["changed"] is True
    assert done["warned"] == done["notes"]
    assert [
        name in note for name, note in zip(("gw/s", "gw-system/closed", "build/out"), done["notes"], strict=True)
    ] == [True] * 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Envoy"},
        {"name": "a.b"},
        {"namespace": "x_y"},
        {"hostname": "*.example.com"},
        {"hostname": "harbor.example.com."},
        {"hostname": "bücher.example.com"},
        {"selector": {"a": "b"}},
        {"gateway": None},
    ],
)
def test_bad_input_is_one_error(run: Runner, wrong: Json) -> None:
    assert run(gateway_alias, **{**ALIAS, **wrong})["failed"] is True
    assert run.cluster.writes == []


def test_limit_is_taken_away_and_comes_back(run: Runner) -> None:
    route = copy.deepcopy(run.cluster.objects["HTTPRoute", "harbor", "harbor"])
    predicted = run(gateway_route_timeout, check=True, **LIMITS)
    assert run.cluster.writes == []
    done = run(gateway_route_timeout, **LIMITS)
    assert predicted["diff"] == done["diff"]
    assert done["routes"] == [{"namespace": "harbor", "name": "harbor", "rules": [{"timeout": "15s", "by": ""}]}]
    again = run(gateway_route_timeout, **LIMITS)
    assert again["changed"] is False
    assert again["routes"][0]["rules"][0]["timeout"] == "0s"
    assert run(gateway_route_timeout, **LIMITS, state="absent")["changed"] is True
    assert run(gateway_route_timeout, **LIMITS, state="absent")["changed"] is False
    assert run.cluster.objects["HTTPRoute", "harbor", "harbor"] == route
    assert [key for key in run.cluster.objects if key[0] == "BackendTrafficPolicy"] == []


def test_a_limit_that_is_left_is_warned_of(run: Runner) -> None:
    run.cluster.objects["HTTPRoute", "harbor", "harbor"]["spec"]["rules"] = [{"timeouts": {"request": "1m"}}]
    done = run(gateway_route_timeout, **LIMITS)
    assert done["changed"] is False
    assert done["warned"] == done["notes"] != []
