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
# Files that live for as long as a program takes to write and unlink them.
WRITER = f"""
import os, pathlib, sys, time
top = pathlib.Path(sys.argv[1])
for folder in (top, top / "later"):
    folder.mkdir(exist_ok=True)
    time.sleep(0.5)
    for number in range(20):
        file = folder / f"brief-{{number}}"
        file.write_text("{SECRET}")
        file.unlink()
(top / "harmless").write_text("nothing")
os.mkfifo(top / "fifo")
"""


def test_no_file_escapes_it_unseen(tmp_path: Path) -> None:
    with Leaks([SECRET], tmp_path) as leaks:
        subprocess.run([sys.executable, "-c", WRITER, str(tmp_path)], check=True)
    brief = {f"{folder}brief-{number}" for folder in ("", "later/") for number in range(20)}
    found = {place.removeprefix("file ") for place in leaks.found if place.startswith("file ")}
    assert found | leaks.missed == brief
    assert found, "none was opened in time"


def test_a_secret_of_a_command_line_is_found(tmp_path: Path) -> None:
    with Leaks([SECRET], tmp_path) as leaks:
        subprocess.run(["sleep", "0.5", "0", "0"], check=True)
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)", SECRET], check=True)
    assert leaks.found == {f"process {sys.executable}"}
    assert leaks.looked_at == {"process"}
