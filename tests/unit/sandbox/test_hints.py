# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

from sandbox.hints import hints

if t.TYPE_CHECKING:
    from pathlib import Path

INOTIFY = 'E1121 "Failed to watch cert and key file" err="error creating fsnotify watcher: too many open files"\n'


def test_a_known_trouble_is_told_once(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.log").write_text(f"fine\n{INOTIFY}")
    (cure,) = hints(tmp_path)
    assert "fs.inotify.max_user_instances" in cure


def test_nothing_is_made_up(tmp_path: Path) -> None:
    (tmp_path / "one.log").write_text("all is well\ntoo many open files\n")
    assert hints(tmp_path) == []
