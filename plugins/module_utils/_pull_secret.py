# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: Secrets of type ``kubernetes.io/dockerconfigjson`` and the lists of ServiceAccounts that name them.

A Secret says by annotations for which registries an entry was added that nobody had before, and whether the key
config.json was, so that the way back takes those away and no others. One made here has a label, and goes when nothing
is left in it.
"""

from __future__ import annotations

import base64
import typing as t
from dataclasses import dataclass, field

from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change
from ansible_collections.splithorizon.registry.plugins.module_utils._docker_config import Credentials, DockerConfig
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = [
    "ADDED",
    "CONFIG_JSON",
    "DOCKER_CONFIG",
    "MADE_HERE",
    "Step",
    "Wanted",
    "plan_account",
    "plan_secret",
]

TYPE: t.Final = "kubernetes.io/dockerconfigjson"
DOCKER_CONFIG: t.Final = ".dockerconfigjson"
CONFIG_JSON: t.Final = "config.json"
ADDED: t.Final = "splithorizon.registry/added"
KEY_ADDED: t.Final = "splithorizon.registry/added-config.json"
MADE_HERE: t.Final = {"app.kubernetes.io/managed-by": "splithorizon.registry"}

GIVEN, OTHER = "as given", "another"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a Secret is to hold. ``config_json`` None leaves that key to be as it is: there or not.

    ``added_only``: credentials that are to go, go only where they were added here.
    """

    name: str
    credentials: tuple[Credentials, ...]
    config_json: bool | None = None
    added_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Step:
    """One object's change, without a password in it, and what brings it about.

    ``body`` may hold passwords; of a deletion it is the object's uid. ``present``: whether the object is
    there afterwards.
    """

    change: Change
    method: t.Literal["", "create", "merge", "delete"]
    body: Json = field(repr=False)
    present: bool


def plan_secret(*, namespace: str, found: Json | None, wanted: Wanted) -> Step:
    """The step that makes the Secret as wanted; Conflict where it is none to be edited."""
    where = f"Secret {namespace}/{wanted.name}"
    before = _configs(found, where) if found else {}
    asked = _asked(found, wanted)
    added = _added(found, before, asked)
    goes = wanted.added_only and not added and KEY_ADDED in _annotations(found)
    after = _edited(before, asked, config_json=False if goes else wanted.config_json)
    if found is None and not after:
        return Step(change=Change(what=where, before=None, after=None), method="", body={}, present=False)
    if found and _is_ours(found) and all(config.is_empty for config in after.values()):
        change = Change(what=where, before=_view(before, asked), after=None)
        return Step(change=change, method="delete", body={"uid": found["metadata"]["uid"]}, present=False)
    change = Change(what=where, before=_view(before, asked), after=_view(after, asked))
    if not change.changed:
        return Step(change=change, method="", body={}, present=found is not None)
    if found and found.get("immutable"):
        raise Conflict("is immutable", where=where, cure="Give another name, or delete it first")
    edited = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    data = {key: str(base64.b64encode(str(after[key]).encode()), "ascii") if key in after else None for key in edited}
    marks: dict[str, str | None] = {ADDED: added or None}
    if found is None:
        own = {"namespace": namespace, "name": wanted.name, "labels": MADE_HERE, "annotations": marks}
        body: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": own, "type": TYPE, "data": data}
        return Step(change=change, method="create", body=body, present=True)
    if (CONFIG_JSON in before) != (CONFIG_JSON in after):
        marks[KEY_ADDED] = "true" if CONFIG_JSON in after else None
    version = found["metadata"]["resourceVersion"]
    body = {"metadata": {"resourceVersion": version, "annotations": marks}, "data": data}
    return Step(change=change, method="merge", body=body, present=True)


