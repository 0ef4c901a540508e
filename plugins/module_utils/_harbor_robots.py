# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: one robot account of a Harbor: find it, see whether its secret is the wanted one, make it so."""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict, NotReady
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_api import matching
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_robot import (
    Existing,
    Robot,
    as_body,
    as_result,
    check_secret,
    existing,
    own_name,
    plan,
)

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_api import HarborApi, Json

__all__ = ["Step", "expiry", "send", "step"]

GIVEN, OTHER, UNKNOWN = "as given", "another", "not known"
OTHERS = "See who else manages it, and run again"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What is there and what is to be. ``secret`` is what has to be set, None where nothing has."""

    own_name: str
    level: str
    found: Existing | None
    wanted: Robot | None
    secret: str | None
    secret_before: str

    @property
    def change(self) -> Change:
        before = self.found.robot if self.found else None
        word = GIVEN if self.secret else self.secret_before
        return Change(
            what=f"robot {self.found.name if self.found else self.own_name}",
            before=as_result(before, secret=self.secret_before),
            after=as_result(self.wanted, secret=word),
        )


def step(api: HarborApi, asked: Json, *, now: datetime) -> Step:
    """Read and decide, by the options of ROBOT_SPEC; every error of the input comes here."""
    name = own_name(asked["name"], project=asked["project"])
    level = "project" if asked["project"] else "system"
    found = _find(api, name, asked["project"])
    if asked["state"] == "absent":
        return Step(own_name=name, level=level, found=found, wanted=None, secret=None, secret_before=UNKNOWN)
    wanted = plan(asked, found=found, now=now)
    before = _secret_before(api, found, asked["secret"])
    # What a disabled robot's secret opens cannot be seen; it is set when the robot is to be used again.
    kept = before == GIVEN or asked["secret"] is None or bool(found and found.robot.disable and wanted.disable)
    if found is None and asked["secret"] is None:
        cure = "Give one from a vault: that which Harbor makes up would be lost"
        raise BadInput("a new robot needs one", where="secret", cure=cure)
    if not kept:
        check_secret(asked["secret"])
    secret = None if kept else asked["secret"]
    return Step(own_name=name, level=level, found=found, wanted=wanted, secret=secret, secret_before=before)


def _secret_before(api: HarborApi, found: Existing | None, secret: str | None) -> str:
    if found is None or secret is None or found.robot.disable or found.has_expired(datetime.now(UTC)):
        return UNKNOWN
    return GIVEN if api.opens(found.name, secret) else OTHER


def _find(api: HarborApi, name: str, project: str | None) -> Existing | None:
    if project:
        known = api.get(f"/projects/{quote(project, safe='')}")
        if known is None:
            raise BadInput(
                f"Harbor has no project {project}", where="project", cure="Create it first, or correct the name"
            )
        query = matching(Level="project", ProjectID=known["project_id"], name=name)
    else:
        query = matching(name=name)
    robots = [one for one in api.list("/robots", q=query) if one["name"].endswith(name)]
    return existing(robots[0]) if robots else None


def send(api: HarborApi, planned: Step) -> Existing | None:
    """Do what is planned, and read it back."""
    if planned.wanted is None:
        if planned.found:
            api.send("DELETE", f"/robots/{planned.found.id}")
        return None
    found = planned.found or _create(api, planned, planned.wanted)
    path = f"/robots/{found.id}"
    if found.robot != planned.wanted:  # one just made too: Harbor passes over "disable" there
        api.send("PUT", path, as_body(planned.wanted, name=found.name, level=found.level))
    if planned.secret is not None:
        api.send("PATCH", path, {"secret": planned.secret})
    return _read_back(api, planned, path)


def _create(api: HarborApi, planned: Step, wanted: Robot) -> Existing:
    made = api.send("POST", "/robots", as_body(wanted, name=planned.own_name.rpartition("+")[2], level=planned.level))
    return existing(api.get(f"/robots/{made['id']}"))


def _read_back(api: HarborApi, planned: Step, path: str) -> Existing:
    read = api.get(path)
    if read is None:
        raise Conflict("is gone again", where=f"robot {planned.own_name}", cure=OTHERS)
    after = existing(read)
    where = f"robot {after.name}"
    if after.robot != planned.wanted:
        raise NotReady("is not as it was sent", where=where, cure=OTHERS)
    if planned.secret is not None and not after.robot.disable and not api.opens(after.name, planned.secret):
        raise NotReady("its new secret opens nothing", where=where, cure=OTHERS)
    return after


def expiry(robot: Existing, *, now: datetime, min_valid_days: int) -> tuple[Json, str]:
    """When it expires, for the result, and a warning where that is soon."""
    if robot.expires is None:
        return {"expires": "", "days_left": None}, ""
    left = math.floor((robot.expires - now).total_seconds() / 86400)
    result = {"expires": robot.expires.strftime("%Y-%m-%dT%H:%M:%SZ"), "days_left": left}
    if left >= min_valid_days:
        return result, ""
    cure = "Give it a longer duration (its days count from its creation), or make a new robot and move its users there"
    return result, f"robot {robot.name} expires on {robot.expires:%Y-%m-%d %H:%M} UTC. {cure}"
