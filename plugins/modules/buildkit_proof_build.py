#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: buildkit_proof_build
short_description: Prove with a build that BuildKit reaches a registry
version_added: 1.0.0
description:
  - Has a buildkitd of the cluster build an image FROM scratch, push it with its cache in it, and build it once more
    from that cache. C(buildctl) runs in the daemon's own container, without any insecure flag.
  - Where a build fails, says who could not reach or trust whom, and what helps, with BuildKit's own words.
  - The image stays in the registry; M(splithorizon.registry.registry_proof_image) takes it out.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_kubernetes
attributes:
  check_mode:
    description: Builds nothing in C(check_mode).
  idempotent:
    description: A proof is made anew each time, and reported as no change.
requirements:
  - kubernetes >= 24.2.0
options:
  namespace:
    description: Namespace of the workload.
    type: str
    required: true
  name:
    description: The Deployment, StatefulSet or DaemonSet that runs buildkitd.
    type: str
    required: true
  image:
    description: What to push, C(host/repository:tag).
    type: str
    required: true
  username:
    description: Account that may push there.
    type: str
    required: true
  password:
    description: Its password.
    type: str
    required: true
  ca:
    description:
      - A file in the daemon's container with the authority of the registry's certificate, for the client that fetches
        the token. By default the container's system is trusted. The daemon itself goes by its C(buildkitd.toml).
    type: str
  timeout:
    description: Seconds for each of the two builds.
    type: int
    default: 60
seealso:
  - module: splithorizon.registry.buildkit_registry
  - module: splithorizon.registry.buildkit_survey
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: A build is pushed by the public name
  splithorizon.registry.buildkit_proof_build:
    context: alpha
    namespace: buildkit
    name: buildkitd
    image: harbor.example.com/library/proof:build
    username: robot$ci
    password: "{{ vault_harbor_push_password }}"
"""

RETURN = r"""
pushed:
  description: Seconds of the build with its push.
  returned: success and not in check mode
  type: float
  sample: 0.6
rebuilt:
  description: Seconds of the build from the imported cache.
  returned: success and not in check mode
  type: float
  sample: 0.3
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_proof import Account, prove_build
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_survey import workloads
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._names import registry_host

SPEC: dict[str, t.Any] = {
    "namespace": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "image": {"type": "str", "required": True},
    "username": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "ca": {"type": "str"},
    "timeout": {"type": "int", "default": 60},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    host = registry_host(params["image"].partition("/")[0], where="image")
    cluster = Cluster(params, dry_run=module.check_mode)
    found = [one for one in workloads(cluster, params["namespace"]) if one.name == params["name"]]
    if not found:
        where = f"{params['namespace']}/{params['name']}"
        raise BadInput("nothing of this name runs buildkitd", where=where, cure="buildkit_survey says what does")
    if module.check_mode:
        return [], {}
    account = Account(host=host, username=params["username"], password=params["password"], ca=params["ca"] or "")
    proof = prove_build(
        cluster,
        found[0],
        image=params["image"],
        account=account,
        content=str(time.time_ns()),
        seconds=params["timeout"],
    )
    return [], {"pushed": proof.pushed, "rebuilt": proof.rebuilt}


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=KUBERNETES_SPEC | SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
