# SPDX-License-Identifier: GPL-3.0-or-later
"""A Corefile counts as effective when every pod works by it; one that CoreDNS does not take is noticed at once."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._coredns_settle import (
    Refused,
    Watch,
    control_name,
    log_reason,
    metrics_port,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotReady, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan, plan_rewrites
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import rewrite
from fake_coredns import (
    AUTOPATH,
    CONTROL,
    COREFILE,
    IP,
    NAME,
    NX,
    OUTSIDE,
    TARGET,
    FakeCoreDns,
    answers,
    coredns,
    down,
    plan,
    pod,
)

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import Replica

OLD, NEW = (f'coredns_reload_version_info{{hash="sha512",value="{value}"}} 1\n' for value in ("1", "2"))
WITHOUT_RELOAD = COREFILE.replace("reload", "")


def watch(cluster: FakeCoreDns, *, text: str = COREFILE, control: str = CONTROL) -> Watch:
    """A watch with a clock of its own, which moves a second at each look."""
    return Watch(
        coredns(cluster),
        corefile=text,
        control=control,
        clock=lambda: cluster.calls.count("sleep"),
        sleep=lambda _seconds: cluster.calls.append("sleep"),
    )


def settle(cluster: FakeCoreDns, planned: RewritePlan) -> list[Replica]:
    return watch(cluster, text=planned.before).settle(planned, seconds=2)


def test_settled_when_every_pod_answers() -> None:
    cluster = FakeCoreDns(pods=[pod("a"), pod("b")])
    cluster.answers = {"a": answers(IP), "b": answers(IP)}
    assert [each.pod for each in settle(cluster, plan(COREFILE))] == ["a", "b"]
    assert cluster.calls == []


@pytest.mark.parametrize(
    ("text", "second", "said"),
    [
        (COREFILE, answers(OUTSIDE), f"name {OUTSIDE}"),
        (AUTOPATH, answers(IP, OUTSIDE), f"expanded {OUTSIDE}"),
        (COREFILE, {f"{NAME}.": ""}, "name no address"),
        (COREFILE, {}, "target no address"),
        (COREFILE, answers(IP, six="2001:db8::7"), "2001:db8::7 for the name's AAAA, not no address as for the target"),
        (COREFILE, answers(IP, six=NX), "NXDOMAIN for the name's AAAA, not an empty answer"),
        (COREFILE, answers(IP, target_six="fd00::9"), "no address for the name's AAAA, not fd00::9"),
    ],
)
def test_not_settled_while_one_pod_answers_otherwise(text: str, second: dict[str, str], said: str) -> None:
    cluster = FakeCoreDns(pods=[pod("a"), pod("b")])
    cluster.answers = {"a": answers(IP, IP), "b": second}
    with pytest.raises(NotReady) as error:
        settle(cluster, plan(text))
    assert not isinstance(error.value, Refused)
    assert "b: " in error.value.problem
    assert said in error.value.problem
    assert cluster.calls == ["sleep", "sleep"]


def test_ipv6_of_the_target_is_the_names() -> None:
    cluster = FakeCoreDns(pods=[pod("a")])
    cluster.answers = {"a": answers(IP, six="fd00::9", target_six="fd00::9")}
    (replica,) = settle(cluster, plan(COREFILE))
    assert replica.shown["aaaa"] == ["fd00::9"]


def test_not_settled_with_fewer_pods_than_before() -> None:
    cluster = FakeCoreDns(pods=[pod("a"), pod("b")])
    cluster.answers = {"a": answers(IP), "b": answers(IP)}
    watching = watch(cluster)
    cluster.pods[1] = pod("b", ready=False)
    with pytest.raises(NotReady, match="1 of 2 pods are ready"):
        watching.settle(plan(COREFILE), seconds=2)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("[ERROR] plugin/reload: Corefile changed but reload failed: plugin/rewrite: wrong\n", "plugin/rewrite: wrong"),
        ("", "coredns_reload_failed_total went up"),
    ],
)
def test_failed_reload_is_refused_at_once(log: str, said: str) -> None:
    cluster = FakeCoreDns(pods=[pod("a")])
    cluster.answers = {"a": answers(OUTSIDE)}
    cluster.metrics = {"a": "coredns_reload_failed_total 2\n"}
    watching = watch(cluster)
    cluster.metrics = {"a": "coredns_reload_failed_total 3\n"}
    cluster.logs = {"a": log}
    with pytest.raises(Refused, match=said) as error:
        watching.settle(plan(COREFILE), seconds=2)
    assert error.value.where == "pod a"
    assert cluster.calls == []


def test_reload_that_failed_before_is_none_of_ours() -> None:
    cluster = FakeCoreDns(pods=[pod("a")])
    cluster.answers = {"a": answers(IP)}
    cluster.metrics = {"a": "coredns_reload_failed_total 3\n"}
    cluster.logs = {"a": "[ERROR] plugin/reload: Corefile changed but reload failed: long ago\n"}
    assert len(settle(cluster, plan(COREFILE))) == 1


def test_without_metrics_the_log_tells_of_a_failed_reload() -> None:
    text = COREFILE.replace("prometheus", "# prometheus")
    cluster = FakeCoreDns(pods=[pod("a")])
    cluster.answers = {"a": answers(OUTSIDE)}
    cluster.metrics = {"a": "coredns_reload_failed_total 0\n"}
    cluster.logs = {"a": "reload failed: why not\n"}
    with pytest.raises(Refused, match="why not"):
        settle(cluster, plan(text))


def test_taken_out_is_settled_by_another_answer_or_another_version() -> None:
    cluster = FakeCoreDns(pods=[pod("a"), pod("b")])
    cluster.answers = {"a": answers(OUTSIDE), "b": answers(IP)}
    planned = plan(plan(COREFILE).after, present=False)
    assert planned.each[0].removed == (TARGET,)
    cluster.metrics = {"a": OLD, "b": OLD}
    watching = watch(cluster)
    with pytest.raises(NotReady):
        watching.settle(planned, seconds=2)
    cluster.metrics["b"] = NEW
    assert len(watching.settle(planned, seconds=2)) == 2


def test_each_name_is_asked_for() -> None:
    other = "git.example.com"
    wanted = [rewrite(name=name, target=TARGET) for name in (NAME, other)]
    planned = plan_rewrites(text=COREFILE, wanted=wanted)
    cluster = FakeCoreDns(pods=[pod("a"), pod("b")])
    cluster.answers = {name: answers(IP) | {f"{other}.": IP} for name in "ab"}
    assert [(each.name, each.pod) for each in settle(cluster, planned)] == [
        (NAME, "a"),
        (NAME, "b"),
        (other, "a"),
        (other, "b"),
    ]
    cluster.answers["b"][f"{other}."] = OUTSIDE
    with pytest.raises(NotReady):
        settle(cluster, planned)


def test_rules_nobody_asks_for_are_gone_when_another_version_runs() -> None:
    text = COREFILE.replace("    reload", "    rewrite name a.example.com b.c.svc.cluster.local\n    reload")
    planned = plan_rewrites(text=text, wanted=[], exact=True)
    cluster = FakeCoreDns(pods=[pod("a")])
    cluster.answers = {"a": answers(OUTSIDE)}
    cluster.metrics = {"a": OLD}
    watching = watch(cluster)
    with pytest.raises(NotReady):
        watching.settle(planned, seconds=2)
    cluster.metrics = {"a": NEW}
    assert watching.settle(planned, seconds=2) == []


# The control name


@pytest.mark.parametrize("control", ["10.96.0.99", "", NX])
def test_another_answer_for_the_control_name_is_refused_in_the_end(control: str) -> None:
    cluster = FakeCoreDns(pods=[pod("a"), pod("b")])
    cluster.answers = {"a": answers(IP), "b": answers(IP)}
    watching = watch(cluster)
    cluster.answers["b"] = answers(IP, control=control)
    with pytest.raises(Refused, match=f"b answers {CONTROL}, which is not rewritten, otherwise than before"):
        watching.settle(plan(COREFILE), seconds=2)
    assert cluster.calls == ["sleep", "sleep"]


def test_a_new_pod_has_to_answer_the_control_name_as_the_others_did() -> None:
    cluster = FakeCoreDns(pods=[pod("a")])
    cluster.answers = {"a": answers(IP)}
    watching = watch(cluster)
    cluster.pods = [pod("c")]
    cluster.answers = {"c": answers(IP)}
    assert [each.pod for each in watching.settle(plan(COREFILE), seconds=2)] == ["c"]
    cluster.answers = {"c": answers(IP, control=OUTSIDE)}
    with pytest.raises(Refused):
        watching.settle(plan(COREFILE), seconds=2)


def test_control_name() -> None:
    planned = plan(COREFILE.replace("cluster.local", "k8s.home").replace("envoy", "x"), present=False)
    assert control_name(None, planned) == "kubernetes.default.svc.k8s.home"
    assert control_name("WWW.example.com", planned) == "www.example.com"
    for wrong in (NAME, "10.0.0.1", "*.example.com"):
        with pytest.raises(BadInput, match="option control_name"):
            control_name(wrong, planned)


# Without the reload plugin


def test_without_reload_plugin_the_owner_is_restarted() -> None:
    cluster = FakeCoreDns(WITHOUT_RELOAD, [pod("a"), pod("b"), pod("c", owner=("DaemonSet", "dns"))])
    cluster.answers = {name: answers(IP) for name in "abc"}
    settle(cluster, plan(WITHOUT_RELOAD))
    assert cluster.calls == ["restart DaemonSet dns", "restart Deployment coredns"]


def test_with_it_nothing_is_restarted() -> None:
    cluster = FakeCoreDns(pods=[pod("a")])
    cluster.answers = {"a": answers(IP)}
    watching = watch(cluster)
    watching.restart_again(plan(COREFILE))
    assert cluster.calls == []
    watching.restart_again(plan(WITHOUT_RELOAD))
    assert cluster.calls == ["restart Deployment coredns"]


def test_pods_that_do_not_come_up_are_a_refusal() -> None:
    cluster = FakeCoreDns(pods=[pod("a")])
    cluster.rolls_out = False
    with pytest.raises(Refused, match="Deployment coredns: its pods do not come up"):
        settle(cluster, plan(WITHOUT_RELOAD))


@pytest.mark.parametrize("state", [{}, {"terminated": {"exitCode": 1}}])
def test_pod_that_does_not_start_is_refused_at_once(state: dict[str, dict[str, int]]) -> None:
    cluster = FakeCoreDns(pods=[pod("a"), down("broken before")])
    cluster.answers = {"a": answers(IP)}
    cluster.rolls_out = False
    cluster.after_restart = lambda: cluster.pods.append(down("b", **state))
    cluster.logs = {"b": "maxprocs: leaving\nCorefile:7 - Error during parsing: Unknown directive 'x'\n\n"}
    with pytest.raises(Refused, match=r"does not start with the new Corefile: .*Unknown directive 'x'") as error:
        settle(cluster, plan(WITHOUT_RELOAD))
    assert error.value.where == "pod b"
    assert cluster.calls == ["restart Deployment coredns"]


def test_pod_without_owner_cannot_be_restarted() -> None:
    cluster = FakeCoreDns(pods=[pod("a", owner=("Node", "n"))])
    with pytest.raises(RegistryError) as error:
        settle(cluster, plan(WITHOUT_RELOAD))
    assert "Restart CoreDNS by hand" in error.value.cure


# What the Corefile and the log say


@pytest.mark.parametrize(
    ("text", "port"),
    [
        (COREFILE, 9153),
        (COREFILE.replace(":9153", ""), 9153),
        (COREFILE.replace(":9153", "localhost:9253"), 9253),
        (COREFILE.replace(":9153", "{$METRICS}"), 9153),
        (COREFILE.replace("prometheus :9153", ""), None),
        (".:53 {", 9153),
        ("rewrite name a.example.com b.example.com\n", 9153),
        ("servers:\n  - zones: [{zone: .}]\n    plugins:\n      - name: kubernetes\n", 9153),
        ("", 9153),
    ],
)
def test_port_of_the_metrics(text: str, port: int | None) -> None:
    assert metrics_port(text) == port


def test_reason_in_a_log() -> None:
    log = (
        "[INFO] Reloading\n[ERROR] plugin/reload: Corefile changed but reload failed: first\nreload failed: last\nend\n"
    )
    assert log_reason(log) == log_reason(log, ended=True) == "last"
    assert (log_reason("a\nb\n\n"), log_reason("a\nb\n\n", ended=True)) == ("", "b")
    assert len(log_reason("x" * 9999, ended=True)) == 300
