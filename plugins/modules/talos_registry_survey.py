#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_registry_survey
short_description: Which Talos nodes differ from their wanted registry settings
version_added: 0.1.0
description:
  - Reads many Talos nodes at once and says which of them M(splithorizon.registry.talos_registry_mirror) would change,
    and why. Never changes anything.
  - One talosctl process reads all configurations, another one side by side all versions, so an unchanged fleet costs as
    much as one node. A node that cannot be read is reported and does not keep the others from being read.
  - With C(--diff) it shows what would change on each node, secrets hidden.
extends_documentation_fragment:
  - splithorizon.registry._attributes.read_only
  - splithorizon.registry._attributes.actiongroup_talos
  - splithorizon.registry._talos
options:
  nodes:
    description: The nodes, each with what is wanted of it.
    type: list
    elements: dict
    required: true
    suboptions:
      node:
        description: Address or name of the node, as it is given to C(talosctl --nodes).
        type: str
        required: true
      mirrors:
        description: Where images of a registry are pulled from.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description:
              - The registry as image references name it, V(host) or V(host:port), without a scheme.
              - V(*) is every registry without a mirror of its own.
            type: str
            required: true
          endpoints:
            description:
              - URLs to ask in this order, V(http://) or V(https://). All of the registry's endpoints.
              - An item is a URL, or a dictionary of C(url) and C(override_path).
              - Required if O(nodes[].mirrors[].state=present).
            type: list
            elements: raw
            default: []
          skip_fallback:
            description: Do not ask the registry itself when no endpoint has the image. Needs Talos 1.9.
            type: bool
            default: false
          override_path:
            description: The endpoints' paths are complete, C(/v2) is not added to them.
            type: bool
            default: false
          state:
            description: Whether the mirror is to be there.
            type: str
            choices: [present, absent]
            default: present
      auth:
        description:
          - Credentials for the hosts of endpoint URLs. One kind of credentials for each host.
          - Before Talos 1.14 containerd takes changed credentials only when the node restarts, see RV(nodes).
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Host of the endpoint's URL, with its port if the URL writes one.
            type: str
            required: true
          username:
            description: User or robot account; goes with O(nodes[].auth[].password).
            type: str
          password:
            description: Its password.
            type: str
          auth:
            description: User and password as C(user:password) in Base64.
            type: str
          identity_token:
            description: An identity token.
            type: str
          state:
            description: Whether the credentials are to be there.
            type: str
            choices: [present, absent]
            default: present
      tls:
        description: How the certificates of endpoints are verified.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Host of an V(https://) endpoint's URL, with its port if the URL writes one.
            type: str
            required: true
          ca:
            description: Certificates to trust for it, as PEM text.
            type: str
          client_cert:
            description: Client certificate, as PEM text; goes with O(nodes[].tls[].client_key).
            type: str
          client_key:
            description: Its private key, as PEM text.
            type: str
          insecure_skip_verify:
            description: Do not verify the certificate.
            type: bool
            default: false
          state:
            description: Whether the settings are to be there.
            type: str
            choices: [present, absent]
            default: present
      hosts:
        description: Lines of the node's C(/etc/hosts).
        type: list
        elements: dict
        default: []
        suboptions:
          ip:
            description: The address. Only names that are to be absent may do without, and then go wherever they are.
            type: str
            default: ""
          names:
            description:
              - All names of the address. A name that another address has is moved here.
              - With O(nodes[].hosts[].state=absent) the names to take away; none means the address and all its names.
            type: list
            elements: str
            default: []
          state:
            description: Whether the names are to be there.
            type: str
            choices: [present, absent]
            default: present
  layer:
    description:
      - Where new settings are written. In V(v1alpha1) they are in C(machine.registries) and
        C(machine.network.extraHostEntries) of the v1alpha1 document. In V(documents) each has a document of its own
        (C(RegistryMirrorConfig), C(RegistryAuthConfig), C(RegistryTLSConfig), C(StaticHostConfig); Talos 1.12).
      - V(auto) keeps to what the node uses, and takes documents where it uses neither and is 1.12 or newer.
        A setting that is right already stays where it is.
      - A setting is taken out of the other layer, so that it neither hides what is wanted nor comes back later.
    type: str
    choices: [auto, v1alpha1, documents]
    default: auto
notes:
  - Needs credentials with the role C(os:admin).
seealso:
  - module: splithorizon.registry.talos_registry_mirror
author:
  - The splithorizon authors (@splithorizon)
"""

EXAMPLES = r"""
- name: Which nodes are not as they should be?
  splithorizon.registry.talos_registry_survey:
    nodes:
      - node: 10.5.0.3
        mirrors: &mirrors
          - name: harbor.example.com
            endpoints: [https://harbor.example.com]
      - node: 10.5.0.4
        mirrors: *mirrors
  register: survey

- name: Those
  ansible.builtin.debug:
    msg: "{{ survey.nodes | dict2items | selectattr('value.differs') | map(attribute='key') }}"
"""

RETURN = r"""
nodes:
  description: For each node of O(nodes) what was found, by the name that was given.
  returned: success
  type: dict
  contains:
    differs:
      description:
        - Whether the node is not as wanted, or is so only until a pending C(try) is taken back.
        - False where the node could not be read, see C(error).
      type: bool
      returned: always
    error:
      description: Why the node could not be read, or could not be made as wanted; null where all is well.
      type: str
      returned: always
    reasons:
      description: What differs, without secrets.
      type: list
      elements: str
      returned: always
    version:
      description: Talos version.
      type: str
      returned: if the node could be read
    layer:
      description: Where registry settings that must be written would be written.
      type: str
      returned: if the node could be read
    hosts_layer:
      description: The same for host entries.
      type: str
      returned: if the node could be read
    pending:
      description: V(none), or V(try_or_staged) where the configuration in use is not the one on disk.
      type: str
      returned: if the node could be read
    reboot_required:
      description: Whether credentials would change on a Talos before 1.14, which takes them only when it restarts.
      type: bool
      returned: if the node could be read
    hosts_toml:
      description: For each registry of the wanted configuration, what containerd will ask, in order.
      type: dict
      returned: if the node could be read
  sample:
    10.5.0.3:
      differs: true
      error: null
      hosts_layer: v1alpha1
      hosts_toml:
        harbor.example.com:
          path: /etc/cri/conf.d/hosts/harbor.example.com/hosts.toml
          hosts: [https://harbor.example.com]
          server: null
      layer: v1alpha1
      pending: none
      reasons: ["mirror of harbor.example.com: missing, wanted [https://harbor.example.com]"]
      reboot_required: false
      version: 1.13.0
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import fail
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._node_change import Finding, survey
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import (
    REGISTRIES_SPEC,
    Wanted,
    node_name,
    wanted_from,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import TALOS_SPEC, Access, Talosctl

SPEC: dict[str, t.Any] = {
    **TALOS_SPEC,
    "nodes": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"node": {"type": "str", "required": True}, **REGISTRIES_SPEC},
    },
    "layer": {"type": "str", "choices": ["auto", "v1alpha1", "documents"], "default": "auto"},
}


def wanted_of(items: list[dict[str, t.Any]]) -> dict[str, Wanted]:
    wanted: dict[str, Wanted] = {}
    for index, item in enumerate(items):
        name = node_name(item["node"], where=f"nodes[{index}].node")
        if name in wanted:
            raise BadInput(f"{name} is there twice", where=f"nodes[{index}].node", cure="Name each node once")
        wanted[name] = wanted_from(item, where=f"nodes[{index}]")
    return wanted


def findings(module: AnsibleModule) -> dict[str, Finding]:
    wanted = wanted_of(module.params["nodes"])
    access = Access.of(module.params)
    found = Talosctl(access).nodes(list(wanted)) if wanted else {}
    return {name: survey(node, wanted[name], layer=module.params["layer"]) for name, node in found.items()}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        found = findings(module)
    except RegistryError as error:
        fail(module, error)
    # A survey shows differences and changes nothing, so the shared report would tell the wrong `changed`.
    changes = [finding.decision.change(name) for name, finding in found.items() if finding.decision]
    diff = {"diff": [change.diff for change in changes if change.changed]} if module._diff else {}
    module.exit_json(changed=False, nodes={name: finding.result for name, finding in found.items()}, **diff)


if __name__ == "__main__":
    main()
