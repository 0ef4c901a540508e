# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: for which registry an image reference is, and where a text refers to a registry by a name it is to lose."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from functools import cached_property

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from ansible_collections.splithorizon.registry.plugins.module_utils._names import registry_host

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["UNKNOWN", "Registry", "host_of_image", "registry_from"]

# In a text: a part that is not known before a run.
UNKNOWN: t.Final = "\0"
DOCKER_HUB = "docker.io"

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Registry:
    """``name``: what it is to be called; ``replaces``: its other names. ``http``: whether builders speak plain HTTP."""

    name: str
    replaces: tuple[str, ...] = ()
    http: bool = False

    def owns(self, host: str) -> bool:
        """Whether a host of an image reference is this registry, by one of its names."""
        return _without_default_port(host) in {_without_default_port(name) for name in (self.name, *self.replaces)}

    def references(self, text: str) -> Iterator[Span]:
        """Where the host of an image reference is a name to be replaced (``HOST/project/image``)."""
        if self._reference:
            yield from (found.span("host") for found in self._reference.finditer(text))

    def mentions(self, text: str) -> Iterator[Span]:
        """Where a name to be replaced stands, in an image reference or not."""
        if self._mention:
            yield from (found.span() for found in self._mention.finditer(text))

    def is_replaced(self, host: str) -> bool:
        """Whether a text is nothing but a name to be replaced."""
        return _without_default_port(host) in {_without_default_port(name) for name in self.replaces}

    @cached_property
    def _reference(self) -> re.Pattern[str] | None:
        before = r"(?:(?<![\w.:/@$})-])|(?<=docker://)|(?<=oci://))"
        return re.compile(rf"{before}(?P<host>{self._hosts})(?=/[\w$({{])") if self.replaces else None

    @cached_property
    def _mention(self) -> re.Pattern[str] | None:
        return re.compile(rf"(?<![\w.-]){self._hosts}(?![\w.-]|:\d)") if self.replaces else None

    @property
    def _hosts(self) -> str:
        names = {re.escape(name) + ("" if re.search(r":\d+$", name) else "(?::80|:443)?") for name in self.replaces}
        return f"(?:{'|'.join(sorted(names, key=len, reverse=True))})"


def registry_from(*, name: str, replaces: Sequence[str], http: bool) -> Registry:
    """BadInput where a name is none of a registry, or is to be replaced by itself."""
    for index, old in enumerate(replaces):
        registry_host(old, where=f"replaces[{index}]")
        if _without_default_port(old) == _without_default_port(name):
            raise BadInput(f"{old} would be replaced by itself", where=f"replaces[{index}]")
    return Registry(name=registry_host(name, where="name"), replaces=tuple(replaces), http=http)


def host_of_image(image: str) -> str:
    """The registry of an image reference; UNKNOWN where a run decides about it."""
    host, slash, _path = re.sub(r"^[a-z]+://", "", image).partition("/")
    if UNKNOWN in host:
        return UNKNOWN
    return host if slash and (re.search(r"[.:]", host) or host == "localhost") else DOCKER_HUB


def _without_default_port(host: str) -> str:
    return re.sub(r":(?:80|443)$", "", host.lower())
