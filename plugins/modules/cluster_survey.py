#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_survey
short_description: Which steps of the migration would change one cluster, and whether its result holds
version_added: 0.1.0
description:
  - Reads in one process what M(splithorizon.registry.gateway_alias), M(splithorizon.registry.gateway_route_timeout),
    M(splithorizon.registry.coredns_rewrite), M(splithorizon.registry.spegel_registries),
    M(splithorizon.registry.buildkit_registry), M(splithorizon.registry.harbor_core_patch),
    M(splithorizon.registry.harbor_robot) and M(splithorizon.registry.docker_config_secret) would change, so that a site
    where nothing differs costs as little as it can. Never changes anything.
  - It plans as those modules do, and gives their errors. It sends nothing, so what the server itself would refuse is
    found by their check mode only.
  - Where no step would change anything, it reads what M(splithorizon.registry.split_horizon) and
    M(splithorizon.registry.registry_probe) read, as O(proof) asks.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes.read_only
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - cryptography >= 41
  - dnspython >= 2.6
  - kubernetes >= 24.2.0
options:
  gateway:
    description: How the registry must answer at the gateway, as for M(splithorizon.registry.registry_probe).
    type: dict
    suboptions:
      url:
        description: Its URL, scheme and host.
        type: str
        required: true
      address:
        description: Address to connect to in place of DNS.
        type: str
      ca:
        description: Certificates (PEM) to verify it with, in place of the system's.
        type: str
      min_valid_days:
        description: Days that the certificate must still be valid.
        type: int
        default: 7
      timeout:
        description: Seconds for each request.
        type: int
        default: 10
  alias:
    description: The alias Service of the gateway's pods, as for M(splithorizon.registry.gateway_alias).
    type: dict
    suboptions:
      namespace:
        description: Its namespace.
        type: str
        required: true
      name:
        description: Its name.
        type: str
        required: true
      gateway:
        description: The Gateway whose pods it leads to.
        type: dict
        suboptions:
          namespace:
            description: Its namespace.
            type: str
            required: true
          name:
            description: Its name.
            type: str
            required: true
      selector:
        description: Labels of the pods, in place of O(alias.gateway).
        type: dict
      ports:
        description: With O(alias.selector), port of the pods by port of the Service.
        type: dict
      state:
        description: Whether it is to be there.
        type: str
        choices: [present, absent]
        default: present
  route_timeout:
    description: The policy by which large layers are not cut, as for M(splithorizon.registry.gateway_route_timeout).
    type: dict
    suboptions:
      hostname:
        description: The registry's public name.
        type: str
        required: true
      gateway:
        description: The Gateway that serves it.
        type: dict
        required: true
        suboptions:
          namespace:
            description: Its namespace.
            type: str
            required: true
          name:
            description: Its name.
            type: str
            required: true
      state:
        description: Whether it is to be there.
        type: str
        choices: [present, absent]
        default: present
  dns:
    description: The rewrites, as for M(splithorizon.registry.coredns_rewrite).
    type: dict
    suboptions:
      rewrites:
        description: All of them.
        type: list
        elements: dict
        required: true
        suboptions:
          name:
            description: What clients ask for.
            type: str
            required: true
          target:
            description: The name whose address they get.
            type: str
          match:
            description: How names are compared with it.
            type: str
            choices: [exact, prefix, suffix, substring, regex]
            default: exact
          example:
            description: One of the names that the rule is for.
            type: str
          state:
            description: Whether this one is to be there, by default as all are.
            type: str
            choices: [present, absent]
      state:
        description: Whether the rewrites are to be there.
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
        description: Key of the Corefile.
        type: str
        default: Corefile
      custom_config_map:
        description: ConfigMap whose keys the Corefile imports.
        type: str
      custom_key:
        description: Its key for rewrites.
        type: str
        default: splithorizon.override
      source:
        description: Object that gives the CoreDNS chart its values.
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
      node_local:
        description: With V(pass_on), NodeLocal DNSCache is looked at too.
        type: str
        choices: [stop, warn, pass_on]
        default: stop
      path:
        description:
          - File on the controller that holds the rewrites, in place of the cluster.
          - While pods do not get what it asks for, it differs as well.
        type: path
      coredns_version:
        description: Version of CoreDNS, where it must be known.
        type: str
      selector:
        description: Labels of the CoreDNS pods.
        type: str
        default: k8s-app=kube-dns
      port:
        description: Port of the server blocks that pods ask.
        type: int
        default: 53
  spegel:
    description: Spegel's list, as for M(splithorizon.registry.spegel_registries) with its O(ignore:prepend_existing).
    type: dict
    suboptions:
      namespace:
        description: Namespace of the HelmRelease or DaemonSet.
        type: str
        default: kube-system
      name:
        description: Its name.
        type: str
        default: spegel
      mirrored_registries:
        description: Registries to have in the list.
        type: list
        elements: str
        default: []
      removed_registries:
        description: Entries not to have in the list.
        type: list
        elements: str
        default: []
      talos_mirrors:
        description: All mirrors the nodes have in Talos.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: The registry.
            type: str
            required: true
          endpoints:
            description: URLs of its endpoints.
            type: list
            elements: str
            default: []
          state:
            description: A mirror that is V(absent) is passed over.
            type: str
            choices: [present, absent]
            default: present
  image_builders:
    description: What every buildkitd.toml in the cluster is to say.
    type: dict
    suboptions:
      registries:
        description: As for M(splithorizon.registry.buildkit_registry).
        type: list
        elements: dict
        required: true
  harbor:
    description: The settings of Harbor's core and jobservice, as for M(splithorizon.registry.harbor_core_patch).
    type: dict
    suboptions:
      namespace:
        description: Namespace of the release.
        type: str
        required: true
      fullname:
        description: The chart's full name.
        type: str
        default: harbor
      external_url:
        description: The URL by which clients reach Harbor.
        type: str
        required: true
      core_url:
        description: The C(CORE_URL) to have, the chart's own where empty.
        type: str
        default: ""
      kind:
        description: Where the settings are kept.
        type: str
        choices: [ConfigMap, HelmRelease]
        default: ConfigMap
  robots:
    description: Robot accounts of Harbor, as for M(splithorizon.registry.harbor_robot).
    type: dict
    suboptions:
      url:
        description: Scheme, host and port of Harbor.
        type: str
        required: true
      address:
        description: Address to connect to in place of DNS.
        type: str
      ca:
        description: Certificates (PEM) to verify Harbor's with, in place of the system's.
        type: str
      username:
        description: Account that may manage robot accounts.
        type: str
        required: true
      password:
        description: Its password.
        type: str
        required: true
      timeout:
        description: Seconds for each request.
        type: int
        default: 10
      min_valid_days:
        description: Warn where an account expires in fewer days.
        type: int
        default: 14
      accounts:
        description: The accounts.
        type: list
        elements: dict
        required: true
        suboptions:
          name:
            description: Its name, without prefix and project.
            type: str
            required: true
          project:
            description: Project that it belongs to.
            type: str
          secret:
            description: Secret that it is to have.
            type: str
          permissions:
            description: All that it may do.
            type: list
            elements: dict
            suboptions:
              kind:
                description: What C(namespace) names.
                type: str
                choices: [project, system]
                default: project
              namespace:
                description: A project, V(*) for every project, V(/) for the system.
                type: str
                required: true
              access:
                description: Actions on resources.
                type: list
                elements: dict
                required: true
                suboptions:
                  resource:
                    description: As Harbor names it.
                    type: str
                    required: true
                  action:
                    description: As Harbor names it.
                    type: str
                    required: true
          duration:
            description: Days from its creation until it expires, V(-1) for never.
            type: int
          disable:
            description: Whether it is kept from being used.
            type: bool
          description:
            description: A text for people.
            type: str
          state:
            description: Whether it is to be there.
            type: str
            choices: [present, absent]
            default: present
  pull_secrets:
    description: >-
      Secrets, as for M(splithorizon.registry.docker_config_secret), and the service accounts that list them where they
      are there, as for M(splithorizon.registry.service_account_pull_secret).
    type: list
    elements: dict
    suboptions:
      namespaces:
        description: Namespaces of the Secret.
        type: list
        elements: str
        required: true
      name:
        description: Its name.
        type: str
        required: true
      registries:
        description: What it is to hold.
        type: list
        elements: dict
        required: true
        suboptions:
          name:
            description: Host of the registry.
            type: str
            required: true
          username:
            description: Account to log in with.
            type: str
          password:
            description: Its password.
            type: str
          state:
            description: Whether the registry is to have an entry.
            type: str
            choices: [present, absent]
            default: present
      config_json:
        description: Whether it has the key C(config.json) too.
        type: bool
      added_only:
        description: Whether only entries that were added go.
        type: bool
        default: false
      service_accounts:
        description: Service accounts of these namespaces that are to list it.
        type: list
        elements: str
        default: []
      list:
        description: Which of their lists.
        type: str
        choices: [imagePullSecrets, secrets]
        default: imagePullSecrets
  proof:
    description: What must hold from inside the cluster.
    type: dict
    suboptions:
      name:
        description: The registry's public name.
        type: str
        required: true
      target:
        description: The name whose address every CoreDNS pod must answer for it.
        type: str
        required: true
      namespace:
        description: Namespace of CoreDNS.
        type: str
        default: kube-system
      selector:
        description: Labels of the CoreDNS pods.
        type: str
        default: k8s-app=kube-dns
      alias:
        description: The Service through which the registry must answer.
        type: dict
        required: true
        suboptions:
          namespace:
            description: Its namespace.
            type: str
            required: true
          name:
            description: Its name.
            type: str
            required: true
      ca:
        description: Certificates (PEM) to verify the registry's with, in place of the system's.
        type: str
      username:
        description: Account whose token must open the registry.
        type: str
      password:
        description: Its password.
        type: str
      repository:
        description: Repository that the token must open.
        type: str
      timeout:
        description: Seconds for each request.
        type: int
        default: 10
