# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: who owns a live object, by its metadata, and whether that owner would take a change of it back.

Labels and annotations are those that the owners themselves write: Flux's helm-controller and kustomize-controller,
Argo CD, Helm, k3s and RKE2, the add-on manager of AKS and others, Talos 1.13 and newer. Where there is none of them,
``metadata.managedFields`` tells who wrote it.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, replace
from enum import Enum

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Json = dict[str, t.Any]

__all__ = ["POLICIES", "Owner", "Undoes", "decided", "note_or_refuse", "owner_of"]

POLICIES = ("auto", "warn", "stop")

TALOS = "Talos"
TALOS_INVENTORY = "talos-bootstrap-manifests-inventory"
_TALOS_CURE = "After 'talosctl upgrade-k8s', run again"
_FILE_CURE = "Give path of its file in Git"
# Managers that say by themselves who owns a Corefile; others are people and programs that wrote it once.
_MANAGERS = {
    "talos": (f"{TALOS} (talosctl upgrade-k8s)", _TALOS_CURE),
    "eks": ("the EKS add-on", "Put it into the add-on's configuration values (corefile)"),
    "argocd-controller": ("Argo CD", _FILE_CURE),
    "kustomize-controller": ("Flux", _FILE_CURE),
}


class Undoes(Enum):
    """When an owner takes back what somebody else wrote."""

    SOON = "soon"  # by itself
    NEXT_RUN = "next_run"  # when somebody has it install or upgrade
    NEVER = "never"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who owns an object; ``title`` is empty where nobody is known.

    ``kind``, ``namespace`` and ``name`` are of the owner's own object in the cluster, empty where it has none; of a
    Helm release without ``kind``.
    ``writer`` is the field manager that wrote the key last, at ``written`` (RFC 3339).
    """

    title: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    undoes: Undoes = Undoes.NEVER
    cure: str = ""
    evidence: str = ""
    writer: str = ""
    written: str = ""

    @property
    def shown(self) -> dict[str, str]:
        """As the module returns it."""
        shown = {"title": self.title, "kind": self.kind, "namespace": self.namespace, "name": self.name}
        marks = {"evidence": self.evidence, "undoes": self.undoes.value}
        return {**shown, **marks, "writer": self.writer, "written": self.written}

    @property
    def overwrote(self) -> bool:
        """Whether it is Talos, and nobody wrote the key since Talos did."""
        return self.title.startswith(TALOS) and self.writer == "talos"


def owner_of(metadata: Mapping[str, t.Any], *, key: str = "") -> Owner:
    """The owner of an object; ``key`` of its ``data`` is the one whose writer is looked for."""
    writer, written = _writer(metadata.get("managedFields") or [], key)
    found = next(_owners(metadata), None) or _manager(metadata.get("managedFields") or [], key)
    return replace(found, writer=writer, written=written)


def decided(owner: Owner, found: Json | None) -> Owner:
    """The same with what the owner's own object says of changes by others."""
    spec = (found or {}).get("spec") or {}
    every = f"within {spec['interval']}" if spec.get("interval") else "by itself"
    match owner.kind:
        case "Kustomization":
            soon = bool(found) and not spec.get("suspend")
        case "HelmRelease":
            soon = (spec.get("driftDetection") or {}).get("mode") == "enabled" and not spec.get("suspend")
        case "Application":
            automated = (spec.get("syncPolicy") or {}).get("automated") or {}
            soon, every = bool(automated.get("selfHeal")), "at once"
        case "" if found:
            name = f"{owner.namespace}/{owner.name}"
            cure = "Give it, or a HelmChartConfig of the same name, as source"
            return replace(owner, title=f"the HelmChart {name} of k3s or RKE2", kind="HelmChart", cure=cure)
        case _:
            return owner
    if not soon:
        return replace(owner, undoes=Undoes.NEXT_RUN)
    return replace(owner, undoes=Undoes.SOON, title=f"{owner.title}, {every}")


def note_or_refuse(owner: Owner, *, policy: str, where: str) -> str:
    """What to warn of before a change, empty for nothing; Conflict where ``policy`` (see POLICIES) stops it."""
    if not owner.title or owner.undoes is Undoes.NEVER:
        return ""
    when = "takes the change back" if owner.undoes is Undoes.SOON else "may take the change back at its next run"
    problem = f"it belongs to {owner.title}, which {when} ({owner.evidence})"
    if policy == "stop" or (policy == "auto" and owner.undoes is Undoes.SOON):
        raise Conflict(problem, where=where, cure=f"{owner.cure}, or set if_owned: warn to change it all the same")
    overwrote = f". Talos wrote it last, at {owner.written}" if owner.overwrote else ""
    return f"{where}: {problem}. {owner.cure}{overwrote}"


def _owners(metadata: Mapping[str, t.Any]) -> Iterator[Owner]:
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    marks = {**labels, **annotations}
    yield from _flux(marks)
    yield from _argo(metadata, marks)
    yield from _clusters_own(metadata, marks)
    release = marks.get("meta.helm.sh/release-name")
    if release:
        yield Owner(
            title=f"Helm (release {release})",
            namespace=marks.get("meta.helm.sh/release-namespace", ""),
            name=release,
            undoes=Undoes.NEXT_RUN,
            cure="Give path of the values that the chart is installed with",
            evidence=f"annotation meta.helm.sh/release-name: {release}",
        )
    manager = marks.get("app.kubernetes.io/managed-by")
    if manager:
        mark = f"label app.kubernetes.io/managed-by: {manager}"
        yield Owner(title=manager, undoes=Undoes.NEXT_RUN, cure="Make the change there", evidence=mark)


