# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: Harbor's two settings as values of its chart.

``externalURL`` becomes EXT_ENDPOINT. CORE_URL has no value of its own: ``core.extraEnvVars`` and
``jobservice.extraEnvVars`` (chart 1.13.0, Harbor 2.9) set it over the ConfigMaps. ``core.configureUserSettings``
cannot: both are settings of the system, and a core that is given one there does not start.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._chart_values import DELETE, Edit
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import Values, check_scheme, map_names
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_entry import at

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._chart_values import Home
    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import Version
    from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import Path, Tree

__all__ = [
    "HAS_EXTRA_ENV",
    "app_version",
    "are_harbors",
    "chart_version",
    "kept_url",
    "own_core_url",
    "plan_values",
    "refuse_user_settings",
    "settings_of",
]

HAS_EXTRA_ENV: Version = (1, 13, 0)
_CHART_DEFAULT = "https://core.harbor.domain"
_SYSTEM_SETTINGS = ("ext_endpoint", "core_url", "token_service_url")
# Values of Harbor's chart that tell it from others, where externalURL is left at its default.
_TYPICAL = frozenset({"harborAdminPassword", "existingSecretAdminPassword", "jobservice", "imageChartStorage"})
_PLACEHOLDER = re.compile(r"\$\{[^{}]*\}")
# Chart 1.n brings Harbor 2.(n-4): 1.13 and 2.9, 1.18 and 2.14, 1.19 and 2.15.
_MINORS_BEHIND = 4


def are_harbors(home: Home) -> bool:
    """Whether the values are those of Harbor's chart, by the chart's name or by their own."""
    resource, values = home.resource, home.values
    chart = at(resource, ("spec", "chart", "spec", "chart")) or at(resource, ("spec", "chart"))
    if not isinstance(chart, str):
        chart = at(resource, (*home.path[:-2], "chart")) or at(resource, (*home.path[:-1], "name"))
    if isinstance(chart, str) and home.path:
        return chart.rpartition("/")[2] == "harbor"
    return "externalURL" in values or ("expose" in values and bool(_TYPICAL & values.keys()))


def chart_version(resource: Tree) -> Version | None:
    """The chart's version as a HelmRelease, HelmChart or Application pins it; None for ranges and references."""
    places: tuple[Path, ...] = (
        ("spec", "chart", "spec", "version"),
        ("spec", "version"),
        ("spec", "source", "targetRevision"),
    )
    texts = [text for place in places if isinstance(text := at(resource, place), str)]
    found = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)(?:-.*)?", texts[0]) if texts else None
    return tuple(int(number) for number in found.groups()) if found else None


def app_version(chart: Version | None) -> Version | None:
    """Harbor's version in a version of its chart."""
    return (2, chart[1] - _MINORS_BEHIND, 0) if chart and chart[0] == 1 and chart[1] >= _MINORS_BEHIND else None


def own_core_url(*, fullname: str, values: Tree) -> str:
    """The CORE_URL that the chart makes of these values."""
    inside_tls = str(at(values, ("internalTLS", "enabled"))).lower() == "true"
    return f"https://{fullname}-core:443" if inside_tls else f"http://{fullname}-core:80"


def settings_of(values: Tree, *, fullname: str, patched: Mapping[str, Values]) -> dict[str, Values]:
    """ConfigMap → the settings that processes start with. ``patched``: what patches set in the ConfigMaps."""
    shared = {"EXT_ENDPOINT": str(values.get("externalURL") or _CHART_DEFAULT)}
    own = {"CORE_URL": own_core_url(fullname=fullname, values=values)}
    charts = {"core": {**shared, **own}, "jobservice": own}
    return {
        name: {
            key: str(_literal(values, component, key) or patched.get(name, {}).get(key) or value)
            for key, value in charts[component].items()
        }
        for component, name in map_names(fullname).items()
    }