seealso:
  - module: splithorizon.registry.split_horizon
  - module: splithorizon.registry.registry_probe
  - module: splithorizon.registry.talos_registry_survey
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Would anything change?
  splithorizon.registry.cluster_survey:
    context: alpha
    dns:
      rewrites:
        - name: harbor.example.com
          target: envoy-proxy.envoy-gateway-system.svc.cluster.local
    harbor:
      namespace: default
      external_url: https://harbor.example.com
  register: survey

- name: Only if so
  splithorizon.registry.coredns_rewrite:
    context: alpha
    name: harbor.example.com
    target: envoy-proxy.envoy-gateway-system.svc.cluster.local
  when: "'dns' in survey.differing"
"""

RETURN = r"""
differing:
  description: Names of the options whose step would change something.
  returned: success
  type: list
  elements: str
  sample: [alias, dns, harbor]
proven:
  description: Whether all that O(proof) names holds; false where a step would change something first.
  returned: success
  type: bool
  sample: false
problems:
  description: What does not hold.
  returned: success
  type: list
  elements: str
  sample: []
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._cluster_survey import STEPS, gateway, prove, robots
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_object import HOME_SPEC
from ansible_collections.splithorizon.registry.plugins.module_utils._credentials_spec import (
    ACCOUNTS_SPEC,
    HARBOR_SPEC,
    ROBOT_SPEC,
    SECRET_SPEC,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._gateway import GATEWAY_SPEC
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_live import CONFIG_MAP, HELM_RELEASE
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_servers import DNS_PORT
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import REWRITES_SPEC

STATE: dict[str, t.Any] = {"type": "str", "choices": ["present", "absent"], "default": "present"}
REQUIRED: dict[str, t.Any] = {"type": "str", "required": True}
STRINGS: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
MIRROR: dict[str, t.Any] = {"name": REQUIRED, "endpoints": STRINGS, "state": STATE}
ALIAS: dict[str, t.Any] = {"namespace": REQUIRED, "name": REQUIRED}
TEXT: dict[str, t.Any] = {"type": "str"}
SECONDS: dict[str, t.Any] = {"type": "int", "default": 10}
OPTIONS: dict[str, t.Any] = {
    "gateway": {
        "url": REQUIRED,
        "address": TEXT,
        "ca": TEXT,
        "min_valid_days": {"type": "int", "default": 7},
        "timeout": SECONDS,
    },
    "alias": {
        "namespace": REQUIRED,
        "name": REQUIRED,
        "gateway": GATEWAY_SPEC,
        "selector": {"type": "dict"},
        "ports": {"type": "dict"},
        "state": STATE,
    },
    "route_timeout": {"hostname": REQUIRED, "gateway": {**GATEWAY_SPEC, "required": True}, "state": STATE},
    "dns": {
        "rewrites": {**REWRITES_SPEC, "required": True},
        "state": STATE,
        **HOME_SPEC,
        "path": {"type": "path"},
        "coredns_version": TEXT,
        "selector": {"type": "str", "default": "k8s-app=kube-dns"},
        "port": {"type": "int", "default": DNS_PORT},
    },
    "spegel": {
        "namespace": {"type": "str", "default": "kube-system"},
        "name": {"type": "str", "default": "spegel"},
        "mirrored_registries": STRINGS,
        "removed_registries": STRINGS,
        "talos_mirrors": {"type": "list", "elements": "dict", "default": [], "options": MIRROR},
    },
    "image_builders": {"registries": {"type": "list", "elements": "dict", "required": True}},
    "harbor": {
        "namespace": REQUIRED,
        "fullname": {"type": "str", "default": "harbor"},
        "external_url": REQUIRED,
        "core_url": {"type": "str", "default": ""},
        "kind": {"type": "str", "choices": [CONFIG_MAP, HELM_RELEASE], "default": CONFIG_MAP},
    },
    "robots": {
        **HARBOR_SPEC,
        "min_valid_days": {"type": "int", "default": 14},
        "accounts": {"type": "list", "elements": "dict", "required": True, "options": ROBOT_SPEC},
    },
    "proof": {
        "name": REQUIRED,
        "target": REQUIRED,
        "namespace": {"type": "str", "default": "kube-system"},
        "selector": {"type": "str", "default": "k8s-app=kube-dns"},
        "alias": {"type": "dict", "required": True, "options": ALIAS},
        "ca": TEXT,
        "username": TEXT,
        "password": {"type": "str", "no_log": True},
        "repository": TEXT,
        "timeout": SECONDS,
    },
}
PULL_SECRET: dict[str, t.Any] = {**SECRET_SPEC, "service_accounts": STRINGS, "list": ACCOUNTS_SPEC["list"]}
SPEC: dict[str, t.Any] = {
    **{name: {"type": "dict", "options": options} for name, options in OPTIONS.items()},
    "pull_secrets": {"type": "list", "elements": "dict", "options": PULL_SECRET},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    if params["gateway"]:
        gateway(params["gateway"], connect=lambda: Cluster(params), warn=module.warn)
    cluster = Cluster(params)
    differing = [name for name, differs in STEPS.items() if params[name] and differs(cluster, params[name])]
    if params["robots"] and robots(params["robots"], warn=module.warn):
        differing.append("robots")
    asked = params["proof"] and not differing
    problems = prove(cluster, params["proof"], warn=module.warn) if asked else []
    return [], {"differing": differing, "proven": bool(asked and not problems), "problems": problems}


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=KUBERNETES_SPEC | SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
