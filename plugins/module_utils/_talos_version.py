# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: which Talos can do what. docs/talos.md has the table and where each line of it comes from."""

from __future__ import annotations

import typing as t

__all__ = [
    "FIRST_THAT_RELOADS_AUTH",
    "FIRST_WITH_DOCUMENTS",
    "FIRST_WITH_PARTIAL_TLS_DOCUMENTS",
    "Version",
]


class Version(t.NamedTuple):
    """Of Talos: 1.13.0 is (1, 13, 0)."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


FIRST_WITH_DOCUMENTS: t.Final = Version(1, 12)
# Before it, a RegistryTLSConfig without a CA or without a client identity stops every hosts file of the node.
FIRST_WITH_PARTIAL_TLS_DOCUMENTS: t.Final = Version(1, 12, 2)
# Older ones hand registry credentials to containerd at its start only.
FIRST_THAT_RELOADS_AUTH: t.Final = Version(1, 14)