def plan_values(
    values: Tree, *, fullname: str, external_url: str, core_url: str | None, chart: Version | None = None
) -> list[Edit]:
    """What has to change in the values. ``core_url`` None is the chart's own; ``chart`` None is a new version."""
    refuse_user_settings(values)
    if core_url is not None:
        check_scheme(core_url, own=own_core_url(fullname=fullname, values=values))
        if chart is not None and chart < HAS_EXTRA_ENV:
            problem = f"chart {'.'.join(map(str, chart))} has no extraEnvVars, by which values set CORE_URL"
            raise BadInput(problem, where="core_url", cure="Use core_url_by: post_renderer, or chart 1.13.0 and later")
    edits = []
    if (new := kept_url(values.get("externalURL"), external_url)) != values.get("externalURL"):
        edits.append(Edit(path=("externalURL",), value=new))
    if (old := _entry(values, "core", "EXT_ENDPOINT")) and (new := kept_url(old[1], external_url)) != old[1]:
        edits.append(Edit(path=(*old[0], "value"), value=new))
    for component in map_names(fullname):
        edits += _core_url_edits(values, component, core_url)
    return edits


def _core_url_edits(values: Tree, component: str, wanted: str | None) -> Iterator[Edit]:
    found = _entry(values, component, "CORE_URL")
    if found is None:
        if wanted is not None:
            count = len(at(values, (component, "extraEnvVars")) or [])
            yield Edit(path=(component, "extraEnvVars", count), value={"name": "CORE_URL", "value": wanted})
    elif wanted is None:
        last = len(at(values, found[0][:-1])) == 1
        copied = last and at(values, ("portal", "extraEnvVars")) == []  # all values of the chart stand there
        yield Edit(path=found[0][:-1], value=[]) if copied else Edit(path=found[0], value=DELETE)
    elif found[1] != wanted:
        yield Edit(path=(*found[0], "value"), value=wanted)


def _literal(values: Tree, component: str, key: str) -> str | None:
    found = _entry(values, component, key)
    return found[1] if found else None


def _entry(values: Tree, component: str, key: str) -> tuple[Path, str] | None:
    """(the path, the value) of an environment variable; None where there is none."""
    listed = at(values, (component, "extraEnvVars")) or []
    where = f"{component}.extraEnvVars"
    if not isinstance(listed, list):
        raise Conflict("is no list", where=where, cure="Correct it by hand")
    found = [(index, one) for index, one in enumerate(listed) if isinstance(one, dict) and one.get("name") == key]
    if len(found) > 1:
        raise Conflict(f"sets {key} {len(found)} times", where=where, cure="Leave one of them")
    if not found:
        return None
    index, one = found[0]
    if not isinstance(one.get("value"), str):
        raise Conflict(
            f"sets {key} by reference, not by value", where=where, cure="Set it where it is kept, or by value"
        )
    return (component, "extraEnvVars", index), one["value"]


def refuse_user_settings(values: Tree) -> None:
    """Conflict where ``core.configureUserSettings`` holds what only the environment may set."""
    text = at(values, ("core", "configureUserSettings"))
    try:
        settings = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return
    wrong = [key for key in _SYSTEM_SETTINGS if isinstance(settings, dict) and key in settings]
    if wrong:
        problem = f"sets {', '.join(wrong)}, a setting of the system: core does not start with it"
        cure = "Take it out; externalURL and extraEnvVars are the way"
        raise Conflict(problem, where="core.configureUserSettings", cure=cure)


def kept_url(old: t.Any, wanted: str) -> str:
    """``wanted``, or ``old`` where that means the same: a final slash, or ``${NAME}`` that may stand for the rest.

    Where only the scheme differs from one with ``${NAME}``, the rest is kept as it is written.
    """
    if not isinstance(old, str):
        return wanted
    if old.removesuffix("/") == wanted.removesuffix("/"):
        return old
    scheme, colon, rest = old.partition("://")
    wanted_scheme, _colon, wanted_rest = wanted.partition("://")
    pattern = ".+".join(re.escape(part) for part in _PLACEHOLDER.split(rest.removesuffix("/")))
    if not colon or not _PLACEHOLDER.search(rest) or not re.fullmatch(pattern, wanted_rest):
        return wanted
    return old if scheme == wanted_scheme else f"{wanted_scheme}://{rest}"
