# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""The one exception family: every error says what is wrong, where, and what to do."""

from __future__ import annotations

__all__ = ["BadInput", "Conflict", "NotPermitted", "NotReady", "RegistryError", "Unreachable"]


class RegistryError(Exception):
    """Something the user can act on.

    ``problem`` says what is wrong, ``where`` names the place (an option, a file and line, a node, an object),
    ``cure`` says what to do. None of them may carry a secret. ``kind`` is a key of ``_client_words``, for what clients
    of a registry have words of their own for.
    """

    def __init__(self, problem: str, *, where: str = "", cure: str = "", kind: str = "") -> None:
        self.problem = problem
        self.where = where
        self.cure = cure
        self.kind = kind
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        return f"{text}. {self.cure}" if self.cure else text


class BadInput(RegistryError):
    """What was asked for cannot be right; nothing has been changed."""


class Conflict(RegistryError):
    """What is there contradicts what is asked for; nothing has been changed."""


class Unreachable(RegistryError):
    """A server could not be reached, or did not answer within its limit."""


class NotPermitted(RegistryError):
    """The credentials do not allow what is needed."""


class NotReady(RegistryError):
    """A change was sent, and what it should bring about did not come within its limit."""
