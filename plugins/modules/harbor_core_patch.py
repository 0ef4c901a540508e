#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_core_patch
short_description: Set which token realm Harbor names to its clients
version_added: 0.1.0
description:
  - Sets C(EXT_ENDPOINT) and C(CORE_URL) in the ConfigMaps of Harbor's core and jobservice together, restarts both one
    after the other, waits until every component is healthy, and reads the realm back as a client without
    credentials gets it.
  - A host that matches C(CORE_URL) is told the realm of C(CORE_URL). Every other host is told, from Harbor 2.14 on, its
    own name under the scheme of C(EXT_ENDPOINT); before, C(EXT_ENDPOINT) itself.
  - Where Harbor does not become healthy, the old values are put back and both are restarted.
  - Pods that started before the last write of these values, because a run was interrupted, are restarted too.
  - C(helm upgrade) and Flux write the chart's values again. To make O(external_url) last, set C(externalURL) of the
    release too. C(CORE_URL) has no value in the chart.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - kubernetes >= 24.2.0
options:
  namespace:
    description: Namespace of the release.
    type: str
    required: true
  fullname:
    description: The chart's full name, by which its objects begin.
    type: str
    default: harbor
  external_url:
    description: The URL by which clients reach Harbor, C(externalURL) of the chart. Scheme, host and port only.
    type: str
    required: true
  core_url:
    description:
      - The C(CORE_URL) to set.
      - By default the chart's own, C(http://<fullname>-core:80), or C(https://<fullname>-core:443) with C(internalTLS).
      - Its scheme must be the one of the chart's own, because jobservice reaches core by it.
    type: str
  state:
    description:
      - With V(absent), C(CORE_URL) is given back as the chart writes it; O(external_url) is set in both states.
    type: str
    choices: [present, absent]
    default: present
  hosts:
    description: Names, with a port where clients use one, whose realm is predicted and read back.
    type: list
    elements: str
    default: []
  version:
    description: Harbor's version, which decides the rule of the realm. By default that of the core's image.
    type: str
  wait:
    description: Wait until both are restarted and every component is healthy, and read the realm back.
    type: bool
    default: true
  wait_timeout:
    description: Seconds that all waiting may take together; putting the old values back may take as long again.
    type: int
    default: 300
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Name the HTTPS realm to everybody
  splithorizon.registry.harbor_core_patch:
    context: alpha
    namespace: default
    external_url: https://harbor.example.com
    hosts: [harbor.example.com]

- name: Keep an HTTP realm for builders that use the internal name
  splithorizon.registry.harbor_core_patch:
    context: alpha
    namespace: default
    external_url: https://harbor.example.com
    core_url: http://harbor-core.default.svc.cluster.local:80
    hosts: [harbor.example.com, harbor-core.default.svc.cluster.local]

- name: Take that back
  splithorizon.registry.harbor_core_patch:
    context: alpha
    namespace: default
    external_url: https://harbor.example.com
    state: absent
"""

RETURN = r"""
before:
  description: The settings of each ConfigMap as they were.
  returned: success
  type: dict
  sample: {harbor-core: {EXT_ENDPOINT: 'http://192.168.1.105', CORE_URL: 'http://harbor-core:80'}}
after:
  description: The settings of each ConfigMap as they are, or will be.
  returned: success
  type: dict
  sample: {harbor-core: {EXT_ENDPOINT: 'https://harbor.example.com', CORE_URL: 'http://harbor-core:80'}}
restarted:
  description: Names of the Deployments that were restarted, or would be.
  returned: success
  type: list
  elements: str
  sample: [harbor-core, harbor-jobservice]
realms:
  description: Per name in O(hosts) the realm it was told with the settings before, and is told with those after.
  returned: success
  type: dict
  sample:
    harbor.example.com:
      before: http://harbor.example.com/service/token
      after: https://harbor.example.com/service/token
realm_read:
  description: Per name in O(hosts) the C(WWW-Authenticate) header that core answered.
  returned: when O(wait=true), not in check mode, and Harbor does not use C(internalTLS)
  type: dict
  sample: {harbor.example.com: 'Bearer realm="https://harbor.example.com/service/token",service="harbor-registry"'}
