# SPDX-License-Identifier: GPL-3.0-or-later
"""One attempt to take, renew or give back the lease."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.modules import rollout_lock
from fake_cluster import FakeCluster

NOW = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
LATE = NOW + timedelta(seconds=901)
PLACE = ("kube-system", "splithorizon-registry-rollout")


def take(cluster: FakeCluster, holder: str, now: datetime = NOW, dead: str | None = None) -> dict[str, t.Any]:
    asked = {"namespace": PLACE[0], "name": PLACE[1], "holder": holder, "dead": dead, "lease_seconds": 900}
    return rollout_lock.take(cluster, asked, now)


def holder_of(cluster: FakeCluster) -> str | None:
    lease = cluster.get("", "Lease", *PLACE)
    return lease["spec"]["holderIdentity"] if lease else None


def test_the_first_takes_it_and_the_second_does_not() -> None:
    cluster = FakeCluster()
    assert take(cluster, "first") == {"held": True, "holder": "", "since": "", "until": ""}
    second = take(cluster, "second")
    assert second == {
        "held": False,
        "holder": "first",
        "since": "2026-11-21T17:00:00Z",
        "until": "2026-11-21T17:15:00Z",
    }
    assert holder_of(cluster) == "first"


def test_its_holder_renews_it() -> None:
    cluster = FakeCluster()
    take(cluster, "first")
    assert take(cluster, "first", NOW + timedelta(seconds=600))["held"]
    assert not take(cluster, "second", LATE)["held"], "it was renewed"


@pytest.mark.parametrize(("now", "dead"), [(LATE, None), (NOW, "first")])
def test_a_lease_that_is_over_or_whose_holder_is_dead_is_taken_over(now: datetime, dead: str | None) -> None:
    cluster = FakeCluster()
    take(cluster, "first")
    assert take(cluster, "second", now, dead)["held"]
    assert holder_of(cluster) == "second"


def test_one_who_died_does_not_give_away_what_somebody_else_took_meanwhile() -> None:
    cluster = FakeCluster()
    take(cluster, "third")
    assert not take(cluster, "second", dead="first")["held"]


@pytest.mark.parametrize("there", [False, True])
def test_who_writes_a_moment_later_loses(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster()
    if there:
        take(cluster, "first")

    def faster(body: dict[str, t.Any]) -> t.NoReturn:
        monkeypatch.undo()
        take(cluster, "third", LATE)
        raise Conflict("the object has been modified")

    for write in ("create", "replace"):
        monkeypatch.setattr(cluster, write, faster, raising=True)
    found = take(cluster, "second", LATE)
    assert (found["held"], found["holder"]) == (False, "third")


def test_only_its_holder_gives_it_back() -> None:
    cluster = FakeCluster()
    take(cluster, "first")
    place = {"namespace": PLACE[0], "name": PLACE[1]}
    rollout_lock.give_back(cluster, {**place, "holder": "second"})
    assert holder_of(cluster) == "first"
    rollout_lock.give_back(cluster, {**place, "holder": "first"})
    assert holder_of(cluster) is None
    assert rollout_lock.give_back(cluster, {**place, "holder": "first"})["holder"] == ""
