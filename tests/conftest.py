# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as Ansible sees it, and where captures of the real systems are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".cache" / "collections"))
sys.path.insert(0, str(ROOT / "tests"))


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of what real systems answered; tests that compare with it skip where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no captures of the real systems beside this checkout (../shared)")
    return folder
