# SPDX-License-Identifier: GPL-3.0-or-later
"""Every replica is asked, by itself, and judged by what it answers."""

from __future__ import annotations

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import (
    Replica,
    dns_port,
    domain_of,
    image_version,
    metric_values,
    ready_pods,
    summary,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._dns import Answer
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import NotReady
from fake_coredns import IP, NAME, TARGET, FakeCoreDns, answers, coredns, pod


def test_only_ready_pods_that_stay_are_asked() -> None:
    pods = [pod("b"), pod("a"), pod("c", ready=False), pod("d", deletionTimestamp="now"), {"metadata": {"name": "e"}}]
    assert [each["metadata"]["name"] for each in ready_pods(pods)] == ["a", "b"]
    with pytest.raises(NotReady):
        coredns(FakeCoreDns(pods=pods[2:])).pods()


def test_every_pod_is_asked_and_one_that_does_not_answer_is_no_end() -> None:
    cluster = FakeCoreDns(pods=[pod("a"), pod("b")])
    cluster.answers = {"a": answers(IP, IP)}
    first, second = coredns(cluster).ask(name=NAME, target=TARGET, domain="cluster.local")
    nothing = Answer(rcode="NOERROR", addresses=())
    assert first == Replica(
        pod="a",
        node="node-of-a",
        name=NAME,
        bare=(IP,),
        expanded=(IP,),
        target=(IP,),
        six=nothing,
        target_six=nothing,
    )
    assert first.shown == {
        "pod": "a",
        "node": "node-of-a",
        "name": NAME,
        "bare": [IP],
        "expanded": [IP],
        "aaaa": [],
    }
    assert second == Replica(pod="b", node="node-of-b", name=NAME, problem="b: refused")


def test_port_of_a_pod() -> None:
    assert dns_port(pod("a")) == 53
    other = pod("a")
    other["spec"]["containers"][0]["ports"] = [
        {"name": "dns", "containerPort": 1053},
        {"name": "dns-tcp", "containerPort": 5353},
    ]
    assert dns_port(other) == 5353


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("registry.k8s.io/coredns/coredns:v1.14.7", (1, 14, 7)),
        ("rancher/mirrored-coredns-coredns:1.8.3", (1, 8, 3)),
        ("host:5000/eks/coredns:v1.11.1-eksbuild.4", (1, 11, 1)),
        ("coredns/coredns:1.12.0@sha256:0123", (1, 12, 0)),
        ("coredns/coredns@sha256:0123", None),
        ("host:5000/coredns", None),
        ("coredns/coredns:latest", None),
    ],
)
def test_version_by_the_tag(image: str, version: tuple[int, ...] | None) -> None:
    assert image_version(image) == version


def test_oldest_version_counts() -> None:
    pods = [pod("a"), pod("b")]
    assert coredns(FakeCoreDns(pods=pods)).version() is None
    for each, tag in zip(pods, ("1.10.0", "1.9.4"), strict=True):
        containers = each["spec"]["containers"]
        containers[0]["image"] = f"coredns/coredns:{tag}"
        containers.append({"image": "example.com/sidecar:1.0.0"})
    assert coredns(FakeCoreDns(pods=pods)).version() == (1, 9, 4)


def test_metrics() -> None:
    metrics = (
        "# HELP coredns_reload_failed_total Counter\ncoredns_reload_failed_total 2\n"
        'coredns_reload_version_info{hash="sha512",value="ab"} 1\ncoredns_reload_failed_total_other 7\n'
    )
    assert metric_values(metrics, "coredns_reload_failed_total") == {"": 2.0}
    assert metric_values(metrics, "coredns_reload_version_info") == {'{hash="sha512",value="ab"}': 1.0}
    assert metric_values(metrics, "absent") == {}


# The probe's judgement


def replica(
    pod: str, *, bare: str = IP, expanded: str = "", target: str = IP, problem: str = "", six: str = "NOERROR"
) -> Replica:
    return Replica(
        six=Answer(rcode=six, addresses=()),
        target_six=Answer(rcode="NOERROR", addresses=()),
        pod=pod,
        node="n",
        bare=(bare,) if bare else (),
        expanded=(expanded,) if expanded else (),
        target=(target,) if target else (),
        problem=problem,
    )


def test_domain_of_a_target() -> None:
    assert domain_of("a.b.svc.k8s.home") == "k8s.home"
    assert domain_of("lb.example.com") == "cluster.local"
    assert domain_of(None) == "cluster.local"


def test_summary_is_one_line() -> None:
    text = summary([replica("a"), replica("b", problem="gone")])
    assert text == f"a: name {IP}, expanded no address, target {IP}; b: gone"
