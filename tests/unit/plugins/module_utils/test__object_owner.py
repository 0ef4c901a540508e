# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns an object by its marks, and whether a change of it is made, warned of, or refused."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import (
    Owner,
    decided,
    note_or_refuse,
    owner_of,
)

DATA = Path(__file__).parent / "data" / "object_owner"
CASES = [pytest.param(yaml.safe_load(path.read_text()), id=path.stem) for path in sorted(DATA.iterdir())]
WHERE = "ConfigMap kube-system/coredns"


def outcome(owner: Owner, policy: str) -> tuple[str, str]:
    """What becomes of a change, and what is said of it."""
    try:
        note = note_or_refuse(owner, policy=policy, where=WHERE)
    except Conflict as error:
        return "stops", str(error)
    return ("warns" if note else "goes on"), note


@pytest.mark.parametrize("case", CASES)
def test_owner_and_what_becomes_of_a_change(case: dict[str, t.Any]) -> None:
    expected = case["expected"]
    owner = decided(owner_of(case["metadata"], key="Corefile"), case.get("owner"))
    seen = {**owner.shown, "overwrote": owner.overwrote, "auto": outcome(owner, "auto")[0]}
    assert {key: seen[key] for key in expected if key != "cure"} == {k: v for k, v in expected.items() if k != "cure"}
    said = outcome(owner, "auto")[1]
    assert expected.get("cure", "") in said
    if expected["auto"] == "goes on":
        assert outcome(owner, "stop") == ("goes on", "")
    else:
        assert (outcome(owner, "warn")[0], outcome(owner, "stop")[0]) == ("warns", "stops")
        assert said.startswith(WHERE)
        assert owner.evidence in said
        assert expected["title"] in said


def test_what_talos_overwrote_is_said_with_its_time() -> None:
    case = yaml.safe_load((DATA / "talos_wrote_last.yaml").read_text())
    said = note_or_refuse(owner_of(case["metadata"], key="Corefile"), policy="auto", where=WHERE)
    assert said.endswith("After 'talosctl upgrade-k8s', run again. Talos wrote it last, at 2026-11-01T10:00:00Z")
