#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_alias
short_description: A Service with a steady name in front of a gateway's proxies
version_added: 0.1.0
description:
  - Envoy Gateway generates the name of the Service of a Gateway. This module puts a Service with a name of your own
    beside it (type C(ClusterIP)), which leads to the same pods, so that names can be rewritten to it.
  - Namespace, labels and ports of the pods are those of the generated Service, found by its labels. That holds for a
    proxy for each Gateway, for one of a whole GatewayClass (C(mergeGateways)), for proxies beside each Gateway
    (C(GatewayNamespace)), and with or without C(useListenerPortAsContainerPort).
  - Stops before any change where pods cannot be served, that is where the listener wants the PROXY protocol or a client
    certificate (ClientTrafficPolicy, or C(tls) of the Gateway), or where no pod is ready.
  - Warns of NetworkPolicies, Cilium's policies and SecurityPolicies that may keep pods from the gateway.
  - Where O(name) is the generated Service itself (C(envoyService.name), GatewayNamespace mode, Cilium), nothing is
    changed.
  - Other ports, labels and annotations of a Service that is there already stay.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - kubernetes >= 24.2.0
options:
  name:
    description: Name of the alias Service.
    type: str
    required: true
  namespace:
    description:
      - Its namespace, which has to be that of the proxies. With Envoy Gateway that is its controller's, or with
        GatewayNamespace mode the Gateway's.
    type: str
    required: true
  gateway:
    description: The Gateway. Required with O(state=present), unless O(selector) is given.
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
    description: Labels of the proxies' pods, for a gateway that is no Gateway API one.
    type: dict
  ports:
    description: "With O(selector), the ports of the pods by the ports of the Service, as C({443: 8443})."
    type: dict
  hostname:
    description: The registry's public name, to find what listeners and policies ask of its clients.
    type: str
    required: true
  state:
    description: Whether the alias is there. A Service that is generated for a Gateway is never taken away.
    type: str
    choices: [present, absent]
    default: present
  wait_timeout:
    description: Seconds to wait after a change until the Service has a ready endpoint.
    type: int
    default: 30
seealso:
  - module: splithorizon.registry.gateway_route_timeout
  - module: splithorizon.registry.coredns_rewrite
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Give the gateway a name that pods can be led to
  splithorizon.registry.gateway_alias:
    context: alpha
    name: envoy-proxy
    namespace: envoy-gateway-system
    gateway: {namespace: envoy-gateway, name: envoy-gateway}
    hostname: harbor.example.com

- name: The same for proxies of another kind
  splithorizon.registry.gateway_alias:
    context: alpha
    name: traefik-registry
    namespace: traefik
    selector: {app.kubernetes.io/name: traefik}
    ports: {443: 8443}
    hostname: harbor.example.com
"""

RETURN = r"""
generated:
  description: The Service that was generated for the Gateway.
  returned: with O(gateway) and O(state=present)
  type: dict
  contains:
    namespace:
      description: Its namespace.
      returned: always
      type: str
      sample: envoy-gateway-system
    service:
      description: Its name.
      returned: always
      type: str
      sample: envoy-envoy-gateway-envoy-gateway-9dbc5803
    stable:
      description: Whether that name can be relied on.
      returned: always
      type: bool
      sample: false
    mode:
      description: V(gateway), V(merged), V(gateway_namespace), or V(other) for other implementations of Gateway API.
      returned: always
      type: str
      sample: gateway
selector:
  description: Labels of the proxies.
  returned: with O(state=present)
  type: dict
  sample: {app.kubernetes.io/component: proxy}
ports:
  description: Ports of the proxies by those of the Service.
  returned: with O(state=present)
  type: dict
  sample: {80: 10080, 443: 10443}
endpoints:
  description: Addresses of the pods behind the Service.
  returned: with O(state=present), when the Service is there
  type: list
  elements: str
  sample: [10.244.1.7]
notes:
  description: What may keep pods from the gateway, a sentence each; warned of as well.
  returned: with O(state=present)
  type: list
  elements: str
  sample: []
advice:
  description: A better way to a steady name, empty where there is none.
  returned: with O(state=present)
  type: str
  sample: ''
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._alias_service import AliasService
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._envoy_gateway import advice
from ansible_collections.splithorizon.registry.plugins.module_utils._gateway import GATEWAY_SPEC
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._names import dns_label
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import dns_name

SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "gateway": GATEWAY_SPEC,
    "selector": {"type": "dict"},
    "ports": {"type": "dict"},
    "hostname": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "wait_timeout": {"type": "int", "default": 30},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    hostname = dns_name(params["hostname"], option="hostname")
    for option in ("name", "namespace"):
        dns_label(params[option], where=f"option {option}")
    alias = AliasService(Cluster(params, dry_run=module.check_mode), params)
    planned = alias.plan()
    results: dict[str, t.Any] = {}
    if params["state"] == "present":
        notes = alias.notes(hostname)
        results = alias.exposure.results | {"notes": notes, "advice": advice(alias.exposure, name=params["name"])}
        for note in notes:
            module.warn(note)
    alias.send(planned)
    if params["state"] == "present" and not (module.check_mode and planned.changes):
        results["endpoints"] = alias.wait(params["wait_timeout"] if planned.changes else 0)
    return [Change(what=alias.where, before=planned.before, after=planned.after)], results


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec=KUBERNETES_SPEC | SPEC,
        mutually_exclusive=[("gateway", "selector")],
        required_by={"selector": ["ports"], "ports": ["selector"]},
        supports_check_mode=True,
    )
    report(module, step)


if __name__ == "__main__":
    main()
