# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of the lock: waits for who lives, takes over from who is dead, says who is in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import types
import typing as t

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.splithorizon.registry.plugins.action import rollout_lock
from ansible_collections.splithorizon.registry.plugins.module_utils._rollout_lock import Holder

Json = dict[str, t.Any]


class Lease:
    """Stands for the module: a lease that ``holder`` has until it is given back or told to be dead."""

    def __init__(self, holder: str) -> None:
        self.holder = holder
        self.asked: list[Json] = []

    def __call__(self, *, module_name: str, module_args: Json, task_vars: Json | None) -> Json:
        assert module_name == "splithorizon.registry.rollout_lock"
        self.asked.append(dict(module_args))
        before, free = self.holder, self.holder in ("", module_args["holder"], module_args.get("dead"))
        if free:
            self.holder = module_args["holder"]
        times = {"since": "2026-11-21T17:00:00Z", "until": "2026-11-21T17:15:00Z"}
        return {"held": free, "holder": before, **times}


def run(lease: Lease, *, check: bool = False, **args: t.Any) -> Json:
    task = types.SimpleNamespace(args=args, check_mode=check, async_val=False, diff=False)
    action = rollout_lock.ActionModule.__new__(rollout_lock.ActionModule)
    action._task = task
    action._execute_module = lease
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollout_lock.ActionBase, "run", lambda self, **_: {})
        return t.cast("Json", action.run(task_vars={}))


def me() -> Holder:
    return rollout_lock.this_run(os.getppid())


@pytest.fixture
def child() -> t.Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_a_free_lease_is_taken_for_the_process_above_this_one() -> None:
    lease = Lease("")
    assert run(lease)["held"]
    assert lease.holder == str(me())
    assert Holder.parse(lease.holder) == me()


def test_a_lease_of_a_process_that_lives_is_respected_and_its_holder_named(child: subprocess.Popen[bytes]) -> None:
    holder = rollout_lock.this_run(child.pid)
    lease = Lease(str(holder))
    with pytest.raises(AnsibleActionFail) as failure:
        run(lease, wait=0)
    for word in (f"process {child.pid} on host {holder.host}", "since 2026-11-21T17:00:00Z", "until 2026-11-21T17:15"):
        assert word in str(failure.value)
    assert "dead" not in lease.asked[-1]


def test_a_lease_of_a_process_that_was_killed_is_taken_over_at_once(child: subprocess.Popen[bytes]) -> None:
    lease = Lease(str(rollout_lock.this_run(child.pid)))
    child.kill()  # nobody has waited for it yet: it is a zombie
    child.communicate()
    assert run(lease, wait=0)["held"]
    assert lease.holder == str(me())


def test_a_process_that_has_the_number_of_a_dead_one_is_another(child: subprocess.Popen[bytes]) -> None:
    living = rollout_lock.this_run(child.pid)
    assert rollout_lock.is_alive(living)
    assert not rollout_lock.is_alive(Holder(living.host, living.boot, living.namespace, living.pid, "1"))


@pytest.mark.parametrize("part", ["host", "boot", "namespace"])
def test_nobody_of_another_machine_is_taken_for_dead(part: str) -> None:
    mine = me()
    elsewhere = {"host": mine.host, "boot": mine.boot, "namespace": mine.namespace, part: "elsewhere"}
    lease = Lease(str(Holder(**elsewhere, pid=2**22 + 1, started="1")))
    with pytest.raises(AnsibleActionFail, match="another run"):
        run(lease, wait=0)


def test_waits_for_the_other_one_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease("somebody/of/another/1/machine")
    monkeypatch.setattr(rollout_lock.time, "sleep", lambda seconds: setattr(lease, "holder", ""))
    assert run(lease, wait=60)["held"]
    assert len(lease.asked) == 2


def test_check_mode_takes_nothing() -> None:
    lease = Lease("")
    assert not run(lease, check=True)["held"]
    assert lease.asked == []


def test_what_is_given_back_is_given_back_once() -> None:
    lease = Lease("somebody else")
    assert not run(lease, state="released")["held"]
    assert len(lease.asked) == 1
