# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: how Talos nodes come to the address of a name.

Nothing can be run on a Talos node: what it gets is its hosts file, and what its resolvers answer to this machine.
"""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import NodeView, Server, hosts_of
from ansible_collections.splithorizon.registry.plugins.module_utils._node_doctor import NodeReader
from ansible_collections.splithorizon.registry.plugins.module_utils._node_readings import (
    parse_host_dns,
    parse_resolvers,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._resolvers import ask_resolver
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import AT_ONCE, parse_versions

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import Lookup

    Asker = Callable[[str, str], Lookup]

__all__ = ["HorizonReader"]

# From then on host DNS answers with the node's host entries.
HOST_DNS_SERVES_HOSTS = (1, 14)

RESOLVERS = ("get", "resolvers", "resolvers", "-o", "yaml")
HOST_DNS = ("get", "hostdnsconfigs", "config", "-o", "yaml")


class HorizonReader(NodeReader):
    """Hosts files and resolvers of many nodes."""

    def views(self, nodes: Sequence[str], name: str, *, asker: Asker = ask_resolver) -> tuple[NodeView, ...]:
        """What each node gets for ``name``, or why it cannot be read."""
        with ThreadPoolExecutor(max_workers=4) as pool:
            hosts = pool.submit(self.etc_hosts, nodes)
            resolvers = pool.submit(self._ask, RESOLVERS, nodes, parse_resolvers)
            serving = pool.submit(self._serving_hosts, nodes)
        answers = _answers(resolvers.result().values(), f"{name}.", asker)

        def view(node: str) -> NodeView:
            text, servers = hosts.result()[node], resolvers.result()[node]
            if isinstance(text, RegistryError):
                return NodeView(node=node, problem=text.problem)
            if isinstance(servers, RegistryError):
                return NodeView(node=node, problem=servers.problem)
            return NodeView(
                node=node,
                hosts=hosts_of(text, name),
                resolvers=tuple(Server(address=address, lookup=answers[address]) for address in servers),
                host_dns=node in serving.result(),
            )

        return tuple(map(view, dict.fromkeys(nodes)))

    def _serving_hosts(self, nodes: Sequence[str]) -> set[str]:
        """The nodes whose host DNS answers with their host entries."""
        versions = self._ask(["version"], nodes, parse_versions)
        new = [
            node
            for node, found in versions.items()
            if not isinstance(found, RegistryError) and found[0][:2] >= HOST_DNS_SERVES_HOSTS
        ]
        return {node for node, is_on in self._ask(HOST_DNS, new, parse_host_dns).items() if is_on is True}


def _answers(found: Iterable[tuple[str, ...] | RegistryError], question: str, asker: Asker) -> dict[str, Lookup]:
    """Resolver → its answer. One that several nodes have is asked once."""
    servers = {address for each in found if not isinstance(each, RegistryError) for address in each}
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return dict(zip(servers, pool.map(lambda address: asker(address, question), servers), strict=True))
