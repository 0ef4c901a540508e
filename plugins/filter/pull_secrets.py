# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a cluster's pull secrets have to be in either state, from the site's description."""

from __future__ import annotations

import typing as t

DOCUMENTATION = r"""
name: pull_secrets
short_description: What the pull secrets of a cluster have to hold on a transport
version_added: 0.1.0
description:
  - Gives a list whose items have the options of M(splithorizon.registry.docker_config_secret), and C(service_accounts)
    and C(list) for M(splithorizon.registry.service_account_pull_secret).
  - For V(https), each secret has an entry for the registry's public name. For V(http) the entry goes again, where it
    was added by this collection and no image reference uses the public name.
positional: _input
options:
  _input:
    description: The site's C(registry_pull_secrets).
    type: list
    elements: dict
    required: true
  transport:
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
  username:
    description: Account for the secrets that name none.
    type: str
    default: ""
  password:
    description: Its password.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show what the secrets are to have
  ansible.builtin.debug:
    msg: >-
      {{ [{'name': 'harbor-pull-secret', 'namespaces': ['apps']}] | splithorizon.registry.pull_secrets(
           transport='https', name='harbor.example.com', image_names=['harbor.example.com']) }}
"""

RETURN = r"""
_value:
  description: An item for each of the input.
  type: list
  elements: dict
"""


def pull_secrets(
    wanted: list[dict[str, t.Any]],
    *,
    transport: str,
    name: str,
    image_names: list[str],
    username: str = "",
    password: str = "",
) -> list[dict[str, t.Any]]:
    """The options of the modules for each secret."""
    if transport != "https" and name not in image_names:
        entry: dict[str, t.Any] = {"name": name, "state": "absent"}
        return [_options(one, entry, added_only=True) for one in wanted]
    return [
        _options(
            one,
            {
                "name": name,
                "username": one.get("username") or username,
                "password": one.get("password") or password,
                "state": "present",
            },
            added_only=False,
        )
        for one in wanted
    ]


def _options(one: dict[str, t.Any], entry: dict[str, t.Any], *, added_only: bool) -> dict[str, t.Any]:
    return {
        "name": one["name"],
        "namespaces": one["namespaces"],
        "registries": [entry],
        **({"config_json": True} if one.get("config_json") and entry["state"] == "present" else {}),
        "added_only": added_only,
        "service_accounts": one.get("service_accounts") or [],
        "list": one.get("list") or "imagePullSecrets",
    }


class FilterModule:
    """The collection's filters."""

    def filters(self) -> dict[str, t.Any]:
        return {"pull_secrets": pull_secrets}
