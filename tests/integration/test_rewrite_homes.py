# SPDX-License-Identifier: GPL-3.0-or-later
"""A Corefile that k3s makes of a chart's values; what pods get is asked from a pod.

What ``talosctl upgrade-k8s`` does is in ``test_site``.
"""

from __future__ import annotations

import contextlib
import json
import threading
import typing as t

import pytest
import yaml

from integration.module_call import inside_of
from sandbox.faults import Faults
from sandbox.paths import TESTS
from sandbox.workloads.era import ERAS

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.module_call import Call, Json
    from sandbox.inside import Inside

pytestmark = pytest.mark.sandbox

NAME = "homes.example.com"
WAIT_SECONDS = 60
ADDRESSES = {name: [era.internal_address] for name, era in ERAS.items()}


@pytest.fixture(scope="module")
def module(sandbox: Inside) -> Iterator[Call]:
    with inside_of(sandbox) as call:
        yield call


@pytest.fixture
def restored(request: pytest.FixtureRequest, sandbox: Inside) -> Iterator[None]:
    """A test that breaks off leaves a Corefile behind: not for the files that follow."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        for cluster in ERAS:
            Faults(sandbox, cluster).reseed()


def wanted(cluster: str) -> Json:
    return {"context": cluster, "name": NAME, "target": ERAS[cluster].internal, "wait_timeout": WAIT_SECONDS}


def config_map(sandbox: Inside, cluster: str) -> Json:
    words = ("-n", "kube-system", "get", "configmap", "coredns", "--show-managed-fields", "-o", "json")
    found: Json = json.loads(sandbox.kubectl(cluster, *words))
    return found


def answers(sandbox: Inside, cluster: str) -> list[list[str]]:
    """What a pod gets for the name from each replica."""
    pods = ("get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns", "-o", "jsonpath={.items[*].status.podIP}")
    replicas = sandbox.kubectl(cluster, *pods).split()
    script = (TESTS / "sandbox" / "resolve.py").read_text()
    found = json.loads(sandbox.from_pod(cluster, "python3", "-c", script, *replicas, "--", f"{NAME}.").stdout)
    return [answer[f"{NAME}."] for answer in found.values()]


CHART = {"apiVersion": "helm.cattle.io/v1", "kind": "HelmChart"}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "helmcharts.helm.cattle.io"},
    "spec": {
        "group": "helm.cattle.io",
        "scope": "Namespaced",
        "names": {"kind": "HelmChart", "plural": "helmcharts", "singular": "helmchart"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
VALUES = """\
# the cluster's DNS
servers:
  - zones:
      - zone: .
        scheme: dns://
    port: 53
    plugins:
      - name: errors
      - name: health
      - name: ready
      - name: kubernetes   # autopath asks it
        parameters: cluster.local in-addr.arpa ip6.arpa
        configBlock: |-
          pods verified
          fallthrough in-addr.arpa ip6.arpa
      - name: autopath
        parameters: "@kubernetes"
      - name: forward
        parameters: . /etc/resolv.conf
      - name: loop
      - name: reload
        parameters: 2s 1s
      - name: prometheus
        parameters: 0.0.0.0:9153
"""


class HelmController(threading.Thread):
    """Makes the ConfigMap of the HelmChart, as the chart's template does, whenever the values change."""

    def __init__(self, sandbox: Inside) -> None:
        super().__init__(daemon=True)
        self._sandbox = sandbox
        self._over = threading.Event()
        self._last = ""

    def run(self) -> None:
        while not self._over.wait(0.5):
            self.reconcile()

    def stop(self) -> None:
        self._over.set()
        self.join()

    def reconcile(self) -> None:
        values = helm_chart(self._sandbox)["spec"]["valuesContent"]
        if values != self._last:
            body = json.dumps({"data": {"Corefile": corefile(values)}})
            words = ("-n", "kube-system", "patch", "configmap", "coredns", "--type=merge", "-p", body)
            self._sandbox.kubectl("beta", *words)
            self._last = values


def corefile(values: str) -> str:
    (server,) = yaml.safe_load(values)["servers"]
    lines = ["dns://.:53 {"]
    for plugin in server["plugins"]:
        block = plugin.get("configBlock")
        lines.append(f"  {plugin['name']} {plugin.get('parameters', '')}{' {' if block else ''}")
        lines += [block, "  }"] if block else []
    return "\n".join([*lines, "}"])


def helm_chart(sandbox: Inside) -> Json:
    found: Json = json.loads(sandbox.kubectl("beta", "-n", "kube-system", "get", "helmchart", "coredns", "-o", "json"))
    return found


@contextlib.contextmanager
def running(sandbox: Inside) -> Iterator[None]:
    before = config_map(sandbox, "beta")["data"]["Corefile"]
    metadata = {"namespace": "kube-system", "name": "coredns"}
    chart = {**CHART, "metadata": metadata, "spec": {"chart": "coredns", "valuesContent": VALUES}}
    sandbox.kubectl("beta", "apply", "-f", "-", stdin=json.dumps(DEFINITION))
    sandbox.kubectl("beta", "wait", "--for=condition=Established", "crd/helmcharts.helm.cattle.io")
    sandbox.kubectl("beta", "apply", "-f", "-", stdin=json.dumps(chart))
    controller = HelmController(sandbox)
    controller.reconcile()
    controller.start()
    try:
        yield
    finally:
        controller.stop()
        sandbox.kubectl("beta", "delete", "crd/helmcharts.helm.cattle.io")
        body = json.dumps({"data": {"Corefile": before}})
        sandbox.kubectl("beta", "-n", "kube-system", "patch", "configmap", "coredns", "--type=merge", "-p", body)


@pytest.mark.usefixtures("restored")
def test_values_of_a_live_helm_chart(sandbox: Inside, module: Call) -> None:
    source = {"kind": "HelmChart", "namespace": "kube-system", "name": "coredns"}
    with running(sandbox):
        owned = module("coredns_rewrite", check=True, **wanted("beta"), if_owned="stop")
        assert "the HelmChart kube-system/coredns of k3s or RKE2" in owned["msg"]
        predicted = module("coredns_rewrite", check=True, **wanted("beta"), source=source)
        assert helm_chart(sandbox)["spec"]["valuesContent"] == VALUES
        done = module("coredns_rewrite", **wanted("beta"), source=source)
        assert {key: done[key] for key in predicted} == predicted
        items = [{"name": "rewrite", "parameters": rule.removeprefix("rewrite ")} for rule in done["rules"]]
        values = helm_chart(sandbox)["spec"]["valuesContent"]
        (server,) = yaml.safe_load(values)["servers"]
        assert [plugin for plugin in server["plugins"] if plugin["name"] == "rewrite"] == items
        assert [line for line in values.splitlines() if line in VALUES.splitlines()] == VALUES.splitlines()
        assert answers(sandbox, "beta") == [ADDRESSES["beta"]] * 2
        assert module("coredns_rewrite", **wanted("beta"), source=source)["changed"] is False
        module("coredns_rewrite", **wanted("beta"), source=source, state="absent", wait=False)
        assert helm_chart(sandbox)["spec"]["valuesContent"] == VALUES