def _flux(marks: Mapping[str, str]) -> Iterator[Owner]:
    for kind, group in (("HelmRelease", "helm"), ("Kustomization", "kustomize")):
        mark = f"{group}.toolkit.fluxcd.io"
        name, namespace = marks.get(f"{mark}/name"), marks.get(f"{mark}/namespace", "flux-system")
        kept = marks.get(f"{mark}/reconcile") == "disabled" or marks.get(f"{mark}/ssa") in ("Ignore", "IfNotPresent")
        if not name or kept:
            continue
        source = f"Give source: {{kind: {kind}, namespace: {namespace}, name: {name}}}, or path of its file"
        yield Owner(
            title=f"Flux ({kind} {namespace}/{name})",
            kind=kind,
            namespace=namespace,
            name=name,
            undoes=Undoes.NEXT_RUN,
            cure=source if kind == "HelmRelease" else _FILE_CURE,
            evidence=f"label {mark}/name: {name}",
        )


def _argo(metadata: Mapping[str, t.Any], marks: Mapping[str, str]) -> Iterator[Owner]:
    tracked = re.fullmatch(r"(?:(.*)_)?([^:]+):[^:]*:(.*)/(.*)", marks.get("argocd.argoproj.io/tracking-id", ""))
    # An object made out of a tracked one may have got its annotations too.
    own = tracked and (tracked[3], tracked[4]) == (metadata.get("namespace", ""), metadata.get("name"))
    if tracked and own:
        name, namespace = tracked[2], tracked[1] or "argocd"
        evidence = f"annotation argocd.argoproj.io/tracking-id: {tracked[0]}"
    else:
        name, namespace = marks.get("argocd.argoproj.io/instance", ""), "argocd"
        evidence = f"label argocd.argoproj.io/instance: {name}"
    if name:
        yield Owner(
            title=f"Argo CD (Application {namespace}/{name})",
            kind="Application",
            namespace=namespace,
            name=name,
            undoes=Undoes.NEXT_RUN,
            cure=f"Give source: {{kind: Application, namespace: {namespace}, name: {name}}}, or path of its file",
            evidence=evidence,
        )


def _clusters_own(metadata: Mapping[str, t.Any], marks: Mapping[str, str]) -> Iterator[Owner]:
    inventory = marks.get("config.k8s.io/owning-inventory", "")
    if inventory:
        title = f"{TALOS} (talosctl upgrade-k8s)" if inventory == TALOS_INVENTORY else f"the inventory {inventory}"
        cure = _TALOS_CURE if inventory == TALOS_INVENTORY else "Make the change where the inventory is applied from"
        mark = f"annotation config.k8s.io/owning-inventory: {inventory}"
        yield Owner(title=title, undoes=Undoes.NEXT_RUN, cure=cure, evidence=mark)
    owned = next((mark for mark in marks if mark.startswith("objectset.rio.cattle.io/")), "")
    if owned:
        cure = "Give custom_config_map: coredns-custom"
        yield Owner(title="k3s, when a server starts", undoes=Undoes.SOON, cure=cure, evidence=f"mark {owned}")
    mode = marks.get("addonmanager.kubernetes.io/mode")
    if mode == "Reconcile":
        # Manifests carry the label to where no add-on manager runs too, such as that of NodeLocal DNSCache.
        runs = marks.get("kubernetes.io/cluster-service") == "true"
        undoes = Undoes.SOON if runs else Undoes.NEXT_RUN
        cure = "Give custom_config_map (on AKS coredns-custom)" if runs else "Make the change in its manifest too"
        mark = f"label addonmanager.kubernetes.io/mode: {mode}"
        yield Owner(title="the cluster's add-on manager", undoes=undoes, cure=cure, evidence=mark)
    for owner in metadata.get("ownerReferences") or []:
        if owner.get("controller"):
            title = f"{owner['kind']} {owner['name']}"
            yield Owner(title=title, undoes=Undoes.SOON, cure="Make the change there", evidence="its ownerReferences")


def _manager(fields: Iterable[Json], key: str) -> Owner:
    for entry in fields:
        known = _MANAGERS.get(entry.get("manager", ""))
        if known and (not key or _has(entry, key)):
            mark = f"field manager {entry['manager']}"
            return Owner(title=known[0], undoes=Undoes.NEXT_RUN, cure=known[1], evidence=mark)
    return Owner()


def _writer(fields: Iterable[Json], key: str) -> tuple[str, str]:
    writers = [(entry.get("time") or "", entry.get("manager") or "") for entry in fields if _has(entry, key)]
    written, writer = max(writers, default=("", ""))
    return writer, written


def _has(entry: Json, key: str) -> bool:
    return f"f:{key}" in ((entry.get("fieldsV1") or {}).get("f:data") or {})
