# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: Harbor's two settings in a cluster, from finding the release to the report of what changed."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import plan, realm_table
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_change import carry_out
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_core import HarborCore, find_fullname
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_ways import InConfigMaps, InRelease, Way

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import Realms, Version
    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_core import Found
    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_files import Asked
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = ["CONFIG_MAP", "HELM_RELEASE", "Live", "change_cluster", "way_of"]

CONFIG_MAP: t.Final = "ConfigMap"
HELM_RELEASE: t.Final = "HelmRelease"


@dataclass(frozen=True, kw_only=True)
class Live:
    """Where in a cluster, and how. ``version`` None is that of core's image; ``seconds`` bound all waiting together."""

    namespace: str
    kind: str
    helm_release: str | None
    hosts: Sequence[str]
    domain: str
    version: Version | None
    wait: bool
    seconds: float


def change_cluster(
    cluster: Cluster, asked: Asked, live: Live, *, warn: Callable[[str], None]
) -> tuple[list[Change], Json]:
    """Change the settings and prove them, or in a dry run predict that: the changes, and the results."""
    fullname = find_fullname(cluster, namespace=live.namespace, fullname=asked.fullname, release=asked.release)
    harbor = HarborCore(cluster=cluster, namespace=live.namespace, fullname=fullname, seconds=live.seconds)
    found = harbor.read()
    way = way_of(harbor, found, asked, kind=live.kind, helm_release=live.helm_release)
    before, after = (settings[harbor.core] for settings in (way.before, way.after))
    rule = live.version or found.version
    hosts = harbor.hosts(found, urls=[*before.values(), *after.values()], given=live.hosts, domain=live.domain)
    realms = realm_table(hosts, before=before, after=after, version=rule)
    undone_by = harbor.undone_by(way.metadata)
    if way.changed and undone_by:
        last = f"kind: {HELM_RELEASE}, or path: a file in Git" if live.kind == CONFIG_MAP else "path: a file in Git"
        warn(f"{undone_by} takes this back. To make it last, give {last}")
    if found.inside_tls and live.wait:
        warn("Harbor uses internalTLS: the realm is not read back from core itself")
    read_back = None if found.inside_tls else realms
    proof = carry_out(harbor, way, realms=read_back, of_interest=live.hosts, wait=live.wait)
    results = {
        "kind": live.kind,
        "fullname": fullname,
        "before": way.before,
        "after": way.after,
        "realms": realms,
        "restarted": way.restarts,
        "undone_by": undone_by,
        "version": ".".join(map(str, rule)),
    }
    return _changes(live.namespace, way, realms), {**results, **proof}


def way_of(harbor: HarborCore, found: Found, asked: Asked, *, kind: str, helm_release: str | None = None) -> Way:
    """The change that is wanted, planned where the settings are kept."""
    if kind == HELM_RELEASE:
        return InRelease(harbor, found, asked, name=helm_release)
    planned = plan(
        fullname=harbor.core.removesuffix("-core"),
        namespace=harbor.namespace,
        external_url=asked.external_url,
        core_url=asked.core_url,
        core=found.core_map["data"],
        jobservice=found.jobservice_map["data"],
        overrides=found.overrides,
    )
    return InConfigMaps(harbor, found, planned)


def _changes(namespace: str, way: Way, realms: Realms) -> list[Change]:
    settings = [
        Change(what=f"settings in {namespace}/{name}", before=values, after=way.after[name])
        for name, values in way.before.items()
    ]
    old, new = ({host: both[when] for host, both in realms.items()} for when in ("before", "after"))
    restarts = [
        Change(what=f"Deployment {namespace}/{name}", before={"settings": "before"}, after={"settings": "after"})
        for name in way.restarts
    ]
    return [*settings, Change(what="token realm by the client's Host", before=old, after=new), *restarts]
