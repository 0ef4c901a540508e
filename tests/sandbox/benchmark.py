# SPDX-License-Identifier: GPL-3.0-or-later
"""``make benchmark``: a run of site.yml that changes nothing, beside a shell script that reads the same things."""

from __future__ import annotations

import json
import statistics
import time
import typing as t

from .inside import Inside
from .paths import ROOT, paths
from .process import Failed
from .recap import changed

if t.TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["benchmark"]

ROUNDS = 5


def benchmark() -> int:
    """Needs a sandbox that runs and was migrated; writes ``benchmark.json`` beside the demo's report."""
    inside = Inside.attach()
    script = str(ROOT / "tests" / "benchmark" / "read.sh")

    def playbook() -> None:
        done = inside.playbook("site.yml")
        if done.returncode or changed(done.stdout):
            raise Failed(f"site.yml changed something or failed; migrate first:\n{done.stdout[-2000:]}")

    def shell() -> None:
        done = inside.run(script, str(inside.places.ca), seconds=120)
        if done.returncode:
            raise Failed(f"{script}: {done.stderr}")

    playbook()
    rounds = [(_seconds(shell), _seconds(playbook)) for _ in range(ROUNDS)]
    script_times, playbook_times = zip(*rounds, strict=True)
    figures = {
        "script": _summary(script_times),
        "playbook": _summary(playbook_times),
        "ratio": round(statistics.median(playbook_times) / statistics.median(script_times), 2),
    }
    (paths().home / "benchmark.json").write_text(json.dumps(figures, indent=2) + "\n")
    for name in ("script", "playbook"):
        print(f"{name:<10} {figures[name]} s (minimum, median, maximum of {ROUNDS})")
    print(f"ratio of the medians: {figures['ratio']}")
    return 0


def _seconds(action: Callable[[], None]) -> float:
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


def _summary(times: tuple[float, ...]) -> list[float]:
    return [round(value, 2) for value in (min(times), statistics.median(times), max(times))]
