# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-playbook printed, as data: the play recap's numbers, and who failed with which message."""

from __future__ import annotations

import re
import textwrap

import yaml

__all__ = ["Recap", "changed", "failures", "recap"]

Recap = dict[str, dict[str, int]]

_FAILED = re.compile(r"^(?:fatal|failed): \[([^\] ]+)[^\]]*\].*=> *\n((?: {4}.*\n)+)", re.MULTILINE)
_LINE = re.compile(r"^(\S+)\s+: (ok=\d+.*)$")


def recap(output: str) -> Recap:
    """Host → counter → number, of the last recap in ``output``."""
    _, _, text = output.rpartition("PLAY RECAP")
    found: Recap = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            pairs = (pair.split("=") for pair in match[2].split())
            found[match[1]] = {name: int(number) for name, number in pairs}
    return found


def changed(output: str) -> int:
    """How many changes the run reported, over all hosts."""
    return sum(counters["changed"] for counters in recap(output).values())


def failures(output: str) -> dict[str, list[str]]:
    """Host → the messages it failed with, rescued ones too; of results printed as YAML."""
    found: dict[str, list[str]] = {}
    for host, result in _FAILED.findall(output):
        found.setdefault(host, []).append(str(yaml.safe_load(textwrap.dedent(result))["msg"]))
    return found
