# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: credentials for registries in a Docker configuration (``config.json``); what is not asked for stays as it is.

The key of an entry is a host. Docker and the kubelet also take it with a scheme and a version, as
``https://host/v2/``: all spellings of one host are one registry here. A key with a path is of somebody who wants it for
some images only, and not touched.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._names import registry_host

__all__ = ["Credentials", "DockerConfig", "Login", "check_credentials"]

Json = dict[str, t.Any]

_SPELLING = re.compile(r"(?:https?://)?(?P<host>[^/]+)(?:/(?:v1|v2)?/?)?", re.I)
# What clients use before or in place of username and password.
_OTHER_CREDENTIALS = ("auth", "identitytoken", "registrytoken")


@dataclass(frozen=True, kw_only=True)
class Login:
    """What an entry logs in with. ``password`` stays out of every text made of this."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What is asked for a registry: ``login`` None where it is to have none."""

    registry: str
    login: Login | None


@dataclass(frozen=True)
class DockerConfig:
    """One configuration, as read; every edit makes another."""

    data: Json

    @classmethod
    def parse(cls, text: str, *, where: str) -> DockerConfig:
        """Conflict for a text that is none; it is not quoted, because it may hold passwords."""
        cure = "Correct it, or delete it where nobody needs it"
        try:
            data = json.loads(text)
        except ValueError:
            raise Conflict("is no JSON", where=where, cure=cure) from None
        auths = data.get("auths", {}) if isinstance(data, dict) else None
        if not isinstance(auths, dict) or not all(isinstance(entry, dict) for entry in auths.values()):
            raise Conflict("is no Docker configuration", where=where, cure=cure)
        return cls(data)

    def login(self, registry: str) -> Login | None:
        """That of the registry, by the first of its entries; None where there is none or it cannot be read."""
        keys = self._keys(registry)
        return _login(self._auths[keys[0]]) if keys else None

    def has(self, registry: str) -> bool:
        return bool(self._keys(registry))

    def edited(self, wanted: Credentials) -> DockerConfig:
        """With the registry's entries as asked for: all of its spellings, or one new entry."""
        keys, login = self._keys(wanted.registry), wanted.login
        if login is None:
            return self._with({key: entry for key, entry in self._auths.items() if key not in keys}) if keys else self
        if keys and all(_login(self._auths[key]) == login for key in keys):
            return self
        own = {key: _entry(self._auths.get(key, {}), login) for key in keys or [wanted.registry]}
        return self._with({**self._auths, **own})

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing that anybody could need."""
        return not any(self.data.values())

    def __str__(self) -> str:
        return json.dumps(self.data, separators=(",", ":"), ensure_ascii=False)

    def __repr__(self) -> str:
        return f"DockerConfig of {', '.join(self._auths)}"

    @property
    def _auths(self) -> Json:
        return t.cast("Json", self.data.get("auths", {}))

    def _keys(self, registry: str) -> list[str]:
        return [key for key in self._auths if _host(key) == registry.lower()]

    def _with(self, auths: Json) -> DockerConfig:
        return DockerConfig({**self.data, "auths": auths})


def check_credentials(asked: Json, *, where: str) -> Credentials:
    """What one item of an option asks for, or BadInput."""
    registry = registry_host(asked["name"], where=where)
    if asked["state"] == "absent":
        return Credentials(registry=registry, login=None)
    if not asked["username"] or not asked["password"]:
        raise BadInput(f"{registry} has no username or no password", where=where, cure="Give both, from a vault")
    if ":" in asked["username"]:
        raise BadInput(f"the username for {registry} has a colon", where=where, cure="HTTP cannot carry that")
    return Credentials(registry=registry, login=Login(username=asked["username"], password=asked["password"]))


def _host(key: str) -> str:
    found = _SPELLING.fullmatch(key)
    return found["host"].lower() if found else ""


def _login(entry: Json) -> Login | None:
    """What clients send: ``auth`` before the two fields; None where a token goes before both."""
    if any(entry.get(name) for name in _OTHER_CREDENTIALS[1:]):
        return None
    if not entry.get("auth"):
        return Login(username=str(entry.get("username", "")), password=str(entry.get("password", "")))
    try:
        username, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except (binascii.Error, TypeError, ValueError):
        return None
    return Login(username=username, password=password) if colon else None


def _entry(before: Json, login: Login) -> Json:
    """``kubectl create secret docker-registry`` writes the same three fields; others (``email``) stay."""
    kept = {key: value for key, value in before.items() if key not in _OTHER_CREDENTIALS}
    auth = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
    return {**kept, "username": login.username, "password": login.password, "auth": auth}
