# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be there before the sandbox's network closes around it: packages, programs, fetched manifests."""

from __future__ import annotations

import shutil

from . import build, packages
from .model import STAGES
from .process import Failed

__all__ = ["prepare"]


def prepare(until: str, *, built: bool = True) -> None:
    """Have everything that the stages up to ``until`` need; ``built=False`` takes the programs that are there."""
    packages.provide()
    if until == STAGES[0]:
        return
    if built:
        build.build_all()
    if until == STAGES[-1]:
        _provide_manifests()


def _provide_manifests() -> None:
    from . import workloads  # noqa: PLC0415 (brings templates and more, which a start of fewer stages can do without)

    if not shutil.which("go"):
        raise Failed("manifests come from Go modules: install Go 1.26 or newer and put `go` on PATH")
    workloads.provide()
