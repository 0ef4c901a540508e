# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: the ConfigMaps that hold a Corefile, or what k3s and AKS import into theirs."""

from __future__ import annotations

import typing as t
from difflib import SequenceMatcher

from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_custom import plan_custom
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    Conflict,
    RegistryError,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._node_local import plan_corefile

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import Asked

__all__ = ["CorefileMap", "CustomMap", "without_edit"]

WRITE_ATTEMPTS = 5


class CorefileMap:
    """The Corefile in a key of a ConfigMap."""

    def __init__(self, cluster: Cluster, *, namespace: str, name: str, key: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self.key = key
        self.where = f"ConfigMap {namespace}/{name}, key {key}"

    def plan(self, text: str, **asked: t.Unpack[Asked]) -> RewritePlan:
        """What is asked for, planned in the ``text`` that ``read`` gave."""
        return plan_corefile(text=text, where=self.where, **asked)

    def read(self) -> tuple[str, Json]:
        """The Corefile and the metadata of its ConfigMap; BadInput where there is none."""
        found = self._cluster.get("v1", "ConfigMap", self._namespace, self._name)
        if found is None:
            raise BadInput(
                "there is no such ConfigMap", where=self.where, cure="Name the one that the CoreDNS pods mount"
            )
        text = (found.get("data") or {}).get(self.key)
        if text is None:
            keys = ", ".join(found.get("data") or {}) or "none"
            raise BadInput("there is no such key", where=self.where, cure=f"Its keys are: {keys}")
        return text, found["metadata"]

    def write(self, text: str, *, version: str | None) -> Json:
        """Put ``text`` in the place of the one read with resource version ``version``; gives the new metadata."""
        body = {"metadata": {"resourceVersion": version}, "data": {self.key: text}}
        written = self._cluster.merge("v1", "ConfigMap", self._namespace, self._name, body)
        return t.cast("Json", written["metadata"])

    def edit(self, plan: Callable[[str], RewritePlan]) -> tuple[RewritePlan, Json]:
        """Read, plan and write; from the start again, a bounded number of times, where somebody wrote in between."""
        for attempt in range(1, WRITE_ATTEMPTS + 1):
            text, metadata = self.read()
            planned = plan(text)
            if not planned.changes:
                return planned, metadata
            try:
                return planned, self.write(planned.after, version=metadata.get("resourceVersion"))
            except Conflict:
                if attempt == WRITE_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def put_back(self, plan: RewritePlan, written: Json) -> str:
        """Undo an edit; says in a sentence whether it worked. What others wrote in the meantime stays."""
        text, version = plan.after, written["resourceVersion"]
        try:
            for _attempt in range(WRITE_ATTEMPTS):
                undone = without_edit(plan, text)
                if undone is None:
                    return "The old Corefile could not be put back: somebody else has changed the same lines since"
                try:
                    self.write(undone, version=version)
                except Conflict:
                    text, metadata = self.read()
                    version = metadata["resourceVersion"]
                else:
                    return "The old Corefile is back in place"
        except RegistryError as error:
            return f"The old Corefile could not be put back: {error}"
        return "The old Corefile could not be put back: somebody else changes it all the time"


class CustomMap(CorefileMap):
    """A ConfigMap whose keys a Corefile imports. It need not be there; a key that would be empty is taken out."""

    def __init__(self, cluster: Cluster, *, corefile: CorefileMap, namespace: str, name: str, key: str) -> None:
        super().__init__(cluster, namespace=namespace, name=name, key=key)
        self._corefile = corefile
        self._text = ""
        self._files: dict[str, str] = {}

    def plan(self, text: str, **asked: t.Unpack[Asked]) -> RewritePlan:
        files = {**self._files, self.key: text}
        where = f"{self._corefile.where}, with its imports from {self._name}"
        return plan_custom(corefile=self._text, files=files, key=self.key, where=where, **asked)

    def read(self) -> tuple[str, Json]:
        self._text, _metadata = self._corefile.read()
        found = self._cluster.get("v1", "ConfigMap", self._namespace, self._name) or {"metadata": {}}
        self._files = found.get("data") or {}
        return self._files.get(self.key, ""), found["metadata"]

    def write(self, text: str, *, version: str | None) -> Json:
        if version is None:
            metadata = {"namespace": self._namespace, "name": self._name}
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {self.key: text}}
            return t.cast("Json", self._cluster.create(body)["metadata"])
        body = {"metadata": {"resourceVersion": version}, "data": {self.key: text or None}}
        written = self._cluster.merge("v1", "ConfigMap", self._namespace, self._name, body)
        return t.cast("Json", written["metadata"])


def without_edit(plan: RewritePlan, text: str) -> str | None:
    """``text`` as it were without the plan's edit; None where that cannot be told from what others did to it."""
    if text == plan.after:
        return plan.before
    before, after = plan.before.splitlines(keepends=True), plan.after.splitlines(keepends=True)
    edits = SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes()
    if {kind for kind, *_ in edits} - {"equal", "insert"}:
        return None
    added = [line for kind, _, _, start, end in edits if kind == "insert" for line in after[start:end]]
    lines = text.splitlines(keepends=True)
    if any(lines.count(line) != 1 for line in added):
        return None
    return "".join(line for line in lines if line not in added)
