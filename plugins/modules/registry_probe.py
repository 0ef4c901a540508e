#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: registry_probe
short_description: Ask a registry who it is, by name, over any path
version_added: 0.1.0
description:
  - Asks C(/v2/) of a registry without credentials, checks its certificate as a client does, reads the token realm,
    proves credentials by what their token opens, and pulls an image where O(tag) names one.
  - The connection goes where DNS leads, to O(address), or through the API server's port-forward into a ready pod behind
    the Service O(via_service). Server name, C(Host) and the judgement of the certificate are those of O(url) each time.
    So a name can be proven on a path before DNS leads there.
  - What keeps a client from the registry is an error with a RV(kind), and with what clients say of it.
  - It never writes. M(splithorizon.registry.registry_proof_image) proves a push, of a large layer too, and cleans up.
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
  tag:
    description:
      - Tag or digest of an image in O(repository) to pull, as O(username) or anonymously.
      - Its manifest is read, and the largest of its blobs that is not larger than O(max_blob). Nothing is kept.
    type: str
  max_blob:
    description: Bytes of the largest blob to pull. It has to come within O(timeout).
    type: int
    default: 134217728
  plain_http:
    description: Also ask the same host, in the same way, by plain HTTP on port 80.
    type: bool
    default: false
  min_valid_days:
    description: Days that the certificate, and those of its authorities, must still be valid.
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

- name: Pull an image, and see what plain HTTP answers
  splithorizon.registry.registry_probe:
    url: https://harbor.example.com
    username: robot$cluster-pull
    password: "{{ registry_pull_password }}"
    repository: library/app
    tag: '1.4'
    plain_http: true
    timeout: 60

- name: Go on only where the certificate is the trouble
  splithorizon.registry.registry_probe:
    url: https://harbor.example.com
  register: registry
  failed_when: registry.failed and registry.kind != 'untrusted'
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
service:
  description: The service that a token is asked for, as the header names it. Empty where it names none.
  returned: success
  type: str
  sample: harbor-registry
seconds:
  description: Seconds that the connection (with DNS), the TLS handshake and the answer of C(/v2/) took.
  returned: success
  type: dict
  sample: {connect: 0.002, tls: 0.011, answer: 0.006}
addresses:
  description: What DNS says of the host, on this machine.
  returned: when neither O(address) nor O(via_service) is given
  type: list
  elements: str
  sample: [203.0.113.7]
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
    chain:
      description: What was verified, the server's certificate first and the root last.
      returned: always
      type: list
      elements: dict
      contains:
        subject:
          description: Distinguished name of whom it is for.
          returned: always
          type: str
          sample: CN=Example CA
        not_after:
          description: Time of its expiry, UTC.
          returned: always
          type: str
          sample: '2036-02-01T00:00:00Z'
http:
  description: What plain HTTP answers on port 80.
  returned: when O(plain_http) is true
  type: dict
  contains:
    answer:
      description: >-
        V(redirect) to HTTPS, V(registry) where the registry itself answers, V(none) where nobody does, V(other) else.
      returned: always
      type: str
      sample: redirect
    problem:
      description: Why nobody answers, empty where somebody does.
      returned: always
      type: str
      sample: ''
    status:
      description: Status of the answer.
      returned: when somebody answers
      type: int
      sample: 301
    location:
      description: Where it sends to, empty where it does not.
      returned: when somebody answers
      type: str
      sample: https://harbor.example.com/v2/
    realm:
      description: The token realm that it names, empty where it names none. Credentials go to an http one in clear.
      returned: when somebody answers
      type: str
      sample: ''
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
tags:
  description: Tags of O(repository), the first page of them.
  returned: when the token of O(username) opens O(repository)
  type: list
  elements: str
  sample: ['1.3', '1.4']
pull:
  description: What was pulled.
  returned: when O(tag) is given
  type: dict
  contains:
    digest:
      description: Digest of the manifest; for an index that of its first image.
      returned: always
      type: str
      sample: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    manifest_seconds:
      description: Seconds that the manifest took, with connection and TLS.
      returned: always
      type: float
      sample: 0.031
    blob:
      description: Digest of the blob, which its bytes have been compared with.
      returned: always
      type: str
      sample: sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
    size:
      description: Bytes of the blob.
      returned: always
      type: int
      sample: 31457280
    blob_seconds:
      description: Seconds that it took.
      returned: always
      type: float
      sample: 0.412
    source:
      description: Host that gave it, another than the registry's where clients are sent to an object store.
      returned: always
      type: str
      sample: harbor.example.com
kind:
  description: >-
    Kind of the trouble, V(name_unknown), V(unreachable), V(plain_http), V(no_tls), V(wrong_name), V(expired),
    V(untrusted), V(no_registry), V(no_token), V(access_denied), V(not_found), V(blocked), V(corrupt) or V(slow).
  returned: failure, where it is not the input's
  type: str
  sample: untrusted
clients_say:
  description: What containerd, Docker and BuildKit print where this is the trouble.
  returned: with RV(kind)
  type: str
  sample: 'x509: certificate signed by unknown authority'
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
        required_by={"tag": "repository"},
        supports_check_mode=True,
    )
    report(module, step)


if __name__ == "__main__":
    main()
