# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: how the newest runs of Tekton that use a registry came out. A run that has begun never changes its names."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = ["KINDS", "Run", "newest_runs"]

KINDS = (("tekton.dev/v1", "PipelineRun"), ("tekton.dev/v1", "TaskRun"))
# What a run is one of: its Pipeline or Task, by the labels that Tekton gives it.
_OF = ("tekton.dev/pipeline", "tekton.dev/task")
_SUFFIX = re.compile(r"-[a-z0-9]{5}$")
_MAX_MESSAGE = 300


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run; ``message`` is Tekton's own."""

    kind: str
    namespace: str
    name: str
    of: str
    succeeded: bool
    finished: str
    message: str

    @property
    def shown(self) -> Json:
        """As modules return it."""
        keys = ("kind", "namespace", "name", "of", "succeeded", "finished", "message")
        return {key: getattr(self, key) for key in keys}


def newest_runs(objects: Iterable[Json], *, host: str) -> list[Run]:
    """Of every Pipeline (and every Task that runs by itself) the newest finished run in which ``host`` is named."""
    named = re.compile(rf"(?<![A-Za-z0-9.-]){re.escape(host)}(?![A-Za-z0-9-]|\.[A-Za-z0-9])")
    newest: dict[tuple[str, str], Run] = {}
    for one in objects:
        run = _run(one)
        if run is None or not named.search(json.dumps([one["spec"], one["status"]])):
            continue
        key = (run.namespace, run.of)
        if key not in newest or newest[key].finished < run.finished:
            newest[key] = run
    return sorted(newest.values(), key=lambda run: (run.namespace, run.of))


def _run(one: Json) -> Run | None:
    metadata, status = one["metadata"], one.get("status") or {}
    found = [each for each in status.get("conditions") or [] if each["type"] == "Succeeded"]
    condition: Json = found[0] if found else {}
    owners = {owner["kind"] for owner in metadata.get("ownerReferences") or []}
    if condition.get("status") not in ("True", "False") or "PipelineRun" in owners:
        return None
    labels = metadata.get("labels") or {}
    return Run(
        kind=one["kind"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        of=next((labels[key] for key in _OF if key in labels), _SUFFIX.sub("", metadata["name"])),
        succeeded=condition["status"] == "True",
        finished=str(status.get("completionTime") or condition.get("lastTransitionTime") or ""),
        message=str(condition.get("message") or "")[:_MAX_MESSAGE],
    )
