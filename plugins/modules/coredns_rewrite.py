#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: coredns_rewrite
short_description: Let CoreDNS answer names with the address of others
version_added: 1.0.0
description:
  - Adds C(rewrite stop name exact NAME TARGET), or a rule of another O(match), to the Corefile of CoreDNS, or takes it
    out. The Corefile is read by the rules of CoreDNS's own parser, and nothing else in it changes by a byte.
  - The rule goes into the server block with the longest zone of the name on O(port), since only that block sees the
    question. The block must have the C(kubernetes) plugin for the domain of O(target).
  - An equivalent rule in any spelling is left as it is. A rule, C(hosts) entry or C(template) that answers the name
    otherwise, a target that is rewritten itself, or a server block of a longer zone is an error that names its line.
  - Where C(autopath) is on, the name is looked up behind the rewrite plugin, and the rule alone would be bypassed
    without a word. Then a second rule is added for the name as pods expand it
    (C(NAME.<namespace>.svc.<cluster domain>)).
  - All rules but exact ones get C(answer auto), since clients throw answers for another name away. CoreDNS knows it
    from 1.8.4 on; where an older one runs, that is an error before anything is changed.
  - After a change, waits until every ready CoreDNS pod answers by it. The pods are asked one by one, with DNS over TCP,
    through the API server's port-forward. If CoreDNS does not take the Corefile, the old one is put back.
  - Where the Corefile has no C(reload) plugin, the Deployment of the pods is restarted.
  - Nodes and pods with C(dnsPolicy=Default) do not ask CoreDNS, and are not covered; nor are pods that ask NodeLocal
    DNSCache, of which the module warns.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - dnspython >= 2.6
  - kubernetes >= 24.2.0
