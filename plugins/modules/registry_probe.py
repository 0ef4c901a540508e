#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: registry_probe
short_description: Ask a registry who it is, by name, over any path
version_added: 0.1.0
description:
  - Asks C(/v2/) of a registry without credentials, checks its certificate as a client does, reads the token realm, and
    proves credentials by what their token opens.
  - The connection goes where DNS leads, to O(address), or through the API server's port-forward into a ready pod behind
    the Service O(via_service). Server name, C(Host) and the judgement of the certificate are those of O(url) each time.
    So a name can be proven on a path before DNS leads there.
  - An expired, untrusted or foreign certificate, a server that speaks plain HTTP and a Service without a ready pod each
    are an error of their own.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes.read_only
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - cryptography >= 42
  - kubernetes >= 24.2.0, for O(via_service)
options:
  url:
    description: Scheme, host and port of the registry.
    type: str
    required: true
  address:
    description: IP address, or C(ip:port), to connect to in place of what DNS says of the host.
    type: str
  via_service:
    description: Connect into a ready pod behind the port of this Service that has the URL's number.
    type: dict
    suboptions:
      namespace:
        description: Namespace of the Service and of its pods.
        type: str
        required: true
      name:
        description: Name of the Service.
        type: str
        required: true
  ca:
    description: Certificates to trust, PEM text. By default those the system trusts.
    type: str
  username:
    description: User whose token is proven.
    type: str
  password:
    description: Password of O(username).
    type: str
  repository:
    description: Repository, with its project, that the token must open for pulling. It need not hold anything.
    type: str
  min_valid_days:
    description: Days that the certificate must still be valid.
    type: int
    default: 7
  timeout:
    description: Seconds that one request may take.
    type: int
    default: 10
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Prove the alias Service before DNS leads pods there
  splithorizon.registry.registry_probe:
    context: alpha
    url: https://harbor.example.com
    via_service:
      namespace: envoy-gateway-system
      name: envoy-proxy

- name: Prove the pull robot on the load balancer's address
  splithorizon.registry.registry_probe:
    url: https://harbor.example.com
    address: 203.0.113.7
    username: robot$cluster-pull
    password: "{{ registry_pull_password }}"
    repository: library/proof
"""

RETURN = r"""
status:
  description: Status of C(/v2/) without credentials, 401 where it asks for a token.
  returned: success
  type: int
  sample: 401
realm:
  description: The realm as the header names it, the token service's URL. Empty where the registry is open to all.
  returned: success
  type: str
  sample: https://harbor.example.com/service/token
realm_header:
  description: The whole C(WWW-Authenticate) header.
  returned: success
  type: str
  sample: Bearer realm="https://harbor.example.com/service/token",service="harbor-registry"
tls:
  description: The certificate served.
  returned: when O(url) is https
  type: dict
  contains:
    names:
      description: DNS names and IP addresses it is for.
      returned: always
      type: list
      elements: str
      sample: [harbor.example.com]
    issuer:
      description: Distinguished name of who signed it.
      returned: always
      type: str
      sample: CN=Example CA
    not_after:
      description: Time of its expiry, UTC.
      returned: always
      type: str
      sample: '2027-02-01T00:00:00Z'
    days_left:
      description: Whole days until then.
      returned: always
      type: int
      sample: 71
token:
  description: Whether the token of O(username) opens C(/v2/), and O(repository) where given.
  returned: when O(username) is given
  type: bool
  sample: true
token_refusal:
  description: Why the token does not, empty where it does.
  returned: when O(username) is given
  type: str
  sample: ''
peer:
  description: Where the connection went.
  returned: success
  type: str
  sample: pod envoy-gateway-system/envoy-7d9c:10443
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._probe import PROBE_SPEC, probe


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    return [], probe(module.params, connect=lambda: Cluster(module.params), warn=module.warn)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec=KUBERNETES_SPEC | PROBE_SPEC,
        mutually_exclusive=[("address", "via_service")],
        required_together=[("username", "password")],
        supports_check_mode=True,
    )
    report(module, step)


if __name__ == "__main__":
    main()
