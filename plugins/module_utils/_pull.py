# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Why a node cannot pull an image: wrong credentials, no such image, or no way to the endpoint.

Talos goes on asking for minutes whatever is not "not found", and tells nothing meanwhile. So the registry is asked from
here first; what is left when a node's pull is late is the way from the node.
"""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    NotPermitted,
    NotReady,
    RegistryError,
    Unreachable,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._http import (
    Client,
    direct,
    parse_address,
    parse_url,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._registry import (
    Registry,
    check_repository,
    check_tag,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["REGISTRY_SPEC", "Asked", "ask", "explained"]

Json = dict[str, t.Any]

REGISTRY_SPEC: Json = {
    "url": {"type": "str", "required": True},
    "address": {"type": "str"},
    "ca": {"type": "str"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
}

Asked = t.Literal["given", "unknown"]


def ask(params: Json, image: str, *, seconds: float, warn: Callable[[str], None]) -> Asked:
    """Whether the registry gives the image for these credentials, as seen from here.

    NotPermitted where it does not open it, BadInput where there is none. ``unknown`` where it cannot be told from here.
    """
    repository, tag = _parts(image)
    check_repository(repository, where="image")
    check_tag(tag, where="image")
    origin = parse_url(params["url"], where="registry.url")
    address, port = parse_address(params["address"], where="registry.address") if params["address"] else (None, None)
    client = Client(
        way=direct(seconds=seconds, address=address, port=port, of=origin), ca=params["ca"], seconds=seconds
    )
    registry = Registry(origin=origin, client=client, username=params["username"], password=params["password"])
    where = f"{origin}/{repository}:{tag}"
    try:
        found = registry.find(repository, tag)
    except NotPermitted as error:
        cure = "Check registry_pull_username and its password, and that the account may pull from there"
        raise NotPermitted(f"the credentials do not open it ({error.problem})", where=where, cure=cure) from None
    except RegistryError as error:
        warn(f"the registry could not be asked from here whether it has the image: {error}")
        return "unknown"
    if found is None:
        raise BadInput("there is no such image", where=where, cure="Give the reference of one that was pushed")
    return "given"


def explained(error: RegistryError, image: str, *, seconds: float, asked: Asked | None) -> RegistryError:
    """A node's failure to pull in time, with its cause as far as it can be told."""
    if not isinstance(error, NotReady) or " within " not in error.problem:
        return error
    if asked == "given":
        problem = f"no {image} within {seconds:g} s, though the registry gives it for these credentials"
        cure = (
            "So the node does not reach its endpoint, or does not trust its certificate: look at its mirrors, hosts "
            "and resolver, and at `talosctl logs machined`"
        )
        return Unreachable(problem, where=error.where, cure=cure)
    return error


def _parts(image: str) -> tuple[str, str]:
    """``host/project/app:tag`` → (``project/app``, ``tag``)."""
    repository, _colon, tag = image.partition("/")[2].rpartition(":")
    return repository, tag