health:
  description: What C(/api/v2.0/health) answered at last.
  returned: when O(wait=true) and not in check mode
  type: dict
  sample: {status: healthy, components: [{name: core, status: healthy}]}
version:
  description: The version whose rule was used.
  returned: success
  type: str
  sample: 2.15.2
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import NotReady, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import (
    Plan,
    Version,
    parse_version,
    plan,
    realm,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_core import Found, HarborCore
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._registry import parse_challenge

SPEC: dict[str, t.Any] = {
    "namespace": {"type": "str", "required": True},
    "fullname": {"type": "str", "default": "harbor"},
    "external_url": {"type": "str", "required": True},
    "core_url": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "version": {"type": "str"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    asked = parse_version(params["version"], where="version") if params["version"] else None
    cluster = Cluster(params, dry_run=module.check_mode)
    namespace, fullname = params["namespace"], params["fullname"]
    harbor = HarborCore(cluster=cluster, namespace=namespace, fullname=fullname, seconds=params["wait_timeout"])
    found = harbor.read()
    planned = plan(
        fullname=fullname,
        namespace=namespace,
        external_url=params["external_url"],
        core_url=params["core_url"] if params["state"] == "present" else None,
        core=found.core_map["data"],
        jobservice=found.jobservice_map["data"],
    )
    version = asked or found.version
    realms = {
        host: {when: _realm(host, values[harbor.core], version) for when, values in _both(planned).items()}
        for host in params["hosts"]
    }
    restarted = [harbor.core, harbor.jobservice] if planned.changed else list(found.stale)
    expected = {host: both["after"] for host, both in realms.items()}
    proof = _send(module, harbor=harbor, planned=planned, found=found, restarted=restarted, expected=expected)
    changes = [
        Change(what=f"ConfigMap {namespace}/{name}", before=values, after=planned.after[name])
        for name, values in planned.before.items()
    ]
    changes += [
        Change(what=f"Deployment {namespace}/{name}", before={"settings": "before"}, after={"settings": "after"})
        for name in restarted
    ]
    results = {"realms": realms, "restarted": restarted, "version": ".".join(str(number) for number in version)}
    return changes, {**_both(planned), **results, **proof}


def _send(
    module: AnsibleModule,
    *,
    harbor: HarborCore,
    planned: Plan,
    found: Found,
    restarted: list[str],
    expected: dict[str, str],
) -> dict[str, t.Any]:
    wait = module.params["wait"] and not module.check_mode
    ill = harbor.ill() if wait and planned.changed else []
    harbor.write(planned, found)
    try:
        harbor.restart(restarted, wait=wait)
        if not wait:
            return {}
        health = harbor.wait_healthy()
        if found.inside_tls:
            module.warn("Harbor uses internalTLS: the realm is not read back from core itself")
            return {"health": health}
        return {"health": health, "realm_read": _proven(harbor.challenges(list(expected)), expected)}
    except RegistryError as error:
        if planned.changed and not module.check_mode:
            raise harbor.put_back(planned, error, ill=ill) from error
        raise


def _both(planned: Plan) -> dict[str, dict[str, dict[str, str]]]:
    return {"before": planned.before, "after": planned.after}


def _realm(host: str, values: dict[str, str], version: Version) -> str:
    return realm(host=host, ext_endpoint=values["EXT_ENDPOINT"], core_url=values["CORE_URL"], version=version)


def _proven(read: dict[str, str], expected: dict[str, str]) -> dict[str, str]:
    for host, header in read.items():
        challenge = parse_challenge(header)
        if challenge is None or challenge.realm != expected[host]:
            cure = "Check that version is Harbor's own, and that nothing else writes its ConfigMaps"
            raise NotReady(f"realm is {header!r}, not {expected[host]}", where=f"Harbor's core, Host {host}", cure=cure)
    return read


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=KUBERNETES_SPEC | SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
