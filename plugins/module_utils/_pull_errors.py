# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the words in which containerd, the kubelet and Talos tell that an image is not pulled → the reason."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    NotPermitted,
    NotReady,
    RegistryError,
    Unreachable,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import without_password

__all__ = ["NOT_FOUND", "NO_WAY", "UNAUTHORIZED", "is_of_pull", "not_pulled"]

UNAUTHORIZED: t.Final = re.compile(
    r"\b40[13] |unauthorized|authorization failed|pull access denied|insufficient_scope|no basic auth credentials", re.I
)
NO_WAY: t.Final = re.compile(
    r"i/o timeout|deadline exceeded|no such host|connection re(fused|set)|no route to host|handshake timeout"
    r"|server gave HTTP response to HTTPS client|x509: ",
    re.I,
)
NOT_FOUND: t.Final = re.compile(r"not found", re.I)
_UNTRUSTED = re.compile(r"x509: ")
_OF_PULL = re.compile(r"error pulling image|failed to pull image")
_BEFORE_CAUSE = re.compile(r'^.*(?:failed to pull image|failed to resolve reference) "[^"]*": ')
_DETAIL_LENGTH = 300


def is_of_pull(stderr: str) -> bool:
    """Whether a node says that it could not pull, whatever the reason: all of them come as one gRPC code."""
    return bool(_OF_PULL.search(stderr))


def not_pulled(stderr: str, *, where: str) -> RegistryError:
    """What a node says of a pull that failed, by its reason.

    Before Talos 1.14 only "not found" comes to be said in time: all else is tried again for 20 minutes.
    """
    cause = _BEFORE_CAUSE.sub("", " ".join(stderr.split()))
    detail = f" ({without_password(cause)[-_DETAIL_LENGTH:]})"
    if UNAUTHORIZED.search(detail):
        cure = "Check registry_pull_username and its password, and that the account may pull from there"
        return NotPermitted(f"the registry refuses the node's credentials{detail}", where=where, cure=cure)
    if _UNTRUSTED.search(detail):
        cure = "Give the authority that signed it (registry_ca), or a certificate for this name that is valid"
        return Unreachable(f"the node does not trust the registry's certificate{detail}", where=where, cure=cure)
    if NO_WAY.search(detail):
        cure = "Look at the node's mirrors, hosts and resolver"
        return Unreachable(f"the node does not reach its endpoint{detail}", where=where, cure=cure)
    if NOT_FOUND.search(detail):
        cure = "Push it, or correct the reference; where a mirror has it not, the next one was asked in vain too"
        return BadInput(f"there is no such image by the node's mirrors{detail}", where=where, cure=cure)
    return NotReady(f"the image is not pulled{detail}", where=where)
