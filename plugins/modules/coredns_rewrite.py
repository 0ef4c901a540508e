#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: coredns_rewrite
short_description: Let CoreDNS answer one name with the address of another
version_added: 1.0.0
description:
  - Adds C(rewrite stop name exact NAME TARGET) to the Corefile of CoreDNS, or takes it out. The Corefile is read by the
    rules of CoreDNS's own parser, and nothing else in it changes by a byte.
  - The rule goes into the server block with the longest zone of the name on port 53, since only that block sees the
    question. The block must have the C(kubernetes) plugin for the domain of O(target).
  - An equivalent rule in any spelling is left as it is. A rule, C(hosts) entry or C(template) that answers the name
    otherwise is an error that names its line.
  - Where C(autopath) is on, the name is looked up behind the rewrite plugin, and the rule alone would be bypassed
    without a word. Then a second rule is added for the name as pods expand it
    (C(NAME.<namespace>.svc.<cluster domain>)).
  - After a change, waits until every ready CoreDNS pod answers by it. The pods are asked one by one, with DNS over TCP,
    through the API server's port-forward. If CoreDNS does not take the Corefile, the old one is put back.
  - Where the Corefile has no C(reload) plugin, the Deployment of the pods is restarted.
  - With O(state=absent) exactly the rules for the name (and the expanded one) are taken out.
  - Nodes, pods with C(dnsPolicy=Default) and NodeLocal DNSCache do not ask CoreDNS, and are not covered.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - dnspython >= 2.6
  - kubernetes >= 24.2.0
options:
  name:
    description: The name that clients ask for.
    type: str
    required: true
  target:
    description:
      - The name whose address they get, the full name of a Service.
      - Required with O(state=present). With O(state=absent), only rules to this target are taken out.
    type: str
  state:
    description: Whether the rewrite is there.
    type: str
    choices: [present, absent]
    default: present
  namespace:
    description: Namespace of CoreDNS.
    type: str
    default: kube-system
  config_map:
    description: ConfigMap that holds the Corefile.
    type: str
    default: coredns
  key:
    description: Key of the Corefile in O(config_map).
    type: str
    default: Corefile
  selector:
    description: Label selector of the CoreDNS pods.
    type: str
    default: k8s-app=kube-dns
  wait:
    description: Wait after a change until every ready CoreDNS pod answers by it.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait. A node brings a ConfigMap to its pods within 90, and CoreDNS reads it again within 45.
    type: int
    default: 180
seealso:
  - module: splithorizon.registry.coredns_probe
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Lead pods to the gateway by Harbor's public name
  splithorizon.registry.coredns_rewrite:
    context: alpha
    name: harbor.example.com
    target: envoy-proxy.envoy-gateway-system.svc.cluster.local

- name: Let pods resolve the name as everybody else does
  splithorizon.registry.coredns_rewrite:
    context: alpha
    name: harbor.example.com
    state: absent
"""

RETURN = r"""
zone:
  description: Zone of the server block that answers the name. With O(state=absent) empty where none does.
  returned: success
  type: str
  sample: .
rules:
  description: The lines that lead the name to its target, as they stand there or will.
  returned: success
  type: list
  elements: str
  sample: [rewrite stop name exact harbor.example.com envoy-proxy.envoy-gateway-system.svc.cluster.local]
autopath:
  description: Whether CoreDNS walks the search path for its clients, so that the second rule is needed.
  returned: success
  type: bool
  sample: false
cluster_domain:
  description: The cluster's domain by the C(kubernetes) plugin.
  returned: success
  type: str
  sample: cluster.local
corefile_key:
  description: Key of the ConfigMap that holds the Corefile.
  returned: success
  type: str
  sample: Corefile
managed_by:
  description: Who manages the ConfigMap and may take the change back at its own next run, empty where nobody is known.
  returned: success
  type: str
  sample: ''
replicas:
  description: What each CoreDNS pod answers.
  returned: when something changed and was waited for
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
    bare:
      description: Addresses of the name.
      returned: always
      type: list
      elements: str
      sample: [10.96.44.7]
    expanded:
      description: Addresses of the name in the search domain of namespace C(default), empty where it has none.
      returned: always
      type: list
      elements: str
      sample: []
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import (
    CoreDns,
    CorefileMap,
    Refused,
    Reload,
    managed_by,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan, dns_name, plan_rewrite

SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "target": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "namespace": {"type": "str", "default": "kube-system"},
    "config_map": {"type": "str", "default": "coredns"},
    "key": {"type": "str", "default": "Corefile", "no_log": False},
    "selector": {"type": "str", "default": "k8s-app=kube-dns"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 180},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    name = dns_name(params["name"], option="name")
    target = dns_name(params["target"], option="target") if params["target"] else None
    present = params["state"] == "present"
    cluster = Cluster(params, dry_run=module.check_mode)
    corefile = CorefileMap(cluster, namespace=params["namespace"], name=params["config_map"], key=params["key"])
    coredns = CoreDns(cluster, namespace=params["namespace"], selector=params["selector"])

    def plan(text: str) -> RewritePlan:
        return plan_rewrite(text=text, name=name, target=target, present=present, where=corefile.where)

    text, metadata = corefile.read()
    planned = plan(text)
    before: dict[str, Reload] = {}
    if planned.changes:
        before = coredns.reloads() if params["wait"] else {}
        planned, metadata = corefile.edit(plan)
    owner = managed_by(metadata)
    _warn(module, planned, owner, corefile.where)
    results: dict[str, t.Any] = {
        "zone": planned.zone,
        "rules": list(planned.rules),
        "autopath": planned.autopath,
        "cluster_domain": planned.cluster_domain,
        "corefile_key": params["key"],
        "managed_by": owner,
    }
    if planned.changes and params["wait"] and not module.check_mode:
        try:
            replicas = coredns.settle(planned, name=name, target=target, before=before, seconds=params["wait_timeout"])
        except Refused as error:
            back = corefile.put_back(planned, metadata)
            raise Refused(f"{error.problem}. {back}", where=error.where, cure=error.cure) from error
        results["replicas"] = [replica.shown for replica in replicas]
    return [Change(what=corefile.where, before=planned.before, after=planned.after)], results


def _warn(module: AnsibleModule, planned: RewritePlan, owner: str, where: str) -> None:
    for note in planned.notes:
        module.warn(note)
    if owner and planned.changes:
        module.warn(f"{where} is managed by {owner}, which may take the change back: make it there too")


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec=KUBERNETES_SPEC | SPEC,
        required_if=[("state", "present", ["target"])],
        supports_check_mode=True,
    )
    report(module, step)


if __name__ == "__main__":
    main()
