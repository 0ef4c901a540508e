# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: what each CoreDNS replica answers pods for a name, by every search path, and what its Corefile lacks for it.

The questions come from the replica's own loopback, where ``autopath`` plays no part: the Corefile tells of that one.
"""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import CoreDns, dns_port
from ansible_collections.splithorizon.registry.plugins.module_utils._dns import ask
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import Lookup, PodView
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon_verdict import lost_rewrite
from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import owner_of
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import rewrite

if t.TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_map import CorefileMap
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = ["ask_pods", "lack_of"]


def ask_pods(
    cluster: Cluster, *, namespace: str, selector: str, names: Sequence[str], target: str = ""
) -> tuple[PodView, ...]:
    """What every ready CoreDNS pod answers for ``names`` and the ``target``; NotReady where no pod is ready."""

    def one(pod: Json) -> PodView:
        name, node = str(pod["metadata"]["name"]), str(pod["spec"].get("nodeName", ""))
        try:
            with cluster.forward(namespace, name, dns_port(pod)) as connection:
                lookups = tuple(_both_families(connection, question) for question in names)
                found = _both_families(connection, f"{target}.") if target else None
        except RegistryError as error:
            return PodView(pod=name, node=node, problem=str(error))
        return PodView(pod=name, node=node, lookups=lookups, target=found)

    return tuple(map(one, CoreDns(cluster, namespace=namespace, selector=selector).pods()))


def lack_of(home: CorefileMap, *, name: str, target: str, port: int) -> tuple[str, str]:
    """What the Corefile lacks to lead the name to the target, and who took it away; and why that is not known."""
    try:
        text, metadata = home.read()
        wanted = [rewrite(name=name, target=target)]
        planned = home.plan(text, wanted=wanted, port=port)
    except RegistryError as error:
        return "", str(error)
    if not planned.changes:
        return "", ""
    return lost_rewrite(where=home.where, lines=planned.added, owner=owner_of(metadata, key=home.key)), ""


def _both_families(connection: socket.socket, name: str) -> Lookup:
    a, aaaa = (ask(connection, name, rdtype=rdtype) for rdtype in ("A", "AAAA"))
    return Lookup(name=name, a=a.addresses, aaaa=aaaa.addresses, rcode=a.rcode, rcode_six=aaaa.rcode)
