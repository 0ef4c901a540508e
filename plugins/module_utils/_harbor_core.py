# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: the core and jobservice of one Harbor release: their settings, their restart, their health, their realm."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime

from ansible_collections.splithorizon.registry.plugins.module_utils._endpoints import PodPort, through_pod
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    NotPermitted,
    NotReady,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import (
    NEWEST_RULE,
    SETTINGS,
    Values,
    Version,
    image_version,
    overridden,
    started_before,
    unhealthy,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_release import (
    application_name,
    chart_fullname,
    client_hosts,
    fullnames,
    only_fullname,
    undone_by,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._helm_release import find_release
from ansible_collections.splithorizon.registry.plugins.module_utils._http import Client, Origin, Way, parse_url
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import wait_until
from ansible_collections.splithorizon.registry.plugins.module_utils._registry import Registry

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = ["Found", "HarborCore", "find_fullname"]

REALM_SECONDS = 10
APPLICATION = ("argoproj.io/v1alpha1", "Application")
FLUX_NAME, FLUX_NAMESPACE = "helm.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/namespace"


def find_fullname(cluster: Cluster, *, namespace: str, fullname: str | None, release: str | None) -> str:
    """What the objects of the release that is meant are named by; BadInput that says which there are.

    A release is found by its label, since nameOverride and fullnameOverride show in the objects only.
    """
    found = fullnames(cluster.list("apps/v1", "Deployment", namespace))
    if fullname is None and release is not None:
        labelled = fullnames(cluster.list("apps/v1", "Deployment", namespace, selector=f"release={release}"))
        fullname = labelled[0] if len(labelled) == 1 else chart_fullname(release=release)
    return only_fullname(found, wanted=fullname, namespace=namespace)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The objects as they were read. ``stale`` names the Deployments whose pods run with values from before."""

    core_map: Json
    jobservice_map: Json
    core: Json
    jobservice: Json
    stale: tuple[str, ...]

    @property
    def overrides(self) -> dict[str, Values]:
        """ConfigMap → what the Deployment sets over it."""
        pairs = ((self.core_map, self.core), (self.jobservice_map, self.jobservice))
        found = {config_map["metadata"]["name"]: overridden(deployment) for config_map, deployment in pairs}
        return {name: values for name, values in found.items() if values}

    @property
    def effective(self) -> dict[str, Values]:
        """ConfigMap → the settings a process starts with."""
        maps = {one["metadata"]["name"]: one.get("data") or {} for one in (self.core_map, self.jobservice_map)}
        return {
            name: {**{key: data[key] for key in SETTINGS if key in data}, **self.overrides.get(name, {})}
            for name, data in maps.items()
        }

    @property
    def version(self) -> Version:
        """That of the core's image, or the newest with a rule of its own."""
        return image_version(_core_container(self.core["spec"]["template"]["spec"])["image"]) or NEWEST_RULE

    @property
    def inside_tls(self) -> bool:
        return bool(self.core_map["data"].get("PORT") == "8443")


class HarborCore:
    """``fullname`` is that of the chart's release; ``seconds`` bound all waiting of one change together."""

    def __init__(self, *, cluster: Cluster, namespace: str, fullname: str, seconds: float) -> None:
        self.core = f"{fullname}-core"
        self.jobservice = f"{fullname}-jobservice"
        self.cluster = cluster
        self.namespace = namespace
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def read(self) -> Found:
        core_map = self._get("v1", "ConfigMap", self.core)
        jobservice_map = self._get("v1", "ConfigMap", f"{self.jobservice}-env")
        core = self._get("apps/v1", "Deployment", self.core)
        jobservice = self._get("apps/v1", "Deployment", self.jobservice)
        pairs = ((core_map, core), (jobservice_map, jobservice))
        stale = [
            deployment["metadata"]["name"]
            for config_map, deployment in pairs
            if started_before(config_map=config_map, pods=self._pods(deployment))
        ]
        return Found(
            core_map=core_map, jobservice_map=jobservice_map, core=core, jobservice=jobservice, stale=tuple(stale)
        )

    def hosts(self, found: Found, *, domain: str, urls: Iterable[str], given: Iterable[str]) -> list[str]:
        """Every Host a client may send to this release."""
        labels = found.core["spec"]["template"]["metadata"].get("labels") or {}
        services = self.cluster.list("v1", "Service", self.namespace)
        return client_hosts(services=services, pod_labels=labels, domain=domain, urls=urls, given=given)

    def release_of(self, metadata: Json) -> tuple[str, str] | None:
        """Namespace and name of the HelmRelease that made an object, by its labels."""
        labels = metadata.get("labels") or {}
        return (labels.get(FLUX_NAMESPACE, self.namespace), labels[FLUX_NAME]) if FLUX_NAME in labels else None

    def undone_by(self, metadata: Json) -> str:
        """Who takes a change of an object back, and when; empty where nobody is known."""
        release = application = None
        try:
            if place := self.release_of(metadata):
                release = find_release(self.cluster, *place)
            elif name := application_name(metadata):
                application = next(iter(self.cluster.list(*APPLICATION, None, fields=f"metadata.name={name}")), None)
        except NotPermitted:
            pass  # the owner's own settings only refine the sentence
        return undone_by(metadata, release=release, application=application)

    def need(self, needs: Iterable[tuple[str, str, str, str]]) -> None:
        """NotPermitted that names every missing verb. (verb, resource, namespace, name)."""
        missing = [need for need in needs if not self.cluster.may(*need)]
        if missing:
            verbs = ", ".join(f"{verb} {resource} {name}".rstrip() for verb, resource, _namespace, name in missing)
            where = ", ".join(dict.fromkeys(f"namespace {namespace}" for _verb, _resource, namespace, _name in missing))
            raise NotPermitted(
                f"the account may not {verbs}", where=where, cure="Allow it with a Role; nothing was changed"
            )

    def restart(self, names: Sequence[str], *, wait: bool) -> None:
        """Restart one Deployment after the other, each of them whole before the next."""
        for name in names:
            stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self.cluster.restart("Deployment", self.namespace, name, stamp=stamp)
            if wait:
                self.cluster.wait_rolled_out("Deployment", self.namespace, name, seconds=self.left())

    def wait_rolled_out(self) -> None:
        """Wait until both run with their newest template, whoever changed it."""
        for name in (self.core, self.jobservice):
            self.cluster.wait_rolled_out("Deployment", self.namespace, name, seconds=self.left())

    def ill(self) -> list[str]:
        """What is unhealthy now, one line a component."""
        return unhealthy(self.health())

    def wait_healthy(self) -> Json:
        """Wait until every component says healthy; the health as Harbor tells it."""
        seen: list[t.Any] = [None]

        def healthy() -> bool:
            seen[0] = self.health()
            return not unhealthy(seen[0])

        try:
            wait_until(healthy, seconds=self.left(), what="every component of Harbor to be healthy")
        except NotReady as error:
            where = f"Harbor {self.namespace}/{self.core}"
            raise NotReady(f"{error.problem}: {'; '.join(unhealthy(seen[0]))}", where=where, cure=error.cure) from error
        return t.cast("Json", seen[0])

    def challenges(self, hosts: Sequence[str]) -> dict[str, str]:
        """Per Host header the WWW-Authenticate that a ready core pod answers to a client without credentials."""
        if not hosts:
            return {}
        client = Client(way=self._way_to_core(), seconds=REALM_SECONDS)
        origin = Origin(scheme="http", host=self.core, port=80)
        return {host: client.send("GET", origin, "/v2/", host=host).header("www-authenticate") for host in hosts}

    def tags(self, repository: str, *, core_url: str, username: str, password: str) -> list[str]:
        """The tags of a repository. By the host of CORE_URL, whose realm leads to core in every state."""
        client = Client(way=self._way_to_core(), seconds=REALM_SECONDS)
        origin = parse_url(core_url, where=f"CORE_URL of {self.namespace}/{self.core}")
        return Registry(origin=origin, client=client, username=username, password=password).tags(repository)

    def health(self) -> Json | None:
        """What core answers of its components; None where it does not answer."""
        service = self.cluster.get("v1", "Service", self.namespace, self.core)
        port = service["spec"]["ports"][0]["port"] if service else 80
        scheme = "https:" if port == 443 else ""  # noqa: PLR2004
        return self.cluster.proxy_get(self.namespace, f"{scheme}{self.core}:{port}", "/api/v2.0/health")

    def _way_to_core(self) -> Way:
        """Connect to a ready core pod, whatever host is asked for."""
        deployment = self._get("apps/v1", "Deployment", self.core)
        ready = [pod for pod in self._pods(deployment) if _is_ready(pod)]
        if not ready:
            where = f"Deployment {self.namespace}/{self.core}"
            raise NotReady("no ready pod", where=where, cure="Look at its pods and events")
        container = _core_container(ready[0]["spec"])
        port = next((one["containerPort"] for one in container.get("ports") or []), 8080)
        target = PodPort(namespace=self.namespace, pod=ready[0]["metadata"]["name"], port=port)
        return through_pod(self.cluster, target)

    def _get(self, api_version: str, kind: str, name: str) -> Json:
        found = self.cluster.get(api_version, kind, self.namespace, name)
        if found is None:
            cure = "Give the namespace and the fullname of a release of Harbor's chart"
            raise BadInput("does not exist", where=f"{kind} {self.namespace}/{name}", cure=cure)
        return found

    def _pods(self, deployment: Json) -> list[Json]:
        labels = deployment["spec"]["selector"].get("matchLabels", {})
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        return self.cluster.list("v1", "Pod", self.namespace, selector=selector)

    def again(self) -> None:
        """Start the time for waiting anew."""
        self._end = time.monotonic() + self._seconds

    def left(self) -> float:
        return max(round(self._end - time.monotonic(), 1), 0.1)


def _core_container(pod_spec: Json) -> Json:
    containers = pod_spec["containers"]
    return t.cast("Json", next((one for one in containers if one["name"] == "core"), containers[0]))


def _is_ready(pod: Json) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
