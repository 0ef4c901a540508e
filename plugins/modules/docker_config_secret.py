#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_config_secret
short_description: Credentials for a registry in pull secrets, beside those that are there
version_added: 0.1.0
description:
  - Adds, changes or removes the entries of the named registries in Secrets of type C(kubernetes.io/dockerconfigjson),
    the same in each namespace. Entries of other registries, and everything else in the Secret, stay as they are.
  - The kubelet, Docker and BuildKit find credentials by the host of the image's reference, so a registry that gets
    another name needs an entry of its own before references use it. The old one may stay beside it.
  - All spellings of one host (with C(https://), with C(/v2/)) are one registry. An entry with a path is another's.
  - A Secret that is not there is made. One that was made here goes when its last entry goes.
  - A Secret of another type is an error, because a Secret's type cannot be changed.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - kubernetes >= 24.2.0
options:
  namespaces:
    description: Namespaces whose Secret it is about. All are looked at before the first is changed.
    type: list
    elements: str
    required: true
  name:
    description: Name of the Secret in each of them.
    type: str
    required: true
  registries:
    description: What it is to hold.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Host of the registry, with its port where references have one.
        type: str
        required: true
      username:
        description: Account to log in with. Required unless the entry is to be V(absent).
        type: str
      password:
        description: Its password, from a vault or the environment. Required unless the entry is to be V(absent).
        type: str
      state:
        description: Whether the registry is to have an entry.
        type: str
        choices: [present, absent]
        default: present
  config_json:
    description:
      - Whether the Secret has the key C(config.json) too, with the same entries. A Tekton workspace bound to the Secret
        then is a folder for E(DOCKER_CONFIG) as it is, without a step that copies C(.dockerconfigjson).
      - Without this option the key stays as it is, there or not; where it is there, its entries follow.
    type: bool
  added_only:
    description: Remove only entries that this module added where there was none, known by an annotation of the Secret.
    type: bool
    default: false
seealso:
  - module: splithorizon.registry.service_account_pull_secret
  - module: splithorizon.registry.harbor_robot
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Let the kubelet pull from the public name, beside the old one (1/2)
  splithorizon.registry.docker_config_secret:
    context: alpha
    namespaces: [apps, ci]
    name: harbor-pull-secret
    registries:
      - name: harbor.example.com
        username: robot$cluster-pull
        password: "{{ lookup('ansible.builtin.env', 'HARBOR_ROBOT_PASSWORD') }}"

- name: List it for the pods of these namespaces (2/2)
  splithorizon.registry.service_account_pull_secret:
    context: alpha
    namespaces: [apps, ci]
    secret: harbor-pull-secret

- name: Credentials that a Tekton workspace can be bound to
  splithorizon.registry.docker_config_secret:
    context: alpha
    namespaces: [ci]
    name: harbor-push
    config_json: true
    registries:
      - name: harbor.example.com
        username: robot$ci
        password: "{{ registry_push_password }}"

- name: Take the old name's entry away when nobody uses it any more
  splithorizon.registry.docker_config_secret:
    context: alpha
    namespaces: [apps, ci]
    name: harbor-pull-secret
    registries:
      - {name: harbor-core.default.svc.cluster.local, state: absent}
"""

RETURN = r"""
secrets:
  description: For each namespace whether the Secret is there now, or would be in check mode.
  returned: success
  type: dict
  sample: {apps: present, ci: present}
workspace:
  description: What a Tekton run binds a workspace with to have C(config.json), whether or not the Secret has that key.
  returned: success
  type: dict
  sample: {secret: {secretName: harbor-push, items: [{key: .dockerconfigjson, path: config.json}]}}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._credentials_spec import SECRET_SPEC
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._pull_secret import CONFIG_JSON, DOCKER_CONFIG
from ansible_collections.splithorizon.registry.plugins.module_utils._pull_secrets import change_secrets


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    steps = change_secrets(Cluster(module.params, dry_run=module.check_mode), module.params, warn=module.warn)
    items = [{"key": DOCKER_CONFIG, "path": CONFIG_JSON}]
    results = {
        "secrets": {namespace: "present" if one.present else "absent" for namespace, one in steps.items()},
        "workspace": {"secret": {"secretName": module.params["name"], "items": items}},
    }
    return [one.change for one in steps.values()], results


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=KUBERNETES_SPEC | SECRET_SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
