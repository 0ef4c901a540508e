#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: spegel_node_files
short_description: Have Spegel write its files again on nodes where Talos took them away
version_added: 0.1.0
description:
  - Talos removes Spegel's files below C(/etc/cri/conf.d/hosts) each time it writes its own, and Spegel writes them only
    when its pod starts. Until then the node pulls everything from the registries.
  - Restarts Spegel's pods on those of O(nodes) where a pod is ready and its files are missing, and waits for the files.
  - A node without a pod of Spegel's is none of its business.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_both
  - splithorizon.registry._talos
options:
  nodes:
    description: Addresses of the nodes, as they are given to C(talosctl --nodes) and as Kubernetes knows them.
    type: list
    elements: str
    required: true
  namespace:
    description: Namespace of Spegel.
    type: str
    default: kube-system
  name:
    description: Name of Spegel, as its pods are labelled (C(app.kubernetes.io/name)).
    type: str
    default: spegel
  wait_timeout:
    description: Seconds until the files must be there again.
    type: int
    default: 180
notes:
  - Needs Talos credentials with the role C(os:reader), and in Kubernetes the right to list and delete pods.
seealso:
  - module: splithorizon.registry.spegel_registries
author:
  - The splithorizon authors (@splithorizon)
"""

EXAMPLES = r"""
- name: Where are Spegel's files missing?
  splithorizon.registry.spegel_node_files:
    nodes: [10.5.0.3, 10.5.0.4]
  check_mode: true
  register: spegel
"""

RETURN = r"""
missing:
  description: For each of O(nodes) on which Spegel's files were missing, its pod.
  returned: success
  type: dict
  sample: {10.5.0.3: spegel-n6c2g}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import (
    KUBERNETES_SPEC,
    Cluster,
    wait_until,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import node_name, positive
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel_nodes import (
    BACKUP,
    HOSTS_DIRECTORY,
    SpegelPod,
    pods_by_node,
    without_files,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_node import TalosNode
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import TALOS_SPEC, Access

SPEC: dict[str, t.Any] = {
    **KUBERNETES_SPEC,
    **TALOS_SPEC,
    "nodes": {"type": "list", "elements": "str", "required": True},
    "namespace": {"type": "str", "default": "kube-system"},
    "name": {"type": "str", "default": "spegel"},
    "wait_timeout": {"type": "int", "default": 180},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    names = [node_name(name, where=f"nodes[{index}]") for index, name in enumerate(params["nodes"])]
    seconds = positive(params["wait_timeout"], where="wait_timeout")
    talos, cluster = TalosNode(Access.of(params)), Cluster(params)

    def pods() -> dict[str, SpegelPod]:
        selector = f"app.kubernetes.io/name={params['name']}"
        return pods_by_node(cluster.list("v1", "Pod", params["namespace"], selector=selector))

    missing = without_files(pods(), talos.directory(names, HOSTS_DIRECTORY)) if names else {}

    def are_back() -> bool:
        now = pods()
        if any(node not in now or now[node].uid == old.uid or not now[node].is_ready for node, old in missing.items()):
            return False
        return not without_files(now, talos.directory(list(missing), HOSTS_DIRECTORY))

    if missing and not module.check_mode:
        for pod in missing.values():
            cluster.delete("v1", "Pod", params["namespace"], pod.name, uid=pod.uid)
        wait_until(are_back, seconds=seconds, what=f"Spegel's files on {', '.join(sorted(missing))}")
    changes = [
        Change(what=f"Spegel's files on node {node}", before=None, after=f"{HOSTS_DIRECTORY}/{BACKUP}\n")
        for node in missing
    ]
    return changes, {"missing": {node: pod.name for node, pod in missing.items()}}


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
