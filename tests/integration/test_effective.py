# SPDX-License-Identifier: GPL-3.0-or-later
"""A rewrite takes effect or is taken back, whoever writes at the same time; and the way to the gateway is the real one.

Read back by kubectl, by DNS from a pod, and by Envoy's own account of its routes. Starts and ends in the HTTP era.
"""

from __future__ import annotations

import json
import threading
import time
import typing as t

import pytest

from integration.module_call import inside_of
from sandbox.faults import ALIAS, Faults
from sandbox.model import REGISTRY_NAME, by_name
from sandbox.paths import TESTS
from sandbox.process import until
from sandbox.workloads.era import ERAS

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.module_call import Call, Json
    from sandbox.inside import Inside

pytestmark = pytest.mark.sandbox

NAME, TARGET = "effective.example.com", ERAS["beta"].internal
ADDRESS = ERAS["beta"].internal_address
REWRITE = {"context": "beta", "name": NAME, "target": TARGET}
GATEWAY = {"namespace": "envoy-gateway", "name": "envoy-gateway"}
DNS = ("-n", "kube-system")
COREDNS = (*DNS, "get", "configmap", "coredns", "-o", "json")
UNKNOWN = "    nosuchplugin\n"


@pytest.fixture(scope="module")
def module(sandbox: Inside) -> Iterator[Call]:
    with inside_of(sandbox) as call:
        yield call


def config_map(sandbox: Inside) -> Json:
    return t.cast("Json", json.loads(sandbox.kubectl("beta", *COREDNS)))


def write(sandbox: Inside, **data: str) -> None:
    patch = json.dumps({"data": data})
    sandbox.kubectl("beta", *DNS, "patch", "configmap", "coredns", "--type=merge", "-p", patch)


