# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for secrets where others can read them while something runs: command lines, and files in its folder.

inotify tells of files, so that one that comes and goes is seen: it is opened when it appears, and read when its writer
closes it, though it may have no name any more. One instance of inotify, of the 128 that a user has.
"""

from __future__ import annotations

import os
import threading
import typing as t
from pathlib import Path

from inotify_simple import INotify, flags

if t.TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Leaks"]

PAUSE_SECONDS = 0.1
EVENTS = flags.CREATE | flags.MOVED_TO | flags.CLOSE_WRITE | flags.ONLYDIR
# A FIFO must not be waited for, nor a link lead elsewhere.
HOW = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Leaks:
    """``found`` has the places after the ``with`` block: ``process talosctl …`` or ``file …``.

    ``looked_at``: the kinds of places that were read. ``missed``: files that were gone before they could be opened.
    """

    def __init__(self, secrets: list[str], folder: Path) -> None:
        self.found: set[str] = set()
        self.looked_at: set[str] = set()
        self.missed: set[str] = set()
        self._secrets = [secret.encode() for secret in secrets]
        self._files = _Files(folder, self._look)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=one) for one in (self._watch_processes, self._watch_files)]

    def __enter__(self) -> Leaks:
        self._files.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.missed = self._files.stop()

    def _watch_files(self) -> None:
        while not self._over.is_set():
            self._files.take(milliseconds=int(PAUSE_SECONDS * 1000))

    def _watch_processes(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            for process in Path("/proc").glob("[0-9]*"):
                line = _read(process / "cmdline")
                self._look(f"process {line.partition(bytes(1))[0].decode(errors='replace')}", line)

    def _look(self, place: str, content: bytes) -> None:
        self.looked_at.add(place.partition(" ")[0])
        if any(secret in content for secret in self._secrets):
            self.found.add(place)


class _Files:
    """What is written below a folder, folders that come later among it; ``look`` gets each file's place and content."""

    def __init__(self, folder: Path, look: Callable[[str, bytes], None]) -> None:
        self._folder, self._look = folder, look
        self._folders: dict[int, Path] = {}
        self._open: dict[Path, int] = {}
        self._missed: set[Path] = set()
        self._lost = False
        self._inotify = INotify()

    def start(self) -> None:
        self._enter(self._folder)

    def stop(self) -> set[str]:
        """The files that nobody could look into, after those that were never closed were read too."""
        self.take(milliseconds=0)
        for path in list(self._open):
            self._read(path)
        self._inotify.close()
        if self._lost:
            raise RuntimeError("inotify has lost events: not every file was seen")
        return {str(path.relative_to(self._folder)) for path in self._missed}

    def take(self, *, milliseconds: int) -> None:
        for event in self._inotify.read(timeout=milliseconds):
            if event.mask & flags.Q_OVERFLOW:
                self._lost = True
            if not event.name or event.wd not in self._folders:
                continue  # the folder itself is gone
            path = self._folders[event.wd] / event.name
            if event.mask & flags.ISDIR:
                self._enter(path)
            elif event.mask & flags.CREATE:
                self._hold(path)
            else:
                self._read(path)

    def _enter(self, folder: Path) -> None:
        """Watch a folder. What came before that is read as it is, and told again when it is closed."""
        try:
            self._folders[self._inotify.add_watch(folder, EVENTS)] = folder
            there = list(os.scandir(folder))
        except OSError:  # it has gone, with all that was in it
            self._missed.add(folder)
            return
        for entry in there:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                self._enter(path)
            elif entry.is_file(follow_symlinks=False):
                self._look(self._place(path), _read(path))

    def _hold(self, path: Path) -> None:
        try:
            self._open[path] = os.open(path, HOW)
        except FileNotFoundError:
            self._missed.add(path)
        except OSError:  # a socket, a link
            pass

    def _read(self, path: Path) -> None:
        """What its writer has left, by the file that was opened or by its name."""
        if path not in self._open:
            self._hold(path)
        if (held := self._open.pop(path, None)) is not None:
            with os.fdopen(held, "rb") as file:
                self._look(self._place(path), file.read() or b"")
            self._missed.discard(path)

    def _place(self, path: Path) -> str:
        return f"file {path.relative_to(self._folder)}"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
