#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_registry_mirror
short_description: Registry mirrors, credentials, TLS settings and host entries of a Talos node
version_added: 0.1.0
description:
  - Sets or removes any number of registry mirrors, registry credentials, registry TLS settings and C(/etc/hosts)
    entries in the machine configuration of one Talos node, in one call and without a reboot. Or, with O(path), in a
    file of the team's Git repository.
  - Reads the configuration in use, edits it in memory and sends it only if it differs in meaning. Documents, entries
    and comments that the options do not ask to change keep every byte.
  - What is named is set as a whole. A list never grows by a second run, as it does with C(talosctl patch).
  - A key that is in both layers is set in one and taken out of the other, where it would hide what is wanted, or come
    back one day.
  - Refuses values that Talos accepts and then breaks on, before any node is asked.
extends_documentation_fragment:
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_talos
  - splithorizon.registry._talos
  - splithorizon.registry._registries
options:
  node:
    description: Address or name of the node, as it is given to C(talosctl --nodes). This or O(path) is required.
    type: str
  path:
    description:
      - A file to edit in place of a node. A machine configuration, a strategic merge patch, talhelper's
        C(talconfig.yaml) with its inline patches and those in files (V(@./file)), or C(topf.yaml) (or its folder) with
        its patch folders. No node is asked.
      - Only lines of settings that change are written. Comments, order, anchors, quotes, C(ENC[…]) and C(${NAME}) stay.
      - A setting stays in the patch that has it. A new one goes to a patch that has registry settings for the same
        nodes, else to a new one, an inline patch in C(talconfig.yaml), the file C(90-registries.yaml) with topf.
        A setting that would come to a node twice is an error, since Talos joins lists.
      - Absent means that the file no longer sets it. C($patch) is neither written nor touched.
      - A template (Jinja, Go, Terraform), a file that SOPS watches over with its MAC, and a JSON patch that changes
        the same are errors that name file and line.
      - C(${NAME}) may be a name, an address, a URL or a part of one, and a private key in a document. In files that
        talhelper reads, other dollar signs are doubled, as its envsubst wants it.
    type: path
  applies_to:
    description:
      - With O(path) of a C(talconfig.yaml) or C(topf.yaml), the nodes the settings are for. V(all), V(controlplane),
        V(worker), or the name of one node in the file.
    type: str
    default: all
  talos_version:
    description:
      - With O(path), the nodes' version of Talos, as V(1.13.6). By default what C(talconfig.yaml) or C(topf.yaml) says.
      - Without a version new settings are written as the file has others, and if it has none in
        C(machine.registries), which all versions read.
    type: str
  allow_plaintext_secrets:
    description:
      - With O(path), also write passwords, tokens and keys as they are. Else a secret that is to be written must be a
        placeholder that a later step fills in, C(${HARBOR_ROBOT_PASSWORD}) or a reference such as
        C(op://vault/item/field) or C(ref+vault://path). What Git has seen once it keeps.
    type: bool
    default: false
  mode:
    description:
      - V(no-reboot) changes the node for good.
      - V(try) changes it until O(try_timeout) is over, or until the change is confirmed with O(confirm=true).
        If the controller dies in between, the node goes back by itself.
    type: str
    choices: [no-reboot, try]
    default: no-reboot
  try_timeout:
    description: Seconds after which the node takes back what is not confirmed.
    type: int
    default: 120
  confirm:
    description:
      - Make a pending C(try) permanent, if it is what the other options ask for.
        Give the same ones as with O(mode=try).
      - Fails where the node has already taken it back.
    type: bool
    default: false
  wait:
    description: Wait until the node's files are as planned. Reading them does not confirm a V(try).
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait for the files.
    type: int
    default: 30
notes:
  - Needs credentials with the role C(os:admin), to read too.
  - A node whose configuration in use is not the one on disk has a C(try) or a C(staged) configuration pending. That is
    an error, except where it is exactly the try that this module makes with the same options. An interrupted run can so
    be run again.
  - One writer at a time. A change by someone else between reading and writing is noticed and is an error.
seealso:
  - module: splithorizon.registry.talos_registry_survey
author:
  - The splithorizon authors (@splithorizon)
"""

EXAMPLES = r"""
- name: Images of harbor.example.com come by HTTPS through the gateway (1/3, on trial)
  splithorizon.registry.talos_registry_mirror: &https
    node: 10.5.0.3
    mirrors:
      - name: harbor.example.com
        endpoints: [https://harbor.example.com]
    auth:
      - name: harbor.example.com
        username: robot$cluster-pull
        password: "{{ pull_password }}"
      - name: harbor-core.default.svc.cluster.local
        state: absent
    tls:
      - name: harbor.example.com
        ca: "{{ lookup('ansible.builtin.file', 'ca.crt') }}"
    hosts:
      - ip: 10.96.7.9
        names: [harbor.example.com]
    mode: try
    try_timeout: 120
  register: tried

- name: A real pull proves it (2/3)
  ansible.builtin.command: talosctl -n 10.5.0.3 image pull --namespace cri harbor.example.com/library/proof:1
  changed_when: false

- name: Keep it (3/3)
  splithorizon.registry.talos_registry_mirror:
    <<: *https
    confirm: true

- name: Nothing refers to the old address any more
  splithorizon.registry.talos_registry_mirror:
    node: 192.168.1.98
    mirrors:
      - name: 192.168.1.105
        state: absent
    hosts:
      - ip: 10.43.216.243
        state: absent

- name: These mirrors and credentials, and no others; host entries stay
  splithorizon.registry.talos_registry_mirror:
    node: 10.5.0.3
    state: exact
    mirrors:
      - name: docker.io
        endpoints:
          - url: https://harbor.example.com/v2/hub
            override_path: true
          - https://mirror.gcr.io
      - name: "*"
        endpoints: [https://harbor.example.com]
      - name: quay.io
        endpoints: []
    auth:
      - name: harbor.example.com
        username: robot$cluster-pull
        password: "{{ pull_password }}"

- name: All that machine.registries and extraHostEntries hold becomes documents; the node's files stay the same
  splithorizon.registry.talos_registry_mirror:
    node: 10.5.0.3
    migrate: true

- name: The same in Git, in talhelper's file or the patch file it names
  splithorizon.registry.talos_registry_mirror:
    path: talos/talconfig.yaml
    mirrors:
      - name: harbor.example.com
        endpoints: [https://harbor.example.com]
    auth:
      - name: harbor.example.com
        username: robot$cluster-pull
        password: ${HARBOR_ROBOT_PASSWORD}
  delegate_to: localhost
  run_once: true

- name: In a patch of topf for the workers alone
  splithorizon.registry.talos_registry_mirror:
    path: talos/topf.yaml
    applies_to: worker
    mirrors:
      - name: docker.io
        endpoints:
          - url: https://harbor.example.com/v2/hub
            override_path: true
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
layer:
  description: Where registry settings that had to be written were, or would be, written.
  returned: success and O(node) is given
  type: str
  sample: documents
hosts_layer:
  description: The same for host entries.
  returned: success and O(node) is given
  type: str
  sample: v1alpha1
version:
  description: Talos version of the node; with O(path) that of the option or the file, null where neither says it.
  returned: success
  type: str
  sample: 1.13.0
pending:
  description: V(try_or_staged) if the node would go back unless this is confirmed, after this task.
  returned: success and O(node) is given
  type: str
  sample: none
reasons:
  description: What differed from what is wanted, without secrets. Empty where nothing did.
  returned: success
  type: list
  elements: str
  sample: ["mirror of harbor.example.com: [http://harbor.internal], wanted [https://harbor.example.com]"]
differs:
  description: Whether anything differed from what is wanted. As C(changed), which C(changed_when) can hide.
  returned: success
  type: bool
reboot_required:
  description:
    - Whether containerd takes changed credentials only when the node restarts, as before Talos 1.14. They were changed
      by this task, or earlier and the node has not restarted since.
    - That they were changed earlier is read from the node. C(cri.toml) was written after containerd started, and a
      configuration was put in use after the node did. Credentials that were changed and changed back look the same.
  returned: success and O(node) is given
  type: bool
kind:
  description: What the file is, V(machine_config), V(patch), V(talhelper) or V(topf).
  returned: success and O(path) is given
  type: str
  sample: talhelper
files:
  description: The files that changed, or would change. A patch file of topf in which nothing was left is gone.
  returned: success and O(path) is given
  type: list
  elements: str
  sample: [talos/patches/global/machine-registries.yaml]
hosts_toml:
  description: For each registry of the node's whole configuration, what containerd will ask.
  returned: success and O(node) is given
  type: dict
  contains:
    path:
      description: The file on the node.
      type: str
      returned: success
    hosts:
      description: URLs in the order they are asked.
      type: list
      elements: str
      returned: success
    server:
      description: The URL asked last in place of the registry itself; null where it is the registry itself, by HTTPS.
      type: str
      returned: success
  sample:
    harbor.example.com:
      path: /etc/cri/conf.d/hosts/harbor.example.com/hosts.toml
      hosts: [https://harbor.example.com]
      server: null
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._config_files import FILE_SPEC, step_for_path
from ansible_collections.splithorizon.registry.plugins.module_utils._node_change import decide, describe
from ansible_collections.splithorizon.registry.plugins.module_utils._node_files import file_checks
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import (
    LAYER_SPEC,
    REGISTRIES_SPEC,
    node_name,
    positive,
    wanted_from,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._owed_reboots import ContainerdReader
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import TALOS_SPEC, Access

SPEC: dict[str, t.Any] = {
    **TALOS_SPEC,
    **REGISTRIES_SPEC,
    **LAYER_SPEC,
    **FILE_SPEC,
    "node": {"type": "str"},
    "mode": {"type": "str", "choices": ["no-reboot", "try"], "default": "no-reboot"},
    "try_timeout": {"type": "int", "default": 120},
    "confirm": {"type": "bool", "default": False},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 30},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    if params["path"]:
        return step_for_path(params, check_mode=module.check_mode)
    wanted = wanted_from(params)
    name = node_name(params["node"], where="node")
    seconds = {option: positive(params[option], where=option) for option in ("try_timeout", "wait_timeout")}
    talos = ContainerdReader(Access.of(params))
    node = talos.node(name)
    decision = decide(
        node,
        wanted,
        layer=params["layer"],
        on_trial=params["mode"] == "try",
        confirm=params["confirm"],
        predict=module.check_mode,
    )
    plan = decision.plan
    owes_reboot = not plan.reboot_required and name in talos.owed_reboots([node])
    results = ([decision.change(name)], describe(plan, pending=decision.pending, owes_reboot=owes_reboot))
    if module.check_mode:
        # A dry run while a try is pending could disarm it.
        if decision.sends and node.is_settled:
            talos.dry_run(name, decision.sends[-1].config)
        return results
    for send in decision.sends:
        try_seconds = seconds["try_timeout"] if send.on_trial else None
        talos.apply(name, send.config, instead_of=send.instead_of, try_seconds=try_seconds)
    if decision.sends and params["wait"]:
        before, after = plan.before.effective, plan.after.effective
        checks = file_checks(before, after, image_cache=plan.after.has_image_cache)
        talos.wait_for_files(name, checks, seconds=seconds["wait_timeout"])
    return results


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec=SPEC,
        mutually_exclusive=[("node", "path"), ("path", "mode"), ("path", "confirm")],
        required_one_of=[("node", "path")],
        supports_check_mode=True,
    )
    report(module, step)


if __name__ == "__main__":
    main()
