#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_image_pull
short_description: Prove that Talos nodes can pull an image
version_added: 0.1.0
description:
  - Has nodes pull an image, side by side, and says how long each took.
  - This proves Talos's own resolver with the node's mirrors, credentials and certificates. A node that has the image
    already pulls nothing, so give one that it cannot have, as M(splithorizon.registry.registry_proof_image) pushes it.
  - Every pull is bounded in time, which C(talosctl image pull) alone is not. It retries a wrong password for minutes.
  - Tells a wrong password, a missing image and an endpoint that a node does not reach from one another.
extends_documentation_fragment:
  - splithorizon.registry._attributes.read_only
  - splithorizon.registry._attributes.actiongroup_talos
  - splithorizon.registry._talos
options:
  nodes:
    description: Addresses or names of the nodes, as they are given to C(talosctl --nodes).
    type: list
    elements: str
    required: true
  image:
    description: The image's reference, with registry and tag or digest.
    type: str
    required: true
  timeout:
    description: Seconds that one node's pull may take.
    type: int
    default: 60
  registry:
    description:
      - The registry as it is reached from here. It is asked for the image before any node is, so that wrong credentials
        and a missing image are errors within a second, and a pull that is late can only be the node's way to it.
      - Without it, a late pull may have any of these causes.
    type: dict
    suboptions:
      url:
        description: Scheme, host and port.
        type: str
        required: true
      address:
        description: IP address, or C(ip:port), to connect to in place of what DNS says of the host.
        type: str
      ca:
        description: Certificates to trust, PEM text. By default those the system trusts.
        type: str
      username:
        description: The account that the nodes pull with.
        type: str
      password:
        description: Its password.
        type: str
notes:
  - Needs credentials with the role C(os:operator).
  - In check mode nothing is pulled, and RV(seconds) is empty.
seealso:
  - module: splithorizon.registry.registry_proof_image
author:
  - The splithorizon authors (@splithorizon)
"""

EXAMPLES = r"""
- name: Every node can pull the fresh image
  splithorizon.registry.talos_image_pull:
    nodes: [10.5.0.2, 10.5.0.3]
    image: harbor.example.com/library/split-horizon-proof:20261121
    registry:
      url: https://harbor.example.com
      username: robot$cluster-pull
      password: "{{ pull_password }}"
"""

RETURN = r"""
seconds:
  description: For each node of O(nodes), how many seconds its pull took.
  returned: success
  type: dict
  sample: {10.5.0.2: 0.21, 10.5.0.3: 0.19}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import node_name, positive
from ansible_collections.splithorizon.registry.plugins.module_utils._pull import REGISTRY_SPEC, ask, explained
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import TALOS_SPEC, Access, Talosctl

SPEC: dict[str, t.Any] = {
    **TALOS_SPEC,
    "nodes": {"type": "list", "elements": "str", "required": True},
    "image": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 60},
    "registry": {"type": "dict", "options": REGISTRY_SPEC, "required_together": [("username", "password")]},
}
ASK_SECONDS = 10


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    names = [node_name(name, where=f"nodes[{index}]") for index, name in enumerate(params["nodes"])]
    seconds = positive(params["timeout"], where="timeout")
    talosctl = Talosctl(Access.of(params))
    if module.check_mode:
        return [], {"seconds": {}}
    registry, image = params["registry"], params["image"]
    asked = ask(registry, image, seconds=min(seconds, ASK_SECONDS), warn=module.warn) if registry else None
    took = talosctl.pull(list(dict.fromkeys(names)), image, seconds=seconds)
    for outcome in took.values():
        if isinstance(outcome, RegistryError):
            raise explained(outcome, image, seconds=seconds, asked=asked)
    return [], {"seconds": {name: round(t.cast("float", outcome), 3) for name, outcome in took.items()}}


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
