# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what a robot account of Harbor is and is to be.

A robot's expiry counts from its creation, not from the last change of its duration. Its secret cannot be read: whether
it is the wanted one is what it opens.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_api import Json

__all__ = [
    "FOREVER",
    "Existing",
    "Permission",
    "Robot",
    "as_body",
    "as_result",
    "check_secret",
    "existing",
    "own_name",
    "plan",
]

FOREVER: t.Final = -1
MIN_SECRET, MAX_SECRET = 8, 128

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True, order=True)
class Permission:
    """One action on one resource. ``namespace`` is a project, ``*`` for all of them, ``/`` for kind ``system``."""

    kind: str
    namespace: str
    resource: str
    action: str


@dataclass(frozen=True, kw_only=True)
class Robot:
    """What can be set. ``duration`` is in days, FOREVER for no expiry."""

    duration: int
    disable: bool
    description: str
    permissions: frozenset[Permission]


@dataclass(frozen=True, kw_only=True)
class Existing:
    """A robot as Harbor told it. ``name`` has the prefix; ``expires`` is None where it never does."""

    id: int
    name: str
    level: str
    created: datetime
    expires: datetime | None
    robot: Robot

    def has_expired(self, now: datetime) -> bool:
        return self.expires is not None and self.expires <= now

    def after(self, wanted: Robot) -> Existing:
        """As Harbor will tell it then."""
        expires = None if wanted.duration == FOREVER else self.created + timedelta(days=wanted.duration)
        kept = wanted.duration == self.robot.duration
        return replace(self, robot=wanted, expires=self.expires if kept else expires)


def own_name(name: str, *, project: str | None) -> str:
    """The name that Harbor keeps: ``ci``, or ``apps+ci`` for a robot of a project."""
    if not _NAME.fullmatch(name):
        cure = (
            "Lower-case letters and digits, joined by '.', '_' or '-'; without the prefix robot$ and without a project"
        )
        raise BadInput(f"{name!r} is no robot's name", where="name", cure=cure)
    return f"{project}+{name}" if project else name


def check_secret(secret: str) -> None:
    """BadInput unless Harbor takes the secret; it is not told."""
    wanted = (r"[a-z]", r"[A-Z]", r"[0-9]")
    if not MIN_SECRET <= len(secret) <= MAX_SECRET or not all(re.search(one, secret) for one in wanted):
        cure = f"{MIN_SECRET} to {MAX_SECRET} characters, with an upper-case letter, a lower-case letter and a digit"
        raise BadInput("Harbor does not take it", where="secret", cure=cure)


def existing(found: Json) -> Existing:
    """Read a robot of ``GET /robots``."""
    expires = found.get("expires_at", FOREVER)
    return Existing(
        id=found["id"],
        name=found["name"],
        level=found["level"],
        created=datetime.fromisoformat(found["creation_time"]),
        expires=None if expires == FOREVER else datetime.fromtimestamp(expires, UTC),
        robot=Robot(
            duration=found["duration"],
            disable=found.get("disable", False),
            description=found.get("description", ""),
            permissions=_permissions(found.get("permissions") or []),
        ),
    )


def plan(asked: Json, *, found: Existing | None, now: datetime) -> Robot:
    """What the robot is to be; what is not asked for (None) stays, or is a new robot's default."""
    permissions = _wanted_permissions(asked)
    base = found.robot if found else Robot(duration=FOREVER, disable=False, description="", permissions=frozenset())
    given = {key: asked[key] for key in ("duration", "disable", "description") if asked[key] is not None}
    wanted = replace(base, permissions=permissions or base.permissions, **given)
    if not wanted.permissions:
        raise BadInput("a new robot needs at least one", where="permissions", cure="Say what it may do")
    if wanted.duration != FOREVER and wanted.duration < 1:
        cure = f"A number of days, or {FOREVER} for no expiry; Harbor's 0 means a default that it does not tell"
        raise BadInput(f"{wanted.duration} is no duration", where="duration", cure=cure)
    if found:
        _refuse_expired(found, wanted, now)
    return wanted


def _refuse_expired(found: Existing, wanted: Robot, now: datetime) -> None:
    then = found.after(wanted)
    if then.expires is not None and then.has_expired(now):
        kept = wanted.duration == found.robot.duration
        problem = f"{'has expired' if kept else 'would have expired'} on {then.expires:%Y-%m-%d}"
        cure = f"Its days count from {found.created:%Y-%m-%d}, when it was made: give more, or make a new robot"
        raise Conflict(problem, where=f"robot {found.name}", cure=cure)


def _wanted_permissions(asked: Json) -> frozenset[Permission]:
    wanted = _permissions(asked["permissions"] or [])
    for one in wanted:
        where = f"permissions of {one.kind} {one.namespace}"
        if asked["project"] and (one.kind, one.namespace) != ("project", asked["project"]):
            raise BadInput(f"the robot is of project {asked['project']}", where=where, cure="Give it rights there only")
        if (one.kind == "system") != (one.namespace == "/"):
            raise BadInput("namespace / goes with kind system, and only that", where=where, cure="Correct one")
    return wanted


def _permissions(listed: list[Json]) -> frozenset[Permission]:
    return frozenset(
        Permission(kind=one["kind"], namespace=one["namespace"], resource=access["resource"], action=access["action"])
        for one in listed
        for access in one.get("access") or []
    )


def as_body(robot: Robot, *, name: str, level: str) -> Json:
    """The body that makes or updates it."""
    scopes: dict[tuple[str, str], list[Json]] = {}
    for one in sorted(robot.permissions):
        scopes.setdefault((one.kind, one.namespace), []).append({"resource": one.resource, "action": one.action})
    return {
        "name": name,
        "level": level,
        "duration": robot.duration,
        "disable": robot.disable,
        "description": robot.description,
        "permissions": [
            {"kind": kind, "namespace": namespace, "access": access} for (kind, namespace), access in scopes.items()
        ],
    }


def as_result(robot: Robot | None, *, secret: str) -> Json | None:
    """For people: ``secret`` is a word for it, never the secret."""
    if robot is None:
        return None
    permissions = [f"{one.kind} {one.namespace}: {one.action} {one.resource}" for one in sorted(robot.permissions)]
    return {**asdict(robot), "permissions": permissions, "secret": secret}
