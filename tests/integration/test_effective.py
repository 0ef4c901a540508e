# SPDX-License-Identifier: GPL-3.0-or-later
"""A rewrite takes effect or is taken back, whoever writes at the same time; and the way to the gateway is the real one.

Read back by kubectl, by DNS from a pod, and by Envoy's own account of its routes. Starts and ends in the HTTP era.
"""

from __future__ import annotations

import json
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

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
    """What each CoreDNS pod that has an address answers for the name, asked by UDP from a pod."""
    script = (TESTS / "sandbox" / "resolve.py").read_text()
    addresses = [pod["status"]["podIP"] for pod in pods(sandbox) if "podIP" in pod["status"]]
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


def toggle(sandbox: Inside, name: str, rounds: int) -> list[Json]:
    """Put a name in and take it out again, from a process of its own; in the end it is in."""
    with inside_of(sandbox) as call:
        states = [*["present", "absent"] * rounds, "present"]
        return [call("coredns_rewrite", **{**REWRITE, "name": name}, state=state, wait=False) for state in states]


def write_key(sandbox: Inside, number: int) -> str:
    """Somebody else's key in the same ConfigMap, and their line in the same Corefile."""
    write(sandbox, **{f"key-{number}": "theirs"})
    found = config_map(sandbox)
    line = f"# line {number}"
    found["data"]["Corefile"] += f"{line}\n"
    try:
        sandbox.kubectl("beta", "replace", "-f", "-", stdin=json.dumps(found))
    except RuntimeError:  # one of us was first
        return ""
    return line


def test_writers_at_the_same_time_lose_nothing(sandbox: Inside) -> None:
    """Two modules and kubectl; no write of any of them is lost, in the Corefile and beside it."""
    before = config_map(sandbox)["data"]
    names, numbers = [f"race-{number}.example.com" for number in range(2)], range(3)
    try:
        with ThreadPoolExecutor(len(names) + 1) as pool:
            runs = [pool.submit(toggle, sandbox, name, 2) for name in names]
            lines = list(filter(None, pool.map(lambda number: write_key(sandbox, number), numbers)))
            done = [run.result() for run in runs]
        after = config_map(sandbox)["data"]
    finally:
        data = {**before, **{f"key-{number}": None for number in numbers}}
        words = ("patch", "configmap", "coredns", "--type=merge", "-p", json.dumps({"data": data}))
        sandbox.kubectl("beta", *DNS, *words)
    assert [[each.get("changed") for each in run] for run in done] == [[True] * 5] * 2, done
    rules = [rule for run in done for rule in run[-1]["rules"]]
    found = after["Corefile"].splitlines()
    assert sorted(line.strip() for line in found if "race-" in line) == sorted(rules)
    assert [line for line in found if line.startswith("# line")] == lines
    assert {key for key in after if key.startswith("key-")} == {f"key-{number}" for number in numbers}
    kept = [line for line in found if "race-" not in line and not line.startswith("# line")]
    assert kept == before["Corefile"].splitlines()


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
        assert [ADDRESS] in answers(sandbox), "no pod is left that runs by what it had read"
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
    assert module("gateway_route_timeout", check=True, **wanted, state="absent")["changed"] is True
    assert envoy_timeouts(sandbox) == {"0s"}
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
        "beta",
        "curl",
        "-sSk",
        "--retry",
        "9",
        "--retry-connrefused",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--connect-to",
        connect,
        url,
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
    assert module("gateway_alias", check=True, **wanted, state="absent")["changed"] is True
    assert service() is not None
    assert module("gateway_alias", **wanted, state="absent")["changed"] is True
    assert service() is None
    assert module("gateway_alias", **wanted, state="absent")["changed"] is False
