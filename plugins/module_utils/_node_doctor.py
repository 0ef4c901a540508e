# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: read all that tells a Talos node's troubles, and send what repairs them.

A process of talosctl for each kind of reading, all nodes in it, side by side; files are read one by one, since talosctl
reads no file of many nodes at once. None of the readings disarms a pending ``try``.
"""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._node_change import Decision, decide
from ansible_collections.splithorizon.registry.plugins.module_utils._node_files import (
    HOSTS_ROOT,
    directory_of,
    file_checks,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._node_readings import (
    CONTAINERD_FOLDER,
    INGEST_FOLDER,
    Files,
    Pull,
    Readings,
    Service,
    failed_pulls,
    ingest_ages,
    parse_etc_hosts,
    service_of,
    slow_pulls,
    to_service,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._node_troubles import (
    node_troubles,
    repairs,
    service_names,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._owed_reboots import ContainerdReader
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import AT_ONCE, Node
from ansible_collections.splithorizon.registry.plugins.module_utils._trouble import Trouble, cluster_domain

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster

__all__ = ["Findings", "NodeReader", "examine", "repair"]

SLOW_SECONDS = 30.0
SMALL_BYTES = 100_000_000

_T = t.TypeVar("_T")


class NodeReader(ContainerdReader):
    """Texts of files too."""

    def etc_hosts(self, names: Sequence[str]) -> dict[str, str | RegistryError]:
        """The text of /etc/hosts."""
        return self._ask(["get", "etcfilespecs", "hosts", "-o", "yaml"], names, parse_etc_hosts)

    def texts(self, paths: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str | RegistryError | None]:
        """(node, path) → the file's text, None where it is gone."""

        def one(place: tuple[str, str]) -> str | RegistryError | None:
            try:
                return self.read(*place)
            except RegistryError as error:
                return error

        wanted = list(paths)
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            return dict(zip(wanted, pool.map(one, wanted), strict=True))


@dataclass(frozen=True, kw_only=True)
class Findings:
    """``nodes``: those that could be read; ``troubles`` of all, those that could not be read among them."""

    nodes: Mapping[str, Node]
    troubles: tuple[Trouble, ...]

    def of(self, name: str) -> tuple[Trouble, ...]:
        return tuple(trouble for trouble in self.troubles if trouble.node == name)


def examine(talos: NodeReader, connect: Callable[[], Cluster] | None, names: Sequence[str], *, spegel: str) -> Findings:
    """All troubles of these nodes; without ``connect``, those that only Kubernetes can tell are left out."""
    if not names:
        return Findings(nodes={}, troubles=())
    now = datetime.now(tz=UTC)
    with ThreadPoolExecutor(max_workers=5) as pool:
        found = pool.submit(talos.nodes, names)
        files = pool.submit(talos.files, names, CONTAINERD_FOLDER, now=now)
        downloads = pool.submit(talos.files, names, INGEST_FOLDER, now=now)
        etc_hosts = pool.submit(talos.etc_hosts, names)
        started = pool.submit(talos.containerd_starts, names)
    unread = Unread()
    nodes = unread.without(found.result())
    starts = unread.without(started.result())
    folders, ingests = unread.without(files.result()), unread.without(downloads.result())
    # Evidence only: the configuration says what the lines are to be.
    lines = {name: text for name, text in etc_hosts.result().items() if isinstance(text, str)}
    texts = _mirror_texts(talos, nodes, folders, unread)
    services, pulls = _of_kubernetes(connect, nodes, unread)
    troubles = [*unread.troubles]
    for name, node in nodes.items():
        readings = Readings(
            node=node,
            files=folders.get(name, {}),
            hosts_toml=texts.get(name, {}),
            etc_hosts=lines.get(name),
            ingests=ingest_ages(ingests.get(name, {}), now=now),
            services=services,
            pulls=tuple(pulls.get(name, ())),
            containerd_since=starts.get(name),
            spegel=spegel,
        )
        troubles += node_troubles(readings)
    return Findings(nodes=nodes, troubles=tuple(troubles))


class Unread:
    """Collects what could not be read, a trouble for each node: the first of its errors."""

    def __init__(self) -> None:
        self._errors: dict[str, RegistryError] = {}

    def without(self, found: Mapping[str, _T | RegistryError]) -> dict[str, _T]:
        """What could be read."""
        for name, value in found.items():
            if isinstance(value, RegistryError):
                self.add(name, value)
        return {name: value for name, value in found.items() if not isinstance(value, RegistryError)}

    def add(self, node: str, error: RegistryError) -> None:
        self._errors.setdefault(node, error)

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        def told(node: str, error: RegistryError) -> str:
            return error.problem if error.where == f"node {node}" else f"{error.where}: {error.problem}"

        return tuple(
            Trouble(node=node, kind="unreadable", evidence=told(node, error), cure=error.cure)
            for node, error in self._errors.items()
        )


