#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_node_reboot
short_description: Reboot a Talos node
version_added: 0.1.0
description:
  - Reboots a node and waits, bounded in time, until its Talos API answers again from another boot.
  - Refuses a node whose configuration in use is not the one on disk. The reboot would drop a C(try), and bring a
    C(staged) configuration into use.
  - Drains nothing. See M(kubernetes.core.k8s_drain) for what comes before and after.
extends_documentation_fragment:
  - splithorizon.registry._attributes.actiongroup_talos
  - splithorizon.registry._talos
attributes:
  check_mode:
    description: Checks whether the node may be rebooted, and says that it would be.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
  idempotent:
    description: Every run reboots the node.
    support: none
options:
  node:
    description: Address or name of the node, as it is given to C(talosctl --nodes).
    type: str
    required: true
  timeout:
    description: Seconds until the node must answer again.
    type: int
    default: 600
notes:
  - Needs credentials with the role C(os:admin).
seealso:
  - module: splithorizon.registry.talos_node_health
  - module: kubernetes.core.k8s_drain
author:
  - The splithorizon authors (@splithorizon)
"""

EXAMPLES = r"""
- name: Reboot the node
  splithorizon.registry.talos_node_reboot:
    node: 10.5.0.3
    timeout: 900

- name: It is healthy again
  splithorizon.registry.talos_node_health:
    node: 10.5.0.3
    timeout: 300
"""

RETURN = r"""
seconds:
  description: How long the node was away.
  returned: success, and not in check mode
  type: float
  sample: 74.2
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import fail
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import node_name, positive
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_node import TalosNode
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import TALOS_SPEC, Access

SPEC: dict[str, t.Any] = {
    **TALOS_SPEC,
    "node": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 600},
}


def reboot(params: dict[str, t.Any], *, check: bool) -> dict[str, t.Any]:
    name = node_name(params["node"], where="node")
    seconds = positive(params["timeout"], where="timeout")
    talos = TalosNode(Access.of(params))
    if not talos.node(name).is_settled:
        cure = "Confirm the try or wait until it is over; apply or drop what is staged; then run again"
        raise Conflict("a configuration is pending, which a reboot would settle", where=f"node {name}", cure=cure)
    if check:
        return {}
    begin = time.monotonic()
    talos.reboot(name, seconds=seconds)
    return {"seconds": round(time.monotonic() - begin, 1)}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        module.exit_json(changed=True, **reboot(module.params, check=module.check_mode))
    except RegistryError as error:
        fail(module, error)


if __name__ == "__main__":
    main()
