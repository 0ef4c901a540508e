# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: objects of Tekton in the files of a repository. The files are read together, since one gives values to another.

A file that is a template, or encrypted by SOPS, or no YAML, is refused; one without an object of Tekton does not count.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.splithorizon.registry.plugins.module_utils._config_kind import sops_problem, template_problem
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_findings import REFUSED, Finding
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_objects import (
    TektonObject,
    read_objects,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_plan import UNSURE, plan_object, unique
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import compose, load, split_documents
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_scalars import edited_text, line_of

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_plan import Note, ObjectPlan, Wanted

__all__ = ["FilesPlan", "plan_files"]

_OF_TEKTON = re.compile(r"tekton\.dev/|kind: *CronJob")


@dataclass(kw_only=True)
class FilesPlan:
    """``after``: the new text of each file that changes. ``files``: those with objects of Tekton."""

    files: list[str] = field(default_factory=list)
    after: dict[str, str] = field(default_factory=dict)
    done: list[Finding] = field(default_factory=list)
    unsure: list[Finding] = field(default_factory=list)
    refused: list[Finding] = field(default_factory=list)
    without_credentials: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Document:
    """One document of a file, that begins at ``line`` (from 1)."""

    file: str
    line: int
    text: str
    object: TektonObject | None = None

    def finding(self, note: Note, reason: str = "") -> Finding:
        (root,) = compose(self.text)
        line = self.line - 1 + line_of(self.text, root, note.path, note.span[0])
        kind = UNSURE if reason else note.kind
        return Finding(kind=kind, where=self.file, line=line, text=note.text, reason=reason or note.reason)


def plan_files(files: Mapping[str, str], wanted: Wanted) -> FilesPlan:
    """What the texts (by file name) become."""
    plan = FilesPlan()
    documents: list[_Document] = []
    for file, text in files.items():
        if not _OF_TEKTON.search(text):
            continue
        problem = _problem(file, text)
        if problem:
            reason, line = problem
            plan.refused.append(Finding(kind=REFUSED, where=file, line=line, text="", reason=reason))
        else:
            documents += _documents(file, text)
    readings = iter(read_objects(document.object for document in documents if document.object))
    texts: dict[str, list[str]] = {}
    for document in documents:
        texts.setdefault(document.file, []).append(document.text)
        if document.object:
            planned = plan_object(next(readings), wanted)
            texts[document.file][-1] = _edited(document, planned, plan)
    plan.files += [file for file in texts if any(each.object for each in documents if each.file == file)]
    plan.after |= {file: "".join(parts) for file, parts in texts.items() if "".join(parts) != files[file]}
    return plan


def _problem(file: str, text: str) -> tuple[str, int] | None:
    """(why a file cannot be edited, line)."""
    problem = template_problem(file, text)
    if problem:
        return problem
    try:
        for document in split_documents(text):
            load(document)
        return sops_problem(text)
    except Conflict as error:
        line = re.fullmatch(r"line (\d+)", error.where)
        return error.problem, int(line[1]) if line else 1


def _documents(file: str, text: str) -> Iterator[_Document]:
    line = 1
    for part in split_documents(text):
        data = load(part)
        found = TektonObject(where=file, tree=data) if isinstance(data, dict) else None
        wanted = found if found and (found.is_editable or found.is_run) else None
        yield _Document(file=file, line=line, text=part, object=wanted)
        line += part.count("\n")


def _edited(document: _Document, planned: ObjectPlan, plan: FilesPlan) -> str:
    """The document's new text; what cannot be edited in it is listed in place of being edited."""
    plan.unsure += [document.finding(note) for note in planned.unsure]
    plan.without_credentials += [document.finding(note) for note in planned.without_credentials]
    kept: list[Note] = []
    if not planned.done:
        return document.text
    try:
        after = edited_text(document.text, planned.edits)
        kept += planned.done
    except Conflict:
        after = document.text
        for note in planned.done:
            try:
                after = edited_text(document.text, unique(edit for each in (*kept, note) for edit in each.edits))
                kept.append(note)
            except Conflict as error:
                plan.unsure.append(document.finding(note, error.problem))
    plan.done += [document.finding(note) for note in kept]
    return after
