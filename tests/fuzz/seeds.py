# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what fuzzing of Corefiles starts from into a folder: the cases of the unit tests."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

DATA = Path(__file__).resolve().parents[1] / "unit" / "plugins" / "module_utils" / "data"
WORDS = (
    '{ } ( ) # " \\ :53 .:53 dns:// import rewrite stop continue name exact suffix regex answer auto kubernetes '
    "cluster.local autopath @kubernetes hosts template reload view {$A} {1} harbor.example.com .x.com w.y.com"
)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(DATA.glob("corefile/*/*.yaml")) + sorted(DATA.glob("rewrite*/*/*.yaml")):
        case = yaml.safe_load(path.read_text())
        for key in ("text", "before", "after"):
            if key in case:
                (folder / f"{path.parts[-3]}_{path.stem}_{key}").write_text(case[key], newline="")
    escaped = ['"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"\n' for word in WORDS.split()]
    folder.with_suffix(".dict").write_text("".join(escaped))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
