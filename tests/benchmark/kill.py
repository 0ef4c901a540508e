# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills ``site.yml`` at random moments of the migration, and runs it again: ``make kill-test``.

Each time from the HTTP era: start, SIGKILL of ansible-playbook's process group at a moment drawn from the time line of
an uninterrupted run, then at once again (must succeed and give what the uninterrupted run gave, every node settled),
and once more (must change nothing). Prints a table, and the seed to draw the same moments with. What ansible-playbook's
workers were doing goes on for a while, as in life: they have sessions of their own.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass

from integration.site_state import state
from sandbox.faults import Faults
from sandbox.inside import Inside
from sandbox.model import CLUSTERS
from sandbox.paths import ROOT
from sandbox.recap import changed, failures

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.site_state import State

PLAYBOOK = "site.yml"
RUN_SECONDS = 900
_STEP = re.compile(r"(PLAY|TASK) \[(.+?)\] \*")
_SPEC = re.compile(r"^spec: .*?(?=^---|^node:|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Moment:
    """So many seconds after the line that begins the play's or task's part of the output, counted from 0."""

    step: int
    seconds: float


@dataclass(frozen=True)
class Kill:
    """What came of one kill. ``problems`` is empty where all is as it must be."""

    where: str
    pending: list[str]
    again: float
    changes: int
    problems: list[str]

    def __str__(self) -> str:
        pending = ", ".join(self.pending) or "none"
        outcome = "; ".join(self.problems) or f"converged in {self.again:.0f} s, {self.changes} changes; then changed=0"
        return f"| {self.where} | {pending} | {outcome} |"


def started(inside: Inside, limit: list[str]) -> subprocess.Popen[str]:
    environment = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"}
    return subprocess.Popen(
        inside.playbook_argv(PLAYBOOK, *limit),
        env=inside.environment(environment),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def steps_of(process: subprocess.Popen[str]) -> Iterator[tuple[str, str]]:
    """(PLAY or TASK, name) of each step, as it begins."""
    assert process.stdout is not None
    for line in process.stdout:
        if match := _STEP.match(line):
            yield match[1], match[2]


def uninterrupted(inside: Inside, limit: list[str]) -> list[float]:
    """Seconds at which each step began, and the run ended."""
    begin = time.monotonic()
    with started(inside, limit) as process:
        times = [time.monotonic() - begin for _ in steps_of(process)]
    if process.returncode:
        raise SystemExit(f"the uninterrupted run ended with {process.returncode}")
    return [*times, time.monotonic() - begin]


def drawn(times: list[float], draw: random.Random) -> Moment:
    """A moment of the uninterrupted run. Told by its step: another run may be slower or faster."""
    moment = draw.uniform(times[0], times[-1])
    step = max(index for index, begin in enumerate(times[:-1]) if begin <= moment)
    return Moment(step, moment - times[step])


def killed_at(inside: Inside, moment: Moment, limit: list[str]) -> str:
    """Start the playbook and kill it at the moment; the play and task that it was in."""
    now: dict[str, str] = {}
    with started(inside, limit) as process:
        for index, (kind, name) in enumerate(steps_of(process)):
            now[kind] = name
            if index == moment.step:
                break
        time.sleep(moment.seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        now.update(dict(steps_of(process)))
    where = f"{now.get('PLAY', '')}: {now.get('TASK', '')}".removesuffix(": ")
    return f"{where} (+{moment.seconds:.1f} s)" if process.returncode else "it had ended"


def unsettled(inside: Inside) -> list[str]:
    """Nodes whose configuration in use is not the one on disk."""
    found = []
    for cluster in CLUSTERS:
        for node in cluster.nodes:
            read = inside.talosctl(cluster.name, "-n", node.address, "get", "mc", "-o", "yaml").stdout
            if len(set(_SPEC.findall(read))) > 1:
                found.append(node.name)
    return found


def one(inside: Inside, moment: Moment, wanted: State, limit: list[str]) -> Kill:
    where = killed_at(inside, moment, limit)
    pending = unsettled(inside)
    begin = time.monotonic()
    done = inside.playbook(PLAYBOOK, *limit, seconds=RUN_SECONDS)
    took = time.monotonic() - begin
    problems = [] if done.returncode == 0 else [f"run again: {failures(done.stdout)}"]
    if state(inside) != wanted:
        problems.append("run again: another state than that of an uninterrupted run")
    problems += [f"{node}: a configuration is pending" for node in unsettled(inside)]
    last = inside.playbook(PLAYBOOK, *limit, seconds=RUN_SECONDS)
    if last.returncode or changed(last.stdout):
        problems.append(f"third run: exit code {last.returncode}, changed={changed(last.stdout)}")
    return Kill(where, pending, took, changed(done.stdout), problems)


def reseed(inside: Inside) -> None:
    for cluster in CLUSTERS:
        Faults(inside, cluster.name).reseed()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--kills", type=int, default=10)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments.add_argument("--limit", help="as of ansible-playbook, for all runs")
    given = arguments.parse_args()
    limit = ["--limit", given.limit] if given.limit else []
    draw = random.Random(given.seed)
    inside = Inside.attach()
    reseed(inside)
    era = state(inside)
    times = uninterrupted(inside, limit)
    wanted = state(inside)
    if wanted == era:
        raise SystemExit("the uninterrupted run changed nothing")
    print(f"seed {given.seed}; an uninterrupted run takes {times[-1]:.0f} s\n", flush=True)
    print("| killed in | nodes with a pending try | run again |\n|---|---|---|", flush=True)
    bad = 0
    for _ in range(given.kills):
        reseed(inside)
        if state(inside) != era:
            raise SystemExit("the sandbox is not back in the HTTP era")
        kill = one(inside, drawn(times, draw), wanted, limit)
        bad += bool(kill.problems)
        print(kill, flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
