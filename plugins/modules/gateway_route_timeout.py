#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_route_timeout
short_description: Let requests to the registry take as long as they need at Envoy Gateway
version_added: 0.1.0
description:
  - Envoy ends a request after 15 seconds where nobody says otherwise, and with it the pull of a large layer. For each
    HTTPRoute of O(gateway) that names O(hostname) this module makes a BackendTrafficPolicy with
    C(requestTimeout=0s), beside the route, which itself stays as it is, whoever manages it.
  - What is said stays, and is warned of where it is less than ten minutes. That is C(timeouts) of a rule, or
    C(timeout.http.requestTimeout) of a BackendTrafficPolicy for the rule, the route, its listener or the Gateway.
  - Where the Gateway has a policy, the new one is merged with it (C(mergeType)), so that its other settings hold on.
    An Envoy Gateway that does not know C(mergeType) refuses the policy before anything is changed.
  - A policy of somebody else for the same route, without a limit of its own, is an error that names it.
  - A route that takes the name among others (no hostnames, or a wildcard) is left alone, with a warning.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - kubernetes >= 24.2.0
options:
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
    description: Whether the limit is to be gone. With V(absent), the policies of this module are taken away.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: splithorizon.registry.gateway_alias
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Do not cut large layers
  splithorizon.registry.gateway_route_timeout:
    context: alpha
    hostname: harbor.example.com
    gateway: {namespace: envoy-gateway, name: envoy-gateway}
"""

RETURN = r"""
routes:
  description: The HTTPRoutes of the name, as they were found.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the route.
      returned: always
      type: str
      sample: harbor
    name:
      description: Its name.
      returned: always
      type: str
      sample: harbor
    rules:
      description: For each of its rules, the limit and who says so.
      returned: always
      type: list
      elements: dict
      contains:
        timeout:
          description: How long a request may take; V(0s) is without a limit.
          returned: always
          type: str
          sample: 15s
        by:
          description: The object that says so, empty for Envoy's own default.
          returned: always
          type: str
          sample: ''
notes:
  description: Limits that are left as they are, a sentence each; warned of as well.
  returned: success
  type: list
  elements: str
  sample: []
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._gateway import GATEWAY_SPEC
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import dns_name
from ansible_collections.splithorizon.registry.plugins.module_utils._route_limits import RouteLimits
from ansible_collections.splithorizon.registry.plugins.module_utils._route_timeout import title

SPEC: dict[str, t.Any] = {
    "hostname": {"type": "str", "required": True},
    "gateway": {**GATEWAY_SPEC, "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    hostname = dns_name(module.params["hostname"], option="hostname")
    limits = RouteLimits(Cluster(module.params, dry_run=module.check_mode), {**module.params, "hostname": hostname})
    planned = limits.plan()
    for note in planned.notes:
        module.warn(note)
    limits.send(planned)
    changes = [Change(what=title(one), before=None, after=one["spec"]) for one in planned.add]
    changes += [Change(what=title(one), before=one["spec"], after=None) for one in planned.remove]
    return changes, {"routes": list(planned.shown), "notes": list(planned.notes)}


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=KUBERNETES_SPEC | SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
