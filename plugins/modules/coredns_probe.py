#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: coredns_probe
short_description: Ask every CoreDNS pod for a name
version_added: 1.0.0
description:
  - Asks each ready CoreDNS pod by itself, with DNS over TCP, through the API server's port-forward, for the addresses
    of a name, bare and as a pod of namespace C(default) expands it.
  - The expanded name may have no address; then pods go on to the bare name. If it has one, it must be the same.
  - The question comes from the pod's own loopback, so the C(autopath) plugin plays no part in the answer. Whether it is
    on, and the name covered, M(splithorizon.registry.coredns_rewrite) says in check mode.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes.read_only
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - dnspython >= 2.6
  - kubernetes >= 24.2.0
options:
  name:
    description: The name to ask for.
    type: str
    required: true
  target:
    description: A name whose addresses are expected. Without it, all pods must answer alike.
    type: str
  namespace:
    description: Namespace of CoreDNS.
    type: str
    default: kube-system
  selector:
    description: Label selector of the CoreDNS pods.
    type: str
    default: k8s-app=kube-dns
  cluster_domain:
    description: The cluster's domain. By default what follows C(.svc.) in O(target), else C(cluster.local).
    type: str
  fail_on_mismatch:
    description: Fail where a pod answers otherwise than expected, or not at all.
    type: bool
    default: false
seealso:
  - module: splithorizon.registry.coredns_rewrite
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Prove that every replica leads pods to the gateway
  splithorizon.registry.coredns_probe:
    context: alpha
    name: harbor.example.com
    target: envoy-proxy.envoy-gateway-system.svc.cluster.local
    fail_on_mismatch: true

- name: See what CoreDNS answers today
  splithorizon.registry.coredns_probe:
    context: alpha
    name: harbor.example.com
  register: answers
"""

RETURN = r"""
replicas:
  description: What each CoreDNS pod answers.
  returned: success
  type: list
  elements: dict
  contains:
    pod:
      description: Name of the pod.
      returned: always
      type: str
      sample: coredns-7d9c4b6f5-2x8qk
    node:
      description: Node it runs on.
      returned: always
      type: str
      sample: alpha-worker-1
    name:
      description: The name it was asked for.
      returned: always
      type: str
      sample: harbor.example.com
    bare:
      description: Addresses of the name.
      returned: always
      type: list
      elements: str
      sample: [10.96.44.7]
    expanded:
      description: Addresses of the expanded name, empty where it has none.
      returned: always
      type: list
      elements: str
      sample: []
    aaaa:
      description: IPv6 addresses of the name.
      returned: always
      type: list
      elements: str
      sample: []
expected:
  description: The addresses of O(target), or without it those of the first pod's answer.
  returned: success
  type: list
  elements: str
  sample: [10.96.44.7]
ok:
  description: Whether every pod answers as expected.
  returned: success
  type: bool
  sample: true
problems:
  description: A sentence for each pod that does not answer as expected.
  returned: success
  type: list
  elements: str
  sample: []
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import CoreDns, compare, domain_of
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import NotReady
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import dns_name

SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "target": {"type": "str"},
    "namespace": {"type": "str", "default": "kube-system"},
    "selector": {"type": "str", "default": "k8s-app=kube-dns"},
    "cluster_domain": {"type": "str"},
    "fail_on_mismatch": {"type": "bool", "default": False},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    name = dns_name(params["name"], option="name")
    target = dns_name(params["target"], option="target") if params["target"] else None
    domain = (params["cluster_domain"] or domain_of(target)).strip(".")
    coredns = CoreDns(Cluster(params), namespace=params["namespace"], selector=params["selector"])
    replicas = coredns.ask(name=name, target=target, domain=domain)
    expected, problems = compare(replicas, with_target=target is not None)
    if problems and params["fail_on_mismatch"]:
        raise NotReady(
            "; ".join(problems),
            where=f"CoreDNS, {name}",
            cure="See the Corefile (module coredns_rewrite) and the pods' logs",
        )
    shown = [replica.shown for replica in replicas]
    return [], {"replicas": shown, "expected": expected, "ok": not problems, "problems": problems}


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=KUBERNETES_SPEC | SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
