# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: a Talos node's registry settings as data, and what the modules are asked for, refused where it cannot be right.

Talos accepts most wrong values and breaks on them later: one mirror whose key has a scheme stops every hosts file
of the node. So all that is asked for is checked here, before any node is read.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.splithorizon.registry.plugins.module_utils import _names
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "LAYER_SPEC",
    "REGISTRIES_SPEC",
    "Auth",
    "Endpoint",
    "Hosts",
    "Mirror",
    "Settings",
    "Tls",
    "Wanted",
    "WantedHost",
    "node_name",
    "normal_pem",
    "positive",
    "same_ip",
    "wanted_from",
]

Json = dict[str, t.Any]

_STATE: Json = {"type": "str", "choices": ["present", "absent"], "default": "present"}

# Both kept in step with doc_fragments/_registries.py.
REGISTRIES_SPEC: Json = {
    "mirrors": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "endpoints": {"type": "list", "elements": "raw", "default": []},
            "skip_fallback": {"type": "bool", "default": False},
            "override_path": {"type": "bool", "default": False},
            "state": _STATE,
        },
    },
    "auth": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "no_log": False,
        "options": {
            "name": {"type": "str", "required": True},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "auth": {"type": "str", "no_log": True},
            "identity_token": {"type": "str", "no_log": True},
            "state": _STATE,
        },
    },
    "tls": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "ca": {"type": "str"},
            "client_cert": {"type": "str"},
            "client_key": {"type": "str", "no_log": True},
            "insecure_skip_verify": {"type": "bool", "default": False},
            "state": _STATE,
        },
    },
    "hosts": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "ip": {"type": "str", "default": ""},
            "names": {"type": "list", "elements": "str", "default": []},
            "state": _STATE,
        },
    },
}

LAYER_SPEC: Json = {"layer": {"type": "str", "choices": ["auto", "v1alpha1", "documents"], "default": "auto"}}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    url: str
    override_path: bool = False


@dataclass(frozen=True, kw_only=True)
class Mirror:
    endpoints: tuple[Endpoint, ...] = ()
    skip_fallback: bool = False

    def __str__(self) -> str:
        # What a node holds may have a user and password in its URL.
        urls = [re.sub(r"//[^/@]*@", "//", e.url) + (" (override_path)" * e.override_path) for e in self.endpoints]
        return f"[{', '.join(urls)}]" + (" skip_fallback" if self.skip_fallback else "")


@dataclass(frozen=True, kw_only=True)
class Auth:
    username: str = ""
    password: str = field(default="", repr=False)
    auth: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Tls:
    """PEM text, each certificate and key ending with a newline; empty where there is none."""

    ca: str = ""
    client_cert: str = ""
    client_key: str = field(default="", repr=False)
    insecure_skip_verify: bool = False


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
    """Key → what is to be there, or None for what is not to be there."""

    mirrors: Mapping[str, Mirror | None] = field(default_factory=dict)
    auth: Mapping[str, Auth | None] = field(default_factory=dict)
    tls: Mapping[str, Tls | None] = field(default_factory=dict)
    hosts: tuple[WantedHost, ...] = ()

    @property
    def registries(self) -> Iterator[tuple[str, str, Mirror | Auth | Tls | None]]:
        """(kind of setting, key, value) of all but the hosts."""
        for kind in ("mirrors", "auth", "tls"):
            for key, value in getattr(self, kind).items():
                yield kind, key, value


def wanted_from(params: Mapping[str, t.Any], *, where: str = "") -> Wanted:
    """What the options of REGISTRIES_SPEC ask for; BadInput for the first thing that cannot be right."""
    at = f"{where}." if where else ""
    wanted = Wanted(
        mirrors=_keyed(params["mirrors"], _mirror, where=f"{at}mirrors"),
        auth=_keyed(params["auth"], _auth, where=f"{at}auth"),
        tls=_keyed(params["tls"], _tls, where=f"{at}tls"),
        hosts=tuple(_host(item, where=f"{at}hosts[{i}]") for i, item in enumerate(params["hosts"])),
    )
    _check_hosts(wanted.hosts, where=f"{at}hosts")
    _check_keys_against_endpoints(wanted, at)
    return wanted


