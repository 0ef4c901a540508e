# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with objects of Tekton: only intended tokens change, scripts still parse, what is not sure is listed."""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._image_references import registry_from
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_plan import Wanted
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_source import FilesPlan, plan_files
from corpus.tekton import examined

DATA = Path(__file__).parent / "data" / "tekton"
NAME, INTERNAL = "harbor.example.com", "harbor-core.default.svc.cluster.local"
FILE = "task.yaml"


def cases(kind: str) -> list[t.Any]:
    return [
        pytest.param(yaml.safe_load(path.read_text(encoding="utf-8")), id=path.stem)
        for path in sorted((DATA / kind).iterdir())
    ]


def planned(case: dict[str, t.Any], text: str) -> FilesPlan:
    http = case.get("transport") == "http"
    name, old = (INTERNAL, NAME) if http else (NAME, INTERNAL)
    registry = registry_from(name=name, replaces=case.get("replaces", [old]), http=http)
    wanted = Wanted(registry=registry, assume=case.get("assume", False), secret=case.get("secret", ""))
    return plan_files({FILE: text}, wanted)


def scripts(text: str) -> list[str]:
    found: list[str] = []
    waiting: list[t.Any] = list(yaml.safe_load_all(text))
    while waiting:
        value = waiting.pop()
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
        if isinstance(value, dict) and isinstance(value.get("script"), str):
            found.append(value["script"])
    return found


def parses(script: str) -> bool:
    return subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("case", cases("valid"))
def test_case(case: dict[str, t.Any]) -> None:
    before, after = case["before"], case.get("after", case["before"])
    plan = planned(case, before)
    assert plan.after.get(FILE, before) == after
    assert sorted(finding.message for finding in plan.unsure) == sorted(
        f"{FILE}, {line}" for line in case.get("unsure", [])
    )
    assert bool(plan.done) == (after != before)
    assert all(parses(script) for script in scripts(after)) or not all(parses(script) for script in scripts(before))
    again = planned(case, after)
    assert (again.after, again.done) == ({}, [])


@pytest.mark.parametrize("case", cases("invalid"))
def test_refused(case: dict[str, t.Any]) -> None:
    plan = planned(case, case["before"])
    assert plan.after == {}
    (refused,) = plan.refused
    assert refused.message.startswith(f"{FILE}, {case['where']}: {case['problem']}")


@pytest.mark.captures
def test_real_files(captures: Path) -> None:
    found = [examined(path.name, path.read_text()) for path in sorted((captures / "corpus" / "tekton").iterdir())]
    assert {each.kind for each in found} == {"edited", "listed", "nothing", "refused"}
    assert [each.file for each in found if each.unread] == []
