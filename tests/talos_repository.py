# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus of real Talos files, each added to and taken from, and what came of it.

`make talos-corpus` prints the table of docs/measurements.md; the unit tests assert what it counts.
"""

from __future__ import annotations

import copy
import functools
import typing as t
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.splithorizon.registry.plugins.module_utils import _file_plan, _node_registries
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._placeholders import (
    wanted_with_placeholders,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_version import Version

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT.parent / "shared" / "corpus" / "talos"

MIRROR = {
    "mirrors": [{"name": "harbor.example.org:8443", "endpoints": ["https://a.example.org", "https://h.${D}/v2/x"]}],
    "auth": [{"name": "a.example.org", "username": "robot$pull", "password": "${HARBOR_ROBOT_PASSWORD}"}],
    "tls": [{"name": "a.example.org", "insecure_skip_verify": True}],
}
HOST = {"hosts": [{"ip": "10.43.7.9", "names": ["harbor.example.org"]}]}
ASKED = {"mirror, credentials, TLS": MIRROR, "host entry": HOST}


def params(given: dict[str, t.Any]) -> dict[str, t.Any]:
    """What the module would get: every option of the settings with its default."""
    filled = {name: given.get(name, spec.get("default")) for name, spec in _node_registries.LAYER_SPEC.items()}
    for kind, spec in _node_registries.REGISTRIES_SPEC.items():
        defaults = {name: option.get("default") for name, option in spec["options"].items()}
        items = given.get(kind, spec.get("default"))
        filled[kind] = items and [{**defaults, **item} for item in copy.deepcopy(items)]
    return filled


def wanted(given: dict[str, t.Any]) -> t.Any:
    """The same as a planner takes it."""
    return wanted_with_placeholders(params(given))


@dataclass(frozen=True)
class Outcome:
    """``kind`` of file; ``refused``: why and where; ``back``: whether taking away gave every byte back."""

    kind: str = ""
    refused: str = ""
    reason: str = ""
    back: bool = False
    texts: tuple[str, str, str] = ("", "", "")


@functools.cache
def corpus() -> dict[str, str]:
    """Path in its repository → text; the corpus writes ``/`` as ``__``."""
    files = sorted(CORPUS.iterdir()) if CORPUS.is_dir() else []
    return {path.name.replace("__", "/"): path.read_text(encoding="utf-8") for path in files}


def beside(file: str, files: dict[str, str]) -> dict[str, str]:
    """The file with those it refers to; one that the corpus has not is taken as empty."""
    named, folders = _file_plan.referred(file, files[file])
    in_folders = {path: text for path, text in files.items() for folder in folders if path.startswith(folder + "/")}
    return {file: files[file], **{path: files.get(path, "") for path in named}, **in_folders}


@functools.cache
def round_trip(file: str, what: str, *, layer: str) -> Outcome:
    """Read a file of the corpus without a change, add, add again, take away; ``what``: a key of ASKED."""
    files, asked = corpus(), ASKED[what]
    how: dict[str, t.Any] = {"version": Version(1, 13), "layer": layer}
    try:
        before = beside(file, files)
        unchanged = _file_plan.plan_file(file, before, wanted({}), **how)
        added = _file_plan.plan_file(file, before, wanted(asked), **how)
        with_it = {**before, **added.after}
        again = _file_plan.plan_file(file, with_it, wanted(asked), **how)
        taken = _file_plan.plan_file(file, with_it, wanted({**asked, "state": "absent"}), **how)
    except RegistryError as error:
        return Outcome(refused=str(error), reason=error.problem)
    assert not unchanged.after and not again.after, file
    assert added.after and added.reasons, file
    after = {path: text for path, text in {**with_it, **taken.after}.items() if text is not None}
    changed = next(iter(added.after))
    texts = (before.get(changed, ""), with_it[changed] or "", after.get(changed, ""))
    return Outcome(kind=added.kind, back=after == before, texts=texts)


def _grouped(reason: str) -> str:
    for known in ("template", "no Talos configuration", "JSON patch", "YAML document", "v1alpha1 document", "$patch"):
        if known in reason:
            return known
    return "a line that others share" if "line anew" in reason or "meaning" in reason else reason


def main() -> None:
    for layer in ("v1alpha1", "documents"):
        for what in ASKED:
            outcomes = [round_trip(file, what, layer=layer) for file in corpus()]
            edited = Counter(one.kind for one in outcomes if one.kind and one.back)
            other = Counter(one.kind for one in outcomes if one.kind and not one.back)
            refused = Counter(_grouped(one.reason) for one in outcomes if one.refused)
            print(f"{layer}, {what}: {len(outcomes)} files")
            print("  every byte back:", ", ".join(f"{kind} {count}" for kind, count in edited.most_common()))
            print("  same meaning back:", ", ".join(f"{kind} {count}" for kind, count in other.most_common()) or "none")
            print("  refused:", ", ".join(f"{reason} {count}" for reason, count in refused.most_common()))


if __name__ == "__main__":
    main()