def node_name(value: str, *, where: str) -> str:
    """An address or a DNS name of one node."""
    try:
        return _names.ip_address(value, where=where)
    except BadInput:
        return _names.dns_name(value, where=where)


def positive(value: int, *, where: str) -> int:
    """A number of seconds."""
    if value < 1:
        raise BadInput(f"{value} is no number of seconds", where=where, cure="Give 1 or more")
    return value


def normal_pem(text: str) -> str:
    """PEM with one newline at its end: how certificates and keys are compared and written."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return "\n".join(lines) + "\n" if lines else ""


def same_ip(one: str, other: str) -> bool:
    """Whether two writings mean one address; what is no address is compared as text."""
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one == other


_T = t.TypeVar("_T")


class _Reader(t.Protocol[_T]):  # type: ignore[misc]  # the result of a keyword-only function
    def __call__(self, item: Json, *, where: str) -> _T: ...


def _keyed(items: list[Json], read: _Reader[_T], *, where: str) -> dict[str, _T | None]:
    result: dict[str, _T | None] = {}
    for index, item in enumerate(items):
        place, key = f"{where}[{index}]", item["name"]
        if key in result:
            cure = "Name it once, present or absent"
            raise BadInput(f"{key!r} is there twice", where=place, cure=cure)
        if not key:
            raise BadInput("the name is empty", where=place)
        # What is to go may have any name: a wrong one must be removable.
        result[key] = read(item, where=place) if item["state"] == "present" else None
    return result


def _mirror(item: Json, *, where: str) -> Mirror:
    _names.registry_host(item["name"], where=f"{where}.name", any_registry=True)
    endpoints = tuple(
        _endpoint(raw, override_path=item["override_path"], where=f"{where}.endpoints[{i}]")
        for i, raw in enumerate(item["endpoints"])
    )
    urls = [endpoint.url for endpoint in endpoints]
    for index, url in enumerate(urls):
        if url in urls[:index]:
            # Talos writes the same TOML table twice, which strict readers refuse.
            raise BadInput(f"{url} is there twice", where=f"{where}.endpoints[{index}]", cure="Name it once")
    if item["skip_fallback"] and not endpoints:
        cure = "Give endpoints, or drop skip_fallback"
        raise BadInput("skip_fallback without endpoints does nothing", where=where, cure=cure)
    if not endpoints:
        cure = "Give endpoints, or state: absent"
        raise BadInput("a mirror without endpoints does nothing", where=where, cure=cure)
    return Mirror(endpoints=endpoints, skip_fallback=item["skip_fallback"])


def _endpoint(raw: t.Any, *, override_path: bool, where: str) -> Endpoint:
    if isinstance(raw, str):
        return Endpoint(url=_names.http_url(raw, where=where), override_path=override_path)
    if not isinstance(raw, dict) or not isinstance(raw.get("url"), str) or set(raw) - {"url", "override_path"}:
        raise BadInput("an endpoint is a URL, or url with override_path", where=where)
    override = raw.get("override_path", override_path)
    if not isinstance(override, bool):
        raise BadInput("override_path is true or false", where=where)
    return Endpoint(url=_names.http_url(raw["url"], where=where), override_path=override)


def _auth(item: Json, *, where: str) -> Auth:
    _names.registry_host(item["name"], where=f"{where}.name")
    given = {key: item[key] or "" for key in ("username", "password", "auth", "identity_token")}
    kinds = [bool(given["username"] or given["password"]), bool(given["auth"]), bool(given["identity_token"])]
    one_of = "Give username and password, or auth, or identity_token"
    if sum(kinds) > 1:
        raise BadInput("two kinds of credentials", where=where, cure=one_of)
    if not any(kinds):
        raise BadInput("no credentials", where=where, cure=f"{one_of}, or state: absent")
    if kinds[0] and not (given["username"] and given["password"]):
        raise BadInput("username and password go together", where=where, cure="Give both")
    return Auth(**given)


def _tls(item: Json, *, where: str) -> Tls:
    # With the name '*' Talos stops writing hosts files at all.
    _names.registry_host(item["name"], where=f"{where}.name")
    given = {key: normal_pem(item[key] or "") for key in ("ca", "client_cert", "client_key")}
    if bool(given["client_cert"]) != bool(given["client_key"]):
        raise BadInput("client_cert and client_key go together", where=where, cure="Give both")
    if not any(given.values()) and not item["insecure_skip_verify"]:
        cure = "Give ca, client_cert and client_key, or insecure_skip_verify, or state: absent"
        raise BadInput("nothing is set", where=where, cure=cure)
    for key in ("ca", "client_cert"):
        if given[key]:
            _check_certificates(given[key], where=f"{where}.{key}")
    if given["client_key"] and not re.match(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n", given["client_key"]):
        raise BadInput("this is no private key in PEM form", where=f"{where}.client_key")
    return Tls(**given, insecure_skip_verify=item["insecure_skip_verify"])


def _check_certificates(pem: str, *, where: str) -> None:
    import ssl  # noqa: PLC0415  # most runs set no certificates

    cure = "Give PEM text: -----BEGIN CERTIFICATE----- …"
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----\n.+?\n-----END CERTIFICATE-----\n", pem, re.DOTALL)
    if not blocks:
        raise BadInput("this is no certificate in PEM form", where=where, cure=cure)
    for number, block in enumerate(blocks, start=1):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=block)
        except (ssl.SSLError, ValueError):
            raise BadInput(f"certificate {number} of {len(blocks)} cannot be read", where=where, cure=cure) from None


def _host(item: Json, *, where: str) -> WantedHost:
    present = item["state"] == "present"
    names = tuple(item["names"])
    if not item["ip"] and (present or not names):
        raise BadInput("no address", where=where, cure="Give ip; only names that are to be absent may do without")
    if not present:
        return WantedHost(ip=item["ip"], names=names, present=False)
    _names.ip_address(item["ip"], where=f"{where}.ip")
    if not names:
        raise BadInput("no names", where=where, cure="Give names, or state: absent")
    for index, name in enumerate(names):
        _names.dns_name(name, where=f"{where}.names[{index}]")
        if name in names[:index]:
            raise BadInput(f"{name} is there twice", where=f"{where}.names[{index}]", cure="Name it once")
    return WantedHost(ip=item["ip"], names=names, present=True)


def _check_hosts(hosts: tuple[WantedHost, ...], *, where: str) -> None:
    for index, host in enumerate(hosts):
        for earlier in hosts[:index]:
            place = f"{where}[{index}]"
            if host.ip and same_ip(host.ip, earlier.ip):
                raise BadInput(f"{host.ip} is there twice", where=place, cure="Name it once, present or absent")
            both = set(host.names) & set(earlier.names)
            if both and host.present and earlier.present:
                cure = "A name has one address: two would answer by turns"
                raise BadInput(f"{min(both)} is also on {earlier.ip}", where=place, cure=cure)
            if both and host.present != earlier.present and not (host.ip and earlier.ip):
                cure = "Name it once, present or absent"
                raise BadInput(f"{min(both)} is to be present and absent", where=place, cure=cure)


def _check_keys_against_endpoints(wanted: Wanted, at: str) -> None:
    """Credentials and TLS settings are found by the host that the endpoint URL writes, port included."""
    schemes: dict[str, set[str]] = {}
    for mirror in wanted.mirrors.values():
        for endpoint in mirror.endpoints if mirror else ():
            schemes.setdefault(_names.url_host(endpoint.url), set()).add(endpoint.url.split("://", 1)[0])
    for key in (key for key, value in wanted.tls.items() if value):
        if "http" in schemes.get(key, ()):
            cure = "Use an https endpoint, or drop the TLS settings"
            raise BadInput(f"{key} is an http endpoint: Talos's own pulls would fail", where=f"{at}tls", cure=cure)
    known = schemes.keys() | wanted.mirrors.keys()
    for kind, key, value in wanted.registries:
        host = re.sub(r":(80|443)$", "", key)
        if kind != "mirrors" and value and key not in known and host in schemes:
            cure = f"The endpoint's URL writes {host}: use that"
            raise BadInput(f"{key} matches no endpoint", where=f"{at}{kind}", cure=cure)
