# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: read and plan each step of one cluster without taking it, and prove what is there."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._alias_service import AliasService
from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import (
    CoreDns,
    compare,
    domain_of,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_object import home_of
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import plan as plan_harbor
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_core import HarborCore
from ansible_collections.splithorizon.registry.plugins.module_utils._node_local_map import NodeLocal
from ansible_collections.splithorizon.registry.plugins.module_utils._probe import probe
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_servers import DNS_PORT
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import (
    Asked,
    dns_name,
    rewrite,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._route_limits import RouteLimits
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel import (
    TalosMirror,
    check_mirrors,
    check_registry,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel import plan as plan_spegel
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel_release import SpegelRelease

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = ["STEPS", "alias", "dns", "gateway", "harbor", "prove", "route_timeout", "spegel"]

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
    """Whether M(coredns_rewrite) would change the Corefile, or that of NodeLocal DNSCache."""
    name, target = dns_name(asked["name"], option="dns.name"), dns_name(asked["target"], option="dns.target")
    wanted = Asked(wanted=[rewrite(name=name, target=target, present=asked["state"] == "present")], port=DNS_PORT)
    home = home_of(cluster, asked)
    text, _ = home.read()
    if home.plan(text, **wanted).changes:
        return True
    pass_on = asked["node_local"] == "pass_on"
    return pass_on and NodeLocal(cluster, namespace=asked["namespace"], asked=wanted, policy="pass_on").changes


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


def harbor(cluster: Cluster, asked: Json) -> bool:
    """Whether M(harbor_core_patch) would write a setting or restart a Deployment."""
    namespace, fullname = asked["namespace"], asked["fullname"]
    found = HarborCore(cluster=cluster, namespace=namespace, fullname=fullname, seconds=0).read()
    planned = plan_harbor(
        fullname=fullname,
        namespace=namespace,
        external_url=asked["external_url"],
        core_url=asked["core_url"] or None,
        core=found.core_map["data"],
        jobservice=found.jobservice_map["data"],
    )
    return bool(planned.changed or found.stale)


STEPS: dict[str, t.Callable[[Cluster, Json], bool]] = {
    "alias": alias,
    "route_timeout": route_timeout,
    "dns": dns,
    "spegel": spegel,
    "harbor": harbor,
}


def gateway(asked: Json, *, connect: t.Callable[[], Cluster], warn: Warn) -> Json:
    """What the registry answers at the gateway; an error where a client would refuse its certificate."""
    plain = {"via_service": None, "username": None, "password": None, "repository": None}
    return probe({**asked, **plain}, connect=connect, warn=warn)


def prove(cluster: Cluster, asked: Json, *, warn: Warn) -> list[str]:
    """Why the result does not hold from inside; empty where DNS, certificate, realm and token do."""
    try:
        return _dns_problems(cluster, asked) + _registry_problems(cluster, asked, warn)
    except RegistryError as error:
        return [str(error)]


def _dns_problems(cluster: Cluster, asked: Json) -> list[str]:
    name, target = dns_name(asked["name"], option="proof.name"), dns_name(asked["target"], option="proof.target")
    coredns = CoreDns(cluster, namespace=asked["namespace"], selector=asked["selector"])
    _, problems = compare(coredns.ask(name=name, target=target, domain=domain_of(target)), with_target=True)
    return problems


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
