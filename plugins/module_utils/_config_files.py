# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: read files of a Git repository, and write those that change, each at once, with its mode and owner.

Line endings and a byte order mark are taken off for the planner and put back as they were.
"""

from __future__ import annotations

import os
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_text
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    Conflict,
    NotPermitted,
    RegistryError,
    Unreachable,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._file_plan import plan_file, referred
from ansible_collections.splithorizon.registry.plugins.module_utils._placeholders import wanted_with_placeholders
from ansible_collections.splithorizon.registry.plugins.module_utils._talhelper import talos_version
from ansible_collections.splithorizon.registry.plugins.module_utils._topf import is_patch_name

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._talos_version import Version

__all__ = ["FILE_SPEC", "step_for_path"]

Json = dict[str, t.Any]

# Kept in step with the documentation of modules that take a path.
FILE_SPEC: Json = {
    "path": {"type": "path"},
    "applies_to": {"type": "str", "default": "all"},
    "talos_version": {"type": "str"},
    "allow_plaintext_secrets": {"type": "bool", "default": False},
}

_MAX_BYTES = 4 * 1024 * 1024
_MAX_FILES = 1000
_LEVELS_TO_TALCONFIG = 6
_TALCONFIG = ("talconfig.yaml", "talconfig.yml")
_BOM = "\ufeff"


@dataclass(frozen=True, kw_only=True)
class _File:
    """``text`` with ``\\n`` at the end of every line; ``bom`` and ``newline`` are how the file itself has it."""

    text: str
    bom: str = ""
    newline: str = "\n"

    def encoded(self, text: str) -> bytes:
        return (self.bom + text.replace("\n", self.newline)).encode()


def step_for_path(params: Mapping[str, t.Any], *, check_mode: bool) -> tuple[list[Change], Json]:
    """What ``path`` and the files it refers to become, written unless in check mode: the changes, and the results."""
    wanted = wanted_with_placeholders(params)
    entry = _entry(Path(params["path"]))
    read = _read_all(entry)
    plan = plan_file(
        str(entry),
        {path: None if file is None else file.text for path, file in read.items()},
        wanted,
        applies_to=params["applies_to"],
        version=_version(params["talos_version"]),
        layer=params["layer"],
        allow_plaintext_secrets=params["allow_plaintext_secrets"],
        substituted=_is_named_by_talconfig(entry),
    )
    if not check_mode:
        for path, text in plan.after.items():
            _write(Path(path), None if text is None else (read.get(path) or _File(text="")).encoded(text))
    changes = [
        Change(what=f"registry settings in {path}", before=_shown(before), after=_shown(after))
        for path, (before, after) in plan.views.items()
    ]
    results = {
        "kind": plan.kind,
        "files": sorted(plan.after),
        "reasons": list(plan.reasons),
        "version": str(plan.version) if plan.version else None,
    }
    return changes, results


def _shown(view: Json) -> str:
    return _yaml_text.render(view) if view else ""


def _version(value: str | None) -> Version | None:
    version = talos_version(value)
    if value and version is None:
        raise BadInput(f"{value!r} is no version of Talos", where="talos_version", cure="Write it as 1.13.6")
    return version


def _entry(path: Path) -> Path:
    """The file itself; topf.yaml for a folder that holds one."""
    if path.is_dir():
        found = path / "topf.yaml"
        if not found.is_file():
            raise BadInput("this is a folder without a topf.yaml", where=str(path), cure="Give a file")
        return found
    if not path.exists():
        raise BadInput("there is no such file", where=str(path))
    return path


def _read_all(entry: Path) -> dict[str, _File | None]:
    """``entry`` and all that it refers to, by path; None for what is not there."""
    first = _read(entry)
    named, folders = referred(str(entry), first.text)
    paths = [Path(path) for path in named]
    for folder in folders:
        paths += [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and is_patch_name(path.name)]
    if len(paths) > _MAX_FILES:
        raise BadInput(f"it refers to more than {_MAX_FILES} files", where=str(entry))
    return {str(entry): first, **{str(path): _read(path) if path.is_file() else None for path in paths}}


def _read(path: Path) -> _File:
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
    return _File(text=text.replace("\r\n", "\n"), bom=bom, newline="\r\n" if crlf else "\n")


def _write(path: Path, content: bytes | None) -> None:
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


def _is_named_by_talconfig(entry: Path) -> bool:
    """Whether a talconfig.yaml of this folder or one above names the file: talhelper's envsubst runs over it then."""
    folder = entry.resolve().parent
    for parent in [folder, *folder.parents][:_LEVELS_TO_TALCONFIG]:
        for found in (parent / name for name in _TALCONFIG):
            if found.is_file() and _names(found, entry.resolve()):
                return True
        if (parent / ".git").exists():
            return False
    return False


def _names(talconfig: Path, entry: Path) -> bool:
    try:
        named, _ = referred(str(talconfig), _read(talconfig).text)
    except RegistryError:
        # Not ours to judge here: it is not the file that was given.
        return False
    return any(Path(path).resolve() == entry for path in named)