options:
  name:
    description:
      - What clients ask for, by O(match) a whole name, a part of it, or a pattern.
      - In lower case ASCII, without wildcard and closing dot. Several names go into O(rewrites).
    type: str
  target:
    description:
      - The name whose address they get, the full name of a Service.
      - With O(match=prefix), O(match=suffix) and O(match=substring), what O(name) is replaced by. With O(match=regex),
        C({1}) stands for the first group of the pattern.
      - Required to add a rewrite. With O(state=absent), only rules to this target are taken out.
    type: str
  match:
    description:
      - How names are compared with O(name).
      - CoreDNS closes O(name) with a dot, except a pattern. So V(prefix) matches whole labels, and V(substring) ends
        with a label. For V(suffix) start O(name) and O(target) with a dot, or it matches inside a label as well.
      - For all names of a domain with one target, take V(regex), such as C(^(.*)\.apps\.example\.com\.$). A pattern
        that ends with C(\.$) is extended for C(autopath).
    type: str
    choices: [exact, prefix, suffix, substring, regex]
    default: exact
  example:
    description:
      - One of the names that the rule is for. By it the server block is chosen and the plan proved, and CoreDNS is
        asked for it after the change.
      - Required to add a rewrite of another O(match) than V(exact).
    type: str
  rewrites:
    description: Several rewrites, in place of O(name), O(target), O(match) and O(example).
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      target:
        description: As O(target).
        type: str
      match:
        description: As O(match).
        type: str
        choices: [exact, prefix, suffix, substring, regex]
        default: exact
      example:
        description: As O(example).
        type: str
      state:
        description: Whether this rewrite is there. By default as O(state) says for all.
        type: str
        choices: [present, absent]
  state:
    description:
      - Whether the rewrites are there.
      - With V(absent), exactly the rules for these names (and the expanded ones) are taken out.
      - With V(exact), they are there, and all other rewrites of names are taken out of the server blocks that pods ask.
        Rewrites of something else, such as a type or TTL, stay.
    type: str
    choices: [present, absent, exact]
    default: present
  coredns_version:
    description: Version of CoreDNS, where the tags of its images do not tell it.
    type: str
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
  path:
    description:
      - A file on the controller to edit in place of a cluster; it is written, and nothing is waited for.
      - A Corefile; or, where its name ends with C(.yaml) or C(.yml), a ConfigMap with C(data.Corefile) as a literal
        block, or values of the CoreDNS chart, whose C(servers) stand at the top, in C(spec.values) (Flux) or in
        C(spec.source.helm.valuesObject) (Argo CD). Rewrites become items of C(plugins).
      - Every other line keeps its bytes. What Flux substitutes (C(${NAME})) counts as not known.
    type: path
  custom_config_map:
    description:
      - ConfigMap whose keys the Corefile imports as C(custom/*.override). On k3s and AKS, which write their Corefile
        anew, it is C(coredns-custom). Then only this ConfigMap is changed, and made where it is missing.
    type: str
  custom_key:
    description: Key in O(custom_config_map) for the rewrites. Keys are imported in the order of their names.
    type: str
    default: splithorizon.override
  port:
    description: Port of the server blocks that pods ask, the target port of the DNS Service.
    type: int
    default: 53
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
  - module: splithorizon.registry.split_horizon
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Lead pods to the gateway by Harbor's public name
  splithorizon.registry.coredns_rewrite:
    context: alpha
    name: harbor.example.com
    target: envoy-proxy.envoy-gateway-system.svc.cluster.local

- name: Lead every name of a domain to the gateway, but one
  splithorizon.registry.coredns_rewrite:
    context: alpha
    rewrites:
      - name: ^(.*)\.apps\.example\.com\.$
        match: regex
        target: envoy-proxy.envoy-gateway-system.svc.cluster.local
        example: www.apps.example.com
      - name: git.apps.example.com
        target: gitea-http.gitea.svc.cluster.local

- name: The same in the values that Flux gives to the CoreDNS chart
  splithorizon.registry.coredns_rewrite:
    path: kubernetes/apps/kube-system/coredns/app/helmrelease.yaml
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
  description: Zone of the server block that answers the (first) name. With O(state=absent) empty where none does.
  returned: success
  type: str
  sample: .
rules:
  description: The lines that lead the names to their targets, as they stand there or will.
  returned: success
  type: list
  elements: str
  sample: [rewrite stop name exact harbor.example.com envoy-proxy.envoy-gateway-system.svc.cluster.local]
removed:
  description: The statements that are taken out.
  returned: success
  type: list
  elements: str
  sample: []
rewrites:
  description: The same for each rewrite.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: As asked for.
      returned: always
      type: str
      sample: harbor.example.com
    match:
      description: How it is matched.
      returned: always
      type: str
      sample: exact
    state:
      description: V(present) or V(absent).
      returned: always
      type: str
      sample: present
    zone:
      description: Zone of the server block that answers it.
      returned: always
      type: str
      sample: .
    rules:
      description: Its lines.
      returned: always
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
  description: Key of the ConfigMap that holds the Corefile, or the rewrites with O(custom_config_map).
  returned: success and O(path) is not given
  type: str
  sample: Corefile
managed_by:
  description: Who manages the ConfigMap and may take the change back at its own next run, empty where nobody is known.
  returned: success and O(path) is not given
  type: str
  sample: ''
node_local_dns:
  description: Whether NodeLocal DNSCache runs, which does not send names outside the cluster's domain to CoreDNS.
  returned: when something changes in a cluster
  type: bool
  sample: false
replicas:
  description: What each CoreDNS pod answers, for each name.
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
      description: Addresses of the name in the search domain of namespace C(default), empty where it has none.
      returned: always
      type: list
      elements: str
      sample: []
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import CoreDns, Refused, Reload
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_map import (
    Asked,
    home_of,
    managed_by,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_values import plan_source
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_servers import DNS_PORT
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import (
    REWRITE_SPEC,
    REWRITES_SPEC,
    coredns_version,
    read_rewrites,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._text_files import read_text, write_bytes

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan

SPEC: dict[str, t.Any] = REWRITE_SPEC | {
    "name": {"type": "str"},
    "rewrites": REWRITES_SPEC,
    "state": {"type": "str", "choices": ["present", "absent", "exact"], "default": "present"},
    "coredns_version": {"type": "str"},
    "namespace": {"type": "str", "default": "kube-system"},
    "config_map": {"type": "str", "default": "coredns"},
    "key": {"type": "str", "default": "Corefile", "no_log": False},
    "path": {"type": "path"},
    "custom_config_map": {"type": "str"},
    "custom_key": {"type": "str", "default": "splithorizon.override", "no_log": False},
    "port": {"type": "int", "default": DNS_PORT},
    "selector": {"type": "str", "default": "k8s-app=kube-dns"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 180},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    wanted = read_rewrites(params)
    version = coredns_version(params["coredns_version"])
    if params["path"]:
        asked = Asked(wanted=wanted, exact=params["state"] == "exact", version=version, port=params["port"])
        return _step_for_path(module, asked)
    cluster = Cluster(params, dry_run=module.check_mode)
    corefile = home_of(cluster, params)
    coredns = CoreDns(cluster, namespace=params["namespace"], selector=params["selector"])

    def plan(text: str) -> RewritePlan:
        exact = params["state"] == "exact"
        return corefile.plan(text, wanted=wanted, exact=exact, version=version, port=params["port"])

    text, metadata = corefile.read()
    planned = plan(text)
    before: dict[str, Reload] = {}
    if planned.changes:
        version = version or coredns.version()
        before = coredns.reloads() if params["wait"] else {}
        planned, metadata = corefile.edit(plan)
    results = planned.results | {"corefile_key": corefile.key, "managed_by": managed_by(metadata)}
    if planned.changes:
        results["node_local_dns"] = coredns.node_local()
    _warn(module, planned, results, corefile.where)
    if planned.changes and params["wait"] and not module.check_mode:
        try:
            replicas = coredns.settle(planned, before=before, seconds=params["wait_timeout"])
        except Refused as error:
            back = corefile.put_back(planned, metadata)
            raise Refused(f"{error.problem}. {back}", where=error.where, cure=error.cure) from error
        results["replicas"] = [replica.shown for replica in replicas]
    return [Change(what=corefile.where, before=planned.before, after=planned.after)], results


def _step_for_path(module: AnsibleModule, asked: Asked) -> tuple[list[Change], dict[str, t.Any]]:
    path = Path(module.params["path"])
    file = read_text(path)
    planned = plan_source(text=file.text, path=str(path), **asked)
    for note in planned.notes:
        module.warn(note)
    if planned.changes and not module.check_mode:
        write_bytes(path, file.encoded(planned.after))
    return [Change(what=str(path), before=planned.before, after=planned.after)], planned.results


def _warn(module: AnsibleModule, planned: RewritePlan, results: dict[str, t.Any], where: str) -> None:
    owner = results["managed_by"]
    for note in planned.notes:
        module.warn(note)
    if owner and planned.changes:
        module.warn(f"{where} is managed by {owner}, which may take the change back: make it there too")
    if results.get("node_local_dns") and planned.rules:
        module.warn("NodeLocal DNSCache runs: pods that ask it do not see the rewrite, unless it sends the name on")


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec=KUBERNETES_SPEC | SPEC,
        required_one_of=[("name", "rewrites")],
        mutually_exclusive=[
            ("name", "rewrites"),
            ("target", "rewrites"),
            ("example", "rewrites"),
            ("path", "custom_config_map"),
        ],
        supports_check_mode=True,
    )
    report(module, step)


if __name__ == "__main__":
    main()
