# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: Harbor's two settings in what a team keeps in Git: values of the chart, post-renderers, kustomize patches."""

from __future__ import annotations

import posixpath
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._chart_values import (
    Edit,
    Home,
    applied,
    homes,
    with_edits,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._config_kind import sops_problem, template_problem
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import map_names
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_release import chart_fullname
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_values import (
    HAS_EXTRA_ENV,
    app_version,
    are_harbors,
    chart_version,
    kept_url,
    own_core_url,
    plan_values,
    settings_of,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._kustomize_patches import (
    Carrier,
    Texts,
    Wanted,
    found_keys,
    new_file,
    patch_files,
    plan_patches,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._names import http_url
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_entry import at
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import load, split_documents

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import Values, Version
    from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import Path

__all__ = ["AUTO", "BY_ENV", "BY_PATCH", "Asked", "FilePlan", "plan_file", "plan_release", "referred"]

AUTO: t.Final = "auto"
BY_ENV: t.Final = "extra_env_vars"
BY_PATCH: t.Final = "post_renderer"

_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_FLUX_KUSTOMIZATION = "kustomize.toolkit.fluxcd.io/"
_POST_RENDERERS = ("spec", "postRenderers")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is wanted. ``core_url`` None is the chart's own; ``fullname``, ``release`` and ``chart`` may be None."""

    external_url: str
    core_url: str | None = None
    by: str = AUTO
    fullname: str | None = None
    release: str | None = None
    chart: Version | None = None

    def check(self) -> None:
        for option, url in (("external_url", self.external_url), ("core_url", self.core_url)):
            if url is not None:
                # What Flux or envsubst fills in may stand for a part of a name.
                http_url(re.sub(r"\$\{[^{}]*\}", "x", url.removesuffix("/")), where=option, path=False)


@dataclass(frozen=True, kw_only=True)
class FilePlan:
    """``after`` has the files that change, None for one that goes.

    ``before`` and ``then``: ConfigMap → the settings Harbor starts with, as far as the file tells. ``rolls`` says
    whether pods restart by themselves once it is applied; ``version`` is Harbor's, None where the file does not tell.
    """

    kind: str
    fullname: str
    namespace: str | None
    version: Version | None
    after: Texts
    before: dict[str, Values]
    then: dict[str, Values]
    rolls: bool


def referred(file: str, text: str, asked: Asked) -> list[str]:
    """The files that ``plan_file`` needs too: patches that a kustomization names, and those it would get."""
    if not _is_kustomization(file):
        return []
    carrier = Carrier(file=file, number=0, path=("patches",), apart=True)
    return [*patch_files(file, text), *(new_file(carrier, name) for name in map_names(_named(asked)).values())]


def plan_file(file: str, files: Texts, asked: Asked) -> FilePlan:
    """What ``file`` and its patches become. BadInput or Conflict that names the file where that cannot be.

    ``files``: the texts by path, ``file`` among them, None for one that is not there.
    """
    text = files[file] or ""
    try:
        _refuse_unedited(file, text)
        carrier = _carrier_of_patches(file, text)
        return _plan_patches(files, carrier, asked) if carrier else _plan_values(file, files, asked)
    except RegistryError as error:
        where = error.where if error.where.startswith(file) else f"{file}{': ' if error.where else ''}{error.where}"
        raise type(error)(error.problem, where=where, cure=error.cure) from None


def _refuse_unedited(file: str, text: str) -> None:
    if problem := template_problem(file, text):
        raise Conflict(problem[0], where=f"{file} line {problem[1]}", cure="Edit the template, or give another file")
    if problem := sops_problem(text):
        raise Conflict(problem[0], where=f"{file} line {problem[1]}", cure="Edit this one with sops")


# Values


def _plan_values(file: str, files: Texts, asked: Asked) -> FilePlan:
    text = files[file] or ""
    home = _only_home(text)
    plan = plan_release(home, asked)
    after: Texts = {**files, file: with_edits(text, home, plan.edits)}
    if home.kind == "HelmRelease":
        after = plan_patches(_post_renderers(home, file), after, plan.patches)
    return FilePlan(
        kind=home.kind,
        fullname=plan.fullname,
        namespace=at(home.resource, ("spec", "targetNamespace")) or at(home.resource, ("metadata", "namespace")),
        version=app_version(plan.chart),
        after={path: new for path, new in after.items() if new != files.get(path)},
        before=plan.before,
        then=plan.then,
        rolls=plan.by == BY_ENV,
    )


@dataclass(frozen=True, kw_only=True)
class ReleasePlan:
    """What becomes of a release's values and, in a HelmRelease, of its post-renderers."""

    home: Home
    fullname: str
    chart: Version | None
    by: str
    edits: list[Edit]
    patches: Wanted
    before: dict[str, Values]
    then: dict[str, Values]


def plan_release(home: Home, asked: Asked) -> ReleasePlan:
    """The same for values as data, wherever they are kept."""
    values, names = home.values, _checked_fullname(home, asked)
    chart = asked.chart or chart_version(home.resource)
    maps = map_names(names)
    patched = _patched(home, maps)
    by = _by(home, asked, chart, patched)
    in_env = asked.core_url if by == BY_ENV else None
    edits = plan_values(values, fullname=names, external_url=asked.external_url, core_url=in_env, chart=chart)
    wanted: Wanted = {name: {"CORE_URL": asked.core_url if by == BY_PATCH else None} for name in maps.values()}
    if "EXT_ENDPOINT" in patched.get(maps["core"], {}):
        wanted[maps["core"]]["EXT_ENDPOINT"] = kept_url(patched[maps["core"]]["EXT_ENDPOINT"], asked.external_url)
    then = {name: {key: value for key, value in keys.items() if value is not None} for name, keys in wanted.items()}
    return ReleasePlan(
        home=home,
        fullname=names,
        chart=chart,
        by=by,
        edits=edits,
        patches=wanted,
        before=settings_of(values, fullname=names, patched=patched),
        then=settings_of(applied(values, edits), fullname=names, patched=then),
    )


def _only_home(text: str) -> Home:
    found = [home for home in homes(text) if are_harbors(home)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInput(f"holds the values of {len(found)} Harbors", cure="Give a file with those of one")
    releases = [part for part in map(load, split_documents(text)) if at(part, ("spec", "valuesFrom"))]
    if releases:
        raise BadInput("takes its values from elsewhere (valuesFrom)", cure="Give the file that holds them")
    cure = "Give values of Harbor's chart, a HelmRelease, Application or HelmChart with them, or a kustomization.yaml"
    raise BadInput("holds no values of Harbor's chart", cure=cure)


def _checked_fullname(home: Home, asked: Asked) -> str:
    known = chart_fullname(release=_release(home, asked), values=home.values)
    if asked.fullname and asked.fullname != known and (home.path or home.values.get("fullnameOverride")):
        raise BadInput(f"the release's objects are named {known}-…, not {asked.fullname}-…", cure=f"Give {known}")
    return asked.fullname or known


def _release(home: Home, asked: Asked) -> str:
    """The name of the Helm release: as the resource has it, else as asked."""
    resource = home.resource if home.kind not in {"values", "ConfigMap"} else {}
    own, target = at(resource, ("metadata", "name")), at(resource, ("spec", "targetNamespace"))
    if home.kind == "Kustomization":
        own = at(resource, (*home.path[:-1], "name"))
    elif home.kind == "HelmRelease" and target:
        own = f"{target}-{own}"
    found = at(resource, ("spec", "releaseName")) or at(resource, (*home.path[:-1], "releaseName")) or own
    if found and asked.release and found != asked.release:
        raise BadInput(f"is the release {found}, not {asked.release}", cure=f"Give release: {found}, or another file")
    return str(found or asked.release or "harbor")


def _by(home: Home, asked: Asked, chart: Version | None, patched: dict[str, Values]) -> str:
    if asked.by == BY_PATCH and home.kind != "HelmRelease":
        raise BadInput(f"a {home.kind} has no post-renderer", where="core_url_by", cure="Give a kustomization.yaml")
    if asked.by != AUTO:
        return asked.by
    is_old = chart is not None and chart < HAS_EXTRA_ENV
    by_patch = any("CORE_URL" in keys for keys in patched.values()) or (is_old and home.kind == "HelmRelease")
    return BY_PATCH if by_patch else BY_ENV


# Patches


def _post_renderers(home: Home, file: str) -> Carrier:
    """The list of patches of the post-renderer that has one, or of a new one."""
    listed = at(home.resource, _POST_RENDERERS) or []
    having = [index for index, one in enumerate(listed) if at(one, ("kustomize", "patches"))]
    index = having[0] if having else len(listed)
    path: Path = (*_POST_RENDERERS, index, "kustomize", "patches")
    return Carrier(file=file, number=home.number, path=path)


def _patched(home: Home, maps: dict[str, str]) -> dict[str, Values]:
    """ConfigMap → the settings that a HelmRelease's post-renderers set."""
    if home.kind != "HelmRelease":
        return {}
    return found_keys(_post_renderers(home, ""), home.resource, _keys(maps), files={})


def _keys(maps: dict[str, str]) -> Wanted:
    return {maps["core"]: {"EXT_ENDPOINT": None, "CORE_URL": None}, maps["jobservice"]: {"CORE_URL": None}}


def _is_kustomization(file: str) -> bool:
    return posixpath.basename(file) in _KUSTOMIZATIONS


def _carrier_of_patches(file: str, text: str) -> Carrier | None:
    parts = [load(part) for part in split_documents(text)]
    if _is_kustomization(file) and not any(are_harbors(home) for home in homes(text)):
        return Carrier(file=file, number=0, path=("patches",), apart=True)
    of_flux = [
        number
        for number, data in enumerate(parts)
        if at(data, ("kind",)) == "Kustomization" and str(at(data, ("apiVersion",))).startswith(_FLUX_KUSTOMIZATION)
    ]
    return Carrier(file=file, number=of_flux[0], path=("spec", "patches")) if len(of_flux) == 1 else None


def _named(asked: Asked) -> str:
    return asked.fullname or chart_fullname(release=asked.release or "harbor")


def _plan_patches(files: Texts, carrier: Carrier, asked: Asked) -> FilePlan:
    fullname = _named(asked)
    maps = map_names(fullname)
    document = load(split_documents(files[carrier.file] or "")[carrier.number])
    found = found_keys(carrier, document, _keys(maps), files=files)
    own = own_core_url(fullname=fullname, values={})
    wanted: Wanted = {name: {"CORE_URL": asked.core_url} for name in maps.values()}
    external = found[maps["core"]].get("EXT_ENDPOINT")
    if external is not None:
        wanted[maps["core"]]["EXT_ENDPOINT"] = kept_url(external, asked.external_url)
    after = plan_patches(carrier, files, wanted)
    before_url = {"EXT_ENDPOINT": external or asked.external_url}
    then_url = {"EXT_ENDPOINT": wanted[maps["core"]].get("EXT_ENDPOINT") or asked.external_url}
    return FilePlan(
        kind="Kustomization",
        fullname=fullname,
        namespace=at(document, ("namespace",)) or at(document, ("spec", "targetNamespace")),
        version=app_version(asked.chart),
        after={path: new for path, new in after.items() if new != files.get(path)},
        before={
            name: {**(before_url if name == maps["core"] else {}), "CORE_URL": found[name].get("CORE_URL", own)}
            for name in maps.values()
        },
        then={
            name: {**(then_url if name == maps["core"] else {}), "CORE_URL": asked.core_url or own}
            for name in maps.values()
        },
        rolls=False,
    )
