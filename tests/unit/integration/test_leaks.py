# SPDX-License-Identifier: GPL-3.0-or-later
"""What looks for leaks of others finds them: files that are gone at once, in folders that came meanwhile, arguments."""

from __future__ import annotations

import subprocess
import sys
import typing as t

from integration.leaks import Leaks

if t.TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-of-the-test"
# Files that live for as long as a program takes to write and unlink them, and one that has no name when it is closed.
WRITER = f"""
import os, pathlib, sys, time
top = pathlib.Path(sys.argv[1])
later = top / "later"
later.mkdir()
with open(top / "nameless", "w") as nameless:
    nameless.write("{SECRET}")
    time.sleep(2)
    (top / "nameless").unlink()
for number in range(20):
    for file in (top / f"brief-{{number}}", later / f"brief-{{number}}"):
        file.write_text("{SECRET}")
        file.unlink()
(top / "harmless").write_text("nothing")
os.mkfifo(top / "fifo")
"""


def test_no_file_escapes_it_unseen(tmp_path: Path) -> None:
    with Leaks([SECRET], tmp_path) as leaks:
        subprocess.run([sys.executable, "-c", WRITER, str(tmp_path)], check=True)
    found = {place.removeprefix("file ") for place in leaks.found if place.startswith("file ")}
    assert "nameless" in found
    assert found | leaks.missed == {
        "nameless",
        *(f"{folder}brief-{number}" for folder in ("", "later/") for number in range(20)),
    }


def test_a_secret_of_a_command_line_is_found(tmp_path: Path) -> None:
    with Leaks([SECRET], tmp_path) as leaks:
        subprocess.run(["sleep", "0.5", "0", "0"], check=True)
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)", SECRET], check=True)
    assert leaks.found == {f"process {sys.executable}"}
    assert leaks.looked_at == {"process"}
