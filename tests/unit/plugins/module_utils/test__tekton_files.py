# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders and single files: what is written and what is not, and the errors of what cannot be right."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._image_references import registry_from
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_files import edit_files
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_findings import changed_lines
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_plan import Wanted

if t.TYPE_CHECKING:
    from pathlib import Path

WANTED = Wanted(registry=registry_from(name="harbor.example.com", replaces=["192.168.1.105"], http=False))
TASK = """apiVersion: tekton.dev/v1
kind: Task
metadata:
  name: build
spec:
  params:
    - name: IMAGE
  steps:
    - name: build
      script: buildctl build --output type=image,name=$(params.IMAGE),push=true{flag}
"""
BEFORE, AFTER = TASK.format(flag=",registry.insecure=true"), TASK.format(flag="")
PIPELINE = """apiVersion: tekton.dev/v1
kind: Pipeline
metadata:
  name: release
spec:
  tasks:
    - name: build
      taskRef:
        name: build
      params:
        - name: IMAGE
          value: {host}/library/app
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "build.yaml").write_text(BEFORE)
    (tmp_path / "release.yml").write_text(PIPELINE.format(host="192.168.1.105"))
    (tmp_path / "chart.yaml").write_text("{{ if .x }}\napiVersion: tekton.dev/v1\n{{ end }}\n")
    (tmp_path / "other.yaml").write_text("kind: ConfigMap\ndata:\n  a: 192.168.1.105/library/app\n")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "build.yaml").write_text(BEFORE)
    return tmp_path


def texts(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folder_is_read_as_one(folder: Path) -> None:
    before = texts(folder)
    predicted, _ = edit_files(folder, WANTED, check_mode=True)
    assert texts(folder) == before
    done, plan = edit_files(folder, WANTED, check_mode=False)
    assert done == predicted
    assert sorted(change.what for change in done) == [
        str(folder / name) for name in ("release.yml", "tasks/build.yaml")
    ]
    expected = {"tasks/build.yaml": AFTER, "release.yml": PIPELINE.format(host="harbor.example.com")}
    assert texts(folder) == before | {name: text.encode() for name, text in expected.items()}
    assert sorted((refused.where, refused.reason) for refused in plan.refused) == [
        (str(folder / "chart.yaml"), "this is a template, and no YAML"),
        (str(folder / "latin.yaml"), "the file is not UTF-8 text"),
    ]
    assert edit_files(folder, WANTED, check_mode=False)[0] == []


def test_line_endings_and_mode_stay(folder: Path) -> None:
    file = folder / "release.yml"
    file.write_bytes(b"\xef\xbb\xbf" + PIPELINE.format(host="192.168.1.105").replace("\n", "\r\n").encode())
    file.chmod(0o640)
    edit_files(file, WANTED, check_mode=False)
    wanted = PIPELINE.format(host="harbor.example.com").replace("\n", "\r\n").encode()
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"\xef\xbb\xbf" + wanted, 0o640)


def test_diff_shows_lines_that_change_without_passwords() -> None:
    before = "a\npush -p secret 192.168.1.105/x\nb --password=$P\nc\n"
    shown = changed_lines(before, before.replace("192.168.1.105", "harbor.example.com"))
    assert shown == ("2: push -p *** 192.168.1.105/x\n", "2: push -p *** harbor.example.com/x\n")


@pytest.mark.parametrize(
    ("name", "error", "where", "problem"),
    [
        ("chart.yaml", Conflict, "chart.yaml line 1", "this is a template"),
        ("other.yaml", BadInput, "other.yaml", "there is no object of Tekton"),
        ("latin.yaml", BadInput, "latin.yaml", "the file is not UTF-8 text"),
        ("absent", BadInput, "absent", "there is no such file or folder"),
        (".git", BadInput, ".git", "there is no object of Tekton"),
    ],
)
def test_refused(folder: Path, name: str, error: type[Exception], where: str, problem: str) -> None:
    (folder / ".git" / "build.yaml").unlink()
    with pytest.raises(error, match=problem) as caught:
        edit_files(folder / name, WANTED, check_mode=False)
    assert str(caught.value).startswith(f"{folder / where}: {problem}")


@pytest.mark.parametrize(
    ("name", "replaces", "where", "problem"),
    [
        ("https://harbor.example.com", [], "name", "has a scheme"),
        ("harbor.example.com/library", [], "name", "is not a registry host"),
        ("harbor.example.com", ["http://192.168.1.105"], "replaces[0]", "has a scheme"),
        ("harbor.example.com", ["a.example.com", "harbor.example.com:443"], "replaces[1]", "replaced by itself"),
    ],
)
def test_names_that_cannot_be_right(name: str, replaces: list[str], where: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem) as caught:
        registry_from(name=name, replaces=replaces, http=False)
    assert caught.value.where == where
