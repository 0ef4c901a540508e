# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: which token realm Harbor's core names to whom, and the two settings that decide it.

The rules are those of goharbor/harbor src/server/middleware/v2auth/auth.go. ``TOKEN_SERVICE_URL``, which the chart
writes too, is read by nothing.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._http import parse_url

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "NEWEST_RULE",
    "SETTINGS",
    "Plan",
    "Realms",
    "Values",
    "Version",
    "challenge",
    "chart_core_url",
    "check_scheme",
    "image_version",
    "map_names",
    "needed_by_core",
    "overridden",
    "parse_version",
    "plan",
    "realm",
    "realm_table",
    "started_before",
    "unhealthy",
]

Version = tuple[int, ...]
Values = dict[str, str]
# Host → before and after → the URL of its token service.
Realms = dict[str, dict[str, str]]

# From 2.14.0 on an unmatched host keeps its own name in the realm, under the scheme of EXT_ENDPOINT.
HOST_RULE: Version = (2, 14, 0)
NEWEST_RULE = HOST_RULE
SETTINGS = ("EXT_ENDPOINT", "CORE_URL")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Per ConfigMap its settings, those of ``SETTINGS`` that it holds, as they are and as they will be."""

    before: dict[str, Values]
    after: dict[str, Values]

    @property
    def changed(self) -> bool:
        return self.before != self.after

    def patch(self, name: str, *, back: bool = False) -> Values:
        """What has to be written to a ConfigMap: only what differs; with ``back``, the old values."""
        old, new = (self.after, self.before) if back else (self.before, self.after)
        return {key: value for key, value in new[name].items() if old[name].get(key) != value}


def map_names(fullname: str) -> dict[str, str]:
    """Component → its ConfigMap with environment variables."""
    return {"core": f"{fullname}-core", "jobservice": f"{fullname}-jobservice-env"}


def parse_version(text: str, *, where: str) -> Version:
    """``2.15.2`` or ``v2.15.2-…`` as numbers."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text)
    if not found:
        raise BadInput(f"{text!r} is no version", where=where, cure="Write it as 2.15.2")
    return tuple(int(number) for number in found.groups())


def image_version(image: str) -> Version | None:
    """The version in an image's tag (``goharbor/harbor-core:v2.15.2``); None where the tag tells none."""
    found = re.search(r":v?(\d+)\.(\d+)\.(\d+)[^/:]*(@|$)", image)
    return tuple(int(number) for number in found.groups()[:3]) if found else None


def realm(*, host: str, ext_endpoint: str, core_url: str, version: Version = NEWEST_RULE) -> str:
    """The URL of the token service that a client which sends ``Host: <host>`` is told."""
    if _matches(host, core_url):
        base = core_url
    elif version >= HOST_RULE:
        base = f"{ext_endpoint.partition('://')[0]}://{host}"
    else:
        base = ext_endpoint
    return f"{base.removesuffix('/')}/service/token"


def realm_table(hosts: Iterable[str], *, before: Values, after: Values, version: Version) -> Realms:
    """What every host is told with core's settings before, and with those after."""
    both = {"before": before, "after": after}
    return {
        host: {
            when: realm(host=host, ext_endpoint=core["EXT_ENDPOINT"], core_url=core["CORE_URL"], version=version)
            for when, core in both.items()
        }
        for host in hosts
    }


def challenge(realm_url: str) -> str:
    """The WWW-Authenticate header with that realm, to a request for /v2/ without credentials."""
    return f'Bearer realm="{realm_url}",service="harbor-registry"'


def _matches(host: str, core_url: str) -> bool:
    parts = urlsplit(core_url)
    configured = parts.netloc
    port = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    if port:
        configured, host = configured.removesuffix(port), host.removesuffix(port)
    return host == configured


def chart_core_url(*, fullname: str, core_data: Mapping[str, str]) -> str:
    """The CORE_URL the chart writes; with internalTLS, as the chart's other settings show it, https and 443."""
    shown = core_data.get("CORE_LOCAL_URL") or core_data.get("REGISTRY_URL") or ""
    inside_tls = core_data.get("PORT") == "8443" or shown.startswith("https://")
    return f"https://{fullname}-core:443" if inside_tls else f"http://{fullname}-core:80"


