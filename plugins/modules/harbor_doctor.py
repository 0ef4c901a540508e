#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_doctor
short_description: Verify what Harbor tells its clients, and that its parts agree
version_added: 1.0.0
description:
  - Reads the settings that core and jobservice start with, the health of every component and the realm that names are
    told, and names each trouble with its cure.
  - Core and jobservice must have the same C(CORE_URL), or jobs that replicate within this Harbor lose their rights.
  - With credentials, lists the tags of a repository, through the Service before core.
  - Where Tekton runs, tells how the newest runs that use the registry came out.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_kubernetes
  - splithorizon.registry._attributes.read_only
requirements:
  - kubernetes >= 24.2.0
options:
  namespace:
    description: Namespace of the release.
    type: str
    required: true
  fullname:
    description: The chart's full name, by which its objects begin. By default that of the only Harbor in O(namespace).
    type: str
  external_url:
    description: The external URL that Harbor is to have. Without it, no realm is judged.
    type: str
  core_url:
    description: The C(CORE_URL) it is to have. By default the chart's own.
    type: str
  hosts:
    description: Names, with a port where clients use one, whose realm is read.
    type: list
    elements: str
    default: []
  registry:
    description: The name by which builders use the registry, to tell the runs of Tekton by.
    type: str
  username:
    description: Account that may pull from O(repository).
    type: str
  password:
    description: Its secret.
    type: str
  repository:
    description: Repository whose tags are listed.
    type: str
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: The verification of a Harbor over HTTP
  splithorizon.registry.harbor_doctor:
    context: alpha
    namespace: default
    registry: harbor-core.default.svc.cluster.local
    external_url: https://harbor.example.com
    core_url: http://harbor-core.default.svc.cluster.local:80
    hosts: [harbor.example.com, harbor-core.default.svc.cluster.local]
    username: robot$tekton
    password: "{{ vault_robot_secret }}"
    repository: library/ubuntu-curl
"""

RETURN = r"""
settings:
  description: The settings that core and jobservice start with, by ConfigMap; what a Deployment sets itself counts.
  returned: success
  type: dict
  sample: {harbor-core: {EXT_ENDPOINT: 'https://harbor.example.com', CORE_URL: 'http://harbor-core:80'}}
local_replication:
  description: Whether core and jobservice have the same C(CORE_URL), as jobs that replicate within this Harbor need it.
  returned: success
  type: bool
realm_read:
  description: Per name in O(hosts) the C(WWW-Authenticate) header that core answered.
  returned: when Harbor does not use C(internalTLS)
  type: dict
  sample: {harbor.example.com: 'Bearer realm="https://harbor.example.com/service/token",service="harbor-registry"'}
health:
  description: What C(/api/v2.0/health) answered.
  returned: when it answered
  type: dict
  sample: {status: healthy, components: [{name: core, status: healthy}]}
tags:
  description: The tags of O(repository).
  returned: when O(username) and O(repository) are given, and the credentials open it
  type: list
  elements: str
  sample: [latest]
runs:
  description: The newest finished run of each Pipeline, and of each Task by itself, in which O(registry) is used.
  returned: when O(registry) is given
  type: list
  elements: dict
  sample:
    - kind: PipelineRun
      namespace: dev
      name: build-ubuntu-run-8c2m8
      of: build-ubuntu
      succeeded: true
      finished: '2026-11-21T12:00:00Z'
      message: 'Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 0'
troubles:
  description: What is wrong. Runs that failed are not among them, as they may have other causes.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: V(stale), V(replication), V(health), V(realm) or V(tags).
      returned: always
      type: str
      sample: realm
    message:
      description: What is wrong, and where.
      returned: always
      type: str
      sample: the realm of harbor.example.com is http://harbor.example.com/service/token, not …
    cure:
      description: What to do.
      returned: always
      type: str
      sample: Set it by harbor_core_patch, or look who put the settings back
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import chart_core_url, realm
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_core import (
    Found,
    HarborCore,
    find_fullname,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_page import (
    Trouble,
    local_replication,
    troubles,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_runs import KINDS, newest_runs

SPEC: dict[str, t.Any] = {
    "namespace": {"type": "str", "required": True},
    "fullname": {"type": "str"},
    "external_url": {"type": "str"},
    "core_url": {"type": "str"},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "registry": {"type": "str"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "repository": {"type": "str"},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    cluster = Cluster(params, dry_run=True)
    namespace = params["namespace"]
    fullname = find_fullname(cluster, namespace=namespace, fullname=params["fullname"], release=None)
    harbor = HarborCore(cluster=cluster, namespace=namespace, fullname=fullname, seconds=0)
    found = harbor.read()
    health = harbor.health()
    read = {} if found.inside_tls else harbor.challenges(params["hosts"])
    core_url = found.effective[harbor.core]["CORE_URL"]
    tags, refused = (None, []) if found.inside_tls else _tags(harbor, params, core_url)
    results = {
        "settings": found.effective,
        "local_replication": local_replication(found.effective, fullname=fullname),
        "health": health,
        "realm_read": read,
        "tags": tags,
        "troubles": refused
        + troubles(
            fullname=fullname,
            namespace=namespace,
            settings=found.effective,
            stale=found.stale,
            health=health,
            expected=_expected(params, found, fullname),
            read=read,
        ),
    }
    if params["registry"]:
        objects = [one for api_version, kind in KINDS for one in cluster.list(api_version, kind, None)]
        results["runs"] = [run.shown for run in newest_runs(objects, host=params["registry"])]
    return [], {key: value for key, value in results.items() if value is not None}


def _expected(params: dict[str, t.Any], found: Found, fullname: str) -> dict[str, str]:
    if not params["external_url"]:
        return {}
    core_url = params["core_url"] or chart_core_url(fullname=fullname, core_data=found.core_map["data"])
    wanted = {"ext_endpoint": params["external_url"], "core_url": core_url, "version": found.version}
    return {host: realm(host=host, **wanted) for host in params["hosts"]}


def _tags(harbor: HarborCore, params: dict[str, t.Any], core_url: str) -> tuple[list[str] | None, list[Trouble]]:
    if not (params["username"] and params["repository"]):
        return None, []
    account = {"username": params["username"], "password": params["password"]}
    try:
        return harbor.tags(params["repository"], core_url=core_url, **account), []
    except RegistryError as error:
        return None, [Trouble(kind="tags", message=str(error), cure=error.cure or "Check the account and its secret")]


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec=KUBERNETES_SPEC | SPEC,
        required_together=[("username", "password")],
        supports_check_mode=True,
    )
    report(module, step)


if __name__ == "__main__":
    main()
