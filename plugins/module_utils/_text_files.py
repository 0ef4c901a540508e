# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: read files of a Git repository, and write those that change, each at once, with its mode and owner.

Line endings and a byte order mark are taken off for the planner and put back as they were.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    Conflict,
    NotPermitted,
    Unreachable,
)

__all__ = ["TextFile", "read_text", "write_bytes"]

_MAX_BYTES = 4 * 1024 * 1024
_BOM = "\ufeff"


@dataclass(frozen=True, kw_only=True)
class TextFile:
    """``text`` with ``\\n`` at the end of every line; ``bom`` and ``newline`` are how the file itself has it."""

    text: str
    bom: str = ""
    newline: str = "\n"

    def encoded(self, text: str) -> bytes:
        return (self.bom + text.replace("\n", self.newline)).encode()


def read_text(path: Path) -> TextFile:
    """A file of UTF-8 text, of 4 MiB at most, whose lines all end alike."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadInput("the file is larger than 4 MiB", where=str(path))
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise BadInput("the file is not UTF-8 text", where=str(path)) from None
    except PermissionError:
        raise NotPermitted("the file cannot be read", where=str(path)) from None
    except OSError as error:
        raise Unreachable(f"the file cannot be read ({error.strerror})", where=str(path)) from None
    bom = _BOM if text.startswith(_BOM) else ""
    text = text.removeprefix(_BOM)
    has_cr = [line.endswith("\r") for line in text.split("\n")[:-1]]
    crlf = bool(has_cr) and has_cr[0]
    if (not crlf) in has_cr:
        where = f"{path} line {has_cr.index(not crlf) + 1}"
        raise Conflict("some lines end with CRLF and some do not", where=where, cure="Make them all alike")
    return TextFile(text=text.replace("\r\n", "\n"), bom=bom, newline="\r\n" if crlf else "\n")


def write_bytes(path: Path, content: bytes | None) -> None:
    """All of it or nothing: a new file takes the place of the old one, with its mode and owner."""
    # A link in the repository stays a link.
    path = path.resolve()
    try:
        if content is None:
            path.unlink()
            return
        old = path.stat() if path.exists() else None
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if old:
                os.chown(name, old.st_uid, old.st_gid)
            Path(name).chmod(old.st_mode & 0o7777 if old else 0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except PermissionError:
        raise NotPermitted("the file cannot be written", where=str(path)) from None
    except OSError as error:
        raise Unreachable(f"the file cannot be written ({error.strerror})", where=str(path)) from None


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
