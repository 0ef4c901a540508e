# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which order nodes that differ are changed."""

from __future__ import annotations

import typing as t
from itertools import chain, zip_longest

DOCUMENTATION = r"""
name: rollout_waves
short_description: Sort the nodes that differ into waves
version_added: 0.1.0
description:
  - The k-th node of every cluster is in wave k.
  - So clusters advance side by side, and the nodes of one cluster one after the other.
positional: _input
options:
  _input:
    description:
      - The inventory's groups, as in the magic variable C(groups).
      - C(all) gives the order, C(registry_differs) holds the nodes to change.
      - Each C(registry_nodes_of_<cluster>) holds the nodes of a cluster.
      - A cluster has failed before and is left out where one of its nodes is not in C(registry_surveyed), or where
        it is in C(registry_asked) and not in C(registry_ready).
    type: dict
    required: true
  at_once:
    description: How many nodes of one cluster a wave holds.
    type: int
    default: 1
"""

EXAMPLES = r"""
- name: Show the waves
  ansible.builtin.debug:
    msg: "{{ groups | splithorizon.registry.rollout_waves }}"
"""

RETURN = r"""
_value:
  description: The waves, each a list of host names.
  type: list
  elements: list
"""

_MEMBERS = "registry_nodes_of_"
_DIFFERS = "registry_differs"
_SURVEYED = "registry_surveyed"
_ASKED = "registry_asked"
_READY = "registry_ready"


def rollout_waves(groups: dict[str, list[str]], *, at_once: int = 1) -> list[list[str]]:
    """Waves of hosts; empty where no node differs."""
    differing = set(groups.get(_DIFFERS, ()))
    # In the inventory's order: groups made during the run have that of the hosts' answers.
    in_order = [host for host in groups["all"] if host in differing]
    members = {name.removeprefix(_MEMBERS): groups[name] for name in groups if name.startswith(_MEMBERS)}
    clusters = ([host for host in in_order if host in members[name]] for name in members if _may_change(groups, name))
    chunked = [[hosts[i : i + at_once] for i in range(0, len(hosts), at_once)] for hosts in clusters]
    return [list(chain.from_iterable(chunk or () for chunk in wave)) for wave in zip_longest(*chunked)]


def _may_change(groups: dict[str, list[str]], cluster: str) -> bool:
    """Whether no check or step of the cluster failed; of one that ``--limit`` leaves out only nodes were checked."""
    if not set(groups[_MEMBERS + cluster]) <= set(groups.get(_SURVEYED, ())):
        return False
    return cluster in groups.get(_READY, ()) or cluster not in groups.get(_ASKED, ())


class FilterModule:
    """The collection's filters."""

    def filters(self) -> dict[str, t.Any]:
        return {"rollout_waves": rollout_waves}
