# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaks things in a running sandbox, as they break in life, and puts them right again. For tests, from outside.

Every fault is a context manager: what it changed is as before when it ends, whatever happened in between.

    faults = Faults(Inside.attach(), "alpha")
    with faults.certificate("expired"):
        ...
    faults.reseed()
"""

from __future__ import annotations

import json
import sys
import time
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass

from .model import by_name
from .process import Failed
from .workloads import buildkit, certificates, coredns, gateway, harbor, spegel, talos

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .api import Json
    from .inside import Inside
    from .model import ClusterModel, NodeModel
    from .pki import Pair

__all__ = ["ALIAS", "UNPARSABLE", "Faults"]

ALIAS = ("envoy-gateway-system", "envoy-proxy")
# A brace that nothing closes.
UNPARSABLE = ".:53 {\n    errors\n    forward . /etc/resolv.conf\n"
SERVED_SECONDS = 30
EXPIRY_SECONDS = 10.0
ROLLOUT_SECONDS = 180
NODE_SECONDS = 60
SERVER_CERTIFICATE = """
import ssl, sys
print(ssl.get_server_certificate((sys.argv[1], 443), timeout=5), end="")
"""
# What the API server writes into an object; it takes none of it back.
SERVER_SIDE = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")


@dataclass(frozen=True)
class Faults:
    """Faults of one cluster of a running sandbox."""

    inside: Inside
    name: str

    @property
    def model(self) -> ClusterModel:
        return by_name(self.name)

    # Cluster objects

    @contextmanager
    def without_corefile(self) -> Iterator[None]:
        """No ConfigMap kube-system/coredns."""
        with self._without("configmap", "kube-system", "coredns"):
            yield

    @contextmanager
    def corefile(self, text: str) -> Iterator[None]:
        """Another Corefile, such as ``UNPARSABLE``."""
        with self._changed("configmap", "kube-system", "coredns", lambda found: found["data"].update(Corefile=text)):
            yield

    @contextmanager
    def without_harbor_config(self, name: str = "harbor-core") -> Iterator[None]:
        """No ConfigMap of that name beside Harbor."""
        with self._without("configmap", self.model.harbor_namespace, name):
            yield

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """Nothing takes connections for Harbor's database; waits until core's health says so, and until it is over."""
        namespace, nobody = self.model.harbor_namespace, {"component": "nobody"}
        with self._changed(
            "service", namespace, "harbor-database", lambda found: found["spec"].update(selector=nobody)
        ):
            self._until("database gone", lambda: "SELECT 1" in self.health(), SERVED_SECONDS)
            yield
        self._until("database back", lambda: "SELECT 1" not in self.health(), SERVED_SECONDS)

    def health(self) -> str:
        """What Harbor's core answers of its components."""
        service = f"/api/v1/namespaces/{self.model.harbor_namespace}/services/harbor-core:80"
        return self._kubectl("get", "--raw", f"{service}/proxy/api/v2.0/health")

    @contextmanager
    def certificate(self, fault: str) -> Iterator[None]:
        """The gateway serves a certificate that is ``expired``, ``expiring``, ``wrong-name`` or ``untrusted``.

        ``expired`` takes some seconds, as it has to be taken in before it is.
        """
        self.serve(fault)
        try:
            yield
        finally:
            self.serve("good")

    @contextmanager
    def alias_to_nothing(self) -> Iterator[None]:
        """The alias Service selects no pod; it is made where there is none."""
        namespace, name = ALIAS
        nothing = {"app.kubernetes.io/component": "nobody"}
        found = self._get("service", namespace, name)
        if found is None:
            self._apply([_service(namespace, name, nothing)])
            try:
                yield
            finally:
                self._kubectl("-n", namespace, "delete", "service", name, "--ignore-not-found")
            return
        with self._changed("service", namespace, name, lambda found: found["spec"].update(selector=nothing)):
            yield

    # Nodes

    @contextmanager
    def node(self, name: str, point: str, action: str = "refuse", **more: t.Any) -> Iterator[None]:
        """A node that fails at a point: see ``control.go`` for points, actions (refuse, hang, die), and ``more``."""
        control = self.control(self.model.node(name))
        control.write_text(json.dumps({point: {"action": action, **more}}))
        try:
            yield
        finally:
            control.unlink(missing_ok=True)

    @contextmanager
    def pending(self, name: str, mode: str) -> Iterator[None]:
        """A configuration of somebody else that waits on a node: a ``try`` of ten minutes, or a ``staged`` one."""
        node = self.model.node(name)
        entry = {"machine": {"network": {"extraHostEntries": [{"ip": "192.0.2.9", "aliases": ["other.example.com"]}]}}}
        how = ("--timeout", "10m") if mode == "try" else ()
        before = json.loads(self._talosctl(node.address, "get", "mc", "v1alpha1", "-o", "json"))["spec"]
        self._talosctl(node.address, "patch", "mc", "--mode", mode, *how, "-p", json.dumps(entry))
        try:
            yield
        finally:
            self._talosctl(node.address, "apply-config", "--mode", "no-reboot", "-f", "/dev/stdin", stdin=before)

    # Back to the start

    def reseed(self) -> None:
        """The HTTP era, as the sandbox starts with it. What is as it was then is not touched, nor restarted."""
        self._reseed_objects()
        moved = [node.address for node in self.model.nodes if self._reseed_node(node)]
        if moved:
            # Credentials: containerd may have started with others.
            self._talosctl(",".join(moved), "reboot", f"--timeout={NODE_SECONDS}s")
        if self._reseed_spegel() or moved:
            # Talos removes Spegel's files when it writes its own; they come back when its pods start.
            self._kubectl("-n", spegel.NAMESPACE, "rollout", "restart", "daemonset/spegel")
        self._rolled_out(spegel.NAMESPACE, "daemonset/spegel")

    def _reseed_objects(self) -> None:
        namespace, name = ALIAS
        self._kubectl("-n", namespace, "delete", "service", name, "--ignore-not-found")
        self._restore([coredns.config_map(self.name)])
        if self._restore(harbor.config_maps(self.name)):
            for component in ("harbor-core", "harbor-jobservice"):
                self._kubectl("-n", self.model.harbor_namespace, "rollout", "restart", f"deployment/{component}")
        if self._restore(buildkit.config_maps(self.name)):
            self._kubectl("-n", buildkit.NAMESPACE, "rollout", "restart", "deployment/buildkitd")
            self._rolled_out(buildkit.NAMESPACE, "deployment/buildkitd")
        for component in harbor.COMPONENTS:
            self._rolled_out(self.model.harbor_namespace, f"deployment/{component}")
        self.serve("good")

    def _reseed_spegel(self) -> bool:
        """Whether Spegel was set otherwise than at the start; waits until the release is applied."""
        wanted = spegel.present(self.name)
        if not self._restore([one for one in wanted if one["kind"] in {"HelmRelease", "DaemonSet"}]):
            return False
        if wanted[0]["kind"] == "HelmRelease":
            self._until("HelmRelease applied", self._release_applied, NODE_SECONDS)
        return True

    def _release_applied(self) -> bool:
        release = self._get("helmrelease", spegel.NAMESPACE, "spegel") or {}
        return bool(release.get("status", {}).get("observedGeneration") == release["metadata"]["generation"])

    def _reseed_node(self, node: NodeModel) -> bool:
        """Whether the node was configured otherwise. A pending ``try`` differs from what is stored, and ends."""
        self.control(node).unlink(missing_ok=True)
        wanted = talos.config_at_start(self.inside.places, self.name, node).read_text()
        listed = self._talosctl(node.address, "get", "mc", "-o", "json")
        if all(resource["spec"] == wanted for resource in _documents(listed)):
            return False
        self._talosctl(node.address, "apply-config", "--mode", "no-reboot", "-f", "/dev/stdin", stdin=wanted)
        return True

    # Ways in

    @contextmanager
    def _without(self, kind: str, namespace: str, name: str) -> Iterator[None]:
        found = self._get(kind, namespace, name)
        if found is None:
            raise Failed(f"there is no {kind} {namespace}/{name} to take away")
        self._kubectl("-n", namespace, "delete", kind, name)
        try:
            yield
        finally:
            self._apply([_portable(found)])

    @contextmanager
    def _changed(self, kind: str, namespace: str, name: str, change: t.Callable[[Json], None]) -> Iterator[None]:
        found = self._get(kind, namespace, name)
        if found is None:
            raise Failed(f"there is no {kind} {namespace}/{name} to change")
        other = _portable(found)
        before = json.dumps(other)
        change(other)
        self._apply([other])
        try:
            yield
        finally:
            self._apply([json.loads(before)])

    def serve(self, which: str) -> None:
        """Put a certificate into the listener's Secret, and wait until the gateway answers with it."""
        place = certificates.folder(self.inside.places, self.name)
        if which == "expired":
            # Envoy Gateway closes the listener rather than take one that has expired; it serves what expires later.
            pair, end = certificates.short_lived(place, EXPIRY_SECONDS), time.monotonic() + EXPIRY_SECONDS
        else:
            pair, end = certificates.load(place, which), 0.0
        if not self._answers_with(pair):
            self._apply([gateway.tls_secret(pair)])
            self._until(f"certificate {which} served", lambda: self._answers_with(pair), SERVED_SECONDS)
        self._until(f"certificate {which}", lambda: time.monotonic() > end, EXPIRY_SECONDS)

    def _answers_with(self, pair: Pair) -> bool:
        return self._served().strip() == pair.certificate.strip()

    def _served(self) -> str:
        done = self.inside.run(sys.executable, "-c", SERVER_CERTIFICATE, self.model.gateway_address, seconds=10)
        return done.stdout

    def _restore(self, wanted: Sequence[Json]) -> bool:
        """Whether any of the objects differed from what is wanted of it; those that did are put back."""
        different = [one for one in wanted if not _holds(one, self._get_like(one))]
        if different:
            self._apply(different)
        return bool(different)

    def _get_like(self, wanted: Json) -> Json | None:
        return self._get(wanted["kind"].lower(), wanted["metadata"]["namespace"], wanted["metadata"]["name"])

    def _get(self, kind: str, namespace: str, name: str) -> Json | None:
        text = self._kubectl("-n", namespace, "get", kind, name, "-o", "json", "--ignore-not-found")
        return t.cast("Json", json.loads(text)) if text else None

    def _apply(self, documents: Sequence[Json]) -> None:
        text = "---\n".join(json.dumps(document) + "\n" for document in documents)
        how = ("--server-side", "--force-conflicts", "--field-manager=sandbox")
        self._kubectl("apply", *how, "-f", "-", stdin=text)

    def _rolled_out(self, namespace: str, what: str) -> None:
        how = ("rollout", "status", what, f"--timeout={ROLLOUT_SECONDS}s")
        self._kubectl("-n", namespace, *how, seconds=ROLLOUT_SECONDS + 5)

    def _kubectl(self, *words: str, seconds: float = 60, stdin: str | None = None) -> str:
        return self.inside.kubectl(self.name, *words, seconds=seconds, stdin=stdin)

    def _talosctl(self, nodes: str, *words: str, stdin: str | None = None) -> str:
        argv = ("talosctl", "--context", self.name, "-n", nodes, *words)
        done = self.inside.run(*argv, seconds=NODE_SECONDS + 5, stdin=stdin)
        if done.returncode:
            raise Failed(f"talosctl {' '.join(words)} on {nodes}: {done.stderr.strip()}")
        return done.stdout

    def control(self, node: NodeModel) -> Path:
        """What tells a node to fail, while it is there."""
        return self.inside.places.node(self.name, node.name) / "state" / "control.json"

    def _until(self, what: str, question: t.Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not question():
            if time.monotonic() > end:
                raise Failed(f"{self.name}: {what}: not within {seconds:.0f} s")
            time.sleep(0.2)


def _portable(found: Json) -> Json:
    """An object as a person would have written it, so that it can be made anew."""
    metadata = {key: value for key, value in found["metadata"].items() if key not in SERVER_SIDE}
    return {**{key: value for key, value in found.items() if key != "status"}, "metadata": metadata}


def _holds(wanted: t.Any, found: t.Any) -> bool:
    """Whether ``found`` has all that is wanted; what it has more than that in mappings was added by a server."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_holds(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        same = isinstance(found, list) and len(wanted) == len(found)
        return same and all(_holds(one, other) for one, other in zip(wanted, found, strict=True))
    return bool(wanted == found)


def _documents(text: str) -> Iterator[Json]:
    """JSON objects that follow one another, as talosctl prints resources."""
    decoder, rest = json.JSONDecoder(), text.lstrip()
    while rest:
        found, end = decoder.raw_decode(rest)
        yield found
        rest = rest[end:].lstrip()


def _service(namespace: str, name: str, selector: dict[str, str]) -> Json:
    ports = [{"name": "http", "port": 80, "targetPort": 10080}, {"name": "https", "port": 443, "targetPort": 10443}]
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": selector, "ports": ports}}
