# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node's registries have to be in either state, from the site's description."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

if t.TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENTATION = r"""
name: node_registries
short_description: What a Talos node's registry configuration has to be on a transport
version_added: 0.1.0
description:
  - Gives the O(splithorizon.registry.talos_registry_mirror#module:mirrors), C(auth), C(tls) and C(hosts) that
    M(splithorizon.registry.talos_registry_mirror) takes.
  - For V(https), images of the public name are pulled directly, other names are mirrored to it, and what the HTTP state
    needed (mirror of the public name, credentials and host entry of the internal name) is absent.
  - For V(http), every name is mirrored to the internal Service, as guide 2 (Harbor with Spegel) sets it up.
positional: _input
options:
  _input:
    description: The transport, V(https) or V(http).
    type: str
    required: true
  name:
    description: The registry's public name.
    type: str
    required: true
  image_names:
    description: Names that image references use for the registry.
    type: list
    elements: str
    required: true
  internal_name:
    description: The registry's name inside the cluster.
    type: str
    required: true
  internal_address:
    description: Address of the internal Service; needed for V(http), where the node cannot resolve its name.
    type: str
    default: ""
  username:
    description: Account the nodes pull with; empty for none.
    type: str
    default: ""
  password:
    description: Its password.
    type: str
    default: ""
  ca:
    description: Certificates (PEM) that the registry's certificate is verified with, besides the node's own.
    type: str
    default: ""
  host_address:
    description: Address for the public name in the node's hosts file, for nodes that cannot reach the load balancer.
    type: str
    default: ""
  more:
    description: What the nodes are to have in either state beside that, under the keys of the result.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what the nodes are to have
  ansible.builtin.debug:
    msg: >-
      {{ 'https' | splithorizon.registry.node_registries(
           name='harbor.example.com', image_names=['192.168.1.105'], internal_name='harbor.harbor.svc.cluster.local') }}
"""

RETURN = r"""
_value:
  description: The keys C(mirrors), C(auth), C(tls) and C(hosts), each a list.
  type: dict
"""


def node_registries(
    transport: str,
    *,
    name: str,
    image_names: list[str],
    internal_name: str,
    internal_address: str = "",
    username: str = "",
    password: str = "",
    ca: str = "",
    host_address: str = "",
    more: Mapping[str, list[dict[str, t.Any]]] | None = None,
) -> dict[str, list[dict[str, t.Any]]]:
    """The node's mirrors, auth, tls and hosts for ``transport``."""
    secure = transport == "https"
    endpoint, login_host, old_login_host = (
        (f"https://{name}", name, internal_name) if secure else (f"http://{internal_name}", internal_name, name)
    )
    mirrors: list[dict[str, t.Any]] = [
        {"name": host, "endpoints": [endpoint]} for host in image_names if not (secure and host == name)
    ]
    if name not in {mirror["name"] for mirror in mirrors}:
        mirrors.append({"name": name, "state": "absent"})
    auth: list[dict[str, t.Any]] = [{"name": old_login_host, "state": "absent"}]
    if username:
        auth.insert(0, {"name": login_host, "username": username, "password": password})
    tls: list[dict[str, t.Any]] = [{"name": name, "ca": ca} if secure and ca else {"name": name, "state": "absent"}]
    hosts: list[dict[str, t.Any]] = []
    if secure:
        hosts.append({"names": [internal_name], "state": "absent"})
        if host_address:
            hosts.append({"ip": host_address, "names": [name]})
    else:
        hosts.append({"names": [name], "state": "absent"})
        if internal_address:
            hosts.append({"ip": internal_address, "names": [internal_name]})
    wanted = {"mirrors": mirrors, "auth": auth, "tls": tls, "hosts": hosts}
    if unknown := sorted(set(more or {}) - set(wanted)):
        raise AnsibleFilterError(f"registry_node_settings has {', '.join(unknown)}; it may have {', '.join(wanted)}")
    return {kind: [*items, *(more or {}).get(kind, [])] for kind, items in wanted.items()}


class FilterModule:
    """The collection's filters."""

    def filters(self) -> dict[str, t.Any]:
        return {"node_registries": node_registries}
