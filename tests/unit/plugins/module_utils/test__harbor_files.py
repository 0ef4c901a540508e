# SPDX-License-Identifier: GPL-3.0-or-later
"""Harbor's settings in files of a repository: only the lines that must change, in whatever a team keeps them."""

from __future__ import annotations

import difflib
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_files import Asked, FilePlan, plan_file
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_git import change_files

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._kustomize_patches import Texts

DATA = Path(__file__).parent / "data" / "harbor_files"
URL, CORE_URL = "https://registry.test.example", "http://harbor-core.ns.svc.cluster.local:80"
# A line for each setting, two for each environment variable, and the keys they may need.
MOST_LINES = {None: 2, CORE_URL: 2 + 2 * 4 + 2}

Case = dict[str, t.Any]


def load(kind: str) -> list[t.Any]:
    paths = sorted((DATA / kind).glob("*.yaml"))
    return [pytest.param(yaml.safe_load(path.read_text(encoding="utf-8")), id=path.stem) for path in paths]


def plan(case: Case, files: Texts) -> FilePlan:
    asked = {**case["asked"], **({"chart": tuple(case["asked"]["chart"])} if "chart" in case["asked"] else {})}
    wanted = Asked(**asked)
    wanted.check()
    return plan_file(case.get("path") or next(iter(files)), files, wanted)


@pytest.mark.parametrize("case", load("valid"))
def test_plan(case: Case) -> None:
    found = plan(case, case["files"])
    assert found.after == case["after"]
    settings = [value for each in (found.before, found.then) for one in each.values() for value in one.values()]
    assert {type(value) for value in settings} == {str}  # no text of the YAML layer's own, which nothing else prints
    seen = {"then": found.then, "version": list(found.version or ()), "rolls": found.rolls}
    assert {key: seen[key] for key in seen.keys() & case.keys()} == {
        key: case[key] for key in seen.keys() & case.keys()
    }


@pytest.mark.parametrize("case", load("valid"))
def test_a_second_plan_changes_nothing(case: Case) -> None:
    first = plan(case, case["files"])
    again = plan(case, {**case["files"], **first.after})
    assert (again.after, again.before) == ({}, first.then)


@pytest.mark.parametrize("case", load("invalid"))
def test_refused(case: Case) -> None:
    with pytest.raises(RegistryError) as error:
        plan(case, case["files"])
    assert (type(error.value).__name__, case["said"] in str(error.value)) == (case["error"], True), error.value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("kustomization.yaml", "resources: [a.yaml]\n", 1), ("values.yaml", "externalURL: http://a\n", 0)],
)
def test_that_a_patch_in_git_restarts_nothing_is_told(tmp_path: Path, name: str, text: str, said: int) -> None:
    path, told = tmp_path / name, list[str]()
    path.write_text(text)
    how: t.Any = {"hosts": [], "namespace": None, "domain": "cluster.local", "version": None, "check_mode": True}
    changes, _results = change_files(str(path), Asked(external_url=URL, core_url=CORE_URL), **how, warn=told.append)
    assert any(change.changed for change in changes)
    assert len(told) == said


def changed_lines(before: str, after: str) -> list[str]:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    return [line for line in lines if not line.startswith("@@")]


@pytest.mark.captures
@pytest.mark.parametrize("core_url", [None, CORE_URL])
def test_real_values_there_and_back(captures: Path, core_url: str | None) -> None:
    """Every file of the corpus: edited by the lines it must, back byte for byte, or refused with a reason."""
    edited = refused = 0
    for path in sorted([*(captures / "corpus/harbor").iterdir(), *(captures / "corpus/edits").glob("harbor__*.yaml")]):
        text = path.read_text(encoding="utf-8")
        try:
            there = plan_file(path.name, {path.name: text}, Asked(external_url=URL, core_url=core_url))
        except RegistryError as error:
            assert path.name in str(error)
            refused += 1
            continue
        after = there.after.get(path.name, text) or ""
        assert len(changed_lines(text, after)) <= MOST_LINES[core_url], path.name
        assert there.then[f"{there.fullname}-core"]["CORE_URL"] == core_url or core_url is None
        old = there.before[f"{there.fullname}-core"]["EXT_ENDPOINT"]
        back = plan_file(path.name, {path.name: after}, Asked(external_url=old))
        given = re.search(r"(?m)^ *externalURL:", text)  # else the chart's default is written out
        assert back.after.get(path.name, after) == text or not given, path.name
        edited += 1
    assert edited >= 12
    assert refused >= 10


@pytest.mark.captures
def test_values_of_other_charts_are_not_taken_for_harbors(captures: Path) -> None:
    paths = sorted((captures / "corpus/helm-values").iterdir())
    assert len(paths) > 20
    for path in paths:
        with pytest.raises(RegistryError, match=r"no values of Harbor|template|valuesFrom"):
            plan_file(path.name, {path.name: path.read_text(encoding="utf-8")}, Asked(external_url=URL))
