# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: read files with objects of Tekton, one or all of a folder, and write those that change."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_findings import (
    REFUSED,
    Finding,
    changed_lines,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_source import FilesPlan, plan_files
from ansible_collections.splithorizon.registry.plugins.module_utils._text_files import TextFile, read_text, write_bytes

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_plan import Wanted

__all__ = ["edit_files"]

_MAX_FILES = 5000


def edit_files(path: Path, wanted: Wanted, *, check_mode: bool) -> tuple[list[Change], FilesPlan]:
    """What becomes of objects of Tekton in a file, or in all YAML files below a folder; written unless in check mode.

    A single file that cannot be edited is an error; of a folder it is listed.
    """
    files, unread = _read(path)
    plan = plan_files({name: file.text for name, file in files.items()}, wanted)
    plan.refused += unread
    if path.is_file():
        for refused in plan.refused:
            where = f"{refused.where} line {refused.line}"
            raise Conflict(refused.reason, where=where, cure="Edit what it is made from, or give another file")
    if not plan.files and not plan.refused:
        cure = "Give a file with a Task, Pipeline, StepAction, TriggerTemplate or CronJob, or a folder with some"
        raise BadInput("there is no object of Tekton", where=str(path), cure=cure)
    if not check_mode:
        for name, text in plan.after.items():
            write_bytes(Path(name), files[name].encoded(text))
    changes = []
    for name, text in plan.after.items():
        before, after = changed_lines(files[name].text, text)
        changes.append(Change(what=name, before=before, after=after))
    return changes, plan


def _read(path: Path) -> tuple[dict[str, TextFile], list[Finding]]:
    """(the files by name, those of a folder that cannot be read)."""
    if not path.exists():
        raise BadInput("there is no such file or folder", where=str(path))
    if path.is_file():
        return {str(path): read_text(path)}, []
    found = [each for each in sorted(path.rglob("*")) if each.suffix in {".yaml", ".yml"} and _is_of(each, path)]
    if len(found) > _MAX_FILES:
        raise BadInput(f"there are more than {_MAX_FILES} YAML files", where=str(path), cure="Give a folder in it")
    files: dict[str, TextFile] = {}
    unread: list[Finding] = []
    for each in found:
        try:
            files[str(each)] = read_text(each)
        except RegistryError as error:
            unread.append(Finding(kind=REFUSED, where=str(each), line=1, text="", reason=error.problem))
    return files, unread


def _is_of(each: Path, folder: Path) -> bool:
    """Whether a path is a file that is not hidden, such as those of Git itself."""
    return each.is_file() and not any(part.startswith(".git") for part in each.relative_to(folder).parts)
