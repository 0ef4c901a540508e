# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: NodeLocal DNSCache, which pods ask in the place of CoreDNS, and which would keep a rewrite from them."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_map import CorefileMap
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._owner_objects import may_change

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import Asked

__all__ = ["NODE_LOCAL_MAPS", "POLICIES", "NodeLocal"]

# The add-on's manifest's, and kubespray's.
NODE_LOCAL_MAPS = ("node-local-dns", "nodelocaldns")
POLICIES = ("stop", "warn", "pass_on")


class NodeLocal:
    """What becomes of the cache beside a change of CoreDNS. Made before the change, so that it may stop it."""

    note = ""

    def __init__(self, cluster: Cluster, *, namespace: str, asked: Asked, policy: str, if_owned: str = "warn") -> None:
        maps = (CorefileMap(cluster, namespace=namespace, name=name, key="Corefile") for name in NODE_LOCAL_MAPS)
        self._map = next((each for each in maps if _is_there(each)), None)
        self._asked: Asked = {**asked, "exact": False}
        self.change: list[Change] = []
        text, metadata = self._map.read() if self._map else ("", {})
        planned = self._plan(text) if self._map else None
        if self._map and planned and policy == "pass_on":
            self.change = [Change(what=self._map.where, before=planned.before, after=planned.after)]
            if planned.changes:
                where = self._map.where
                _owner, self.note = may_change(cluster, metadata, key="Corefile", policy=if_owned, where=where)
        elif policy != "pass_on" and _present(asked) and (planned is None or planned.changes):
            self._tell(self._map.where if self._map else f"namespace {namespace}", policy)

    @property
    def changes(self) -> bool:
        return any(change.changed for change in self.change)

    def write(self) -> None:
        if self._map and self.changes:
            self._map.edit(self._plan)

    def _plan(self, text: str) -> RewritePlan:
        return t.cast("CorefileMap", self._map).plan(text, **self._asked)

    def _tell(self, where: str, policy: str) -> None:
        problem = "NodeLocal DNSCache sends the name to the resolvers of the node, so pods would not see the rewrite"
        cure = "Set node_local: pass_on to have it send the name to CoreDNS"
        if self._map is None:
            names = " nor ".join(NODE_LOCAL_MAPS)
            cure = f"There is no ConfigMap {names}: give its own as config_map"
        if policy == "stop":
            raise Conflict(problem, where=where, cure=f"{cure}, or set node_local: warn to go on without")
        self.note = f"{where}: {problem}. {cure}"


def _present(asked: Asked) -> bool:
    return any(each.present for each in asked["wanted"])


def _is_there(one: CorefileMap) -> bool:
    try:
        one.read()
    except BadInput:
        return False
    return True
