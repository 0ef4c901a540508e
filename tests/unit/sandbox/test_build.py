# SPDX-License-Identifier: GPL-3.0-or-later
"""Which programs of the machine are taken as they are."""

from __future__ import annotations

import typing as t

import pytest

from sandbox import build

if t.TYPE_CHECKING:
    from pathlib import Path

PROGRAM = build.Program("tool", "module", "./cmd/tool", version_command=("--version",), version="Tool v1.2.3")


def installed(folder: Path, version: str) -> Path:
    folder.mkdir()
    program = folder / "tool"
    program.write_text(f"#!/bin/sh\necho Tool {version}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(("version", "taken"), [("v1.2.3", True), ("v1.2.4", False)])
def test_a_program_on_path_is_taken_in_the_pinned_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, taken: bool
) -> None:
    there = installed(tmp_path / "there", version)
    monkeypatch.setenv("PATH", f"{there.parent}:/usr/bin:/bin")
    assert build.on_path(PROGRAM) == (there if taken else None)


def test_our_own_links_are_not_programs_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make sandbox-shell` and Molecule have them on PATH; linked to themselves they would be lost."""
    ours = installed(tmp_path / "bin", "v1.2.3").parent
    monkeypatch.setattr(build, "BIN", ours)
    monkeypatch.setenv("PATH", f"{ours}:/usr/bin:/bin")
    assert build.on_path(PROGRAM) is None