def pods(sandbox: Inside) -> list[Json]:
    found = json.loads(sandbox.kubectl("beta", *DNS, "get", "pods", "-l", "k8s-app=kube-dns", "-o", "json"))["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def answers(sandbox: Inside) -> list[list[str]]:
    """What each CoreDNS pod answers for the name, asked by UDP from a pod."""
    script = (TESTS / "sandbox" / "resolve.py").read_text()
    addresses = [pod["status"]["podIP"] for pod in pods(sandbox)]
    said = json.loads(sandbox.from_pod("beta", "python3", "-c", script, *addresses, "--", f"{NAME}.").stdout)
    return [answer[f"{NAME}."] for answer in said.values()]


def test_a_corefile_that_coredns_refuses_is_put_back_at_once(sandbox: Inside, module: Call) -> None:
    """It is somebody else's line that CoreDNS refuses; before, it runs by what it had read."""
    broken = config_map(sandbox)["data"]["Corefile"].replace("    errors\n", f"    errors\n{UNKNOWN}", 1)
    assert UNKNOWN in broken
    with Faults(sandbox, "beta").corefile(broken):
        start = time.monotonic()
        refused = module("coredns_rewrite", **REWRITE, wait_timeout=100)
        assert time.monotonic() - start < 60
        assert config_map(sandbox)["data"]["Corefile"] == broken
    assert refused["failed"]
    assert "Unknown directive 'nosuchplugin'" in refused["msg"]
    assert "The old Corefile is back in place" in refused["msg"]
    assert refused["where"].startswith("pod coredns-")
    assert answers(sandbox) == [[], []]


class Racer(threading.Thread):
    """Writes keys of its own into the ConfigMap, and lines of its own into the Corefile, for as long as it is let."""

    def __init__(self, sandbox: Inside) -> None:
        super().__init__()
        self._sandbox = sandbox
        self.stopped = threading.Event()
        self.keys: list[str] = []
        self.lines: list[str] = []

    def run(self) -> None:
        while not self.stopped.is_set():
            self.keys.append(f"key-{len(self.keys)}")
            write(self._sandbox, **{self.keys[-1]: "theirs"})
            found = config_map(self._sandbox)
            line = f"# line {len(self.lines)}"
            found["data"]["Corefile"] += f"{line}\n"
            try:
                self._sandbox.kubectl("beta", "replace", "-f", "-", stdin=json.dumps(found))
            except RuntimeError:  # somebody else was first: the module
                continue
            self.lines.append(line)


def test_a_racing_writer_loses_nothing_and_nor_do_we(sandbox: Inside, module: Call) -> None:
    before = config_map(sandbox)["data"]
    racer = Racer(sandbox)
    racer.start()
    try:
        for _round in range(3):
            for state in ("present", "absent"):
                done = module("coredns_rewrite", **REWRITE, state=state, wait=False)
                assert done.get("changed"), done
        done = module("coredns_rewrite", **REWRITE, wait=False)
    finally:
        racer.stopped.set()
        racer.join()
        after = config_map(sandbox)["data"]
        gone = dict.fromkeys(racer.keys)
        sandbox.kubectl(
            "beta",
            *DNS,
            "patch",
            "configmap",
            "coredns",
            "--type=merge",
            "-p",
            json.dumps({"data": {**before, **gone}}),
        )
    assert len(racer.lines) > 3
    assert {key for key in after if key.startswith("key-")} == set(racer.keys)
    lines = after["Corefile"].splitlines()
    assert [line for line in lines if line.startswith("# line")] == racer.lines
    assert [line.strip() for line in lines if NAME in line] == done["rules"]


def test_without_reload_the_pods_are_replaced_and_one_that_does_not_start_is_noticed(
    sandbox: Inside, module: Call
) -> None:
    original = config_map(sandbox)["data"]["Corefile"]
    without = original.replace("    reload 2s 1s\n", "")
    assert without != original
    names = {pod["metadata"]["name"] for pod in pods(sandbox)}
    try:
        write(sandbox, Corefile=without)
        done = module("coredns_rewrite", **REWRITE, wait_timeout=100)
        assert done.get("changed"), done
        assert answers(sandbox) == [[ADDRESS], [ADDRESS]]
        assert names.isdisjoint(pod["metadata"]["name"] for pod in pods(sandbox))
        broken = without.replace("    errors\n", f"    errors\n{UNKNOWN}", 1)
        write(sandbox, Corefile=broken)
        refused = module("coredns_rewrite", **{**REWRITE, "name": "other.example.com"}, wait_timeout=100)
        assert "does not start with the new Corefile" in refused["msg"], refused
        assert "Unknown directive 'nosuchplugin'" in refused["msg"]
        assert config_map(sandbox)["data"]["Corefile"] == broken
        assert answers(sandbox)[:1] == [[ADDRESS]], "the pods that run have what they had read"
    finally:
        write(sandbox, Corefile=original)
        sandbox.kubectl("beta", *DNS, "rollout", "restart", "deployment/coredns")
        sandbox.kubectl("beta", *DNS, "rollout", "status", "deployment/coredns", "--timeout=100s", seconds=110)
    until("CoreDNS as before", lambda: answers(sandbox) == [[], []], timeout=30)


# The gateway


@pytest.fixture
def open_limit(sandbox: Inside) -> Iterator[None]:
    """The registry's route as most are written: nobody says how long a request may take."""
    namespace = by_name("beta").harbor_namespace
    path = "/spec/rules/0/timeouts"

    def patch(*operations: Json) -> None:
        words = ("patch", "httproute", "harbor", "--type=json", "-p", json.dumps(operations))
        sandbox.kubectl("beta", "-n", namespace, *words)

    patch({"op": "remove", "path": path})
    yield
    patch({"op": "add", "path": path, "value": {"request": "0s"}})


def envoy_timeouts(sandbox: Inside) -> set[str | None]:
    """How long requests of the registry's name may take, as Envoy's routes have it; None where they do not say."""
    found = ("-n", ALIAS[0], "get", "pods", "-l", "app.kubernetes.io/component=proxy", "-o", "name")
    pod = sandbox.kubectl("beta", *found).split()[0]
    words = (
        "exec",
        "-n",
        ALIAS[0],
        pod,
        "-c",
        "envoy",
        "--",
        "curl",
        "-sS",
        "127.0.0.1:19000/config_dump?resource=dynamic_route_configs",
    )
    dump = json.loads(sandbox.kubectl("beta", *words))
    hosts = [host for one in dump["configs"] for host in one["route_config"].get("virtual_hosts", [])]
    routes = [route for host in hosts if REGISTRY_NAME in host["domains"] for route in host["routes"]]
    return {route["route"].get("timeout") for route in routes}


def test_a_limit_nobody_set_is_taken_away_at_envoy(sandbox: Inside, module: Call, open_limit: None) -> None:
    wanted = {"context": "beta", "hostname": REGISTRY_NAME, "gateway": GATEWAY}
    until("Envoy has its own limit", lambda: envoy_timeouts(sandbox) == {None}, timeout=30)
    predicted = module("gateway_route_timeout", check=True, **wanted)
    assert envoy_timeouts(sandbox) == {None}
    done = module("gateway_route_timeout", **wanted)
    assert (done["changed"], done) == (True, predicted)
    until("Envoy has no limit", lambda: envoy_timeouts(sandbox) == {"0s"}, timeout=30)
    assert module("gateway_route_timeout", **wanted)["changed"] is False
    assert module("gateway_route_timeout", **wanted, state="absent")["changed"] is True
    until("Envoy has its own limit again", lambda: envoy_timeouts(sandbox) == {None}, timeout=30)
    assert module("gateway_route_timeout", **wanted, state="absent")["changed"] is False


@pytest.fixture
def closed_to_pods(sandbox: Inside) -> Iterator[None]:
    """Policies as they are written where only a load balancer is to reach the gateway."""
    target = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": GATEWAY["name"], "sectionName": "http"}
    objects = [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": ALIAS[0], "name": "closed"},
            "spec": {"podSelector": {"matchLabels": {"app.kubernetes.io/component": "proxy"}}},
        },
        {
            "apiVersion": "gateway.envoyproxy.io/v1alpha1",
            "kind": "ClientTrafficPolicy",
            "metadata": {"namespace": GATEWAY["namespace"], "name": "proxied"},
            "spec": {"targetRefs": [target], "proxyProtocol": {"optional": False}},
        },
    ]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    sandbox.kubectl("beta", "apply", "-f", "-", stdin=text)
    yield
    sandbox.kubectl("beta", "delete", "-f", "-", stdin=text)


