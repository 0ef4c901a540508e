# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict, Unreachable
from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import (
    MachineConfig,
    Version,
    make_plan,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._node_change import decide, survey
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import Endpoint, Mirror, Wanted
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import Node

BARE = MachineConfig.parse("version: v1alpha1\nmachine:\n  type: worker\n")
OTHER = MachineConfig.parse("version: v1alpha1\nmachine:\n  type: controlplane\n")
WANTED = Wanted(mirrors={"r.example.com": Mirror(endpoints=(Endpoint(url="https://h.example.com"),))})
DONE = make_plan(BARE, WANTED, version=Version(1, 13)).after
EARLY, LATE = "2026-11-21T12:00:00Z", "2026-11-21T12:00:09Z"


def node(active, persistent, since=(LATE, EARLY)):
    return Node(
        name="n",
        version=Version(1, 13),
        active=active,
        persistent=persistent,
        active_since=since[0],
        persistent_since=since[1],
    )


def decided(of, *, on_trial=False, confirm=False, predict=False):
    return decide(of, WANTED, layer="auto", on_trial=on_trial, confirm=confirm, predict=predict)


def sent(decision):
    return [(s.config.text, s.instead_of.text, s.on_trial) for s in decision.sends]


@pytest.mark.parametrize(
    ("of", "how", "sends", "pending"),
    [
        (node(DONE, DONE), {}, [], "none"),
        (node(DONE, DONE), {"confirm": True}, [], "none"),
        (node(BARE, BARE), {}, [(DONE, BARE, False)], "none"),
        (node(BARE, BARE), {"on_trial": True}, [(DONE, BARE, True)], "try_or_staged"),
        (node(BARE, BARE), {"confirm": True, "predict": True}, [], "none"),
        (node(DONE, BARE), {"confirm": True}, [(DONE, DONE, False)], "none"),
        (node(DONE, BARE), {"confirm": True, "on_trial": True}, [(DONE, DONE, False)], "none"),
        (node(DONE, BARE), {}, [(DONE, DONE, False)], "none"),
        (node(DONE, BARE), {"on_trial": True}, [(BARE, DONE, False), (DONE, BARE, True)], "try_or_staged"),
    ],
)
def test_what_is_sent(of, how, sends, pending):
    decision = decided(of, **how)
    assert sent(decision) == [(config.text, old.text, trial) for config, old, trial in sends]
    assert decision.pending == pending
    assert decision.change("n").changed == (of.persistent is BARE)


@pytest.mark.parametrize(
    ("of", "how", "said"),
    [
        (node(BARE, BARE), {"confirm": True}, "nothing to confirm"),
        (node(OTHER, BARE), {}, "a try or a staged one is pending"),
        (node(BARE, DONE, (EARLY, LATE)), {}, "a staged one waits"),
        (node(DONE, BARE, (EARLY, LATE)), {"confirm": True}, "a staged one waits"),
        (node(make_plan(OTHER, WANTED, version=Version(1, 13)).after, BARE), {"confirm": True}, "is pending"),
    ],
)
def test_what_is_refused(of, how, said):
    with pytest.raises(Conflict, match=said):
        decided(of, **how)


@pytest.mark.parametrize(
    ("of", "differs", "pending", "error"),
    [
        (node(DONE, DONE), False, "none", ""),
        (node(BARE, BARE), True, "none", ""),
        (node(DONE, BARE), True, "try_or_staged", ""),
        (node(OTHER, BARE), False, "try_or_staged", "not the one on disk"),
        (Unreachable("gone", where="node n"), False, None, "node n: gone"),
    ],
)
def test_what_a_survey_finds(of, differs, pending, error):
    result = survey(of, WANTED, layer="auto").result
    assert (result["differs"], result.get("pending")) == (differs, pending)
    assert error in (result["error"] or "")
    assert bool(result["error"]) == bool(error)


@pytest.mark.parametrize(
    ("written", "told"),
    [("worker", "worker"), ("controlplane", "controlplane"), ("init", "controlplane"), ('""', "worker")],
)
def test_a_survey_tells_control_planes_from_workers(written, told):
    config = MachineConfig.parse(f"version: v1alpha1\nmachine:\n  type: {written}\n")
    assert survey(node(config, config), WANTED, layer="auto").result["machine_type"] == told
