#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: service_account_pull_secret
short_description: List a pull secret in service accounts, beside those that are listed
version_added: 0.1.0
description:
  - Adds the name of a Secret to a list of service accounts, or takes it away. Other names and their order
    stay.
  - Pods get the list when they are made; those that run keep theirs.
  - The Secret need not be there; the kubelet passes over one that is not.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - kubernetes >= 24.2.0
options:
  namespaces:
    description: Namespaces of the service accounts. All are looked at before the first is changed.
    type: list
    elements: str
    required: true
  names:
    description: Service accounts in each of them, which must be there to list a Secret.
    type: list
    elements: str
    default: [default]
  secret:
    description: Name of the Secret.
    type: str
    required: true
  list:
    description: Which list names it. Tekton takes credentials for its own steps from V(secrets).
    type: str
    choices: [imagePullSecrets, secrets]
    default: imagePullSecrets
  state:
    description: Whether the list is to name it.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: splithorizon.registry.docker_config_secret
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Pods of these namespaces pull with the Secret
  splithorizon.registry.service_account_pull_secret:
    context: alpha
    namespaces: [apps, ci]
    secret: harbor-pull-secret

- name: Tekton's steps push with another
  splithorizon.registry.service_account_pull_secret:
    context: alpha
    namespaces: [ci]
    names: [pipeline]
    secret: harbor-push
    list: secrets
"""

RETURN = r"""
service_accounts:
  description: Namespaces and names of those that were changed, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [ServiceAccount apps/default]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._credentials_spec import ACCOUNTS_SPEC
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._pull_secrets import change_accounts


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    steps = change_accounts(Cluster(module.params, dry_run=module.check_mode), module.params)
    changes = [one.change for one in steps]
    return changes, {"service_accounts": [change.what for change in changes if change.changed]}


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=KUBERNETES_SPEC | ACCOUNTS_SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
