#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: spegel_registries
short_description: Set which registries Spegel mirrors, without losing those of Talos
version_added: 0.1.0
description:
  - Puts registries into C(mirroredRegistries) of Spegel, or takes them out, and sets C(prependExisting).
  - Writes the C(HelmRelease) of Flux where there is one, else the arguments of the DaemonSet's two containers.
  - Entries that are not named stay where they are. An entry of the same host under another scheme is replaced in place.
  - An empty list means every registry. So that it stays so, V(_default) is put before the first entry (from 0.4.0).
  - Spegel rewrites every C(hosts.toml) of a node as its pod starts. Mirrors of Talos that would be lost by it, given as
    O(talos_mirrors), are refused before anything is changed.
  - After a change of Talos's registries the files of Spegel are gone from the node until its pod there is started
    again; this module does not do that.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - kubernetes >= 24.2.0
options:
  namespace:
    description: Namespace of the HelmRelease or DaemonSet.
    type: str
    default: kube-system
  name:
    description: Name of the HelmRelease or DaemonSet.
    type: str
    default: spegel
  kind:
    description: Where the settings are kept. V(auto) takes the HelmRelease where there is one of this name.
    type: str
    choices: [auto, HelmRelease, DaemonSet]
    default: auto
  mirrored_registries:
    description: Registries to have in the list, C(http[s]://host[:port]) or V(_default), in this order where new.
    type: list
    elements: str
    default: []
  removed_registries:
    description: Entries to take out of the list. Only the very same entry is taken out, not one of another scheme.
    type: list
    elements: str
    default: []
  prepend_existing:
    description: Keep what Talos wrote for a registry after Spegel's own hosts.
    type: bool
    default: true
  talos_mirrors:
    description: All mirrors the nodes have in Talos, as given to M(splithorizon.registry.talos_registry_mirror).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The registry, C(host[:port]) or V(*).
        type: str
        required: true
      endpoints:
        description: URLs of the mirror's endpoints, or mappings with the key C(url).
        type: list
        elements: raw
        default: []
      skip_fallback:
        description: Whether the registry itself is never asked.
        type: bool
        default: false
      override_path:
        description: Taken, and of no account here.
        type: bool
        default: false
      state:
        description: A mirror that is V(absent) is passed over.
        type: str
        choices: [present, absent]
        default: present
  wait:
    description: Wait until Spegel has started with the list on every node.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait.
    type: int
    default: 180
seealso:
  - module: splithorizon.registry.talos_registry_mirror
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Mirror Harbor by its HTTPS name, and keep what Talos wrote for it
  splithorizon.registry.spegel_registries:
    context: alpha
    mirrored_registries: [https://harbor.example.com]
    talos_mirrors:
      - name: harbor.example.com
        endpoints: [https://harbor.example.com]

- name: Stop mirroring the old address
  splithorizon.registry.spegel_registries:
    context: beta
    removed_registries: [http://192.168.1.105]
"""

RETURN = r"""
kind:
  description: Where the settings are kept.
  returned: success
  type: str
  sample: HelmRelease
before:
  description: The settings as they were.
  returned: success
  type: dict
  sample: {mirrored_registries: ['https://docker.io', 'http://harbor.example.com'], prepend_existing: true}
after:
  description: The settings as they are, or will be.
  returned: success
  type: dict
  sample: {mirrored_registries: ['https://docker.io', 'https://harbor.example.com'], prepend_existing: true}
hosts_toml:
  description:
    - Per registry (or C(_default)) what its C(hosts.toml) on a node will say, the hosts in the order they are asked.
    - The node's own address is written as in Spegel's arguments, by the name of its variable.
    - Hosts of Talos are those of O(talos_mirrors).
  returned: success
  type: dict
  sample:
    harbor.example.com:
      server: https://harbor.example.com
      hosts: ['http://$(NODE_IP):30020', 'https://harbor.example.com']
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel import (
    TalosMirror,
    check_mirrors,
    check_registry,
    hosts_of_talos,
    plan,
    predict,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._spegel_release import SpegelRelease

SPEC: dict[str, t.Any] = {
    "namespace": {"type": "str", "default": "kube-system"},
    "name": {"type": "str", "default": "spegel"},
    "kind": {"type": "str", "choices": ["auto", "HelmRelease", "DaemonSet"], "default": "auto"},
    "mirrored_registries": {"type": "list", "elements": "str", "default": []},
    "removed_registries": {"type": "list", "elements": "str", "default": []},
    "prepend_existing": {"type": "bool", "default": True},
    "talos_mirrors": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "endpoints": {"type": "list", "elements": "raw", "default": []},
            "skip_fallback": {"type": "bool", "default": False},
            "override_path": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
    },
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 180},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    present = [check_registry(url, where="mirrored_registries") for url in params["mirrored_registries"]]
    absent = [check_registry(url, where="removed_registries") for url in params["removed_registries"]]
    mirrors = [_mirror(item) for item in params["talos_mirrors"] if item["state"] == "present"]
    cluster = Cluster(params, dry_run=module.check_mode)
    spegel = SpegelRelease(cluster=cluster, namespace=params["namespace"], name=params["name"], kind=params["kind"])
    found = spegel.read()
    wanted = plan(
        current=found.settings,
        present=present,
        absent=absent,
        prepend=params["prepend_existing"],
        version=found.version,
    )
    check_mirrors(settings=wanted, mirrors=mirrors)
    change = Change(what=found.where, before=found.settings.as_result(), after=wanted.as_result())
    if change.changed:
        spegel.write(found, wanted)
    if params["wait"] and not module.check_mode:
        spegel.wait(found, wanted, seconds=params["wait_timeout"])
    hosts = predict(settings=wanted, before=hosts_of_talos(mirrors), targets=found.targets)
    results = {"kind": found.kind, "before": change.before, "after": change.after}
    return [change], {**results, "hosts_toml": {name: one.as_result() for name, one in hosts.items()}}


def _mirror(item: dict[str, t.Any]) -> TalosMirror:
    endpoints = [one.get("url") if isinstance(one, dict) else one for one in item["endpoints"]]
    urls = tuple(one for one in endpoints if isinstance(one, str))
    if len(urls) != len(endpoints):
        cure = "Write an endpoint as a URL, or as a mapping with the key url"
        raise BadInput("an endpoint is no URL", where=f"talos_mirrors, {item['name']}", cure=cure)
    return TalosMirror(name=item["name"], endpoints=urls, skip_fallback=item["skip_fallback"])


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=KUBERNETES_SPEC | SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
