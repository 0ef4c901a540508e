# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: how Talos's two layers write registry settings and extra hosts: ``machine.registries`` and documents.

Values are read as text (``_yaml_nodes.load``), so that no reading of YAML 1.1 differs from Go's.
"""

from __future__ import annotations

import base64
import binascii
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import (
    Auth,
    Endpoint,
    Mirror,
    Settings,
    Tls,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import Path

__all__ = [
    "DOCUMENTS",
    "EXTRA_HOSTS",
    "HOST_KIND",
    "KINDS",
    "V1ALPHA1",
    "Json",
    "Kind",
    "flag",
    "mapping",
    "read_documents",
    "read_v1alpha1",
]

Json = dict[str, t.Any]

V1ALPHA1: t.Final = "v1alpha1"
DOCUMENTS: t.Final = "documents"

HOST_KIND: t.Final = "StaticHostConfig"
EXTRA_HOSTS: t.Final = ("machine", "network", "extraHostEntries")


def read_v1alpha1(main: Json) -> Settings:
    """What ``machine.registries`` and ``machine.network.extraHostEntries`` of the v1alpha1 document hold."""
    machine = mapping(main.get("machine"))
    registries = mapping(machine.get("registries"))
    mirrors = {str(key): mapping(value) for key, value in mapping(registries.get("mirrors")).items()}
    config = {str(key): mapping(value) for key, value in mapping(registries.get("config")).items()}
    entries = mapping(machine.get("network")).get("extraHostEntries")
    return Settings(
        mirrors={key: _read_v1alpha1_mirror(value) for key, value in mirrors.items()},
        auth={key: _read_auth(value["auth"]) for key, value in config.items() if value.get("auth") is not None},
        tls={key: _read_v1alpha1_tls(value["tls"]) for key, value in config.items() if value.get("tls") is not None},
        hosts=tuple((str(e.get("ip", "")), _texts(e.get("aliases"))) for e in map(mapping, _list(entries))),
    )


def read_documents(documents: Iterable[Json]) -> Settings:
    """What the documents of their own hold."""
    named = [(str(d.get("kind")), str(d.get("name", "")), d) for d in documents if d.get("apiVersion") == V1ALPHA1]
    return Settings(
        mirrors={name: _read_mirror(data) for kind, name, data in named if kind == KINDS["mirrors"].document},
        auth={name: _read_auth(data) for kind, name, data in named if kind == KINDS["auth"].document},
        tls={name: _read_tls(data) for kind, name, data in named if kind == KINDS["tls"].document},
        hosts=tuple((name, _texts(data.get("hostnames"))) for kind, name, data in named if kind == HOST_KIND),
    )


def mapping(value: t.Any) -> Json:
    """A mapping, empty where there is none."""
    return value if isinstance(value, dict) else {}


def flag(value: t.Any) -> bool:
    """As Go's YAML reads a field that is true or false."""
    return str(value).lower() in {"true", "yes", "on", "y"}


def _list(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else []


def _texts(value: t.Any) -> tuple[str, ...]:
    return tuple(str(item) for item in _list(value))


def _read_mirror(data: Json) -> Mirror:
    endpoints = [mapping(item) for item in _list(data.get("endpoints"))]
    return Mirror(
        endpoints=tuple(
            Endpoint(url=str(item.get("url", "")), override_path=flag(item.get("overridePath"))) for item in endpoints
        ),
        skip_fallback=flag(data.get("skipFallback")),
    )


def _read_v1alpha1_mirror(data: Json) -> Mirror:
    override = flag(data.get("overridePath"))
    return Mirror(
        endpoints=tuple(Endpoint(url=url, override_path=override) for url in _texts(data.get("endpoints"))),
        skip_fallback=flag(data.get("skipFallback")),
    )


def _read_auth(data: t.Any) -> Auth:
    keys = {"username": "username", "password": "password", "auth": "auth", "identity_token": "identityToken"}
    return Auth(**{name: str(mapping(data).get(key) or "") for name, key in keys.items()})


def _read_tls(data: Json) -> Tls:
    identity = mapping(data.get("clientIdentity"))
    return Tls(
        ca=str(data.get("ca") or ""),
        client_cert=str(identity.get("cert") or ""),
        client_key=str(identity.get("key") or ""),
        insecure_skip_verify=flag(data.get("insecureSkipVerify")),
    )


def _read_v1alpha1_tls(data: t.Any) -> Tls:
    data = mapping(data)
    identity = mapping(data.get("clientIdentity"))
    return Tls(
        ca=_from_base64(data.get("ca")),
        client_cert=_from_base64(identity.get("crt")),
        client_key=_from_base64(identity.get("key")),
        insecure_skip_verify=flag(data.get("insecureSkipVerify")),
    )


def _from_base64(value: t.Any) -> str:
    try:
        return base64.b64decode(str(value or ""), validate=False).decode(errors="replace")
    except binascii.Error:
        return str(value)


def _write_mirror(mirror: Mirror) -> Json:
    endpoints = [{"url": e.url, **({"overridePath": True} if e.override_path else {})} for e in mirror.endpoints]
    return {"endpoints": endpoints, **({"skipFallback": True} if mirror.skip_fallback else {})}


def _write_v1alpha1_mirror(mirror: Mirror) -> Json:
    overrides = {endpoint.override_path for endpoint in mirror.endpoints}
    return {
        "endpoints": [endpoint.url for endpoint in mirror.endpoints],
        **({"overridePath": True} if True in overrides else {}),
        **({"skipFallback": True} if mirror.skip_fallback else {}),
    }


def _write_auth(auth: Auth) -> Json:
    written = {
        "username": auth.username,
        "password": auth.password,
        "auth": auth.auth,
        "identityToken": auth.identity_token,
    }
    return {key: value for key, value in written.items() if value}


def _write_tls(tls: Tls) -> Json:
    identity = {"clientIdentity": {"cert": tls.client_cert, "key": tls.client_key}} if tls.client_cert else {}
    return {
        **identity,
        **({"ca": tls.ca} if tls.ca else {}),
        **({"insecureSkipVerify": True} if tls.insecure_skip_verify else {}),
    }


def _write_v1alpha1_tls(tls: Tls) -> Json:
    identity = {"clientIdentity": {"crt": _base64(tls.client_cert), "key": _base64(tls.client_key)}}
    return {
        **(identity if tls.client_cert else {}),
        **({"ca": _base64(tls.ca)} if tls.ca else {}),
        **({"insecureSkipVerify": True} if tls.insecure_skip_verify else {}),
    }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Where a kind of setting lives in both layers, and how it is written there."""

    document: str
    label: str
    path: Callable[[str], Path]
    write: Callable[[t.Any], Json]
    write_v1alpha1: Callable[[t.Any], Json]


KINDS: Mapping[str, Kind] = {
    "mirrors": Kind(
        document="RegistryMirrorConfig",
        label="mirror",
        path=lambda key: ("machine", "registries", "mirrors", key),
        write=_write_mirror,
        write_v1alpha1=_write_v1alpha1_mirror,
    ),
    "auth": Kind(
        document="RegistryAuthConfig",
        label="credentials",
        path=lambda key: ("machine", "registries", "config", key, "auth"),
        write=_write_auth,
        write_v1alpha1=_write_auth,
    ),
    "tls": Kind(
        document="RegistryTLSConfig",
        label="TLS settings",
        path=lambda key: ("machine", "registries", "config", key, "tls"),
        write=_write_tls,
        write_v1alpha1=_write_v1alpha1_tls,
    ),
}
