# SPDX-License-Identifier: GPL-3.0-or-later
"""Many simulated Talos nodes: to try things on (``serve``), and what reading and changing them costs (``measure``).

    PYTHONPATH=tests .venv/bin/python tests/benchmark/fleet.py serve --nodes 100 --differ 3
    PYTHONPATH=tests .venv/bin/python tests/benchmark/fleet.py measure

``measure`` runs ``talos_registry_survey`` as Ansible runs it, and by turns ``xargs -P`` over talosctl, which reads the
same of each node; then a rollout to nodes of which some differ.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import yaml

from sandbox.paths import ROOT
from sandbox.recap import changed
from sandbox.talos_fleet import Fleet, program, subnet

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CLUSTER = "fleet"
CONTROL_PLANES = 3
SIZES = (1, 10, 100)
ROUNDS = 3
ROLLOUT, DIFFERENT = 20, 3
PATIENCE = 10
AT_ONCE = 8
COMMAND_SECONDS = 600
SAMPLE_SECONDS = 0.05

REGISTRY = "harbor.example.com"
WANTED: dict[str, t.Any] = {
    "mirrors": [{"name": REGISTRY, "endpoints": [f"https://{REGISTRY}"], "skip_fallback": True}],
    "auth": [{"name": REGISTRY, "username": "robot$cluster-pull", "password": "simulated"}],
    "hosts": [{"ip": "10.96.7.9", "names": [REGISTRY]}],
}
PATCH = f"""
machine:
  registries:
    mirrors: {{{REGISTRY}: {{endpoints: ["https://{REGISTRY}"], skipFallback: true}}}}
    config: {{{REGISTRY}: {{auth: {{username: robot$cluster-pull, password: simulated}}}}}}
  network:
    extraHostEntries: [{{ip: 10.96.7.9, aliases: [{REGISTRY}]}}]
"""
SHELL = """
printf '%s\\n' {nodes} | xargs -P {at_once} -I@ sh -c '{ctl} -n @ version && {ctl} -n @ get mc -o yaml' >/dev/null
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds by the clock and of processors, and the most memory that all its processes had at once (MB)."""

    wall: float
    cpu: float
    memory: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    serve_options = commands.add_parser("serve", help="start nodes, say how to reach them, end with SIGINT or SIGTERM")
    serve_options.add_argument("--nodes", type=int, default=100)
    serve_options.add_argument("--differ", type=int, default=0, help="so many of them have another mirror endpoint")
    measure_options = commands.add_parser("measure", help="what a survey and a rollout cost")
    measure_options.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    measure_options.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    if options.command == "serve":
        serve(options.nodes, options.differ)
    else:
        measure(options.sizes, options.rounds)
    return 0


# --- the nodes ---


@contextlib.contextmanager
def running(nodes: int, *, differ: int = 0) -> Iterator[Fleet]:
    """A cluster that is as WANTED but for the ``differ`` last nodes."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        fleet = Fleet(Path(folder), reboot_seconds=2)
        patch = Path(folder) / "wanted.yaml"
        patch.write_text(PATCH)
        addresses = [f"{subnet()}.{number}" for number in range(1, nodes + 1)]
        made = fleet.add(CLUSTER, addresses, control_planes=min(CONTROL_PLANES, nodes), patches=[patch])
        for node in made[nodes - differ :]:
            config = fleet.config(node)
            config.write_text(config.read_text().replace(f"https://{REGISTRY}", "http://harbor-core.default"))
        try:
            fleet.start()
            yield fleet
        finally:
            fleet.stop()


def serve(nodes: int, differ: int) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running(nodes, differ=differ) as fleet, contextlib.suppress(KeyboardInterrupt):
        print(f"export TALOSCONFIG={fleet.talosconfig}")
        print(f"talosctl: {program('talosctl')}")
        print(f"nodes: {_addresses(fleet)}")
        print(f"survey, then the nodes that differ: ansible-playbook -i {_inventory(fleet)} {_playbook(fleet)}")
        print(f"state of node N (control.json): {fleet.folder}/nodes/{CLUSTER}-N/state", flush=True)
        signal.pause()


def _inventory(fleet: Fleet) -> Path:
    """As a site's, with what a run against Kubernetes would find out of it filled in."""
    members = {node.name: {"talos_address": node.address} for node in fleet.nodes.values()}
    groups = {"nodes": {"hosts": members}, f"registry_nodes_of_{CLUSTER}": {"hosts": dict.fromkeys(members)}}
    given = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "registry_name": REGISTRY,
        "registry_internal_name": "harbor-core.default.svc.cluster.local",
        "registry_talosconfig": str(fleet.talosconfig),
        "registry_kubeconfig": os.devnull,
        "registry_cluster": CLUSTER,
        "nodes_transport": "https",
        "nodes_wanted": {**WANTED, "tls": []},
        "nodes_pull_names": [],
        "nodes_spegel": False,
        "nodes_kubernetes": False,
    }
    path = fleet.folder / "inventory.yml"
    path.write_text(yaml.safe_dump({"all": {"children": groups, "vars": given}}, sort_keys=False))
    return path


def _addresses(fleet: Fleet) -> str:
    return " ".join(node.address for node in fleet.nodes.values())


def _access(fleet: Fleet) -> dict[str, t.Any]:
    return {"talosconfig": str(fleet.talosconfig), "talosctl": str(program("talosctl")), "talos_context": CLUSTER}


def _survey_options(fleet: Fleet) -> dict[str, t.Any]:
    return {"nodes": _addresses(fleet).split(), **_access(fleet), **WANTED}


# --- what they cost ---