def _mirror_texts(
    talos: NodeReader, nodes: Mapping[str, Node], folders: Mapping[str, Files], unread: Unread
) -> dict[str, dict[str, str]]:
    """Node → registry → its hosts.toml, of the mirrors that have one."""
    paths = {name: _mirror_files(node, folders.get(name, {})) for name, node in nodes.items()}
    found = talos.texts((name, path) for name, files in paths.items() for path in files.values())
    result: dict[str, dict[str, str]] = {}
    for name, files in paths.items():
        for registry, path in files.items():
            text = found[name, path]
            if isinstance(text, RegistryError):
                unread.add(name, text)
            elif text is not None:
                result.setdefault(name, {})[registry] = text
    return result


def _mirror_files(node: Node, files: Files) -> dict[str, str]:
    """Registry → path, of the mirrors whose file is there under the name that Talos or Spegel gives it."""
    result = {}
    for registry in node.active.effective.mirrors:
        for directory in (registry, directory_of(registry)):
            if f"hosts/{directory}/hosts.toml" in files:
                result[registry] = f"{HOSTS_ROOT}/{directory}/hosts.toml"
    return result


# --- Kubernetes ---


def _of_kubernetes(
    connect: Callable[[], Cluster] | None, nodes: Mapping[str, Node], unread: Unread
) -> tuple[dict[str, Service | None], dict[str, list[Pull]]]:
    """(host name → Service, node → pulls that fail or are slow)."""
    if connect is None or not nodes:
        return {}, {}
    try:
        cluster = connect()
        return _services(cluster, nodes.values()), _pulls(cluster, nodes)
    except BadInput:
        raise
    except RegistryError as error:
        unread.add("", error)
        return {}, {}


def _services(cluster: Cluster, nodes: Iterable[Node]) -> dict[str, Service | None]:
    hosts = {host: cluster_domain(node.active) for node in nodes for host in service_names(node.active)}
    result: dict[str, Service | None] = {}
    for host, domain in sorted(hosts.items()):
        if place := service_of(host, domain):
            found = cluster.get("v1", "Service", *place)
            result[host] = to_service(found) if found else None
    return result


def _pulls(cluster: Cluster, nodes: Mapping[str, Node]) -> dict[str, list[Pull]]:
    failed = failed_pulls(cluster.list("v1", "Pod", None, fields="status.phase=Pending"))
    events = cluster.list("v1", "Event", None, fields="reason=Pulled")
    slow = slow_pulls(events, seconds=SLOW_SECONDS, small=SMALL_BYTES)
    result: dict[str, list[Pull]] = {}
    for one in cluster.list("v1", "Node", None) if failed or slow else []:
        name = one["metadata"]["name"]
        known_as = {name, *(item.get("address") for item in one.get("status", {}).get("addresses", ()))}
        for node in known_as & nodes.keys():
            result[node] = list(dict.fromkeys([*failed.get(name, ()), *slow.get(name, ())]))
    return result


# --- repairs ---


def repair(
    talos: NodeReader, findings: Findings, *, seconds: float, check_mode: bool
) -> tuple[dict[str, Decision], Findings]:
    """What was, or would be, sent to each node, and what is left. The first node that fails is the last one."""
    sent: dict[str, Decision] = {}
    left = list(findings.troubles)
    for name, node in findings.nodes.items():
        curable = [trouble for trouble in findings.of(name) if trouble.repairable]
        if not curable:
            continue
        try:
            decision = decide(
                node,
                repairs(curable, node.active.effective),
                layer="auto",
                on_trial=False,
                confirm=False,
                predict=check_mode,
            )
            _send(talos, node, decision, seconds=seconds, check_mode=check_mode)
        except RegistryError as error:
            left.append(Trouble(node=name, kind="not_repaired", evidence=error.problem, cure=error.cure))
            break
        sent[name] = decision
        left = [trouble for trouble in left if trouble not in curable]
    return sent, replace(findings, troubles=tuple(left))


def _send(talos: NodeReader, node: Node, decision: Decision, *, seconds: float, check_mode: bool) -> None:
    plan = decision.plan
    for send in decision.sends:
        if check_mode:
            talos.dry_run(node.name, send.config)
            continue
        talos.apply(node.name, send.config, instead_of=send.instead_of)
        checks = file_checks(plan.before.effective, plan.after.effective, image_cache=plan.after.has_image_cache)
        talos.wait_for_files(node.name, checks, seconds=seconds)
