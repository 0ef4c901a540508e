# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: several patches that reach different nodes, and what is wanted of some nodes → which patch is to set what.

Talos appends the lists of one patch to those of another, so a setting must come to each node from one patch, once.
A setting stays in the patch that has it; a new one goes to a patch that has such settings for just these nodes,
else to a new patch.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass, field, replace

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import (
    DOCUMENTS,
    V1ALPHA1,
    http_endpoints,
    tls_over_http,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._node_files import stopper
from ansible_collections.splithorizon.registry.plugins.module_utils._patch import Patch, plan_patch
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import EXTRA_HOSTS, KINDS
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import (
    WantedHost,
    normal,
    same_ip,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_version import (
    FIRST_WITH_DOCUMENTS,
    FIRST_WITH_PARTIAL_TLS_DOCUMENTS,
    Version,
)

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._patch import PatchPlan
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import Settings, Wanted

__all__ = ["plan_patches"]

# What is taken for granted of nodes whose version nobody said: the layer that all read, or all of the other.
_BEFORE_DOCUMENTS = Version(1, 11)
_WITH_DOCUMENTS = FIRST_WITH_PARTIAL_TLS_DOCUMENTS


def plan_patches(
    patches: Sequence[Patch], wanted: Wanted, *, nodes: Iterable[str], new: Patch, version: Version | None, layer: str
) -> list[PatchPlan]:
    """The patches that are to change, each with its new text; Conflict where no patch can be the one.

    ``nodes``: what is wanted is wanted of these. ``new``: an empty patch for them, taken where no other fits.
    """
    layer = DOCUMENTS if wanted.migrate and layer == "auto" else layer
    share = _Shares(patches=patches, nodes=Counter(nodes), new=new)
    wanted = share.spelled_out(wanted)
    _refuse_json_patches(patches, wanted)
    for kind, key, value in wanted.registries:
        for patch in share.of_setting(kind, key, value):
            share.give(patch, kind, key, value)
    for host in wanted.hosts:
        share.give_host(host)
    if wanted.migrate:
        share.give_migration()
    chosen = _layer(patches, layer, version)
    plans = [
        _planned(patch, share.wanted_of(patch, wanted), version=version, layer=layer, chosen=chosen)
        for patch in {id(patch): patch for patch in [*patches, new]}.values()
        if id(patch) in share.given
    ]
    if any(value for _kind, _key, value in wanted.registries):
        after = {id(plan.patch): plan.plan.after.effective for plan in plans}
        settings = [(patch, after.get(id(patch), patch.settings)) for patch in patches]
        if id(new) in after and all(patch is not new for patch in patches):
            settings.append((replace(new, nodes=tuple(share.nodes)), after[id(new)]))
        _refuse_what_breaks(settings)
        _refuse_tls_over_http(settings, wanted, nodes=share.nodes.keys())
    return plans


def _refuse_what_breaks(settings: Sequence[tuple[Patch, Settings]]) -> None:
    """Conflict where another patch of the same nodes would keep what is wanted from working."""
    for patch, after in settings:
        if found := stopper(after):
            kind, key = found
            problem = f"Talos writes no hosts files at all while there are {KINDS[kind].label} of {key}"
            raise Conflict(problem, where=patch.where(kind, key), cure="Remove it: with this name and state: absent")


def _refuse_tls_over_http(
    settings: Sequence[tuple[Patch, Settings]], wanted: Wanted, *, nodes: Collection[str]
) -> None:
    """Conflict where one of ``nodes`` gets an http endpoint from one patch, and TLS settings for it from another."""
    reached = [(patch, after, set(patch.nodes) & set(nodes)) for patch, after in settings]
    for patch, after, mine in reached:
        for registry, url, host in http_endpoints(after):
            for other, others, theirs in reached:
                if host in others.tls and mine & theirs and wanted.asks_for(registry, host):
                    where = f"{patch.where('mirrors', registry)} and {other.where('tls', host)}"
                    raise tls_over_http(url, host, where=where)


def _planned(patch: Patch, wanted: Wanted, *, version: Version | None, layer: str, chosen: str) -> PatchPlan:
    settings = patch.settings
    has_any = settings.has_registries or settings.hosts
    new = patch.config.in_documents
    with_documents = new.has_registries or new.hosts or chosen == DOCUMENTS
    known = version or (_WITH_DOCUMENTS if with_documents else _BEFORE_DOCUMENTS)
    in_layer = layer if layer != "auto" or has_any else chosen
    return plan_patch(patch, wanted, version=known, layer=in_layer)


def _layer(patches: Sequence[Patch], layer: str, version: Version | None) -> str:
    """Where a patch without settings gets its first: as the other patches do, else by the version."""
    json_patches = [patch for patch in patches if patch.operations]
    if layer != "auto":
        if layer == DOCUMENTS and json_patches:
            problem = "a JSON patch fails once the configuration has documents"
            raise Conflict(problem, where=json_patches[0].where(), cure="Use layer: v1alpha1, or make it a merge patch")
        return layer
    readable = [patch for patch in patches if _has_settings(patch)]
    if any(patch.config.in_documents.has_registries or patch.config.in_documents.hosts for patch in readable):
        return DOCUMENTS
    documents = version is not None and version >= FIRST_WITH_DOCUMENTS and not readable and not json_patches
    return DOCUMENTS if documents else V1ALPHA1


def _has_settings(patch: Patch) -> bool:
    return bool(patch.settings.has_registries or patch.settings.hosts)


@dataclass
class _Shares:
    """What each patch is to hold, by the patch's identity."""

    patches: Sequence[Patch]
    nodes: Counter[str]
    new: Patch
    given: dict[int, dict[str, t.Any]] = field(default_factory=dict)

    def spelled_out(self, wanted: Wanted) -> Wanted:
        """What ``exact`` takes away is named, for all patches together."""
        configs = [patch.config for patch in self._reaching() if _has_settings(patch)]
        there = [layer for config in configs for layer in (config.in_v1alpha1, config.in_documents)]
        return replace(wanted.spelled_out(*there), exact=False, exact_hosts=False)

    def give_migration(self) -> None:
        """Every patch that has settings in the v1alpha1 document is to be planned, whatever else is wanted of it."""
        for patch in self._reaching():
            old = patch.config.in_v1alpha1 if _has_settings(patch) else patch.settings
            if old.has_registries or old.hosts:
                self._check_no_others([patch], "what is to be migrated", "", "")
                self._share(patch)

    def _share(self, patch: Patch) -> dict[str, t.Any]:
        return self.given.setdefault(id(patch), {"mirrors": {}, "auth": {}, "tls": {}, "hosts": []})

    def give(self, patch: Patch, kind: str, key: str, value: t.Any) -> None:
        self._share(patch)[kind][key] = value

    def wanted_of(self, patch: Patch, wanted: Wanted) -> Wanted:
        share = self.given[id(patch)]
        # What is to be there first: a section that is never empty stays where it is.
        ordered: dict[str, t.Any] = {
            kind: dict(sorted(share[kind].items(), key=lambda item: item[1] is None)) for kind in KINDS
        }
        ordered["hosts"] = tuple(sorted(share["hosts"], key=lambda host: not host.present))
        return replace(wanted, **ordered)

    def of_setting(self, kind: str, key: str, value: t.Any) -> list[Patch]:
        """The patches that are to hold, or to lose, one setting."""
        holding = [patch for patch in self._reaching() if key in getattr(patch.settings, kind)]
        name = f"{KINDS[kind].label} of {key}"
        if value is None:
            self._check_no_others(holding, name, kind, key)
            return holding
        if not holding:
            return [self._target(hosts=False)]
        reached = self._reached(holding)
        if reached != self.nodes:
            self._refuse(holding, reached, name, kind, key)
        if any(normal(getattr(patch.settings, kind)[key]) != value for patch in holding):
            self._check_no_others(holding, name, kind, key)
        return holding

    def give_host(self, host: WantedHost) -> None:
        holding = [patch for patch in self._reaching() if _holds_host(patch, host)]
        name = f"the host entry of {host.ip or ', '.join(host.names)}"
        at = host.ip or host.names[0]
        if host.present:
            same = [patch for patch in holding if any(same_ip(ip, host.ip) for ip, _ in patch.settings.hosts)]
            reached = self._reached(same)
            if same and reached != self.nodes:
                self._refuse(same, reached, name, "hosts", at)
            holding += [] if same else [self._target(hosts=True)]
            same = same or holding[-1:]
        else:
            same = holding
        right = host.present and len(holding) == len(same) and all(_is_right(patch, host) for patch in same)
        if not right:
            self._check_no_others(holding, name, "hosts", at)
        for patch in {id(patch): patch for patch in holding}.values():
            self._share(patch)["hosts"].append(host if any(patch is one for one in same) else _elsewhere(host))

    def _reaching(self) -> list[Patch]:
        return [patch for patch in self.patches if set(patch.nodes) & self.nodes.keys()]

    def _reached(self, holding: Sequence[Patch]) -> Counter[str]:
        every = Counter(node for patch in holding for node in patch.nodes)
        return Counter({node: count for node, count in every.items() if node in self.nodes})

    def _target(self, *, hosts: bool) -> Patch:
        fitting = [patch for patch in self.patches if not patch.fixed and Counter(patch.nodes) == self.nodes]
        if hosts:
            fitting.sort(key=lambda patch: (not patch.settings.hosts, not patch.settings.has_registries))
        else:
            fitting.sort(key=lambda patch: not patch.settings.has_registries)
        usable = [patch for patch in fitting if _has_settings(patch) or patch is self.new]
        return usable[0] if usable else self.new

    def _check_no_others(self, holding: Sequence[Patch], name: str, kind: str, key: str) -> None:
        for patch in holding:
            others = sorted(set(patch.nodes) - self.nodes.keys())
            if others:
                problem = f"{name} stands in a patch that {', '.join(others)} gets too"
                cure = "Say so with applies_to, or split the patch"
                raise Conflict(problem, where=patch.where(kind, key), cure=cure)

    def _refuse(self, holding: Sequence[Patch], reached: Counter[str], name: str, kind: str, key: str) -> t.NoReturn:
        places = " and ".join(dict.fromkeys(patch.where(kind, key) for patch in holding))
        twice = sorted(node for node, count in reached.items() if count > 1)
        never = sorted(self.nodes.keys() - reached.keys())
        if twice:
            problem = f"{name} comes to {', '.join(twice)} more than once, and Talos joins the lists"
            raise Conflict(problem, where=places, cure="Keep one of them")
        problem = f"{name} does not come to {', '.join(never)}"
        raise Conflict(problem, where=places, cure="Say with applies_to who is meant, or remove it here first")


def _holds_host(patch: Patch, host: WantedHost) -> bool:
    for ip, names in patch.settings.hosts:
        at_ip = bool(host.ip) and same_ip(ip, host.ip)
        named = bool(set(names) & set(host.names))
        if (at_ip or named) if host.present else (named or not host.names) and (at_ip or not host.ip):
            return True
    return False


def _is_right(patch: Patch, host: WantedHost) -> bool:
    names = [name for ip, all_names in patch.settings.hosts if same_ip(ip, host.ip) for name in all_names]
    return sorted(names) == sorted(host.names)


def _elsewhere(host: WantedHost) -> WantedHost:
    """For a patch that is not to have the names, at any address."""
    return WantedHost(ip="", names=host.names, present=False)


def _refuse_json_patches(patches: Sequence[Patch], wanted: Wanted) -> None:
    registries = "/machine/registries" if any(True for _ in wanted.registries) else ""
    hosts = "/" + "/".join(EXTRA_HOSTS) if wanted.hosts else ""
    for patch in patches:
        for ours in filter(None, (registries, hosts)):
            for path in patch.operations:
                if f"{ours}/".startswith(f"{path.rstrip('/')}/") or path.startswith(f"{ours}/"):
                    problem = f"a JSON patch (RFC 6902) changes {path} here"
                    raise Conflict(problem, where=patch.where(), cure="Make it a strategic merge patch")
