# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The names that CoreDNS is to rewrite in either state, from the site's description."""

from __future__ import annotations

import typing as t

DOCUMENTATION = r"""
name: dns_rewrites
short_description: What CoreDNS has to rewrite on a transport
version_added: 0.1.0
description:
  - Gives the O(splithorizon.registry.coredns_rewrite#module:rewrites) that M(splithorizon.registry.coredns_rewrite)
    takes, the registry's own name first.
  - For V(http) all of them are absent.
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
  target:
    description: The name whose address it gets, and further names that have no target of their own.
    type: str
    required: true
  further:
    description: Further rewrites, as M(splithorizon.registry.coredns_rewrite) takes them.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Show what CoreDNS is to rewrite
  ansible.builtin.debug:
    msg: >-
      {{ 'https' | splithorizon.registry.dns_rewrites(
           name='harbor.example.com', target='envoy-proxy.envoy-gateway-system.svc.cluster.local',
           further=[{'name': 'notary.example.com'}]) }}
"""

RETURN = r"""
_value:
  description: One item for each rewrite.
  type: list
  elements: dict
"""


def dns_rewrites(
    transport: str, *, name: str, target: str, further: t.Sequence[dict[str, t.Any]] = ()
) -> list[dict[str, t.Any]]:
    """The rewrites for ``transport``."""
    wanted = [{"target": target, **item} for item in ({"name": name}, *further)]
    return wanted if transport == "https" else [{**item, "state": "absent"} for item in wanted]


class FilterModule:
    """The collection's filters."""

    def filters(self) -> dict[str, t.Any]:
        return {"dns_rewrites": dns_rewrites}
