# SPDX-License-Identifier: GPL-3.0-or-later
"""Who limits requests of the registry's routes is found at every level; a limit that nobody set is taken away."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._route_timeout import (
    RoutePlan,
    is_ours,
    plan_timeouts,
    title,
)

Json = dict[str, t.Any]
HOST = "harbor.example.com"
GATEWAY = ("gw", "eg")


def route(*rules: Json, name: str = "harbor", hostnames: t.Sequence[str] = (HOST,), **parent: t.Any) -> Json:
    return {
        "kind": "HTTPRoute",
        "metadata": {"namespace": "harbor", "name": name, "labels": {"app": "harbor"}},
        "spec": {
            "hostnames": list(hostnames),
            "parentRefs": [{"namespace": "gw", "name": "eg", **parent}],
            "rules": list(rules) or [{}],
        },
    }


def policy(
    target: Json, timeout: str | None = None, *, namespace: str = "harbor", name: str = "theirs", **spec: t.Any
) -> Json:
    limit = {"timeout": {"http": {"requestTimeout": timeout}}} if timeout else {}
    reference = {"group": "gateway.networking.k8s.io", **target}
    return {"metadata": {"namespace": namespace, "name": name}, "spec": {"targetRefs": [reference], **limit, **spec}}


OF_ROUTE = {"kind": "HTTPRoute", "name": "harbor"}
OF_GATEWAY = {"kind": "Gateway", "name": "eg"}
RETRIES = {"retry": {"numRetries": 2}}


def plan(routes: list[Json], policies: t.Sequence[Json] = (), *, present: bool = True) -> RoutePlan:
    return plan_timeouts(routes=routes, policies=policies, hostname=HOST, gateway=GATEWAY, present=present)


def test_a_limit_that_nobody_set() -> None:
    planned = plan([route()])
    (made,) = planned.add
    assert title(made) == "BackendTrafficPolicy harbor/harbor-no-request-timeout"
    assert is_ours(made)
    assert made["spec"] == {
        "targetRefs": [{"group": "gateway.networking.k8s.io", **OF_ROUTE}],
        "timeout": {"http": {"requestTimeout": "0s"}},
    }
    assert planned.shown == ({"namespace": "harbor", "name": "harbor", "rules": [{"timeout": "15s", "by": ""}]},)
    again = plan([route()], [made])
    assert (again.add, again.notes) == ((), ())
    assert again.shown[0]["rules"] == [{"timeout": "0s", "by": title(made)}]
    assert plan([route()], [made], present=False).remove == (made,)


def test_settings_of_the_gateway_hold_on() -> None:
    inherited = policy(OF_GATEWAY, namespace="gw", **RETRIES)
    (made,) = plan([route()], [inherited]).add
    assert made["spec"]["mergeType"] == "StrategicMerge"
    assert plan([route()], [inherited, made]).add == ()


@pytest.mark.parametrize(
    ("routes", "policies", "timeout", "by"),
    [
        ([route({"timeouts": {"request": "0s"}})], [], "0s", "HTTPRoute harbor/harbor"),
        ([route({"timeouts": {"request": "5m", "backendRequest": "0s"}})], [], "0s", "HTTPRoute harbor/harbor"),
        (
            [route({"timeouts": {"request": "1h", "backendRequest": "1s"}, "retry": {}})],
            [policy(OF_ROUTE, "9s")],
            "1h",
            "HTTPRoute harbor/harbor",
        ),
        ([route()], [policy(OF_ROUTE, "0s")], "0s", "BackendTrafficPolicy harbor/theirs"),
        (
            [route({"name": "pull"})],
            [policy({**OF_ROUTE, "sectionName": "pull"}, "0s")],
            "0s",
            "BackendTrafficPolicy harbor/theirs",
        ),
        (
            [route()],
            [
                policy(
                    {"kind": "HTTPRoute", "name": "x"},
                    "0s",
                    targetRefs=[],
                    targetSelectors=[{"kind": "HTTPRoute", "matchLabels": {"app": "harbor"}}],
                )
            ],
            "0s",
            "BackendTrafficPolicy harbor/theirs",
        ),
        ([route()], [policy(OF_GATEWAY, "0s", namespace="gw")], "0s", "BackendTrafficPolicy gw/theirs"),
        (
            [route(sectionName="https")],
            [policy({**OF_GATEWAY, "sectionName": "https"}, "0s", namespace="gw")],
            "0s",
            "BackendTrafficPolicy gw/theirs",
        ),
        (
            [route()],
            [policy(OF_GATEWAY, "0s", namespace="gw"), policy(OF_ROUTE, mergeType="StrategicMerge", **RETRIES)],
            "0s",
            "BackendTrafficPolicy gw/theirs",
        ),
    ],
)
def test_what_somebody_says_stays(routes: list[Json], policies: list[Json], timeout: str, by: str) -> None:
    planned = plan(routes, policies)
    assert planned.shown[0]["rules"] == [{"timeout": timeout, "by": by}]
    assert (planned.add, planned.notes) == ((), ())


@pytest.mark.parametrize(
    ("found", "policies", "said"),
    [
        ([route({"timeouts": {"request": "30s"}})], [], "end after 30s, as HTTPRoute harbor/harbor says"),
        (
            [route()],
            [policy(OF_GATEWAY, "1m30s", namespace="gw")],
            "end after 1m30s, as BackendTrafficPolicy gw/theirs says",
        ),
        ([route(hostnames=["git.example.com"])], [], "no HTTPRoute of Gateway gw/eg names harbor.example.com"),
        ([route(namespace="other")], [], "no HTTPRoute of Gateway gw/eg"),
        ([route(kind="Service")], [], "no HTTPRoute of Gateway gw/eg"),
        ([route(hostnames=["*.example.com"])], [], "shares HTTPRoute harbor/harbor with other names"),
        ([route(hostnames=[])], [], "shares HTTPRoute harbor/harbor with other names"),
    ],
)
def test_what_is_left_is_told(found: list[Json], policies: list[Json], said: str) -> None:
    planned = plan(found, policies)
    assert planned.add == ()
    (note,) = planned.notes
    assert said in note


def test_a_limit_of_ten_minutes_is_enough() -> None:
    assert plan([route({"timeouts": {"request": "10m"}})]).notes == ()
    assert len(plan([route({"timeouts": {"request": "9m59s"}})]).notes) == 1


def test_only_routes_of_the_name_get_a_policy() -> None:
    routes = [
        route(),
        route(name="shared", hostnames=["*.example.com"]),
        route(name="git", hostnames=["git.example.com"]),
    ]
    assert [one["metadata"]["name"] for one in plan(routes).add] == ["harbor-no-request-timeout"]


def test_one_rule_without_a_limit_of_its_own_is_enough() -> None:
    (made,) = plan([route({"timeouts": {"request": "0s"}}, {})]).add
    assert made["spec"]["targetRefs"][0]["name"] == "harbor"


@pytest.mark.parametrize(
    "others", [[policy(OF_ROUTE, **RETRIES)], [policy(OF_ROUTE, **RETRIES), policy(OF_GATEWAY, "0s", namespace="gw")]]
)
def test_a_policy_of_the_route_without_a_limit_is_a_conflict(others: list[Json]) -> None:
    with pytest.raises(Conflict) as error:
        plan([route()], others)
    assert error.value.where == "BackendTrafficPolicy harbor/theirs"
    assert 'requestTimeout: "0s"' in error.value.cure
    assert plan([route()], others, present=False).remove == ()
