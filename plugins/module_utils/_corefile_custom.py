# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: rewrites in a file that a Corefile imports, where the Corefile itself belongs to somebody else.

k3s and AKS write their Corefile anew at will and import ``custom/*.override`` into its server block and
``custom/*.server`` beside it, both from the ConfigMap ``coredns-custom``. The whole is planned as CoreDNS reads it, and
only the lines of one key are changed.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import PurePosixPath

from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import Edit, apply_edits
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_tokens import words
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan, plan_rewrites

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import Rewrite

__all__ = ["compose", "plan_custom"]


def compose(corefile: str, files: Mapping[str, str]) -> str:
    """The Corefile with the files of its folder ``custom`` in the place of their imports, by the order of names."""
    edits = []
    found = words(corefile)
    for index, (word, pattern) in enumerate(pairwise(found)):
        starts_line = index == 0 or found[index - 1].last_line < word.line
        path = PurePosixPath(pattern.text)
        if word.text != "import" or not starts_line or path.parent.name != "custom":
            continue
        contents = [files[name] for name in sorted(files) if fnmatchcase(name, path.name)]
        edits.append(Edit(word.start, pattern.end, "".join(f"\n{content}\n" for content in contents)))
    return apply_edits(corefile, edits)


def plan_custom(
    *,
    corefile: str,
    files: Mapping[str, str],
    key: str,
    wanted: Sequence[Rewrite],
    exact: bool = False,
    version: tuple[int, ...] | None = None,
    where: str,
    port: int,
) -> RewritePlan:
    """As ``plan_rewrites``, in ``files[key]``, which may be missing. Lines in errors count with the imports put in."""

    def plan(files: Mapping[str, str]) -> RewritePlan:
        text = compose(corefile, files)
        return plan_rewrites(text=text, wanted=wanted, exact=exact, version=version, where=where, port=port)

    before = files.get(key, "")
    planned = plan(files)
    after = _without(before, planned.removed, where) + "".join(f"{line}\n" for line in planned.added)
    if plan({**files, key: after}).changes:
        raise Conflict(
            "the rules would not take effect there: the server block that answers the name does not import this key, "
            "or what comes before the import stops the question",
            where=where,
            cure="Let the Corefile import custom/*.override in that server block, before other rewrites",
        )
    return replace(planned, before=before, after=after)


def _without(text: str, statements: Sequence[str], where: str) -> str:
    lines = text.splitlines(keepends=True)
    for statement in statements:
        line = next((line for line in lines if " ".join(line.split()) == statement), None)
        if line is None:
            raise Conflict(f"'{statement}' stands elsewhere", where=where, cure="Take it out there by hand")
        lines.remove(line)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return "".join(lines)
