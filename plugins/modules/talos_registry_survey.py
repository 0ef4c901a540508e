#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_registry_survey
short_description: Which Talos nodes differ from their wanted registry settings
version_added: 0.1.0
description:
  - Reads many Talos nodes at once and says which of them M(splithorizon.registry.talos_registry_mirror) would change,
    and why. Never changes anything.
  - One talosctl process reads the configurations of 25 nodes, others their versions and whether they owe a reboot, side
    by side, so an unchanged fleet costs about as much as one node. A node that cannot be read is reported and does not
    keep the others from being read.
  - With C(--diff) it shows what would change on each node, secrets hidden.
extends_documentation_fragment:
  - splithorizon.registry._attributes.read_only
  - splithorizon.registry._attributes.actiongroup_talos
  - splithorizon.registry._talos
  - splithorizon.registry._registries
options:
  nodes:
    description: Addresses or names of the nodes, as they are given to C(talosctl --nodes).
    type: list
    elements: str
    required: true
notes:
  - Needs credentials with the role C(os:admin).
seealso:
  - module: splithorizon.registry.talos_registry_mirror
author:
  - The splithorizon authors (@splithorizon)
"""

EXAMPLES = r"""
- name: Which nodes are not as they should be?
  splithorizon.registry.talos_registry_survey:
    nodes: [10.5.0.3, 10.5.0.4]
    mirrors:
      - name: 192.168.1.105
        endpoints: [https://harbor.example.com]
  register: survey

- name: Those
  ansible.builtin.debug:
    msg: "{{ survey.nodes | dict2items | selectattr('value.differs') | map(attribute='key') }}"
"""

RETURN = r"""
nodes:
  description: For each of O(nodes) what was found, by the name that was given.
  returned: success
  type: dict
  contains:
    differs:
      description:
        - Whether the node is not as wanted, or is so only until a pending C(try) is taken back.
        - False where the node could not be read, see C(error).
      type: bool
      returned: always
    error:
      description: Why the node could not be read, or could not be made as wanted; null where all is well.
      type: str
      returned: always
    reasons:
      description: What differs, without secrets.
      type: list
      elements: str
      returned: always
    version:
      description: Talos version.
      type: str
      returned: if the node could be read
    machine_type:
      description: V(controlplane) or V(worker).
      type: str
      returned: if the node could be read
    layer:
      description: Where registry settings that must be written would be written.
      type: str
      returned: if the node could be read
    hosts_layer:
      description: The same for host entries.
      type: str
      returned: if the node could be read
    pending:
      description: V(none), or V(try_or_staged) where the configuration in use is not the one on disk.
      type: str
      returned: if the node could be read
    reboot_required:
      description:
        - Whether credentials would change on a Talos before 1.14, where containerd takes them only when the node
          restarts, or were changed and it has not restarted since. So a node that does not differ can owe a reboot.
      type: bool
      returned: if the node could be read
    hosts_toml:
      description: For each registry of the wanted configuration, what containerd will ask, in order.
      type: dict
      returned: if the node could be read
  sample:
    10.5.0.3:
      differs: true
      error: null
      hosts_layer: v1alpha1
      hosts_toml:
        harbor.example.com:
          path: /etc/cri/conf.d/hosts/harbor.example.com/hosts.toml
          hosts: [https://harbor.example.com]
          server: null
      layer: v1alpha1
      machine_type: worker
      pending: none
      reasons: ["mirror of harbor.example.com: missing, wanted [https://harbor.example.com]"]
      reboot_required: false
      version: 1.13.0
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import fail
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._node_change import Finding, survey
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import (
    LAYER_SPEC,
    REGISTRIES_SPEC,
    node_name,
    wanted_from,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._owed_reboots import ContainerdReader
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import TALOS_SPEC, Access, Node

SPEC: dict[str, t.Any] = {
    **TALOS_SPEC,
    **REGISTRIES_SPEC,
    **LAYER_SPEC,
    "nodes": {"type": "list", "elements": "str", "required": True},
}


def findings(module: AnsibleModule) -> dict[str, Finding]:
    params = module.params
    names = [node_name(name, where=f"nodes[{index}]") for index, name in enumerate(params["nodes"])]
    wanted = wanted_from(params)
    talos = ContainerdReader(Access.of(params))
    found = talos.nodes(names) if names else {}
    owing = talos.owed_reboots(node for node in found.values() if isinstance(node, Node))
    return {
        name: survey(node, wanted, layer=params["layer"], owes_reboot=name in owing) for name, node in found.items()
    }


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        found = findings(module)
    except RegistryError as error:
        fail(module, error)
    # A survey shows differences and changes nothing, so the shared report would tell the wrong `changed`.
    changes = [finding.decision.change(name) for name, finding in found.items() if finding.decision]
    diff = {"diff": [change.diff for change in changes if change.changed]} if module._diff else {}
    module.exit_json(changed=False, nodes={name: finding.result for name, finding in found.items()}, **diff)


if __name__ == "__main__":
    main()
