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
  - Where the ConfigMap belongs to Flux, Argo CD, Helm or another that would take a change back, see O(if_owned); what
    they make it from is changed with O(source) in the cluster, and with O(path) in a file.
  - Nodes and pods with C(dnsPolicy=Default) do not ask CoreDNS, and are not covered. For pods that ask NodeLocal
    DNSCache see O(node_local).
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
      - A Corefile; or, where its name ends with C(.yaml) or C(.yml) (and C(.j2)), a ConfigMap with C(data.Corefile) as
        a literal block, C(coredns-custom), or values of the CoreDNS chart, alone or in any kind that O(source) knows.
        Rewrites become items of C(plugins).
      - Every other line keeps its bytes. What Flux substitutes (C(${NAME})) counts as not known.
    type: path
  source:
    description:
      - The object in the cluster that gives the CoreDNS chart its values, to be edited in place of the ConfigMap that
        is made of them. Its owner rolls the change out.
      - Values are edited in C(spec.values), C(spec.valuesContent), C(valuesObject) or C(values) of Argo CD, or any key
        of a ConfigMap, wherever C(servers) stand.
    type: dict
    suboptions:
      kind:
        description: Its kind.
        type: str
        required: true
        choices: [HelmRelease, HelmChart, HelmChartConfig, Application, ApplicationSet, ConfigMap]
      namespace:
        description: Its namespace.
        type: str
        required: true
      name:
        description: Its name.
        type: str
        required: true
  if_owned:
    description:
      - What to do where the object to be changed belongs to somebody who takes changes back, see RV(owner).
      - With V(auto), it is an error where the owner does so by itself, such as Flux at its next interval, and a warning
        where it does so when it is run, such as C(helm upgrade) or C(talosctl upgrade-k8s).
      - With V(warn), it is changed in any case; with V(stop), only where nobody would take that back.
    type: str
    choices: [auto, warn, stop]
    default: auto
  node_local:
    description:
      - What to do where NodeLocal DNSCache runs, which pods ask in place of CoreDNS, and does not pass the names on.
      - With V(stop), it is an error, and nothing is changed. With V(warn), CoreDNS is changed all the same.
      - With V(pass_on), its ConfigMap (C(node-local-dns) or C(nodelocaldns)) is changed too. There each name gets a
        server block that sends it to CoreDNS. The cache reads it by itself, and is not waited for.
      - With the name of that ConfigMap as O(config_map), only the cache is changed.
    type: str
    choices: [stop, warn, pass_on]
    default: stop
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
  verify_target:
    description:
      - Refuse to lead a name to a Service of the cluster that does not exist or has no ready endpoint, before anything
        is changed. Turn it off in check mode where the Service is made by an earlier task.
    type: bool
    default: true
  control_name:
    description:
      - A name with steady addresses that is not to be rewritten. Where CoreDNS answers it otherwise after the change,
        the old Corefile is put back.
      - By default V(kubernetes.default.svc) in the cluster's domain.
    type: str
  wait:
    description:
      - Wait after a change until CoreDNS is seen to work by it. Every pod that is ready answers the name (with
        C(autopath), the name as pods expand it too) with the addresses of O(target), IPv4 and IPv6, and O(control_name)
        as before.
      - Where CoreDNS refuses the Corefile, by its metrics (C(coredns_reload_failed_total) of the C(prometheus) plugin)
        or by its log, or a pod does not start with it, the old one is put back at once. The error quotes the log.
      - Without the C(reload) plugin, the Deployment or DaemonSet of the pods is restarted, one pod after the other.
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

- name: The same in the cluster, where Flux rolls it out
  splithorizon.registry.coredns_rewrite:
    context: alpha
    source:
      kind: HelmRelease
      namespace: kube-system
      name: coredns
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
  description: Key that holds the Corefile, the rewrites with O(custom_config_map), or the values of O(source).
  returned: success and O(path) is not given
  type: str
  sample: Corefile
owner:
  description: Who owns the object that holds the Corefile, or the O(source).
  returned: success and O(path) is not given
  type: dict
  contains:
    title:
      description: In words, empty where nobody is known.
      returned: always
      type: str
      sample: Flux (HelmRelease kube-system/coredns)
    kind:
      description: Kind of the owner's own object, empty where it has none.
      returned: always
      type: str
      sample: HelmRelease
    namespace:
      description: Its namespace.
      returned: always
      type: str
      sample: kube-system
    name:
      description: Its name, or that of a Helm release.
      returned: always
      type: str
      sample: coredns
    evidence:
      description: The mark that tells.
      returned: always
      type: str
      sample: "label helm.toolkit.fluxcd.io/name: coredns"
    undoes:
      description:
        - When the owner takes back what others change, V(soon) (by itself), V(next_run) or V(never).
        - The owner's own object is only asked when something changes.
      returned: always
      type: str
      sample: next_run
    writer:
      description:
        - Field manager that wrote the key last. V(talos) where the Corefile is as Talos wrote it, as it is again after
          C(talosctl upgrade-k8s).
      returned: always
      type: str
      sample: helm-controller
    written:
      description: When it did so.
      returned: always
      type: str
      sample: "2026-11-21T19:04:11Z"
