#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: split_horizon
short_description: What pods, nodes and the outside get for a name, and whether split horizon holds
version_added: 0.1.0
description:
  - Asks each ready CoreDNS pod by itself, with DNS over TCP, through the API server's port-forward, for the addresses
    (A and AAAA) of a name, bare and by every search path of a pod.
  - Of each of O(nodes) reads the hosts file and the resolvers with talosctl. Without an entry in the hosts file, a node
    gets what its resolvers answer; they are asked from this machine, since nothing can be run on a Talos node.
  - For the outside asks O(resolver), or this machine's own.
  - Split horizon holds where every replica leads the name to the same place by every search path (to the addresses of
    O(target), where it is given), the outside leads it elsewhere, and every node gets one of the two.
  - The questions come from the CoreDNS pod's own loopback, so the C(autopath) plugin plays no part in the answers. With
    O(target) the Corefile is planned as M(splithorizon.registry.coredns_rewrite) plans it, which takes it into account;
    a rewrite that is not there (any more) is named with whoever writes the ConfigMap.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes.read_only
  - splithorizon.registry._attributes.actiongroup_both
  - splithorizon.registry._talos
requirements:
  - dnspython >= 2.6
  - kubernetes >= 24.2.0
options:
  name:
    description: The name to ask for.
    type: str
    required: true
  target:
    description: The name whose addresses pods are to get. Without it, all pods must get the same.
    type: str
  namespaces:
    description: Namespaces of pods whose search paths are asked.
    type: list
    elements: str
    default: [default]
  cluster_domain:
    description: The cluster's domain. By default what follows C(.svc.) in O(target), else C(cluster.local).
    type: str
  nodes:
    description: Addresses or names of Talos nodes, as they are given to C(talosctl --nodes).
    type: list
    elements: str
    default: []
  outside:
    description: Whether to ask what the outside gets. Without it, nodes are shown and not judged.
    type: bool
    default: true
  resolver:
    description: Address of the resolver that stands for the outside, such as V(1.1.1.1). By default this machine's own.
    type: str
  namespace:
    description: Namespace of CoreDNS.
    type: str
    default: kube-system
  selector:
    description: Label selector of the CoreDNS pods.
    type: str
    default: k8s-app=kube-dns
  config_map:
    description: ConfigMap that holds the Corefile.
    type: str
    default: coredns
  key:
    description: Key of the Corefile in O(config_map).
    type: str
    default: Corefile
  custom_config_map:
    description:
      - ConfigMap whose keys the Corefile imports as C(custom/*.override), as for
        M(splithorizon.registry.coredns_rewrite).
    type: str
  custom_key:
    description: Key in O(custom_config_map) for the rewrites.
    type: str
    default: splithorizon.override
  port:
    description: Port of the server blocks that pods ask, the target port of the DNS Service.
    type: int
    default: 53
  fail_on_mismatch:
    description: Fail where split horizon does not hold.
    type: bool
    default: false
notes:
  - With O(nodes), needs Talos credentials with the role C(os:admin), which hosts files ask for.
seealso:
  - module: splithorizon.registry.coredns_rewrite
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Who gets what for the registry's name?
  splithorizon.registry.split_horizon:
    context: alpha
    talos_context: alpha
    name: harbor.example.com
    target: envoy-proxy.envoy-gateway-system.svc.cluster.local
    nodes: [10.5.0.2, 10.5.0.3]
  register: horizon

- name: Draw it
  ansible.builtin.debug:
    msg: "{{ horizon.drawing }}"

- name: Prove that every replica leads pods to the gateway
  splithorizon.registry.split_horizon:
    context: alpha
    name: harbor.example.com
    target: envoy-proxy.envoy-gateway-system.svc.cluster.local
    outside: false
    fail_on_mismatch: true
"""

RETURN = r"""
name:
  description: The name that was asked for.
  returned: success
  type: str
  sample: harbor.example.com
verdict:
  description:
    - V(split) where it holds, V(single) where pods get what the outside gets, V(broken) where neither is so.
    - Who was not asked counts neither for nor against.
  returned: success
  type: str
  sample: split
holds:
  description: Whether RV(verdict) is V(split).
  returned: success
  type: bool
  sample: true
reasons:
  description: A sentence for everything that keeps it from holding, what is behind it first.
  returned: success
  type: list
  elements: str
  sample: []
notes:
  description: What the reader should know, such as what could not be found out.
  returned: success
  type: list
  elements: str
  sample: []
expected:
  description: The addresses of O(target), or without it those of the first pod's answer.
  returned: success
  type: list
  elements: str
  sample: [10.96.44.7]
pods:
  description: What each CoreDNS pod answers.
  returned: success
  type: list
  elements: dict
  contains:
    pod:
      description: Name of the CoreDNS pod.
      returned: always
      type: str
      sample: coredns-7d9c4b6f5-2x8qk
    node:
      description: Node it runs on.
      returned: always
      type: str
      sample: alpha-worker-1
    lookups:
      description:
        - Its answers in the order in which a pod asks, by the search path of each of O(namespaces), the bare name last.
        - Each has C(name), C(a), C(aaaa) and C(rcode). A pod goes on where there is no address.
      returned: always
      type: list
      elements: dict
    gets:
      description: The addresses that pods end with.
      returned: always
      type: list
      elements: str
      sample: [10.96.44.7]
    error:
      description: Why it could not be asked; null where it could.
      returned: always
      type: str
nodes:
  description: What each of O(nodes) gets.
  returned: success
  type: list
  elements: dict
  contains:
    node:
      description: As it was given.
      returned: always
      type: str
      sample: 10.5.0.3
    hosts:
      description: Addresses of the name in its C(/etc/hosts).
      returned: always
      type: list
      elements: str
      sample: []
    resolvers:
      description: The DNS servers that it asks, in their order.
      returned: always
      type: list
      elements: str
      sample: [10.5.0.1]
    host_dns:
      description: Whether it runs host DNS that answers with its hosts file too, as from Talos 1.14 on.
      returned: always
      type: bool
      sample: false
    gets:
      description: The addresses it ends with.
      returned: always
      type: list
      elements: str
      sample: [203.0.113.7]
    by:
      description: Who gives them, C(/etc/hosts) or a resolver's address; empty where no resolver answers this machine.
      returned: always
      type: str
      sample: 10.5.0.1
    error:
      description: Why it could not be read; null where it could.
      returned: always
      type: str
outside:
  description: What the outside gets; null without O(outside).
  returned: success
  type: dict
  contains:
    resolver:
      description: The resolver that answered.
      returned: always
      type: str
      sample: 10.5.0.1
    gets:
      description: Addresses of the name.
      returned: always
      type: list
      elements: str
      sample: [203.0.113.7]
    error:
      description: Why there are none; null where there are.
      returned: always
      type: str
drawing:
  description: Who gets what, in a few lines for a terminal.
  returned: success
  type: list
  elements: str
  sample:
    - harbor.example.com
    - ├─ pods     10.96.44.7   coredns-7d9c4b6f5-2x8qk on alpha-worker-1
    - ├─ nodes    203.0.113.7  10.5.0.2 by 10.5.0.1, 10.5.0.3 by 10.5.0.1
    - └─ outside  203.0.113.7  by 10.5.0.1
    - split horizon holds
page:
  description: The same with every question and answer, as Markdown.
  returned: success
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import domain_of
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_object import home_of
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import NotReady
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import Horizons, search_names
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon_nodes import HorizonReader
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon_page import drawing, page
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon_pods import ask_pods, lack_of
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon_verdict import judge
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._names import ip_address
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import node_name
from ansible_collections.splithorizon.registry.plugins.module_utils._resolvers import ask_outside
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_servers import DNS_PORT
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import dns_name
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import TALOS_SPEC, Access

SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "target": {"type": "str"},
    "namespaces": {"type": "list", "elements": "str", "default": ["default"]},
    "cluster_domain": {"type": "str"},
    "nodes": {"type": "list", "elements": "str", "default": []},
    "outside": {"type": "bool", "default": True},
    "resolver": {"type": "str"},
    "namespace": {"type": "str", "default": "kube-system"},
    "selector": {"type": "str", "default": "k8s-app=kube-dns"},
    "config_map": {"type": "str", "default": "coredns"},
    "key": {"type": "str", "default": "Corefile", "no_log": False},
    "custom_config_map": {"type": "str"},
    "custom_key": {"type": "str", "default": "splithorizon.override", "no_log": False},
    "port": {"type": "int", "default": DNS_PORT},
    "fail_on_mismatch": {"type": "bool", "default": False},
}


def look(params: dict[str, t.Any]) -> Horizons:
    """Ask everybody; what is wrong with the options comes first."""
    name = dns_name(params["name"], option="name")
    target = dns_name(params["target"], option="target") if params["target"] else ""
    domain = (params["cluster_domain"] or domain_of(target)).strip(".")
    resolver = ip_address(params["resolver"], where="option resolver") if params["resolver"] else None
    nodes = [node_name(node, where=f"nodes[{index}]") for index, node in enumerate(params["nodes"])]
    talos = HorizonReader(Access.of(params)) if nodes else None
    cluster = Cluster(params)
    pods = ask_pods(
        cluster,
        namespace=params["namespace"],
        selector=params["selector"],
        names=search_names(name, domain=domain, namespaces=params["namespaces"]),
        target=target,
    )
    home = home_of(cluster, params)
    lacks, unplanned = lack_of(home, name=name, target=target, port=params["port"]) if target else ("", "")
    return Horizons(
        name=name,
        target=target,
        pods=pods,
        nodes=talos.views(nodes, name) if talos else (),
        outside=ask_outside(name, resolver=resolver) if params["outside"] else None,
        lacks=lacks,
        unplanned=unplanned,
    )


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    seen = look(module.params)
    verdict = judge(seen)
    if module.params["fail_on_mismatch"] and not verdict.holds:
        raise NotReady("; ".join(verdict.reasons), where=f"split horizon of {seen.name}")
    return [], {**seen.shown, **verdict.shown, "drawing": drawing(seen, verdict), "page": page(seen, verdict)}


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=KUBERNETES_SPEC | TALOS_SPEC | SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
