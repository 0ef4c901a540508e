#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: buildkit_survey
short_description: Find what builds images with BuildKit in a cluster
version_added: 1.0.0
description:
  - Finds every Deployment, StatefulSet and DaemonSet with a container that runs buildkitd, by its image
    (C(…/buildkit)) or its command, and the ConfigMap that it mounts its C(buildkitd.toml) from.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.read_only
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - kubernetes >= 24.2.0
options:
  namespace:
    description: Look in this namespace only.
    type: str
seealso:
  - module: splithorizon.registry.buildkit_registry
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Find the builders
  splithorizon.registry.buildkit_survey:
    context: alpha
  register: builders

- name: Lead them to Harbor's public name
  splithorizon.registry.buildkit_registry:
    context: alpha
    namespace: "{{ item.namespace }}"
    config_map: "{{ item.config_map }}"
    key: "{{ item.key }}"
    registries:
      - host: harbor-core.default.svc.cluster.local
        state: absent
        replaced_by: harbor.example.com
  loop: "{{ builders.texts }}"
"""

RETURN = r"""
daemons:
  description: The workloads that run buildkitd.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: V(Deployment), V(StatefulSet) or V(DaemonSet).
      returned: always
      type: str
      sample: Deployment
    namespace:
      description: Its namespace.
      returned: always
      type: str
      sample: buildkit
    name:
      description: Its name.
      returned: always
      type: str
      sample: buildkitd
    container:
      description: The container that runs buildkitd.
      returned: always
      type: str
      sample: buildkitd
    address:
      description: Where the daemon listens, for C(buildctl) in its container. Empty for C(buildctl)'s own default.
      returned: always
      type: str
      sample: unix:///run/buildkit/buildkitd.sock
    selector:
      description: Label selector of its pods.
      returned: always
      type: str
      sample: app=buildkitd
    config_map:
      description: The ConfigMap with its C(buildkitd.toml), empty where it mounts none.
      returned: always
      type: str
      sample: buildkitd-config
    key:
      description: The key in it, empty where there is none.
      returned: always
      type: str
      sample: buildkitd.toml
texts:
  description: Where their texts are, each once, for daemons may share one.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the ConfigMap.
      returned: always
      type: str
      sample: buildkit
    config_map:
      description: Its name.
      returned: always
      type: str
      sample: buildkitd-config
    key:
      description: The key in it.
      returned: always
      type: str
      sample: buildkitd.toml
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_survey import workloads
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster

SPEC: dict[str, t.Any] = {"namespace": {"type": "str"}}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    found = workloads(Cluster(module.params), module.params["namespace"])
    places = dict.fromkeys((one.namespace, one.config_map, one.key) for one in found if one.config_map)
    texts = [{"namespace": namespace, "config_map": name, "key": key} for namespace, name, key in places]
    return [], {"daemons": [one.shown for one in found], "texts": texts}


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=KUBERNETES_SPEC | SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
