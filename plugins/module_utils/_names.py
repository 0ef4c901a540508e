# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: DNS names, registry hosts, endpoint URLs, IP addresses: what servers accept and then break on is refused here.

Every function returns its value as it is to be written, or raises BadInput that names ``where`` it stands.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput

__all__ = ["ANY_REGISTRY", "dns_label", "dns_name", "http_url", "ip_address", "registry_host", "url_host"]

# Talos's key for "every registry without an entry of its own".
ANY_REGISTRY = "*"

_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(?P<port>\d{1,5}))?")
_MAX_NAME = 253
_MAX_PORT = 65535


def dns_name(value: str, *, where: str) -> str:
    """A host name of RFC 1123, without a closing dot: letters, digits and hyphens in labels of up to 63 characters."""
    labels = value.split(".")
    if value.endswith("."):
        raise BadInput(f"{value!r} ends with a dot", where=where, cure="Write the name without it")
    if len(value) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadInput(f"{value!r} is not a DNS name", where=where, cure="Letters, digits, hyphens and dots only")
    if labels[-1].isdigit():
        raise BadInput(f"{value!r} is not a DNS name (an IP address?)", where=where)
    return value


def dns_label(value: str, *, where: str) -> str:
    """A name of one label, as those of Services and namespaces: lower-case letters, digits and hyphens."""
    if not _LABEL.fullmatch(value) or value != value.lower():
        cure = "Up to 63 lower-case letters, digits and hyphens, without dots"
        raise BadInput(f"{value!r} is not a name of one label", where=where, cure=cure)
    return value


def ip_address(value: str, *, where: str) -> str:
    """An IPv4 or IPv6 address, without zone, port or prefix length."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise BadInput(f"{value!r} is not an IP address", where=where) from None
    if getattr(address, "scope_id", None):
        raise BadInput(f"{value!r} has a zone", where=where, cure="Write the address without it")
    return value


def registry_host(value: str, *, where: str, any_registry: bool = False) -> str:
    """The first part of an image reference: ``host[:port]``; with ``any_registry`` also ``*``."""
    if value == ANY_REGISTRY:
        if any_registry:
            return value
        raise BadInput("'*' cannot be used here", where=where, cure="Name the registry's host")
    if "://" in value:
        cure = f"Write it without the scheme: {value.split('://', 1)[1].split('/', 1)[0]}"
        raise BadInput(f"{value!r} has a scheme", where=where, cure=cure)
    if "/" in value or "@" in value:
        raise BadInput(f"{value!r} is not a registry host", where=where, cure="Write host or host:port, without a path")
    found = _HOST_AND_PORT.fullmatch(value)
    if not found:
        raise BadInput(f"{value!r} is not a registry host", where=where, cure="Write host or host:port")
    _check_host(found["host"], where=where)
    _check_port(found["port"], where=where)
    return value


def http_url(value: str, *, where: str, path: bool = True) -> str:
    """``http://`` or ``https://``, a host, and optionally a port and (with ``path``) a path; nothing else."""
    if not value.startswith(("http://", "https://")):
        scheme = f"the scheme of {value!r} is not http or https" if "://" in value else f"{value!r} has no scheme"
        raise BadInput(scheme, where=where, cure="Write http://host[:port] or https://host[:port]")
    parts = urlsplit(value)
    if "@" in parts.netloc:
        raise BadInput("the URL holds a user or password", where=where, cure="Credentials have options of their own")
    if "?" in value or "#" in value or any(char.isspace() for char in value):
        raise BadInput(f"{value!r} holds a query, a fragment or a space", where=where)
    if parts.path and not path:
        raise BadInput(f"{value!r} has a path", where=where, cure="Write scheme://host[:port]")
    registry_host(parts.netloc, where=where)
    return value


def url_host(url: str) -> str:
    """``host[:port]`` as the URL writes it: the key of this endpoint's credentials and TLS settings."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _check_host(host: str, *, where: str) -> None:
    if host.startswith("["):
        ip_address(host[1:-1], where=where)
        return
    if re.fullmatch(r"[0-9.]+", host):
        ip_address(host, where=where)
        return
    dns_name(host, where=where)


def _check_port(port: str | None, *, where: str) -> None:
    if port is not None and not 0 < int(port) <= _MAX_PORT:
        raise BadInput(f"{port} is not a port", where=where, cure="1 to 65535")
