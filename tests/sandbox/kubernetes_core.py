# SPDX-License-Identifier: GPL-3.0-or-later
"""kubernetes.core out of the PyPI bundle ``ansible``, for machines that reach no Galaxy server.

Only that collection is taken, out of the 500 MB the bundle would install; the wheel is kept in the cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "ansible_collections/kubernetes/core/"


def main(target: str) -> None:
    pin = (ROOT / "requirements-collections.txt").read_text().split()[-1]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "splithorizon" / "wheels" / pin
    home.mkdir(parents=True, exist_ok=True)
    if not list(home.glob("*.whl")):
        print(f"fetching kubernetes.core out of {pin} ...", flush=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(home), pin]
        subprocess.run(pip, timeout=900, check=True)
    with zipfile.ZipFile(next(home.glob("*.whl"))) as wheel:
        members = [name for name in wheel.namelist() if name.startswith(PREFIX)]
        wheel.extractall(Path(target).parent, members)


if __name__ == "__main__":
    main(sys.argv[1])
