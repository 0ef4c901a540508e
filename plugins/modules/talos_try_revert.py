#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_try_revert
short_description: Take back what was tried on a Talos node
version_added: 0.1.0
description:
  - Takes back at once what M(splithorizon.registry.talos_registry_mirror) with C(mode=try) and the same options has put
    on a node, by applying the configuration that the node has on disk. Where the node does not answer, waits until it
    has taken it back by itself.
  - Touches nothing where no try is pending, and fails where another than this one is, or a staged configuration.
extends_documentation_fragment:
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_talos
  - splithorizon.registry._talos
  - splithorizon.registry._registries
options:
  node:
    description: Address or name of the node, as it is given to C(talosctl --nodes).
    type: str
    required: true
  timeout:
    description: Seconds until the node must be as before. Give more than the try had, for a node that does not answer.
    type: int
    default: 180
notes:
  - Needs credentials with the role C(os:admin).
seealso:
  - module: splithorizon.registry.talos_registry_mirror
author:
  - The splithorizon authors (@splithorizon)
"""

EXAMPLES = r"""
- name: Nothing stays of what could not be proved
  splithorizon.registry.talos_try_revert:
    node: 10.5.0.3
    mirrors:
      - name: harbor.example.com
        endpoints: [https://harbor.example.com]
    timeout: 200
"""

RETURN = r"""
outcome:
  description:
    - What the node has now. V(reverted) if this task took the try back.
    - V(as_before) if nothing was pending, and what is wanted is not on disk. The node never had it, or was faster.
    - V(permanent) if nothing was pending, and what is wanted is on disk.
  returned: success
  type: str
  sample: reverted
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_nodes
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    NotPermitted,
    RegistryError,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._node_change import Decision, decide
from ansible_collections.splithorizon.registry.plugins.module_utils._node_files import file_checks
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import (
    LAYER_SPEC,
    REGISTRIES_SPEC,
    node_name,
    positive,
    wanted_from,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import TALOS_SPEC, Access, Talosctl

SPEC: dict[str, t.Any] = {
    **TALOS_SPEC,
    **REGISTRIES_SPEC,
    **LAYER_SPEC,
    "node": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 180},
}
POLL_SECONDS = 1.0


def decision_on(talos: Talosctl, name: str, params: dict[str, t.Any], end: float) -> tuple[Decision, str]:
    """What is pending on the node, as soon as it answers, and the outcome where that is nothing."""
    while True:
        try:
            node = talos.node(name)
            break
        except (BadInput, NotPermitted):
            raise  # no waiting helps
        except RegistryError:
            if time.monotonic() >= end:
                raise
        time.sleep(POLL_SECONDS)
    trial = not node.is_settled
    decision = decide(node, wanted_from(params), layer=params["layer"], on_trial=trial, confirm=False, predict=True)
    if trial:
        return decision, "reverted"
    return decision, "as_before" if decision.plan.changed else "permanent"


def take_back(talos: Talosctl, name: str, decision: Decision, *, seconds: float) -> None:
    back = decision.sends[0]  # what is on disk; the rest would try anew
    talos.apply(name, back.config, instead_of=back.instead_of)
    before, after = decision.plan.before, decision.plan.after
    checks = file_checks(after.effective, before.effective, image_cache=before.has_image_cache)
    talos.wait_for_files(name, checks, seconds=seconds)


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    wanted_from(params)  # bad input is told before a node is asked
    name = node_name(params["node"], where="node")
    seconds = positive(params["timeout"], where="timeout")
    end = time.monotonic() + seconds
    talos = Talosctl(Access.of(params))
    decision, outcome = decision_on(talos, name, params, end)
    if outcome != "reverted":
        return [], {"outcome": outcome}
    if not module.check_mode:
        try:
            take_back(talos, name, decision, seconds=max(end - time.monotonic(), POLL_SECONDS))
        except RegistryError:
            # Its own timer may have been faster, which is seen as another writer.
            decision, outcome = decision_on(talos, name, params, end)
            if outcome == "reverted":
                raise
            return [], {"outcome": outcome}
    before, after = (_yaml_nodes.render(view) if view else "" for view in reversed(decision.plan.views))
    return [Change(what=f"registry settings of node {name}", before=before, after=after)], {"outcome": outcome}


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
