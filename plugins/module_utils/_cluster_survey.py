# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: read and plan each step of one cluster without taking it, and prove what is there."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.splithorizon.registry.plugins.module_utils._alias_service import AliasService
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_survey import differs, workloads
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_wanted import read_entries
from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import domain_of
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_object import home_of
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_source import plan_source
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_core import HarborCore
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_files import Asked as Wanted
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_live import way_of
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import Horizons, search_names
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon_pods import ask_pods
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon_verdict import judge
from ansible_collections.splithorizon.registry.plugins.module_utils._node_local_map import NodeLocal
from ansible_collections.splithorizon.registry.plugins.module_utils._probe import probe
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import (
    Asked,
    coredns_version,
    dns_name,
    read_rewrites,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._route_limits import RouteLimits
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel import (
    TalosMirror,
    check_mirrors,
    check_registry,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel import plan as plan_spegel
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel_release import SpegelRelease
from ansible_collections.splithorizon.registry.plugins.module_utils._text_files import read_text

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = [
    "STEPS",
    "alias",
    "dns",
    "gateway",
    "harbor",
    "image_builders",
    "prove",
    "pull_secrets",
    "robots",
    "route_timeout",
    "spegel",
]

Warn = t.Callable[[str], None]


def alias(cluster: Cluster, asked: Json) -> bool:
    """Whether M(gateway_alias) would change the alias Service, or nobody is behind it."""
    service = AliasService(cluster, asked)
    return service.plan().changes or (asked["state"] == "present" and not service.endpoints())


def route_timeout(cluster: Cluster, asked: Json) -> bool:
    """Whether M(gateway_route_timeout) would make a policy or take one away."""
    planned = RouteLimits(cluster, asked).plan()
    return bool(planned.add or planned.remove)


def dns(cluster: Cluster, asked: Json) -> bool:
    """Whether M(coredns_rewrite) would change the Corefile, in the cluster or a file, or that of NodeLocal DNSCache."""
    version = coredns_version(asked["coredns_version"])
    wanted = Asked(wanted=read_rewrites(asked), version=version, port=asked["port"])
    if path := asked["path"]:
        file = read_text(Path(path))
        return plan_source(text=file.text, path=path, **wanted).changes or not _are_led(cluster, asked, wanted)
    home = home_of(cluster, asked)
    text, _metadata = home.read()
    if home.plan(text, **wanted).changes:
        return True
    pass_on = asked["node_local"] == "pass_on"
    return pass_on and NodeLocal(cluster, namespace=asked["namespace"], asked=wanted, policy="pass_on").changes


def _are_led(cluster: Cluster, asked: Json, wanted: Asked) -> bool:
    """Whether pods get what a file asks for already: nothing may be built on it before it has reached the cluster."""
    exact = [each for each in wanted["wanted"] if each.present and each.match == "exact"]
    return not any(_dns_problems(cluster, asked, name=each.name, target=each.target) for each in exact)


def spegel(cluster: Cluster, asked: Json) -> bool:
    """Whether M(spegel_registries) would change the settings."""
    present = [check_registry(url, where="spegel.mirrored_registries") for url in asked["mirrored_registries"]]
    absent = [check_registry(url, where="spegel.removed_registries") for url in asked["removed_registries"]]
    release = SpegelRelease(cluster=cluster, namespace=asked["namespace"], name=asked["name"], kind="auto")
    found = release.read()
    wanted = plan_spegel(current=found.settings, present=present, absent=absent, version=found.version)
    mirrors = [
        TalosMirror(name=one["name"], endpoints=tuple(one["endpoints"]))
        for one in asked["talos_mirrors"]
        if one["state"] == "present"
    ]
    check_mirrors(settings=wanted, mirrors=mirrors)
    return bool(found.settings.as_result() != wanted.as_result())


def image_builders(cluster: Cluster, asked: Json) -> bool:
    """Whether M(buildkit_registry) would change the buildkitd.toml of a builder, or restart one."""
    wanted = read_entries(asked["registries"])
    # Not any(): each text is read, so that one that cannot be edited shows before the first change.
    differing = [found for found in workloads(cluster) if differs(cluster, found, wanted)]
    return bool(differing)


def harbor(cluster: Cluster, asked: Json) -> bool:
    """Whether M(harbor_core_patch) would write a setting or restart a Deployment."""
    namespace, fullname = asked["namespace"], asked["fullname"]
    core = HarborCore(cluster=cluster, namespace=namespace, fullname=fullname, seconds=0)
    wanted = Wanted(external_url=asked["external_url"], core_url=asked["core_url"] or None, fullname=fullname)
    way = way_of(core, core.read(), wanted, kind=asked["kind"])
    return bool(way.changed or way.restarts)


def pull_secrets(cluster: Cluster, asked: Sequence[Json]) -> bool:
    """Whether M(docker_config_secret) or M(service_account_pull_secret) would change one of the secrets' objects."""
    from ansible_collections.splithorizon.registry.plugins.module_utils import _pull_secrets  # noqa: PLC0415  # few ask

    differing = [_pull_secrets.differ(cluster, one) for one in asked]  # all of them: each may be wrong input
    return any(differing)


STEPS: dict[str, t.Callable[[Cluster, t.Any], bool]] = {
    "alias": alias,
    "route_timeout": route_timeout,
    "dns": dns,
    "pull_secrets": pull_secrets,
    "spegel": spegel,
    "image_builders": image_builders,
    "harbor": harbor,
}


def robots(asked: Json, *, warn: Warn) -> bool:
    """Whether M(harbor_robot) would change one of the accounts; warns of those that expire soon."""
    from ansible_collections.splithorizon.registry.plugins.module_utils import (  # noqa: PLC0415  # few ask
        _harbor_api,
        _harbor_robots,
    )

    api, now = _harbor_api.connect(asked, warn=warn), datetime.now(UTC)
    steps = [_harbor_robots.step(api, one, now=now) for one in asked["accounts"]]
    for step in steps:
        if step.found and step.wanted:
            after = step.found.after(step.wanted)
            if warning := _harbor_robots.expiry(after, now=now, min_valid_days=asked["min_valid_days"])[1]:
                warn(warning)
    return any(step.change.changed for step in steps)


def gateway(asked: Json, *, connect: t.Callable[[], Cluster], warn: Warn) -> Json:
    """What the registry answers at the gateway; an error where a client would refuse its certificate."""
    plain = {"via_service": None, "username": None, "password": None, "repository": None}
    return probe({**asked, **plain}, connect=connect, warn=warn)


def prove(cluster: Cluster, asked: Json, *, warn: Warn) -> list[str]:
    """Why the result does not hold from inside; empty where DNS, certificate, realm and token do."""
    try:
        name, target = dns_name(asked["name"], option="proof.name"), dns_name(asked["target"], option="proof.target")
        found = _dns_problems(cluster, asked, name=name, target=target)
        return [*found, *_registry_problems(cluster, asked, warn)]
    except RegistryError as error:
        return [str(error)]


def _dns_problems(cluster: Cluster, asked: Json, *, name: str, target: str) -> tuple[str, ...]:
    names = search_names(name, domain=domain_of(target), namespaces=["default"])
    pods = ask_pods(cluster, namespace=asked["namespace"], selector=asked["selector"], names=names, target=target)
    return judge(Horizons(name=name, target=target, pods=pods)).reasons


def _registry_problems(cluster: Cluster, asked: Json, warn: Warn) -> list[str]:
    url = f"https://{asked['name']}"
    way = {"url": url, "address": None, "via_service": asked["alias"], "min_valid_days": 0}
    found = probe({**asked, **way}, connect=lambda: cluster, warn=warn)
    problems = []
    if found["realm"] != f"{url}/service/token":
        problems.append(f"{url}: the realm is {found['realm']}")
    if found.get("token_refusal"):
        problems.append(f"{url}: {found['token_refusal']}")
    return problems
