# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: a machine configuration as its documents: what they hold, and the text with one entry changed.

Every change leaves all other bytes as they are.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from functools import cached_property

from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_nodes, _yaml_text
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import (
    V1ALPHA1,
    flag,
    mapping,
    read_documents,
    read_v1alpha1,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import Settings

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import Json

__all__ = ["Document", "MachineConfig"]


@dataclass(frozen=True)
class Document:
    """``text`` begins with its ``---`` line, if it has one; the texts of all documents joined are the configuration."""

    text: str

    @cached_property
    def data(self) -> Json:
        loaded = _yaml_nodes.load(self.text)
        return loaded if isinstance(loaded, dict) else {}

    @property
    def is_main(self) -> bool:
        return bool(self.data) and "kind" not in self.data

    def is_of(self, kind: str) -> bool:
        return self.data.get("kind") == kind and self.data.get("apiVersion") == V1ALPHA1

    def with_body(self, body: Json) -> Document:
        """The same place and the comments around it, with other content."""
        lines = self.text.splitlines(keepends=True)
        plain = [i for i, line in enumerate(lines) if not re.match(r"\s*(#|$)|---(\s|$)", line)] or [len(lines)]
        head, tail = "".join(lines[: plain[0]]), "".join(lines[plain[-1] + 1 :])
        new = _yaml_nodes.render(body)
        commented = Document(head + new + tail)
        # Content on the marker's own line is no comment to keep.
        return commented if commented.reads_as(body) else Document("---\n" + new)

    def reads_as(self, body: Json) -> bool:
        try:
            return bool(self.data == _yaml_nodes.load(_yaml_nodes.render(body)))
        except Conflict:
            return False


@dataclass(frozen=True)
class MachineConfig:
    """The documents of one machine configuration; every change gives a new one."""

    documents: tuple[Document, ...]

    @classmethod
    def parse(cls, text: str) -> MachineConfig:
        """Conflict where the text is not YAML or holds no v1alpha1 document."""
        config = cls(tuple(Document(part) for part in _yaml_nodes.split_documents(text)))
        if sum(document.is_main for document in config.documents) != 1:
            raise Conflict(
                "the machine configuration has no v1alpha1 document", cure="Give the node a whole configuration"
            )
        return config

    @property
    def text(self) -> str:
        return "".join(document.text for document in self.documents)

    @cached_property
    def main(self) -> Json:
        return self.documents[self._main_index].data

    @cached_property
    def in_v1alpha1(self) -> Settings:
        """What ``machine.registries`` and ``machine.network.extraHostEntries`` hold."""
        return read_v1alpha1(self.main)

    @cached_property
    def in_documents(self) -> Settings:
        """What the documents of their own hold."""
        return read_documents(document.data for document in self.documents)

    @cached_property
    def effective(self) -> Settings:
        """What Talos makes of both: a document replaces a key, hosts are joined."""
        old, new = self.in_v1alpha1, self.in_documents
        return Settings(
            mirrors={**old.mirrors, **new.mirrors},
            auth={**old.auth, **new.auth},
            tls={**old.tls, **new.tls},
            hosts=old.hosts + new.hosts,
        )

    @property
    def has_image_cache(self) -> bool:
        """Talos then puts its own registry before every mirror. From 1.14 it may have a document of its own."""
        for document in self.documents:
            if document.is_of("ImageCacheConfig"):
                return flag(mapping(document.data.get("local")).get("enabled"))
        features = mapping(mapping(self.main.get("machine")).get("features"))
        return flag(mapping(features.get("imageCache")).get("localEnabled"))

    def means_the_same_as(self, other: MachineConfig) -> bool:
        """Whether comments, order of documents, quotes and layout are all that differs."""
        return self.text == other.text or self._meaning == other._meaning

    def with_v1alpha1(self, path: _yaml_nodes.Path, value: t.Any) -> MachineConfig:
        """With one entry of the v1alpha1 document set, or taken away with DELETE."""
        index = self._main_index
        changed = Document(_yaml_text.edit(self.documents[index].text, path, value))
        return MachineConfig((*self.documents[:index], changed, *self.documents[index + 1 :]))

    def with_document(self, kind: str, name: str, body: Json | None) -> MachineConfig:
        """With a document of this name replaced in its place or appended, or taken away with None."""
        whole = {"apiVersion": V1ALPHA1, "kind": kind, "name": name, **(body or {})}
        documents: list[Document] = []
        found = False
        for document in self.documents:
            if not (document.is_of(kind) and document.data.get("name") == name):
                documents.append(document)
            elif body is not None:
                documents.append(document.with_body(whole))
                found = True
        if body is not None and not found:
            if not documents[-1].text.endswith("\n"):
                documents[-1] = Document(documents[-1].text + "\n")
            documents.append(Document("---\n" + _yaml_nodes.render(whole)))
        return MachineConfig(tuple(documents))

    @cached_property
    def _meaning(self) -> list[Json]:
        whole = [document.data for document in self.documents if document.data]
        return sorted(whole, key=lambda data: (str(data.get("kind", "")), str(data.get("name", ""))))

    @cached_property
    def _main_index(self) -> int:
        return next(index for index, document in enumerate(self.documents) if document.is_main)
