# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: a Talos machine configuration and what is wanted in it → the text to send, and why.

Registry settings live in one of two layers: ``machine.registries`` of the v1alpha1 document, or documents of their own
(``RegistryMirrorConfig`` …, Talos >= 1.12). Where both hold a key the document replaces the other as a whole; extra
hosts of both layers are joined. So a key is written in one layer and taken out of the other, else it would override
what is wanted or come back when the document goes. Everything else in the text stays byte for byte.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.splithorizon.registry.plugins.module_utils import _names, _yaml_text
from ansible_collections.splithorizon.registry.plugins.module_utils._config_documents import MachineConfig
from ansible_collections.splithorizon.registry.plugins.module_utils._config_views import views
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._host_plan import with_hosts
from ansible_collections.splithorizon.registry.plugins.module_utils._migration import (
    BREAKS_ON_TLS_DOCUMENTS,
    holds_tls_document,
    migrated,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._node_files import stopper
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import DOCUMENTS, KINDS, V1ALPHA1
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import (
    Mirror,
    Setting,
    Settings,
    Tls,
    Wanted,
    normal,
    without_password,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_version import (
    FIRST_THAT_RELOADS_AUTH,
    FIRST_WITH_DOCUMENTS,
    Version,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import Json

__all__ = ["DOCUMENTS", "V1ALPHA1", "MachineConfig", "Plan", "Version", "http_endpoints", "make_plan", "tls_over_http"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``after`` is to be sent where ``changed``; ``reasons`` say why, without secrets."""

    before: MachineConfig
    after: MachineConfig
    layer: str
    hosts_layer: str
    version: Version
    reasons: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.reasons)

    @property
    def reboot_required(self) -> bool:
        """Whether containerd gets changed credentials only when the node restarts."""
        same = dict(self.before.effective.auth) == dict(self.after.effective.auth)
        return not same and self.version < FIRST_THAT_RELOADS_AUTH

    def then(self, after: MachineConfig, reasons: tuple[str, ...]) -> Plan:
        """With one more step."""
        return replace(self, after=after, reasons=(*self.reasons, *reasons))

    @property
    def views(self) -> tuple[Json, Json]:
        """What differs, entry by entry, before and after; secrets replaced."""
        return views(self.before, self.after)


def make_plan(
    config: MachineConfig, wanted: Wanted, *, version: Version, layer: str = "auto", placeholders: bool = False
) -> Plan:
    """What ``config`` becomes so that all that is wanted holds; BadInput or Conflict where it cannot.

    ``layer``: ``auto`` keeps to the layer that the configuration uses. ``placeholders``: it is a file with ``${NAME}``.
    """
    if wanted.migrate:
        layer = _layer_of_migration(layer)
    wanted = wanted.spelled_out(config.in_v1alpha1, config.in_documents)
    explicit = layer != "auto"
    layer_of_registries, layer_of_hosts = _layers(config, version, layer)
    plan = Plan(before=config, after=config, layer=layer_of_registries, hosts_layer=layer_of_hosts, version=version)
    for kind, key, value in wanted.registries:
        plan = _with_setting(plan, kind, key, value, explicit=explicit)
    plan = plan.then(*with_hosts(plan.after, wanted.hosts, layer=plan.hosts_layer, explicit=explicit))
    if wanted.migrate:
        plan = plan.then(*migrated(plan.after, version, placeholders=placeholders))
    if any(value for _kind, _key, value in wanted.registries):
        _refuse_what_breaks(plan, wanted)
    return plan


def _layer_of_migration(layer: str) -> str:
    if layer == V1ALPHA1:
        raise BadInput(
            "to be migrated to documents, and written in v1alpha1", where="layer", cure="Drop one of the two"
        )
    return DOCUMENTS


def _layers(config: MachineConfig, version: Version, layer: str) -> tuple[str, str]:
    if version < FIRST_WITH_DOCUMENTS:
        if layer == DOCUMENTS:
            cure = "Use layer: auto or v1alpha1, without migrate"
            raise BadInput(f"Talos {version} knows no registry documents (1.12 does)", where="layer", cure=cure)
        return V1ALPHA1, V1ALPHA1
    if layer != "auto":
        return layer, layer
    old, new = config.in_v1alpha1, config.in_documents
    registries = V1ALPHA1 if old.has_registries and not new.has_registries else DOCUMENTS
    return registries, V1ALPHA1 if old.hosts and not new.hosts else DOCUMENTS


def _with_setting(plan: Plan, kind: str, key: str, value: Setting | None, *, explicit: bool) -> Plan:
    old: Setting | None = getattr(plan.after.in_v1alpha1, kind).get(key)
    new: Setting | None = getattr(plan.after.in_documents, kind).get(key)
    spec = KINDS[kind]
    layer, explicit = _layer_for(value, plan, explicit=explicit, where=f"{spec.label} of {key}")
    wanted_old, wanted_new = _placed(old, new, value, layer, explicit=explicit)
    if (old, new) == (wanted_old, wanted_new):
        return plan
    config = plan.after
    if wanted_old != old:
        body = _yaml_text.DELETE if wanted_old is None else spec.write_v1alpha1(wanted_old)
        config = config.with_v1alpha1(spec.path(key), body)
    if wanted_new != new:
        config = config.with_document(spec.document, key, None if wanted_new is None else spec.write(wanted_new))
    return plan.then(config, (f"{spec.label} of {key}: {_told(new or old, value, leftover=bool(old and new))}",))


def _layer_for(value: Setting | None, plan: Plan, *, explicit: bool, where: str) -> tuple[str, bool]:
    """(layer, whether it must be there): a value that its layer cannot hold goes to the other."""
    if plan.layer == V1ALPHA1 and isinstance(value, Mirror) and len({e.override_path for e in value.endpoints}) > 1:
        if explicit or plan.version < FIRST_WITH_DOCUMENTS:
            cure = "Set it for all endpoints or for none, or use layer: documents (Talos 1.12)"
            raise BadInput("machine.registries has one override_path for all endpoints", where=where, cure=cure)
        return DOCUMENTS, True
    if plan.layer == DOCUMENTS and isinstance(value, Tls) and not holds_tls_document(plan.version, value):
        if explicit:
            raise Conflict(BREAKS_ON_TLS_DOCUMENTS, where=where, cure="Upgrade Talos to 1.12.2, or use layer: v1alpha1")
        return V1ALPHA1, True
    return plan.layer, explicit


def _placed(
    old: Setting | None, new: Setting | None, value: Setting | None, layer: str, *, explicit: bool
) -> tuple[Setting | None, Setting | None]:
    """(in v1alpha1, as a document): the value in one layer, nothing in the other."""
    if value is None:
        return None, None
    there = new or old
    if there and normal(there) == value:
        if not explicit:
            # Right as it is; what a document hides would come back with its removal.
            return (None, new) if new else (old, None)
        value = there
    return (None, value) if layer == DOCUMENTS else (value, None)


def _told(there: Setting | None, wanted: Setting | None, *, leftover: bool) -> str:
    if wanted is None:
        return "to be removed"
    if there is None:
        return f"missing, wanted {wanted}" if isinstance(wanted, Mirror) else "missing"
    there = normal(there)
    if there == wanted:
        return "also in machine.registries, hidden by its document" if leftover else "in the other layer"
    if isinstance(wanted, Mirror):
        return f"{there}, wanted {wanted}"
    names = [name for name in vars(wanted) if getattr(wanted, name) != getattr(there, name)]
    return f"{', '.join(names)} differ" if len(names) > 1 else f"{names[0]} differs"


def _refuse_what_breaks(plan: Plan, wanted: Wanted) -> None:
    """Conflict where the rest of the configuration would keep what is wanted from working."""
    effective = plan.after.effective
    if found := stopper(effective):
        kind, key = found
        cure = f"Remove it: {kind} with this name and state: absent"
        where = f"{KINDS[kind].label} {key}"
        raise Conflict("Talos writes no hosts files at all while this key exists", where=where, cure=cure)
    for key, tls in plan.after.in_documents.tls.items():
        if not holds_tls_document(plan.version, tls):
            cure = "Upgrade Talos to 1.12.2, or name it: it is then written in machine.registries"
            raise Conflict(BREAKS_ON_TLS_DOCUMENTS, where=f"RegistryTLSConfig {key}", cure=cure)
    _refuse_tls_over_http(effective, wanted)


def _refuse_tls_over_http(effective: Settings, wanted: Wanted) -> None:
    for registry, url, host in http_endpoints(effective):
        if host in effective.tls and wanted.asks_for(registry, host):
            raise tls_over_http(url, host, where=f"mirror {registry}")


def http_endpoints(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """(registry, URL, the URL's host) of every endpoint without TLS."""
    for registry, mirror in settings.mirrors.items():
        for url in (endpoint.url for endpoint in mirror.endpoints):
            if url.startswith("http://"):
                yield registry, url, _names.url_host(url)


def tls_over_http(url: str, host: str, *, where: str) -> Conflict:
    problem = f"TLS settings exist for {host}, but {without_password(url)} is http: Talos's own pulls would fail"
    cure = f"Remove them (tls with the name {host} and state: absent), or use https"
    return Conflict(problem, where=where, cure=cure)
