# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as Ansible sees it, and where captures of the real systems are."""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".cache" / "collections"))
sys.path.insert(0, str(ROOT / "tests"))


@pytest.fixture(scope="session")
def recorded(captures: Path) -> dict[str, dict[str, t.Any]]:
    """What a real Talos 1.13 node made talosctl print: the record's name → its argv, rc, stdout, stderr."""
    records = yaml.safe_load((captures / "talos-1.13" / "recorded.yaml").read_text(encoding="utf-8"))
    return {record["name"]: record for record in records}


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of what real systems answered; tests that compare with it skip where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no captures of the real systems beside this checkout (../shared)")
    return folder
