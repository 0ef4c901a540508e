# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: which Talos can do what."""

from __future__ import annotations

import typing as t

__all__ = ["FIRST_THAT_RELOADS_AUTH", "FIRST_WITH_DOCUMENTS", "Version"]


class Version(t.NamedTuple):
    """Of Talos: 1.13.0 is (1, 13, 0)."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


FIRST_WITH_DOCUMENTS = Version(1, 12)
# Older ones hand registry credentials to containerd at its start only.
FIRST_THAT_RELOADS_AUTH = Version(1, 14)
