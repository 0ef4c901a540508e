# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: a node as it is and what is wanted of it → what is to be sent to it, in which order and for how long.

A ``try`` that an interrupted run of ours left is recognised: it differs from what the node has on disk by exactly
what is wanted. It is made permanent, or taken back and begun anew with its full time. Any other configuration that
is pending belongs to someone else, and stops everything.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_nodes
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import make_plan
from ansible_collections.splithorizon.registry.plugins.module_utils._node_files import node_files

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import MachineConfig, Plan
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import Wanted
    from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import Node

__all__ = ["PENDING", "SETTLED", "Decision", "Finding", "Send", "decide", "describe", "survey"]

Json = dict[str, t.Any]

SETTLED: t.Final = "none"
PENDING: t.Final = "try_or_staged"


@dataclass(frozen=True, kw_only=True)
class Send:
    """One configuration to apply in place of another; ``on_trial``: the node takes it back unless it is confirmed."""

    config: MachineConfig
    instead_of: MachineConfig
    on_trial: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """``plan`` is made from what the node would go back to; ``pending`` is the node's state after all ``sends``."""

    plan: Plan
    sends: tuple[Send, ...] = ()
    pending: str = SETTLED

    def change(self, node: str) -> Change:
        before, after = (_yaml_nodes.render(view) if view else "" for view in self.plan.views)
        return Change(what=f"registry settings of node {node}", before=before, after=after)


def decide(node: Node, wanted: Wanted, *, layer: str, on_trial: bool, confirm: bool, predict: bool) -> Decision:
    """Conflict where a pending configuration is not ours, or where ``confirm`` finds nothing to confirm.

    ``predict``: in check mode the ``try`` that would be confirmed has not been made.
    """
    plan = make_plan(node.active, wanted, version=node.version, layer=layer)
    where = f"node {node.name}"
    if not node.is_settled:
        return _decide_pending(node, plan, wanted, layer=layer, on_trial=on_trial and not confirm)
    if not plan.changed:
        return Decision(plan=plan)
    if confirm and not predict:
        cure = "The node has taken it back, or it was never tried: run again from the beginning"
        raise Conflict(f"there is nothing to confirm: {plan.reasons[0]}", where=where, cure=cure)
    trial = on_trial and not confirm
    sends = () if confirm else (Send(config=plan.after, instead_of=node.active, on_trial=trial),)
    return Decision(plan=plan, sends=sends, pending=PENDING if trial else SETTLED)


def _decide_pending(node: Node, active: Plan, wanted: Wanted, *, layer: str, on_trial: bool) -> Decision:
    plan = make_plan(node.persistent, wanted, version=node.version, layer=layer)
    ours = not active.changed and not node.is_staged and plan.after.means_the_same_as(node.active)
    if not ours:
        kind = "staged one waits for the next reboot" if node.is_staged else "try or a staged one is pending"
        problem = f"the configuration in use is not the one on disk: a {kind}"
        cure = "Wait until a try is over, or reboot the node or apply its configuration anew, then run again"
        raise Conflict(problem, where=f"node {node.name}", cure=cure)
    if not on_trial:
        return Decision(plan=plan, sends=(Send(config=node.active, instead_of=node.active),))
    # A second try over the first would make the first permanent.
    back = Send(config=node.persistent, instead_of=node.active)
    again = Send(config=plan.after, instead_of=node.persistent, on_trial=True)
    return Decision(plan=plan, sends=(back, again), pending=PENDING)


def describe(plan: Plan, *, pending: str, owes_reboot: bool = False) -> Json:
    """What both modules return about a node; ``owes_reboot``: for a change of credentials that was made before."""
    files = node_files(plan.after.effective, image_cache=plan.after.has_image_cache)
    return {
        "layer": plan.layer,
        "hosts_layer": plan.hosts_layer,
        "version": str(plan.version),
        "pending": pending,
        "reasons": list(plan.reasons),
        "reboot_required": plan.reboot_required or owes_reboot,
        "hosts_toml": {key: {"path": files.path(key), **file.summary} for key, file in files.hosts.items()},
    }


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a survey says of one node; ``decision`` is None where the node cannot be read or made as wanted."""

    result: Json
    decision: Decision | None = None


def survey(node: Node | RegistryError, wanted: Wanted, *, layer: str, owes_reboot: bool = False) -> Finding:
    """Whether the node differs from what is wanted, on disk too: what a ``try`` holds may be taken back any time."""
    if isinstance(node, RegistryError):
        return Finding(result={"differs": False, "reasons": [], "error": str(node)})
    pending = SETTLED if node.is_settled else PENDING
    machine_type = _machine_type(node.active)
    try:
        decision = decide(node, wanted, layer=layer, on_trial=False, confirm=False, predict=True)
    except RegistryError as error:
        read = {"version": str(node.version), "machine_type": machine_type, "pending": pending}
        return Finding(result={"differs": False, "reasons": [], "error": str(error), **read})
    described = {"machine_type": machine_type, **describe(decision.plan, pending=pending, owes_reboot=owes_reboot)}
    return Finding(result={"differs": decision.plan.changed, "error": None, **described}, decision=decision)


def _machine_type(config: MachineConfig) -> str:
    """``controlplane`` or ``worker``; ``init`` is an older name of the former, and no type means the latter."""
    machine = config.main.get("machine")
    found = machine.get("type") if isinstance(machine, dict) else None
    return "controlplane" if found in ("controlplane", "init") else "worker"
