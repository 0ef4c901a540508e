# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: a Talos node's registry settings as data: what a configuration holds, and what it is to hold."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass, field, replace

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "Auth",
    "Endpoint",
    "Hosts",
    "Mirror",
    "Setting",
    "Settings",
    "Tls",
    "Wanted",
    "WantedHost",
    "normal",
    "normal_pem",
    "same_ip",
    "without_password",
]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    url: str
    override_path: bool = False


@dataclass(frozen=True, kw_only=True)
class Mirror:
    endpoints: tuple[Endpoint, ...] = ()
    skip_fallback: bool = False

    def __str__(self) -> str:
        urls = [without_password(e.url) + (" (override_path)" * e.override_path) for e in self.endpoints]
        return f"[{', '.join(urls)}]" + (" skip_fallback" if self.skip_fallback else "")


@dataclass(frozen=True, kw_only=True)
class Auth:
    username: str = ""
    password: str = field(default="", repr=False)
    auth: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Tls:
    """PEM text as it is written, which is as Talos puts it in files; empty where there is none."""

    ca: str = ""
    client_cert: str = ""
    client_key: str = field(default="", repr=False)
    insecure_skip_verify: bool = False

    @property
    def says_something(self) -> bool:
        """Talos writes no files for settings that say nothing."""
        return bool(self.ca or self.client_cert or self.insecure_skip_verify)


Setting = Mirror | Auth | Tls

# (IP address as written, host names), in the order of the configuration; an address may come more than once.
Hosts = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The registry settings and extra hosts that a configuration, or one layer of it, holds."""

    mirrors: Mapping[str, Mirror] = field(default_factory=dict)
    auth: Mapping[str, Auth] = field(default_factory=dict)
    tls: Mapping[str, Tls] = field(default_factory=dict)
    hosts: Hosts = ()

    @property
    def has_registries(self) -> bool:
        return bool(self.mirrors or self.auth or self.tls)


@dataclass(frozen=True, kw_only=True)
class WantedHost:
    """``present``: the address has these names and no other, and no other address has them.

    Absent: the address loses these names; without names it goes altogether, without an address every one loses them.
    """

    ip: str
    names: tuple[str, ...]
    present: bool


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Key → what is to be there, or None for what is not to be there.

    ``exact``: and no other registry setting. ``exact_hosts``: and no other extra host. ``migrate``: and nothing is left
    in the v1alpha1 document, all is in documents of its own.
    """

    mirrors: Mapping[str, Mirror | None] = field(default_factory=dict)
    auth: Mapping[str, Auth | None] = field(default_factory=dict)
    tls: Mapping[str, Tls | None] = field(default_factory=dict)
    hosts: tuple[WantedHost, ...] = ()
    exact: bool = False
    exact_hosts: bool = False
    migrate: bool = False

    @property
    def registries(self) -> Iterator[tuple[str, str, Mirror | Auth | Tls | None]]:
        """(kind of setting, key, value) of all but the hosts."""
        for kind in ("mirrors", "auth", "tls"):
            for key, value in getattr(self, kind).items():
                yield kind, key, value

    def asks_for(self, registry: str, host: str) -> bool:
        """Whether this mirror, or TLS settings for this host, are to be there."""
        return bool(self.mirrors.get(registry) or self.tls.get(host))

    def spelled_out(self, *there: Settings) -> Wanted:
        """The same for a node that has what is ``there``: what ``exact`` takes away is named."""
        wanted = self
        if self.exact:
            wanted = replace(
                wanted,
                mirrors={**{key: None for held in there for key in held.mirrors}, **self.mirrors},
                auth={**{key: None for held in there for key in held.auth}, **self.auth},
                tls={**{key: None for held in there for key in held.tls}, **self.tls},
            )
        if self.exact_hosts:
            present = tuple(host for host in self.hosts if host.present)
            addresses = dict.fromkeys(ip for held in there for ip, _names in held.hosts)
            others = (ip for ip in addresses if not any(same_ip(ip, host.ip) for host in present))
            wanted = replace(wanted, hosts=(*(WantedHost(ip=ip, names=(), present=False) for ip in others), *present))
        return wanted


def without_password(url: str) -> str:
    """For messages: what a node holds may have a user and password in its URL."""
    return re.sub(r"//[^/@]*@", "//", url)


def normal_pem(text: str) -> str:
    """PEM with one newline at its end: how certificates and keys are compared and written."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return "\n".join(lines) + "\n" if lines else ""


def normal(setting: Setting) -> Setting:
    """As settings are compared: without the white space around PEM text."""
    if not isinstance(setting, Tls):
        return setting
    return replace(
        setting,
        ca=normal_pem(setting.ca),
        client_cert=normal_pem(setting.client_cert),
        client_key=normal_pem(setting.client_key),
    )


def same_ip(one: str, other: str) -> bool:
    """Whether two writings mean one address; what is no address is compared as text."""
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one == other
