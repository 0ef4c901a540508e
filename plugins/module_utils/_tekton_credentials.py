# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: which steps that push to our registry are given no credentials, and the projection that gives them some.

A Secret of type kubernetes.io/dockerconfigjson has its text under ``.dockerconfigjson``, and builders look for a
``config.json``: the projection names it so, in place of a step that copies it.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._builder_flags import (
    CONTAINERS,
    builder_of,
    pushed_images,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._builder_lists import list_images
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_values import OURS
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_scalars import Put

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._image_references import Registry
    from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_objects import Reading, Step
    from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_units import Unit
    from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import Path, Tree

__all__ = ["projection", "steps_without_credentials"]

_VOLUME = "registry-credentials"
_FOLDER = f"/{_VOLUME}"
# By any of these a step's author has thought of credentials.
_VARIABLES = frozenset({"DOCKER_CONFIG", "REGISTRY_AUTH_FILE"})
_IN_SCRIPT = re.compile(r"DOCKER_CONFIG|REGISTRY_AUTH_FILE|\.docker\b|config\.json|authfile|\blogin\b|--creds\b")
_FOR_OTHERS = {"name": "DOCKER_CONFIG", "value": _FOLDER}
_FOR_CONTAINERS = {"name": "REGISTRY_AUTH_FILE", "value": f"{_FOLDER}/config.json"}


def steps_without_credentials(reading: Reading, units: Iterable[Unit], registry: Registry) -> Iterator[Step]:
    """Steps that push to our registry, and have nothing in their text that gives them credentials.

    Those that Tekton takes from the ServiceAccount of a run are in no text. A StepAction has no volumes of its own.
    """
    units = list(units)
    for step in reading.steps:
        task = _at(reading.object.tree, step.task)
        if step.task != step.path and not _has_credentials(step, task) and _pushes(step, units, registry):
            yield step


def projection(step: Step, units: Iterable[Unit], *, tree: Mapping[str, Tree], secret: str) -> Iterator[Put]:
    """The edits that give a step the Secret as ``config.json``; that of the volume is the same for all of its Task."""
    volumes = _items(_at(tree, step.task), "volumes")
    if all(each.get("name") != _VOLUME for each in volumes):
        source = {"secretName": secret, "items": [{"key": ".dockerconfigjson", "path": "config.json"}]}
        yield Put(path=(*step.task, "volumes", len(volumes)), value={"name": _VOLUME, "secret": source})
    mount = {"name": _VOLUME, "mountPath": _FOLDER}
    yield Put(path=(*step.path, "volumeMounts", len(_items(step.node, "volumeMounts"))), value=mount)
    commands = [command for unit in units if unit.step is step for command in unit.commands]
    builders = {builder_of(command.words) or command.tool for command in commands}
    variable = _FOR_CONTAINERS if CONTAINERS in builders else _FOR_OTHERS
    yield Put(path=(*step.path, "env", len(_items(step.node, "env"))), value=variable)


def _has_credentials(step: Step, task: Mapping[str, Tree]) -> bool:
    template = task.get("stepTemplate") or {}
    mounts = [*_items(step.node, "volumeMounts"), *_items(template, "volumeMounts"), *_items(task, "workspaces")]
    variables = {str(each.get("name")) for node in (step.node, template) for each in _items(node, "env")}
    text = "".join(str(step.node.get(key, "")) for key in ("script", "command", "args"))
    in_mounts = any(".docker" in str(each.get("mountPath", "")) for each in mounts)
    return bool(_VARIABLES & variables) or in_mounts or _IN_SCRIPT.search(text) is not None


def _pushes(step: Step, units: Iterable[Unit], registry: Registry) -> bool:
    for unit in units:
        images = [image for word in unit.words for part in word.split() for image in list_images(part)]
        images += [image for command in unit.commands for image in pushed_images(command.words, tool=command.tool)]
        own = images if unit.step is step else []
        if any(unit.context.verdict(registry, images=[image]).state == OURS for image in own):
            return True
    return False


def _items(node: Mapping[str, Tree], key: str) -> list[Mapping[str, Tree]]:
    values = node.get(key)
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []


def _at(tree: Tree, path: Path) -> Tree:
    for part in path:
        tree = tree[part]
    return tree
