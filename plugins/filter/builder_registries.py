# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What buildkitd.toml has to say of a site's registry in either state, from the site's description."""

from __future__ import annotations

import typing as t

DOCUMENTATION = r"""
name: builder_registries
short_description: What buildkitd.toml has to say of the registry on a transport
version_added: 1.0.0
description:
  - Gives the O(splithorizon.registry.buildkit_registry#module:registries) that
    M(splithorizon.registry.buildkit_registry) takes.
  - For V(https), the public name has no C(http) and no C(insecure), and trusts O(ca); the other names have no table,
    and the public name takes their place as a mirror.
  - For V(http), builds push to the internal name, and images have the other ones; each gets C(http), which alone is
    enough. What the text says of the public name stays.
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
  ca:
    description: Files with authorities to trust, as paths in the daemon's container.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what builders are to have
  ansible.builtin.debug:
    msg: >-
      {{ 'https' | splithorizon.registry.builder_registries(
           name='harbor.example.com', image_names=['192.168.1.105'], internal_name='harbor.harbor.svc.cluster.local') }}
"""

RETURN = r"""
_value:
  description: A list of registries.
  type: list
  elements: dict
"""


def builder_registries(
    transport: str, *, name: str, image_names: list[str], internal_name: str, ca: list[str] | None = None
) -> list[dict[str, t.Any]]:
    """The entries of buildkitd.toml for ``transport``; the public name comes last."""
    others = [host for host in dict.fromkeys([internal_name, *image_names]) if host != name]
    if transport == "http":
        return [{"host": host, "state": "present", "http": True} for host in others]
    public = {"host": name, "state": "present", "http": False, "insecure": False}
    gone = [{"host": host, "state": "absent", "replaced_by": name} for host in others]
    return [*gone, public | ({"ca": ca} if ca else {})]


class FilterModule:
    """The collection's filters."""

    def filters(self) -> dict[str, t.Any]:
        return {"builder_registries": builder_registries}
