# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for secrets where others can read them while something runs: command lines, and files in its folders."""

from __future__ import annotations

import os
import threading
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Leaks"]

PAUSE_SECONDS = 0.1


class Leaks:
    """``found`` has the places after the ``with`` block: ``process talosctl …`` or ``file …``."""

    def __init__(self, secrets: list[str], folder: Path) -> None:
        self.found: set[str] = set()
        self.looked_at: set[str] = set()
        self._secrets = [secret.encode() for secret in secrets]
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Leaks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            for place, content in self._readings():
                self.looked_at.add(place.partition(" ")[0])
                if any(secret in content for secret in self._secrets):
                    self.found.add(place)

    def _readings(self) -> Iterator[tuple[str, bytes]]:
        for process in Path("/proc").glob("[0-9]*"):
            line = _read(process / "cmdline")
            yield f"process {line.partition(bytes(1))[0].decode(errors='replace')}", line
        for folder, _, files in os.walk(self._folder):  # passes over folders that are gone by then
            for file in (Path(folder, name) for name in files):
                yield f"file {file.relative_to(self._folder)}", _read(file)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
