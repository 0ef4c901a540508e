# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking back a try: at once where it is ours, never another's, and patiently where the node does not answer."""

from __future__ import annotations

import time
import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict, RegistryError, Unreachable
from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import MachineConfig, Version
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import Node
from ansible_collections.splithorizon.registry.plugins.modules import talos_try_revert

BARE = "version: v1alpha1\nmachine:\n  type: worker\n"
TRIED = BARE + (
    "---\napiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: r.example.com\n"
    "endpoints:\n  - url: https://h.example.com\n"
)
OTHER = "version: v1alpha1\nmachine:\n  type: controlplane\n"
EARLY, LATE = "2026-11-21T12:00:00Z", "2026-11-21T12:00:09Z"
PARAMS: dict[str, t.Any] = {
    "mirrors": [
        {
            "name": "r.example.com",
            "endpoints": ["https://h.example.com"],
            "skip_fallback": False,
            "override_path": False,
            "state": "present",
        }
    ],
    "auth": [],
    "tls": [],
    "hosts": [],
    "layer": "auto",
}


class Talos:
    """A node: what it says of itself, one answer after another, and what was applied to it."""

    def __init__(self, *answers: tuple[str, str] | RegistryError) -> None:
        self.answers = list(answers)
        self.applied: list[tuple[str, str, int | None]] = []
        self.waited: dict[str, t.Any] = {}

    def node(self, name: str) -> Node:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, RegistryError):
            raise answer
        active, persistent = (MachineConfig.parse(text) for text in answer)
        times = {"active_since": LATE, "persistent_since": EARLY}
        return Node(name=name, version=Version(1, 13), active=active, persistent=persistent, **times)

    def apply(
        self, name: str, config: MachineConfig, *, instead_of: MachineConfig, try_seconds: int | None = None
    ) -> None:
        assert name == "n"
        self.applied.append((config.text, instead_of.text, try_seconds))

    def wait_for_files(self, name: str, files: dict[str, t.Any], *, seconds: float) -> None:
        assert name == "n" and seconds > 0
        self.waited = files


def decided(talos: Talos, seconds: float = 0) -> tuple[t.Any, str]:
    return talos_try_revert.decision_on(t.cast("t.Any", talos), "n", PARAMS, time.monotonic() + seconds)


def test_a_try_of_ours_is_replaced_by_what_is_on_disk_for_good() -> None:
    talos = Talos((TRIED, BARE))
    decision, outcome = decided(talos)
    assert outcome == "reverted"
    talos_try_revert.take_back(t.cast("t.Any", talos), "n", decision, seconds=9)
    assert talos.applied == [(BARE, TRIED, None)]
    assert any("r.example.com" in path for path in talos.waited), "its files must go"


@pytest.mark.parametrize(("has", "outcome"), [((BARE, BARE), "as_before"), ((TRIED, TRIED), "permanent")])
def test_where_nothing_is_pending_nothing_is_to_be_sent(has: tuple[str, str], outcome: str) -> None:
    assert decided(Talos(has))[1] == outcome


def test_a_try_of_somebody_else_is_left_alone() -> None:
    with pytest.raises(Conflict, match="a try or a staged one is pending"):
        decided(Talos((OTHER, BARE)))


def test_a_node_that_does_not_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talos_try_revert.time, "sleep", lambda seconds: None)
    gone = Unreachable("gone")
    assert decided(Talos(gone, gone, (BARE, BARE)), seconds=60)[1] == "as_before"
    with pytest.raises(Unreachable):
        decided(Talos(gone), seconds=0)
