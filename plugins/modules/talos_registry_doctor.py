#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_registry_doctor
short_description: Troubles of Talos nodes with their registries, each with its evidence and its cure
version_added: 0.1.0
description:
  - Reads many Talos nodes and, where there is one, their Kubernetes cluster, and names what keeps images from being
    pulled, or will, with the evidence and the cure as a command.
  - It finds pulls that are refused, hang or are slow, with the mirrors that containerd asks and what C(/etc/hosts) has;
    Spegel in the place of a node's mirrors; downloads that got no byte for five minutes; host entries that point to
    another address than their Service has; a name with two addresses; TLS settings for an endpoint that is C(http); a
    configuration in use that is not the one on disk; a key that keeps Talos from writing any hosts file.
  - One talosctl process for each kind of reading asks 25 nodes. None of the readings ends a pending C(try).
  - With O(state=repaired) it edits the configuration of nodes where that is safe, one after the other. It never removes
    downloads, and never restarts anything.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_both
  - splithorizon.registry._talos
options:
  nodes:
    description: Addresses or names of the nodes, as they are given to C(talosctl --nodes).
    type: list
    elements: str
    required: true
  state:
    description:
      - V(reported) changes nothing.
      - V(repaired) moves a host name to its Service's address, or (where two entries contradict each other and there is
        no such Service) to that of its C(StaticHostConfig) document; and removes TLS settings of a host that only has
        C(http) endpoints, unless Spegel has files on the node, which Talos would take away.
      - The first node that cannot be repaired is the last one that is tried.
    type: str
    choices: [reported, repaired]
    default: reported
  kubernetes:
    description:
      - Whether to ask Kubernetes for Services, for pods that wait for an image, and for pulls of the last hour.
      - Without it, host entries are not compared with Services, and pulls are not looked at.
    type: bool
    default: true
  spegel_namespace:
    description: Namespace of Spegel, for the cures.
    type: str
    default: kube-system
  spegel_name:
    description: Name of Spegel's DaemonSet, for the cures.
    type: str
    default: spegel
  wait_timeout:
    description: Seconds to wait for a repaired node's files.
    type: int
    default: 30
notes:
  - Needs Talos credentials with the role C(os:admin); in Kubernetes it lists pods, events and nodes and reads Services.
  - Ages of downloads are by this machine's clock against the node's.
seealso:
  - module: splithorizon.registry.talos_registry_survey
  - module: splithorizon.registry.talos_registry_mirror
author:
  - The splithorizon authors (@splithorizon)
"""

EXAMPLES = r"""
- name: What is wrong with these nodes?
  splithorizon.registry.talos_registry_doctor:
    nodes: [10.5.0.3, 10.5.0.4]
    context: alpha
    talos_context: alpha
  register: doctor

- name: Each trouble in a line
  ansible.builtin.debug:
    msg: "{{ doctor.troubles | map(attribute='message') }}"

- name: Repair what is safe to repair
  splithorizon.registry.talos_registry_doctor:
    nodes: [10.5.0.3, 10.5.0.4]
    state: repaired
"""

RETURN = r"""
troubles:
  description: What is wrong, or is left after the repair, node by node. Empty where all is well.
  returned: success
  type: list
  elements: dict
  contains:
    node:
      description: Which of O(nodes); empty where Kubernetes could not be asked.
      type: str
      returned: always
    kind:
      description:
        - V(unauthorized), V(owed_reboot), V(slow_pull), V(spegel_intercepts), V(stale_ingest), V(mirror_not_used),
          V(stale_host), V(two_addresses), V(tls_for_http), V(pending), V(no_hosts_files), V(unreadable) where the node
          cannot be read, V(not_repaired) where the repair failed.
      type: str
      returned: always
    evidence:
      description: What was found, without secrets.
      type: str
      returned: always
    cure:
      description: The command that helps, or what to do.
      type: str
      returned: always
    repairable:
      description: Whether O(state=repaired) takes it away.
      type: bool
      returned: always
    message:
      description: Node, evidence and cure in one line.
      type: str
      returned: always
  sample:
    - node: 10.5.0.3
      kind: stale_host
      evidence: >-
        harbor.harbor.svc.cluster.local is at 10.43.216.243 in the node's host entries, and the ClusterIP of Service
        harbor/harbor is 10.43.7.9
      cure: ansible-playbook splithorizon.registry.doctor -e registry_repair=true
      repairable: true
      message: >-
        node 10.5.0.3: harbor.harbor.svc.cluster.local is at 10.43.216.243 in the node's host entries, and the ClusterIP
        of Service harbor/harbor is 10.43.7.9. Cure: ansible-playbook splithorizon.registry.doctor
        -e registry_repair=true
repaired:
  description: Troubles that were, or would be, taken away. Empty with O(state=reported).
  returned: success
  type: list
  elements: dict
"""

import typing as t
from functools import partial

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._node_doctor import NodeReader, examine, repair
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import node_name, positive
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import TALOS_SPEC, Access

SPEC: dict[str, t.Any] = {
    **KUBERNETES_SPEC,
    **TALOS_SPEC,
    "nodes": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": ["reported", "repaired"], "default": "reported"},
    "kubernetes": {"type": "bool", "default": True},
    "spegel_namespace": {"type": "str", "default": "kube-system"},
    "spegel_name": {"type": "str", "default": "spegel"},
    "wait_timeout": {"type": "int", "default": 30},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    names = [node_name(name, where=f"nodes[{index}]") for index, name in enumerate(params["nodes"])]
    seconds = positive(params["wait_timeout"], where="wait_timeout")
    talos = NodeReader(Access.of(params))
    connect = partial(Cluster, params) if params["kubernetes"] else None
    found = examine(talos, connect, names, spegel=f"{params['spegel_namespace']}/{params['spegel_name']}")
    changes, left = [], found
    if params["state"] == "repaired":
        sent, left = repair(talos, found, seconds=seconds, check_mode=module.check_mode)
        changes = [decision.change(name) for name, decision in sent.items()]
    repaired = [trouble.result for trouble in found.troubles if trouble not in left.troubles]
    return changes, {"troubles": [trouble.result for trouble in left.troubles], "repaired": repaired}


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
