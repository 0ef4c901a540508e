# SPDX-License-Identifier: GPL-3.0-or-later
"""The play recap of ansible-playbook, as numbers."""

from __future__ import annotations

import re

__all__ = ["Recap", "changed", "recap"]

Recap = dict[str, dict[str, int]]

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
