# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: which objects are one Harbor release's: names as the chart makes them, who owns them, who asks for them."""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = [
    "application_name",
    "chart_fullname",
    "client_hosts",
    "fullnames",
    "only_fullname",
    "path_hosts",
    "service_hosts",
    "undone_by",
]

_MAX_NAME = 63
_FLUX_HELM, _FLUX_KUSTOMIZE = "helm.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io"
_DEFAULT_PORTS = (80, 443)
# Components behind which clients find the registry: core itself, and the chart's nginx in front of it.
_FRONTS = ("core", "nginx")


def chart_fullname(*, release: str, values: Mapping[str, t.Any] | None = None) -> str:
    """What the names of a release's objects begin with, by ``harbor.fullname`` of goharbor/harbor-helm _helpers.tpl."""
    values = values or {}
    if values.get("fullnameOverride"):
        return _truncated(str(values["fullnameOverride"]))
    name = str(values.get("nameOverride") or "harbor")
    return _truncated(release if name in release else f"{release}-{name}")


def _truncated(name: str) -> str:
    return name[:_MAX_NAME].removesuffix("-")


def fullnames(deployments: Iterable[Json]) -> list[str]:
    """The full names of the Harbor releases among the Deployments of one namespace."""
    found = set()
    for deployment in deployments:
        metadata = deployment["metadata"]
        containers = deployment["spec"]["template"]["spec"]["containers"]
        sources = [one for container in containers for one in container.get("envFrom") or []]
        maps = {one["configMapRef"]["name"] for one in sources if one.get("configMapRef")}
        is_core = (metadata.get("labels") or {}).get("component") == "core"
        if is_core and metadata["name"].endswith("-core") and metadata["name"] in maps:
            found.add(metadata["name"].removesuffix("-core"))
    return sorted(found)


def only_fullname(found: Sequence[str], *, wanted: str | None, namespace: str) -> str:
    """The release that is meant: the one asked for, or the only one there is."""
    where = f"namespace {namespace}"
    have = f"There is {', '.join(found)}" if found else "There is no release of Harbor's chart: look at the namespace"
    if wanted is not None:
        if wanted in found:
            return wanted
        raise BadInput(f"no Harbor whose objects are named {wanted}-…", where=where, cure=have)
    if len(found) != 1:
        problem = f"{len(found)} Harbors run here" if found else "no Harbor runs here"
        raise BadInput(problem, where=where, cure=f"{have}; give fullname" if found else have)
    return found[0]


def service_hosts(*, name: str, namespace: str, domain: str, port: int = 80) -> list[str]:
    """The names by which pods may ask a Service, with the port where it is none that HTTP leaves out."""
    forms = [name, f"{name}.{namespace}", f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.{domain}"]
    return [_with_port(form, port) for form in forms]


def client_hosts(
    *,
    services: Iterable[Json],
    pod_labels: Mapping[str, str],
    domain: str,
    urls: Iterable[str],
    given: Iterable[str],
) -> list[str]:
    """Every Host a client may send: those given, those of ``urls``, and names and addresses of Services before core.

    ``pod_labels``: of the core pods, by which the Services of this release are told.
    """
    hosts = [*given, *(urlsplit(url).netloc for url in urls)]
    for service in services:
        if not _leads_to_core(service, pod_labels):
            continue
        metadata, spec = service["metadata"], service["spec"]
        for port in spec.get("ports") or []:
            number = port["port"]
            hosts += service_hosts(name=metadata["name"], namespace=metadata["namespace"], domain=domain, port=number)
            hosts += [_with_port(address, number) for address in _addresses(service)]
    return list(dict.fromkeys(host for host in hosts if host))


def path_hosts(
    *, fullname: str, namespace: str | None, domain: str, urls: Iterable[str], given: Iterable[str]
) -> list[str]:
    """The same where only files are known: core's Service by name, in full where the namespace is known."""
    core = f"{fullname}-core"
    names = service_hosts(name=core, namespace=namespace, domain=domain) if namespace else [core]
    return list(dict.fromkeys(host for host in [*given, *(urlsplit(url).netloc for url in urls), *names] if host))


def _leads_to_core(service: Json, pod_labels: Mapping[str, str]) -> bool:
    selector = service["spec"].get("selector") or {}
    for component in _FRONTS:
        labels = {**pod_labels, "component": component, "app.kubernetes.io/component": component}
        if selector.get("component") == component and selector.items() <= labels.items():
            return True
    return False


def _addresses(service: Json) -> list[str]:
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    outside = [one.get("ip") or one.get("hostname") for one in ingress]
    own = service["spec"].get("clusterIP")
    return [_bracketed(one) for one in [*([own] if own not in (None, "None") else []), *outside] if one]


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _with_port(host: str, port: int) -> str:
    return host if port in _DEFAULT_PORTS else f"{host}:{port}"


def undone_by(metadata: Json, *, release: Json | None = None, application: Json | None = None) -> str:
    """Who takes back what is written into an object of the chart, and when, as a sentence; empty where nobody is known.

    ``release`` and ``application`` are the HelmRelease and the Application that own it, where they could be read.
    """
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    if name := marks.get(f"{_FLUX_HELM}/name"):
        drift = ((release or {}).get("spec", {}).get("driftDetection") or {}).get("mode")
        when = "within its interval (driftDetection is enabled)" if drift == "enabled" else "at its next upgrade"
        return f"Flux (HelmRelease {marks.get(f'{_FLUX_HELM}/namespace', '')}/{name}) {when}"
    if name := application_name(metadata):
        policy = (application or {}).get("spec", {}).get("syncPolicy") or {}
        when = "within minutes (selfHeal)" if (policy.get("automated") or {}).get("selfHeal") else "at its next sync"
        return f"Argo CD (Application {name}) {when}"
    if name := marks.get(f"{_FLUX_KUSTOMIZE}/name"):
        return f"Flux (Kustomization {marks.get(f'{_FLUX_KUSTOMIZE}/namespace', '')}/{name}) within its interval"
    if name := marks.get("meta.helm.sh/release-name") or (marks.get("heritage") == "Helm" and marks.get("release")):
        return f"Helm (release {name}) at its next upgrade"
    return ""


def application_name(metadata: Json) -> str:
    """The Argo CD Application that tracks an object."""
    tracking = (metadata.get("annotations") or {}).get("argocd.argoproj.io/tracking-id", "")
    return str(tracking).partition(":")[0] or str((metadata.get("labels") or {}).get("argocd.argoproj.io/instance", ""))