def test_alias_by_the_real_gateway(sandbox: Inside, module: Call, closed_to_pods: None) -> None:
    """Created, mended and taken away; the policies are told of, and one that pods cannot get past stops it."""
    namespace, name = ALIAS
    wanted = {"context": "beta", "name": name, "namespace": namespace, "gateway": GATEWAY, "hostname": REGISTRY_NAME}

    def service() -> Json | None:
        text = sandbox.kubectl("beta", "-n", namespace, "get", "service", name, "-o", "json", "--ignore-not-found")
        return t.cast("Json", json.loads(text)) if text else None

    assert service() is None
    predicted = module("gateway_alias", check=True, **wanted)
    assert service() is None
    done = module("gateway_alias", **wanted)
    assert {key: done.get(key) for key in predicted} == predicted
    assert done["changed"] is True
    assert "NetworkPolicy envoy-gateway-system/closed" in done["notes"][0]
    assert (done["generated"]["mode"], done["generated"]["stable"]) == ("gateway", False)
    assert "envoyService.name" in done["advice"]
    made = service()
    assert made is not None
    assert [(port["port"], port["targetPort"]) for port in made["spec"]["ports"]] == [(80, 10080), (443, 10443)]
    url = f"https://{REGISTRY_NAME}/v2/"
    connect = f"{REGISTRY_NAME}:443:{made['spec']['clusterIP']}:443"
    asked = sandbox.from_pod(
        "beta", "curl", "-sSk", "-o", "/dev/null", "-w", "%{http_code}", "--connect-to", connect, url
    )
    assert asked.stdout == "401", asked
    with Faults(sandbox, "beta").alias_to_nothing():
        assert module("gateway_alias", **wanted)["changed"] is True
        assert (service() or made)["spec"] == made["spec"]
    assert module("gateway_alias", **wanted)["changed"] is False
    policy = ("-n", GATEWAY["namespace"], "patch", "clienttrafficpolicy", "proxied", "--type=json", "-p")
    sandbox.kubectl("beta", *policy, json.dumps([{"op": "remove", "path": "/spec/targetRefs/0/sectionName"}]))
    refused = module("gateway_alias", **wanted)
    assert "closes connections without a PROXY protocol header" in refused["msg"], refused
    assert module("gateway_alias", **wanted, state="absent")["changed"] is True
    assert service() is None
    assert module("gateway_alias", **wanted, state="absent")["changed"] is False