def plan(
    *,
    fullname: str,
    namespace: str,
    external_url: str,
    core_url: str | None,
    core: Mapping[str, str],
    jobservice: Mapping[str, str],
    overrides: Mapping[str, Values] | None = None,
) -> Plan:
    """The settings of ``<fullname>-core`` and ``<fullname>-jobservice-env``. ``core_url`` None is the chart's own.

    A setting is written where the ConfigMap holds it already, nowhere else. ``overrides``: ConfigMap → what the
    Deployment's own environment sets over it, which no ConfigMap can change.
    """
    external = str(parse_url(external_url, where="external_url"))
    where = f"ConfigMap {namespace}/{fullname}-core"
    for key in SETTINGS:
        if key not in core:
            raise Conflict(f"holds no {key}", where=where, cure="Give the fullname of a release of Harbor's chart")
    own = chart_core_url(fullname=fullname, core_data=core)
    wanted = own if core_url is None else core_url.removesuffix("/")
    check_scheme(wanted, own=own)
    after = {"EXT_ENDPOINT": external, "CORE_URL": wanted}
    names = map_names(fullname)
    found = {names["core"]: core, names["jobservice"]: jobservice}
    before = {
        name: {**{key: data[key] for key in SETTINGS if key in data}, **(overrides or {}).get(name, {})}
        for name, data in found.items()
    }
    planned = Plan(
        before=before,
        after={name: {key: _kept(old, after[key]) for key, old in values.items()} for name, values in before.items()},
    )
    for name in overrides or {}:
        _refuse_override(planned, name, overrides or {}, where=f"Deployment {namespace}/{name.removesuffix('-env')}")
    return planned


def _refuse_override(planned: Plan, name: str, overrides: Mapping[str, Values], *, where: str) -> None:
    for key in planned.patch(name).keys() & overrides[name].keys():
        problem = f"sets {key}={overrides[name][key]} itself (extraEnvVars of the chart), over the ConfigMap"
        raise Conflict(problem, where=where, cure="Change the values: kind: HelmRelease, or path: their file")


def check_scheme(core_url: str, *, own: str) -> None:
    """BadInput unless ``core_url`` is a URL with the scheme of the chart's own, by which jobservice reaches core."""
    parse_url(core_url, where="core_url")
    scheme = urlsplit(own).scheme
    if urlsplit(core_url).scheme != scheme:
        cure = f"Core itself is reached by {scheme} inside the cluster: keep that scheme"
        raise BadInput(f"{core_url!r} has the wrong scheme", where="core_url", cure=cure)


def _kept(old: str, new: str) -> str:
    """An EXT_ENDPOINT that differs by a final slash only means the same, and stays."""
    return old if old.removesuffix("/") == new else new


def overridden(deployment: Mapping[str, t.Any]) -> Values:
    """The settings that a Deployment's containers get as environment variables of their own, by value."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    variables = [one for container in containers for one in container.get("env") or []]
    return {one["name"]: one["value"] for one in variables if one["name"] in SETTINGS and "value" in one}


def needed_by_core(ill: Sequence[str]) -> list[str]:
    """Of what ``unhealthy`` says, what a restart of core and jobservice would not cure but suffer from."""
    return [line for line in ill if line.partition(":")[0] in {"database", "redis", "registry", "registryctl"}]


def unhealthy(health: t.Any) -> list[str]:
    """What /api/v2.0/health finds wrong, one line a component; empty when all is well. Its status is 200 either way."""
    if not isinstance(health, dict) or not isinstance(health.get("components"), list):
        return ["no answer"]
    bad = [one for one in health["components"] if one.get("status") != "healthy"]
    lines = [f"{one.get('name')}: {one.get('error') or one.get('status')}" for one in bad]
    return lines or ([] if health.get("status") == "healthy" else [f"status: {health.get('status')}"])


def started_before(*, config_map: Mapping[str, t.Any], pods: Sequence[Mapping[str, t.Any]]) -> bool:
    """Whether a running container is older than the last write of a setting: it still works with the values before.

    So a run that was killed between the write and the restart is found and finished by the next one.
    """
    written = _written(config_map)
    if written is None:
        return False
    return any(
        start < written for pod in pods if not pod["metadata"].get("deletionTimestamp") for start in _starts(pod)
    )


def _written(config_map: Mapping[str, t.Any]) -> datetime | None:
    times = [
        _time(entry["time"])
        for entry in config_map["metadata"].get("managedFields") or []
        if entry.get("time") and any(f"f:{key}" in entry.get("fieldsV1", {}).get("f:data", {}) for key in SETTINGS)
    ]
    return max(times, default=None)


def _starts(pod: Mapping[str, t.Any]) -> list[datetime]:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    running = [status.get("state", {}).get("running") for status in statuses]
    return [_time(one["startedAt"]) for one in running if one and one.get("startedAt")]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
