# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the sandbox, with all that has to be there before its network closes around it, and the door to it."""

from __future__ import annotations

import shutil
import typing as t

from . import build, interpreter, keeper, packages
from .model import STAGES
from .paths import paths
from .process import Failed

if t.TYPE_CHECKING:
    from .keeper import Leash

__all__ = ["start"]


def start(*, until: str = STAGES[-1], lifetime: str = keeper.LIFETIME, built: bool = True) -> Leash | None:
    """As ``keeper.up``, showing progress; ``built=False`` takes the programs that are there."""
    _provide(until, built=built)
    leash = keeper.up(paths(), until=until, lifetime=lifetime, say=lambda line: print(line, flush=True))
    interpreter.provide(paths())
    return leash


def _provide(until: str, *, built: bool) -> None:
    """Packages, programs, fetched manifests: what the stages up to ``until`` need."""
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
