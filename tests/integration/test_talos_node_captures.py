# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's Talos node answers the real talosctl as a real Talos v1.13.0 node did.

Every captured case is played once, in its capture's order, by ``talos_replay``; each test compares one case. The two
captures are played side by side, each to a node of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from sandbox import build

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "talos-1.13"
REPLAY = Path(__file__).with_name("talos_replay.py")
SECONDS = 540

# The captured machine had no way to the image registries, so its etcd and kubelet had failed; here they run.
OTHER_SERVICES = ("etcd", "kubelet")

pytestmark = pytest.mark.captures


def _cases(name: str) -> list[t.Any]:
    file = CAPTURES / name
    if not file.is_file():
        reason = "no captures of the real systems beside this checkout (../shared)"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(case, id=case["name"]) for case in yaml.safe_load(file.read_text())]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, t.Any]]:
    """The node's answers by captured file and case."""
    programs = Path(os.environ.get("TALOS_PROGRAMS", build.BIN))
    if not all((programs / name).exists() for name in ("talosctl", "talos-node")):
        build.build_all()
    folders = {capture: tmp_path_factory.mktemp(capture) for capture in ("recorded", "ground-truth")}
    network = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    command = [*network, "--kill-child", sys.executable, str(REPLAY), str(programs), str(CAPTURES)]
    played = {
        capture: subprocess.Popen([*command, str(folder), capture], stderr=subprocess.PIPE, text=True)
        for capture, folder in folders.items()
    }
    for process in played.values():
        said = process.communicate(timeout=SECONDS)[1]
        assert process.returncode == 0, said
    return {capture: json.loads((folder / f"{capture}.json").read_text()) for capture, folder in folders.items()}


@pytest.mark.parametrize("case", _cases("recorded.yaml"))
def test_command(case: dict[str, t.Any], answers: dict[str, dict[str, t.Any]]) -> None:
    answer = answers["recorded"][case["name"]]
    wanted, got = _comparable(case), _comparable(answer)
    if case["rc"] == 2:  # talosctl's own panic: the rest is the stack
        wanted["stderr"], got["stderr"] = (text["stderr"].split("\n")[0] for text in (wanted, got))
    if case["name"] == "service":
        wanted["stdout"], got["stdout"] = _services(case["stdout"]), _services(answer["stdout"])
    assert got == wanted


@pytest.mark.parametrize("case", _cases("ground-truth.yaml"))
def test_files(case: dict[str, t.Any], answers: dict[str, dict[str, t.Any]]) -> None:
    answer = answers["ground-truth"][case["name"]]
    assert set(answer.pop("modes")) == ({"40700", "100600"} if case["hosts_tree"] else set())
    for step in answer["steps"]:
        step["stderr"] = step["stderr"].replace("10.5.0.2", "<node>").strip()
    wanted = {key: value for key, value in case.items() if key != "name"}
    wanted["steps"] = [{key: step[key] for key in ("rc", "stdout", "stderr")} for step in case["steps"]]
    assert answer == wanted


# What differs from run to run or was taken out of the captures, and what stands for it.
SUBSTITUTES = (
    (r"(?m)^(\s*(?:token|crt|key|secret|secretboxEncryptionSecret|id)): (?!v1alpha1|persistent).*$", r"\1: <redacted>"),
    (r"\\n(\s*(?:token|crt|key|secret|secretboxEncryptionSecret|id)): .*?(?=\\n)", r"\\n\1: <redacted>"),
    (r"sha256:[0-9a-f]{64}", "sha256:<redacted>"),
    (r"go1\.\d+(\.\d+)?", "<go>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
    (r"\d{4}-\d\d-\d\d", "<date>"),
    (r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d", "<time>"),
    (r"(\d+h)?(\d+m)?\d+s ago", "<age> ago"),
    (r"(version\"?: )\d+", r"\1<n>"),
    (r"(MachineConfig +\S+ +)\d+", r"\1<n>"),
    (r"(d[rwx-]{9} +0 +0 +)\d+", r"\1<size>"),  # of a directory: a matter of its file system
)


def _comparable(answer: dict[str, t.Any]) -> dict[str, t.Any]:
    rc = "timeout" if str(answer["rc"]).startswith("timeout") else answer["rc"]
    return {"rc": rc, "stdout": _plain(answer["stdout"]), "stderr": _plain(answer["stderr"])}


def _plain(text: str) -> str:
    for pattern, substitute in SUBSTITUTES:
        text = re.sub(pattern, substitute, text)
    if text.startswith("NODE"):  # a table: its columns are as wide as what was substituted
        text = re.sub(r" {2,}", "  ", text)
    return text


def _services(table: str) -> list[str]:
    lines = [line.split() for line in _plain(table).splitlines() if line.startswith(("NODE", "10.5.0.2"))]
    return [" ".join(line) for line in lines if line[1] not in OTHER_SERVICES]
