# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: a buildkitd.toml in a file of a repository: the file itself, or a literal block in YAML.

ConfigMaps, values of Helm charts and workflows all have it as text under a key; every other line of the file stays.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_toml import BuildkitPlan, plan
from ansible_collections.splithorizon.registry.plugins.module_utils._config_kind import (
    sops_problem,
    template_problem,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_block import block_content, with_block_content
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import walk

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_wanted import Entry

__all__ = ["KEYS", "plan_source"]

# The file's usual name, as a key of a ConfigMap or of a chart's values, and the input of docker/setup-buildx-action.
KEYS = ("buildkitd.toml", "buildkitd-config-inline")


def plan_source(*, text: str, path: str, key: str | None, wanted: Sequence[Entry]) -> BuildkitPlan:
    """As ``plan``, for the text of the file ``path``, which is YAML where its name says so.

    ``key``: the key of the block in YAML, or the end of its path with dots (``spec.values.config``).
    """
    if not path.endswith((".yaml", ".yml")):
        return plan(text=text, wanted=wanted, where=path)
    if problem := template_problem(path, text) or sops_problem(text):
        raise Conflict(problem[0], where=f"{path}, line {problem[1]}", cure="Edit it by hand")
    node, line = _only_block(text, path, (key,) if key else KEYS)
    content = block_content(text, node)
    if content is None:
        raise Conflict("it is no literal block (|)", where=f"{path}, line {line}", cure="Write it as one, or by hand")
    planned = plan(text=content, wanted=wanted, where=f"{path}, block of line {line}")
    after = with_block_content(text, node, planned.after) if planned.after != planned.before else text
    return replace(planned, before=text, after=after)


def _only_block(text: str, path: str, keys: Sequence[str]) -> tuple[yaml.Node, int]:
    found = [
        (node, line)
        for at, node, line in walk(text)
        if isinstance(node, yaml.ScalarNode) and any(_ends_with(".".join(map(str, at)), key) for key in keys)
    ]
    if len(found) == 1:
        return found[0]
    names = " or ".join(keys)
    if not found:
        raise BadInput(f"it has no text under {names}", where=path, cure="Give the key that holds it as key")
    lines = ", ".join(str(line) for _node, line in found)
    raise BadInput(
        f"it has several texts under {names} (lines {lines})", where=path, cure="Give more of the path as key"
    )


def _ends_with(path: str, key: str) -> bool:
    return f".{path}".endswith(f".{key}")