node_local_dns:
  description: Whether NodeLocal DNSCache was found beside CoreDNS.
  returned: when something changes in a cluster, or O(node_local=pass_on)
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
    aaaa:
      description: IPv6 addresses of the name.
      returned: always
      type: list
      elements: str
      sample: []
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import CoreDns
from ansible_collections.splithorizon.registry.plugins.module_utils._coredns_settle import (
    Refused,
    Watch,
    control_name,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_object import HOME_SPEC, home_of
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_source import plan_source
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._node_local_map import (
    NODE_LOCAL_MAPS,
    NodeLocal,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import POLICIES, owner_of
from ansible_collections.splithorizon.registry.plugins.module_utils._owner_objects import may_change
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_servers import DNS_PORT
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import (
    REWRITE_SPEC,
    REWRITES_SPEC,
    Asked,
    coredns_version,
    read_rewrites,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._target_service import check_targets
from ansible_collections.splithorizon.registry.plugins.module_utils._text_files import read_text, write_bytes

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_map import CorefileMap
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan

OWN: dict[str, t.Any] = {
    "name": {"type": "str"},
    "rewrites": REWRITES_SPEC,
    "state": {"type": "str", "choices": ["present", "absent", "exact"], "default": "present"},
    "coredns_version": {"type": "str"},
    "path": {"type": "path"},
    "if_owned": {"type": "str", "choices": list(POLICIES), "default": "auto"},
    "port": {"type": "int", "default": DNS_PORT},
    "selector": {"type": "str", "default": "k8s-app=kube-dns"},
    "control_name": {"type": "str"},
    "verify_target": {"type": "bool", "default": True},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 180},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    asked = Asked(
        wanted=read_rewrites(params),
        exact=params["state"] == "exact",
        version=coredns_version(params["coredns_version"]),
        port=params["port"],
    )
    if params["path"]:
        return _step_for_path(module, asked)
    cluster = Cluster(params, dry_run=module.check_mode)
    coredns = CoreDns(cluster, namespace=params["namespace"], selector=params["selector"])
    corefile = home_of(cluster, params)

    def plan(text: str) -> RewritePlan:
        return corefile.plan(text, **asked)

    text, metadata = corefile.read()
    key = corefile.key.removeprefix("data.")
    owner = owner_of(metadata, key=key)
    planned = plan(text)
    may_bypass = planned.changes or params["node_local"] == "pass_on"
    cache = _cache(coredns, cluster, params, asked) if may_bypass else None
    watch: Watch | None = None
    if planned.changes:
        owner, note = may_change(cluster, metadata, key=key, policy=params["if_owned"], where=corefile.where)
        asked["version"] = asked["version"] or coredns.version()
        planned = plan(text)
        if params["verify_target"]:
            check_targets(cluster, planned)
        # The cache reads its file by itself, and CoreDNS has nothing new then.
        if params["wait"] and not module.check_mode and params["config_map"] not in NODE_LOCAL_MAPS:
            watch = Watch(coredns, corefile=text, control=control_name(params["control_name"], planned))
        planned, metadata = corefile.edit(plan)
        _warn(module, note)
    results = planned.results | {"corefile_key": corefile.key, "owner": owner.shown}
    if may_bypass:
        results["node_local_dns"] = cache is not None
    if cache:
        cache.write()
        _warn(module, cache.note)
    _warn(module, *planned.notes)
    if watch and planned.changes:
        results["replicas"] = _settled(watch, corefile, planned, metadata, seconds=params["wait_timeout"])
    change = Change(what=corefile.where, before=planned.before, after=planned.after)
    return [*(cache.change if cache else []), change], results


def _cache(coredns: CoreDns, cluster: Cluster, params: dict[str, t.Any], asked: Asked) -> NodeLocal | None:
    """NodeLocal DNSCache, if it runs and is not the home itself."""
    policy = params["node_local"]
    if params["config_map"] in NODE_LOCAL_MAPS or not (policy == "pass_on" or coredns.node_local()):
        return None
    return NodeLocal(cluster, namespace=params["namespace"], asked=asked, policy=policy, if_owned=params["if_owned"])


def _settled(
    watch: Watch, corefile: CorefileMap, planned: RewritePlan, written: Json, *, seconds: float
) -> list[dict[str, t.Any]]:
    """What every pod answers by the new Corefile. Where CoreDNS does not take it, the old one is put back at once."""
    try:
        return [replica.shown for replica in watch.settle(planned, seconds=seconds)]
    except Refused as error:
        back = corefile.put_back(planned, written)
        watch.restart_again(planned)
        raise Refused(f"{error.problem}. {back}", where=error.where, cure=error.cure) from error


def _step_for_path(module: AnsibleModule, asked: Asked) -> tuple[list[Change], dict[str, t.Any]]:
    path = Path(module.params["path"])
    file = read_text(path)
    planned = plan_source(text=file.text, path=str(path), **asked)
    _warn(module, *planned.notes)
    if planned.changes and not module.check_mode:
        write_bytes(path, file.encoded(planned.after))
    return [Change(what=str(path), before=planned.before, after=planned.after)], planned.results


def _warn(module: AnsibleModule, *notes: str) -> None:
    for note in filter(None, notes):
        module.warn(note)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec=KUBERNETES_SPEC | REWRITE_SPEC | HOME_SPEC | OWN,
        required_one_of=[("name", "rewrites")],
        mutually_exclusive=[
            ("name", "rewrites"),
            ("target", "rewrites"),
            ("example", "rewrites"),
            ("path", "custom_config_map", "source"),
        ],
        supports_check_mode=True,
    )
    report(module, step)


if __name__ == "__main__":
    main()
