# SPDX-License-Identifier: GPL-3.0-or-later
"""Troubles of the machine that parts meet, which their own words explain badly."""

from __future__ import annotations

import re
import typing as t

if t.TYPE_CHECKING:
    from pathlib import Path

__all__ = ["hints"]

KNOWN = {
    r"(inotify|fsnotify).*too many open files": (
        "this machine allows a user too few inotify instances (a sandbox takes about 70): "
        "sudo sysctl fs.inotify.max_user_instances=512, or end what uses them, such as another sandbox"
    ),
    r"fork.*[Rr]esource temporarily unavailable": (
        "this machine allows a user too few processes and threads: raise `ulimit -u` or the limit of pids of its cgroup"
    ),
    r"no space left on device": "a disk is full",
}


def hints(logs: Path) -> list[str]:
    """What to do about the troubles that the logs tell of."""
    texts = [log.read_text(errors="replace") for log in sorted(logs.glob("*.log"))]
    return [cure for pattern, cure in KNOWN.items() if any(re.search(pattern, text) for text in texts)]
