# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: read Talos configuration in files of a Git repository, and write those that change."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_nodes
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    RegistryError,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._file_plan import plan_file, referred
from ansible_collections.splithorizon.registry.plugins.module_utils._placeholders import wanted_with_placeholders
from ansible_collections.splithorizon.registry.plugins.module_utils._talhelper import talos_version
from ansible_collections.splithorizon.registry.plugins.module_utils._text_files import TextFile, read_text, write_bytes
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

_MAX_FILES = 1000
_LEVELS_TO_TALCONFIG = 6
_TALCONFIG = ("talconfig.yaml", "talconfig.yml")


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
            write_bytes(Path(path), None if text is None else (read.get(path) or TextFile(text="")).encoded(text))
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
    return _yaml_nodes.render(view) if view else ""


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


def _read_all(entry: Path) -> dict[str, TextFile | None]:
    """``entry`` and all that it refers to, by path; None for what is not there."""
    first = read_text(entry)
    named, folders = referred(str(entry), first.text)
    paths = [Path(path) for path in named]
    for folder in folders:
        paths += [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and is_patch_name(path.name)]
    if len(paths) > _MAX_FILES:
        raise BadInput(f"it refers to more than {_MAX_FILES} files", where=str(entry))
    return {str(entry): first, **{str(path): read_text(path) if path.is_file() else None for path in paths}}


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
        named, _ = referred(str(talconfig), read_text(talconfig).text)
    except RegistryError:
        # Not ours to judge here: it is not the file that was given.
        return False
    return any(Path(path).resolve() == entry for path in named)