def plan_account(*, namespace: str, name: str, found: Json | None, secret: str, present: bool, key: str) -> Step:
    """The step after which the ServiceAccount's list ``key`` names the Secret, or does not; others stay."""
    where = f"ServiceAccount {namespace}/{name}"
    if found is None:
        if not present:
            return Step(change=Change(what=where, before=None, after=None), method="", body={}, present=False)
        raise Conflict("does not exist", where=where, cure="Create it first, with what uses it")
    before: list[Json] = list(found.get(key) or [])
    after = _listed(before, secret, present=present)
    change = Change(what=where, before={key: _names(before)}, after={key: _names(after)})
    body = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, key: after}
    return Step(change=change, method="merge" if change.changed else "", body=body, present=True)


def _listed(entries: list[Json], secret: str, *, present: bool) -> list[Json]:
    named = [entry.get("name") == secret for entry in entries]
    if present:
        return entries if any(named) else [*entries, {"name": secret}]
    return [entry for entry, is_it in zip(entries, named, strict=True) if not is_it]


def _names(entries: list[Json]) -> list[str]:
    return [entry.get("name", "") for entry in entries]


def _configs(found: Json, where: str) -> dict[str, DockerConfig]:
    if found.get("type") != TYPE:
        cure = "Give another name: the type of a Secret cannot be changed"
        raise Conflict(f"is of type {found.get('type')}, not {TYPE}", where=where, cure=cure)
    data = found.get("data") or {}
    return {
        key: DockerConfig.parse(base64.b64decode(data[key]).decode(errors="replace"), where=f"{where}, {key}")
        for key in (DOCKER_CONFIG, CONFIG_JSON)
        if key in data
    }


def _asked(found: Json | None, wanted: Wanted) -> list[Credentials]:
    known = _marked(found)
    return [one for one in wanted.credentials if one.login or not wanted.added_only or one.registry in known]


def _edited(
    before: dict[str, DockerConfig], asked: Sequence[Credentials], *, config_json: bool | None
) -> dict[str, DockerConfig]:
    """The keys of the Secret; none where there is nothing to write and there was none before."""
    configs = dict(before)
    if not configs and any(one.login for one in asked):
        configs = {DOCKER_CONFIG: DockerConfig({"auths": {}})}
    for one in asked:
        configs = {key: config.edited(one) for key, config in configs.items()}
    if configs and config_json:
        configs.setdefault(CONFIG_JSON, configs[DOCKER_CONFIG])
    if config_json is False:
        configs.pop(CONFIG_JSON, None)
    return configs


def _is_ours(found: Json) -> bool:
    """Whether it was made here and nobody has put anything else into it."""
    made_here = MADE_HERE.items() <= (found["metadata"].get("labels") or {}).items()
    return made_here and found["data"].keys() <= {DOCKER_CONFIG, CONFIG_JSON}


def _marked(found: Json | None) -> set[str]:
    return set(filter(None, _annotations(found).get(ADDED, "").split(",")))


def _annotations(found: Json | None) -> dict[str, str]:
    return (found["metadata"].get("annotations") or {}) if found else {}


def _added(found: Json | None, before: Mapping[str, DockerConfig], asked: Sequence[Credentials]) -> str:
    old = before.get(DOCKER_CONFIG, DockerConfig({}))
    new = {one.registry for one in asked if one.login and not old.has(one.registry)}
    gone = {one.registry for one in asked if not one.login}
    return ",".join(sorted((_marked(found) | new) - gone))


def _view(configs: Mapping[str, DockerConfig], asked: Sequence[Credentials]) -> Json | None:
    """What the diff shows: for each key the registries asked for, with words in the place of passwords."""
    if not configs:
        return None
    return {
        key: {one.registry: _seen(config, one) for one in asked if config.has(one.registry)}
        for key, config in configs.items()
    }


def _seen(config: DockerConfig, one: Credentials) -> Json:
    login = config.login(one.registry)
    as_given = one.login is not None and config.edited(one) is config
    return {"username": login.username if login else "", "password": GIVEN if as_given else OTHER}