def measure(sizes: Sequence[int], rounds: int) -> None:
    simulated: list[str] = []
    print("| nodes | | seconds | CPU seconds | memory, MB |\n|---|---|---|---|---|", flush=True)
    for size in sizes:
        with running(size) as fleet:
            turns = [(_survey(fleet), _shell(fleet)) for _ in range(rounds)]
            _row(size, "`talos_registry_survey`, by `ansible`", [survey for survey, _ in turns])
            _row(size, f"`xargs -P {AT_ONCE}` over `talosctl`", [shell for _, shell in turns])
            if size > 1:
                what = f"the same with `talos_timeout: {PATIENCE}`; one node takes requests and never answers"
                _row(size, what, [_survey_of_one_that_hangs(fleet)])
            simulated.append(f"{size}: {_highest(fleet.pid):.0f} MB")
    with running(ROLLOUT, differ=DIFFERENT) as fleet:
        _row(ROLLOUT, f"{DIFFERENT} differ: survey, then the role `nodes` on each of them", [_rollout(fleet)])
        _row(ROLLOUT, "survey again: nothing differs", [_survey(fleet)])
    print(f"The process that plays the nodes: {', '.join(simulated)}; load of the machine: {os.getloadavg()[1]:.0f}")


def _row(size: int, what: str, costs: Sequence[Cost]) -> None:
    def spread(values: Sequence[float], digits: int) -> str:
        marks = (min(values), statistics.median(values), max(values)) if len(values) > 1 else values
        return ", ".join(f"{value:.{digits}f}" for value in marks)

    wall, cpu = spread([cost.wall for cost in costs], 2), spread([cost.cpu for cost in costs], 2)
    print(f"| {size} | {what} | {wall} | {cpu} | {max(cost.memory for cost in costs):.0f} |", flush=True)


def _survey(fleet: Fleet, *, failing: int = 0, **options: t.Any) -> Cost:
    cost, output = _module("talos_registry_survey", {**_survey_options(fleet), **options})
    found = output["nodes"].values()
    errors = [node["error"] for node in found if node["error"]]
    if len(errors) != failing or len(found) != len(fleet.nodes) or any(node["differs"] for node in found):
        raise SystemExit(f"the survey went wrong: {errors or output}")
    return cost


def _survey_of_one_that_hangs(fleet: Fleet) -> Cost:
    node = list(fleet.nodes.values())[len(fleet.nodes) // 2]
    (node.state / "control.json").write_text(json.dumps({"before-read": {"action": "hang"}}))
    return _survey(fleet, failing=1, talos_timeout=PATIENCE)


def _shell(fleet: Fleet) -> Cost:
    ctl = f"{program('talosctl')} --talosconfig {fleet.talosconfig}"
    command = SHELL.format(nodes=_addresses(fleet), at_once=AT_ONCE, ctl=ctl)
    return _measured(["sh", "-c", command])[0]


def _rollout(fleet: Fleet) -> Cost:
    command = [str(_tool("ansible-playbook")), "-i", str(_inventory(fleet)), str(_playbook(fleet))]
    cost, output = _measured(command)
    if changed(output) != DIFFERENT:
        raise SystemExit(f"the rollout went wrong: {output[-2000:]}")
    return cost


def _playbook(fleet: Fleet) -> Path:
    """What site.yml does to nodes, one at a time, without an image to pull."""
    role = "splithorizon.registry.nodes"
    survey = [
        {"include_role": {"name": role, "tasks_from": "survey.yml"}},
        {
            "group_by": {"key": "differs"},
            "changed_when": False,
            "when": f"hostvars['{CLUSTER}-1'].nodes_survey.nodes[talos_address].differs",
        },
    ]
    plays = [
        {"hosts": "nodes", "tasks": survey},
        {"hosts": "differs", "serial": 1, "tasks": [{"include_role": {"name": role}}]},
    ]
    common = {"gather_facts": False, "module_defaults": {"group/splithorizon.registry.talos": _access(fleet)}}
    path = fleet.folder / "rollout.yml"
    path.write_text(yaml.safe_dump([{**play, **common} for play in plays], sort_keys=False))
    return path


def _tool(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def _module(name: str, options: dict[str, t.Any]) -> tuple[Cost, dict[str, t.Any]]:
    module = f"splithorizon.registry.{name}"
    command = [str(_tool("ansible")), "localhost", "-i", "localhost,", "-c", "local", "-m", module]
    command += ["-e", f"ansible_python_interpreter={sys.executable}", "-a", json.dumps(options)]
    cost, output = _measured(command)
    result: dict[str, t.Any] = json.loads(output.split("=>", 1)[1])
    return cost, result


def _measured(command: Sequence[str]) -> tuple[Cost, str]:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    used, begin = _cpu(), time.monotonic()
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)
    with _memory_of(process.pid) as highest:
        output, errors = process.communicate(timeout=COMMAND_SECONDS)
        wall = time.monotonic() - begin
    if process.returncode:
        raise SystemExit(f"{' '.join(command)[:200]} ...: {errors or output}")
    return Cost(wall=wall, cpu=_cpu() - used, memory=highest[0]), output


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def _memory_of(pid: int) -> Iterator[list[float]]:
    """The most that a process and all below it had at once, in MB; what they share counts once."""
    highest, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE_SECONDS):
            highest[0] = max(highest[0], _proportional(pid))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield highest
    finally:
        over.set()
        thread.join()


def _proportional(pid: int) -> float:
    try:
        own = next(
            line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")
        )
        tasks = [task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except (OSError, StopIteration):  # it has ended
        return 0.0
    return int(own.split()[1]) * 1024 / 1e6 + sum(_proportional(int(child)) for ids in tasks for child in ids)


def _highest(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main())
