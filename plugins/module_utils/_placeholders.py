# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: values of files in Git that something else fills in later: ``${HARBOR_ROBOT_PASSWORD}``, ``op://vault/item``.

Names, addresses and URLs with placeholders are checked with harmless text in their place, so that the rest of the
value is checked as it always is. Secrets are refused unless they are nothing but a placeholder.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, fields, is_dataclass, replace

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import wanted_from
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import Auth, Tls

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import Settings, Wanted

__all__ = ["PLACEHOLDER", "escaped", "refuse_encoded_placeholders", "refuse_new_secrets", "wanted_with_placeholders"]

PLACEHOLDER: t.Final = re.compile(r"\$\{[A-Za-z_][^{}\s]*\}")
# What a later step resolves as a whole: envsubst, vals (ref+vault://…), 1Password (op://…) and their like.
_REFERENCE = re.compile(r"(?:\$\{[A-Za-z_][^{}\s]*\})+|(?!https?:)[a-z][a-z0-9+.-]*://\S+")
_SECRETS = {Auth: ("password", "auth", "identity_token"), Tls: ("client_key",)}
_CURE = "Give a placeholder such as ${HARBOR_ROBOT_PASSWORD}, or set allow_plaintext_secrets: true"

_T = t.TypeVar("_T")


# Shapes that pass the checks of the options; no stand-in is part of another.
_AS_LABEL = "placeholder-{}-x"
_AS_ADDRESS = "2001:db8:{:x}::5ec"  # from the range that is set aside for documentation
_AS_KEY = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n"


@dataclass
class _StandIns:
    """Placeholders by what stands for them while the options are checked."""

    numbers: dict[str, int] = field(default_factory=dict)
    table: dict[str, str] = field(default_factory=dict)

    def put(self, value: t.Any, option: str = "") -> t.Any:
        if isinstance(value, dict):
            return {key: self.put(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.put(item, option) for item in value]
        return self._put_text(value, option) if isinstance(value, str) else value

    def _put_text(self, value: str, option: str) -> str:
        whole = bool(PLACEHOLDER.fullmatch(value.strip()))
        if whole and option == "client_key":
            return self._stand(_AS_KEY, value.strip())
        if whole and option == "ip":
            return self._stand(_AS_ADDRESS, value.strip())
        if option in {"name", "names", "endpoints", "url"}:
            return PLACEHOLDER.sub(lambda found: self._stand(_AS_LABEL, found[0]), value)
        return value

    def _stand(self, shape: str, placeholder: str) -> str:
        number = self.numbers.setdefault(placeholder, len(self.numbers) + 1)
        stand_in = shape.format(number)
        self.table[stand_in] = placeholder
        return stand_in

    def back(self, value: _T) -> _T:
        """The same data with the placeholders themselves."""
        found: t.Any = value
        if isinstance(found, str):
            for stand_in, placeholder in self.table.items():
                found = found.replace(stand_in, placeholder)
        elif isinstance(found, tuple):
            found = tuple(self.back(item) for item in found)
        elif isinstance(found, dict):
            found = {self.back(key): self.back(item) for key, item in found.items()}
        elif is_dataclass(found) and not isinstance(found, type):
            found = replace(found, **{item.name: self.back(getattr(found, item.name)) for item in fields(found)})
        return t.cast("_T", found)


def wanted_with_placeholders(params: Mapping[str, t.Any]) -> Wanted:
    """``wanted_from`` for a file: ``${NAME}`` may be, or be part of, a name, an address or an endpoint's URL."""
    stand_ins = _StandIns()
    put = {**params, **{kind: stand_ins.put(params[kind]) for kind in ("mirrors", "auth", "tls", "hosts")}}
    try:
        return stand_ins.back(wanted_from(put))
    except BadInput as error:
        raise BadInput(
            stand_ins.back(error.problem), where=stand_ins.back(error.where), cure=stand_ins.back(error.cure)
        ) from None


def escaped(wanted: Wanted) -> Wanted:
    """For a file that talhelper reads: ``robot$pull`` written as ``robot$$pull``, which envsubst gives back."""
    auth = {key: value and _escaped_auth(value) for key, value in wanted.auth.items()}
    return replace(wanted, auth=auth)


def _escaped_auth(auth: Auth) -> Auth:
    values = {item.name: getattr(auth, item.name) for item in fields(auth)}
    return replace(auth, **{name: _escaped_text(value) for name, value in values.items()})


def _escaped_text(value: str) -> str:
    parts = PLACEHOLDER.split(value)
    kept = [*PLACEHOLDER.findall(value), ""]
    return "".join(part.replace("$", "$$") + placeholder for part, placeholder in zip(parts, kept, strict=True))


def refuse_new_secrets(before: Settings, after: Settings, *, where: str) -> None:
    """BadInput where ``after`` holds a secret in plain text that ``before`` does not."""
    for kind in ("auth", "tls"):
        for key, value in getattr(after, kind).items():
            old = getattr(before, kind).get(key)
            for name in _SECRETS[type(value)]:
                secret = getattr(value, name)
                known = old is not None and getattr(old, name) == secret
                if secret and not known and not _REFERENCE.fullmatch(secret.strip()):
                    problem = f"{name} of {key} would stand in the file as plain text"
                    raise BadInput(problem, where=where, cure=_CURE)


def refuse_encoded_placeholders(in_v1alpha1: Settings, *, where: str) -> None:
    """BadInput where a placeholder would be written in Base64, in which nothing finds it."""
    for key, value in in_v1alpha1.tls.items():
        if _REFERENCE.fullmatch(value.client_key.strip()):
            problem = f"client_key of {key} is a placeholder, and machine.registries has keys in Base64"
            raise BadInput(problem, where=where, cure="Use layer: documents")
