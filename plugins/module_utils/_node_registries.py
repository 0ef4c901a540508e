# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what the modules are asked for on a Talos node, as data, refused where it cannot be right.

Talos accepts most wrong values and breaks on them later: one mirror whose key has a scheme stops every hosts file
of the node. So all that is asked for is checked here, before any node is read.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils import _names
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import (
    Auth,
    Endpoint,
    Hosts,
    Mirror,
    Settings,
    Tls,
    Wanted,
    WantedHost,
    normal_pem,
    same_ip,
)

if t.TYPE_CHECKING:
    from collections.abc import Mapping

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
    "check_certificates",
    "node_name",
    "normal_pem",
    "positive",
    "same_ip",
    "wanted_from",
]

Json = dict[str, t.Any]

_STATE: Json = {"type": "str", "choices": ["present", "absent"]}

# Both kept in step with doc_fragments/_registries.py.
REGISTRIES_SPEC: Json = {
    "mirrors": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "endpoints": {"type": "list", "elements": "raw"},
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
        "options": {
            "ip": {"type": "str", "default": ""},
            "names": {"type": "list", "elements": "str", "default": []},
            "state": _STATE,
        },
    },
}

LAYER_SPEC: Json = {
    "state": {"type": "str", "choices": ["present", "absent", "exact"], "default": "present"},
    "exact_hosts": {"type": "bool"},
    "layer": {"type": "str", "choices": ["auto", "v1alpha1", "documents"], "default": "auto"},
    "migrate": {"type": "bool", "default": False},
}


def wanted_from(params: Mapping[str, t.Any], *, where: str = "") -> Wanted:
    """What the options of REGISTRIES_SPEC and LAYER_SPEC ask for; BadInput for the first that cannot be right."""
    at = f"{where}." if where else ""
    items = {kind: params[kind] or [] for kind in REGISTRIES_SPEC}
    state, exact_hosts = params.get("state", "present"), params.get("exact_hosts")
    wanted = Wanted(
        mirrors=_keyed(items["mirrors"], _mirror, state=state, where=f"{at}mirrors"),
        auth=_keyed(items["auth"], _auth, state=state, where=f"{at}auth"),
        tls=_keyed(items["tls"], _tls, state=state, where=f"{at}tls"),
        hosts=tuple(_host(item, state=state, where=f"{at}hosts[{i}]") for i, item in enumerate(items["hosts"])),
        exact=state == "exact",
        exact_hosts=state == "exact" and (params["hosts"] is not None if exact_hosts is None else exact_hosts),
        migrate=params.get("migrate", False),
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


_T = t.TypeVar("_T")


class _Reader(t.Protocol[_T]):  # type: ignore[misc]  # the result of a keyword-only function
    def __call__(self, item: Json, *, where: str) -> _T: ...


def _is_present(item: Json, *, state: str, where: str) -> bool:
    """An item's own state, by default the module's; under ``exact`` what is absent needs no word, and may have one."""
    if state == "absent" and item["state"] == "present":
        cure = "Drop the item's state, or the module's"
        raise BadInput("the item is to be present, all items are to be absent", where=where, cure=cure)
    return (item["state"] or state) != "absent"


def _keyed(items: list[Json], read: _Reader[_T], *, state: str, where: str) -> dict[str, _T | None]:
    result: dict[str, _T | None] = {}
    for index, item in enumerate(items):
        place, key = f"{where}[{index}]", item["name"]
        if key in result:
            cure = "Name it once, present or absent"
            raise BadInput(f"{key!r} is there twice", where=place, cure=cure)
        if not key:
            raise BadInput("the name is empty", where=place)
        # What is to go may have any name: a wrong one must be removable.
        result[key] = read(item, where=place) if _is_present(item, state=state, where=place) else None
    return result


def _mirror(item: Json, *, where: str) -> Mirror:
    _names.registry_host(item["name"], where=f"{where}.name", any_registry=True)
    if item["endpoints"] is None:
        cure = "Give endpoints ([]: the registry itself, in spite of a mirror of *), or state: absent"
        raise BadInput("no endpoints", where=where, cure=cure)
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
        raise BadInput("skip_fallback without endpoints leaves Talos's own pulls nowhere to go", where=where, cure=cure)
    if not endpoints and item["name"] == _names.ANY_REGISTRY:
        raise BadInput("a mirror of * without endpoints does nothing", where=where, cure="Give endpoints")
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
            check_certificates(given[key], where=f"{where}.{key}")
    if given["client_key"] and not re.match(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n", given["client_key"]):
        raise BadInput("this is no private key in PEM form", where=f"{where}.client_key")
    return Tls(**given, insecure_skip_verify=item["insecure_skip_verify"])


def check_certificates(pem: str, *, where: str) -> None:
    """PEM text of one or more certificates, each readable."""
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


def _host(item: Json, *, state: str, where: str) -> WantedHost:
    present = _is_present(item, state=state, where=where)
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
