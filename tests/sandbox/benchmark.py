# SPDX-License-Identifier: GPL-3.0-or-later
"""``make benchmark``: a run of site.yml that changes nothing, beside a shell script that reads the same things."""

from __future__ import annotations

import itertools
import json
import resource
import statistics
import subprocess
import tempfile
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .inside import Inside
from .paths import ROOT, paths
from .process import Failed
from .recap import changed

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["benchmark"]

ROUNDS = 5
FOLDER = ROOT / "tests" / "benchmark"
Task = dict[str, t.Any]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds by the clock, and of processors (user and system, of the command and all it started and waited for)."""

    wall: float
    cpu: float


def benchmark() -> int:
    """Needs a sandbox that runs and was migrated; writes ``benchmark.json`` beside the demo's report."""
    inside = Inside.attach()
    _playbook(inside)
    rounds = [(_script(inside), _playbook(inside)) for _ in range(ROUNDS)]
    scripts = [script for script, _ in rounds]
    playbooks = [cost for _, (cost, _) in rounds]
    _, tasks = sorted((playbook for _, playbook in rounds), key=lambda one: one[0].wall)[ROUNDS // 2]
    figures = {
        "wall": _compared([cost.wall for cost in scripts], [cost.wall for cost in playbooks]),
        "cpu": _compared([cost.cpu for cost in scripts], [cost.cpu for cost in playbooks]),
        "where": _where(tasks),
    }
    (paths().home / "benchmark.json").write_text(json.dumps(figures, indent=2) + "\n")
    _show(figures)
    return 0


def _script(inside: Inside) -> Cost:
    cost, done = _measured(inside, inside.argv([str(FOLDER / "read.sh"), str(inside.places.ca)]), {})
    if done.returncode:
        raise Failed(f"read.sh: {done.stderr}")
    return cost


def _playbook(inside: Inside) -> tuple[Cost, list[Task]]:
    """What a run cost, and its tasks, the first of them the start of ansible-playbook."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "tasks.json"
        extra = {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_CALLBACK_PLUGINS": str(FOLDER / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "where",
            "BENCHMARK_TASKS": str(notes),
        }
        begin = time.monotonic()
        cost, done = _measured(inside, inside.playbook_argv("site.yml"), extra)
        if done.returncode or changed(done.stdout):
            raise Failed(f"site.yml changed something or failed; migrate first:\n{done.stdout[-2000:]}")
        start: Task = {"play": "start of ansible-playbook", "action": "", "name": "", "hosts": 0, "begin": begin}
        return cost, [start, *json.loads(notes.read_text())]


def _measured(
    inside: Inside, argv: Sequence[str], extra: Mapping[str, str]
) -> tuple[Cost, subprocess.CompletedProcess[str]]:
    cpu, begin = _cpu(), time.monotonic()
    done = subprocess.run(
        argv,
        env=inside.environment(extra),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return Cost(wall=time.monotonic() - begin, cpu=_cpu() - cpu), done


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _compared(script: Sequence[float], playbook: Sequence[float]) -> dict[str, t.Any]:
    ratio = round(statistics.median(playbook) / statistics.median(script), 2)
    return {"script": _summary(script), "playbook": _summary(playbook), "ratio": ratio}


def _summary(values: Sequence[float]) -> list[float]:
    return [round(value, 2) for value in (min(values), statistics.median(values), max(values))]


def _where(tasks: Sequence[Task]) -> dict[str, dict[str, float]]:
    """Play → seconds, tasks, module processes. Actions of ansible.builtin run without a process of their own."""
    found: dict[str, dict[str, float]] = {}
    for task, following in itertools.pairwise(tasks):
        play = found.setdefault(task["play"], {"seconds": 0.0, "tasks": 0, "processes": 0})
        play["seconds"] = round(play["seconds"] + following["begin"] - task["begin"], 2)
        play["tasks"] += bool(task["action"])
        is_module = bool(task["action"]) and not task["action"].startswith("ansible.builtin.")
        play["processes"] += task["hosts"] * is_module
    return found


def _show(figures: Mapping[str, t.Any]) -> None:
    print(f"{'':<28}minimum  median  maximum of {ROUNDS}")
    for what, unit in (("wall", "seconds"), ("cpu", "CPU seconds")):
        for name in ("script", "playbook"):
            print(f"{name + ', ' + unit:<28}" + "".join(f"{value:7.2f} " for value in figures[what][name]))
    print(f"ratio of the medians: {figures['wall']['ratio']} by the clock, {figures['cpu']['ratio']} in CPU seconds")
    print("\nwhere the median run's time goes: seconds, tasks, module processes")
    for play, one in figures["where"].items():
        print(f"  {play:<40}{one['seconds']:6.2f}{one['tasks']:5}{one['processes']:5}")
