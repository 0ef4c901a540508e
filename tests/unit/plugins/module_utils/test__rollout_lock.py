# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease that keeps two runs apart: who has it, for how long, and what is written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._rollout_lock import (
    Holder,
    held_by,
    new_lease,
    renewed,
    taken_over,
)

NOW = datetime(2026, 11, 21, 17, 0, 0, 250000, tzinfo=UTC)
ME = Holder("ops1", "0b5e", "pid:[4026531836]", 4711, "88213")


def test_a_new_lease_is_held_until_it_is_over() -> None:
    lease = new_lease("kube-system", "rollout", holder=str(ME), seconds=60, now=NOW)
    held = held_by(lease)
    assert held
    assert (held.holder, held.since, held.until) == (str(ME), NOW, NOW + timedelta(seconds=60))
    assert not held.is_over(NOW + timedelta(seconds=60))
    assert held.is_over(NOW + timedelta(seconds=61))


def test_a_renewal_moves_the_end_and_keeps_the_beginning() -> None:
    later = NOW + timedelta(seconds=50)
    lease = new_lease("kube-system", "rollout", holder=str(ME), seconds=60, now=NOW)
    held = held_by(renewed(lease, seconds=90, now=later))
    assert held
    assert (held.holder, held.since, held.until) == (str(ME), NOW, later + timedelta(seconds=90))


def test_another_holder_begins_anew_and_is_counted() -> None:
    later = NOW + timedelta(hours=1)
    lease = new_lease("kube-system", "rollout", holder="someone", seconds=60, now=NOW)
    lease["metadata"]["resourceVersion"] = "7"
    other = taken_over(lease, holder=str(ME), seconds=60, now=later)
    held = held_by(other)
    assert held
    assert (held.holder, held.since) == (str(ME), later)
    assert other["spec"]["leaseTransitions"] == 1
    assert other["metadata"]["resourceVersion"] == "7", "or a concurrent write would be lost"
    assert lease["spec"]["holderIdentity"] == "someone", "the lease read is left as it is"


@pytest.mark.parametrize("spec", [None, {}, {"holderIdentity": ""}, {"holderIdentity": None, "renewTime": None}])
def test_a_lease_that_nobody_has(spec: dict[str, object] | None) -> None:
    lease = {"metadata": {"name": "rollout"}, "spec": spec}
    assert held_by(lease) is None
    held = held_by(taken_over(lease, holder=str(ME), seconds=60, now=NOW))
    assert held
    assert held.holder == str(ME)


def test_a_lease_of_another_program_without_times_is_over() -> None:
    held = held_by({"spec": {"holderIdentity": "kubectl", "renewTime": "yesterday"}})
    assert held
    assert held.is_over(NOW)


def test_a_holder_is_read_as_it_is_written() -> None:
    assert Holder.parse(str(ME)) == ME


@pytest.mark.parametrize("text", ["", "ops1", "a/b/c/d/e", "a/b/c/1", "a/b/c/1/2/3"])
def test_what_is_no_holder_of_ours(text: str) -> None:
    assert Holder.parse(text) is None


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Holder("ops1", "0b5e", "pid:[4026531836]", 1, "2"), True),
        (Holder("ops2", "0b5e", "pid:[4026531836]", 4711, "88213"), False),
        (Holder("ops1", "ffff", "pid:[4026531836]", 4711, "88213"), False),
        (Holder("ops1", "0b5e", "pid:[4026532222]", 4711, "88213"), False),
    ],
)
def test_processes_are_compared_only_where_their_numbers_mean_the_same(other: Holder, same: bool) -> None:
    assert ME.is_of_the_same_machine_as(other) is same
