#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_node_health
short_description: Whether a Talos node is healthy
version_added: 0.1.0
description:
  - Looks whether a node's Talos API answers, whether C(apid), C(machined), C(containerd), C(cri), the kubelet and (on a
    control plane) C(etcd) run and are healthy, and whether Kubernetes finds the node ready.
  - Takes well under a second on a healthy node, where C(talosctl health) asks the whole cluster.
  - What it asks leaves a pending C(try) of the node armed.
  - A node without a kubelet is healthy without Kubernetes.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes.read_only
  - splithorizon.registry._attributes.actiongroup_both
  - splithorizon.registry._talos
options:
  node:
    description:
      - Address of the node, as it is given to C(talosctl --nodes).
      - The Kubernetes node is the one that lists it among its addresses.
    type: str
    required: true
  machine_type:
    description:
      - What the node is, as RV(splithorizon.registry.talos_registry_survey#module:nodes) tells.
      - A control plane must have C(etcd).
    type: str
    choices: [controlplane, worker]
  kubernetes:
    description: Whether Kubernetes is asked too, where the kubelet runs. With V(false) no kubeconfig is needed.
    type: bool
    default: true
  timeout:
    description: Seconds until the node must be healthy. With V(0) it is looked at once.
    type: int
    default: 0
notes:
  - Needs credentials with the role C(os:reader), and in Kubernetes the right to list nodes.
seealso:
  - module: splithorizon.registry.talos_registry_mirror
author:
  - The splithorizon authors (@splithorizon)
"""

EXAMPLES = r"""
- name: The node is healthy, or is within a minute
  splithorizon.registry.talos_node_health:
    node: 10.5.0.3
    kubeconfig: ~/.kube/config
    timeout: 60
"""

RETURN = r"""
services:
  description: The state of each of Talos's services.
  returned: success
  type: dict
  sample: {apid: Running, containerd: Running, cri: Running, kubelet: Running, machined: Running}
kubernetes_node:
  description: The node as Kubernetes has it; null where no kubelet runs, or with O(kubernetes=false).
  returned: success
  type: dict
  contains:
    name:
      description: Name of the Kubernetes node.
      type: str
      returned: always
    unschedulable:
      description: Whether it is cordoned.
      type: bool
      returned: always
  sample: {name: worker-1, unschedulable: false}
"""

import time
import typing as t
from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    NotPermitted,
    NotReady,
    RegistryError,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import node_name
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_health import (
    KUBELET,
    kubernetes_node,
    node_troubles,
    troubles,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_node import TalosNode
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import TALOS_SPEC, Access

SPEC: dict[str, t.Any] = {
    **KUBERNETES_SPEC,
    **TALOS_SPEC,
    "node": {"type": "str", "required": True},
    "machine_type": {"type": "str", "choices": ["controlplane", "worker"]},
    "kubernetes": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 0},
}
POLL_SECONDS = 0.5
LEAST_SECONDS = 2.0  # that a request is given, however little time is left


def look(params: dict[str, t.Any], name: str, access: Access, clusters: list[Cluster]) -> dict[str, t.Any]:
    """One look; NotReady names every trouble. ``clusters`` keeps the connection for the next look."""
    services = TalosNode(access).services(name)
    found = troubles(services, machine_type=params["machine_type"])
    node = None
    if KUBELET in services and params["kubernetes"]:
        if not clusters:
            clusters.append(Cluster(params, seconds=access.talos_timeout))
        node = kubernetes_node(clusters[0].list("v1", "Node", None), name)
        found += node_troubles(node, name)
    if found:
        cure = "Look at `talosctl service` and `talosctl dmesg` of the node, and run again when it is healthy"
        raise NotReady("; ".join(found), where=f"node {name}", cure=cure)
    known = {"name": node.name, "unschedulable": node.unschedulable} if node else None
    return {"services": {key: one.state for key, one in services.items()}, "kubernetes_node": known}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    name = node_name(params["node"], where="node")
    if params["timeout"] < 0:
        raise BadInput(f"{params['timeout']} is no time", where="timeout", cure="Give 0 or more seconds")
    access = Access.of(params)
    end = time.monotonic() + params["timeout"]
    clusters: list[Cluster] = []
    while True:
        left = max(end - time.monotonic(), LEAST_SECONDS) if params["timeout"] else access.talos_timeout
        try:
            return [], look(params, name, replace(access, talos_timeout=min(access.talos_timeout, left)), clusters)
        except (BadInput, NotPermitted):
            raise  # no waiting helps
        except RegistryError:
            if time.monotonic() >= end:
                raise
        time.sleep(POLL_SECONDS)


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
