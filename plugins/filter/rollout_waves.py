# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which order nodes that differ are changed."""

from __future__ import annotations

import typing as t
from itertools import chain, zip_longest

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterator

DOCUMENTATION = r"""
name: rollout_waves
short_description: Sort the nodes that differ into waves
version_added: 0.1.0
description:
  - The k-th node of every cluster is in wave k.
  - So clusters advance side by side, and the nodes of one cluster one after the other.
  - Control planes and workers of a cluster are never in one wave. Those that the inventory names first go first.
  - Of I(n) control planes at most (I(n) - 1) / 2 are in one wave, and at least one, so that etcd keeps its quorum.
  - A node that reboots has its cluster's part of a wave for itself.
positional: _input
options:
  _input:
    description:
      - The inventory's groups, as in the magic variable C(groups).
      - C(all) gives the order, C(registry_differs) holds the nodes to change.
      - Each C(registry_nodes_of_<cluster>) holds the nodes of a cluster.
      - C(registry_control_planes) holds the control planes of all clusters, C(registry_reboots) the nodes that reboot.
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
_CONTROL_PLANES = "registry_control_planes"
_REBOOTS = "registry_reboots"


def rollout_waves(groups: dict[str, list[str]], *, at_once: int = 1) -> list[list[str]]:
    """Waves of hosts; empty where no node differs."""
    differing = set(groups.get(_DIFFERS, ()))
    # In the inventory's order: groups made during the run have that of the hosts' answers.
    in_order = [host for host in groups["all"] if host in differing]
    members = {name.removeprefix(_MEMBERS): groups[name] for name in groups if name.startswith(_MEMBERS)}
    clusters = [
        list(_of_cluster([host for host in in_order if host in members[name]], members[name], groups, at_once))
        for name in members
        if _may_change(groups, name)
    ]
    return [list(chain.from_iterable(part or () for part in wave)) for wave in zip_longest(*clusters)]


def _of_cluster(
    hosts: list[str], members: list[str], groups: dict[str, list[str]], at_once: int
) -> Iterator[list[str]]:
    """One cluster's part of each wave."""
    control_planes = set(groups.get(_CONTROL_PLANES, ()))
    alone = set(groups.get(_REBOOTS, ()))
    # ``--limit`` hides control planes; then fewer of them change at once than could.
    quorum = max(1, (len(control_planes & set(members)) - 1) // 2)
    kinds = dict.fromkeys(host in control_planes for host in hosts)
    for is_control_plane in kinds:
        of_kind = [host for host in hosts if (host in control_planes) is is_control_plane]
        yield from _parts(of_kind, min(at_once, quorum) if is_control_plane else at_once, alone)


def _parts(hosts: list[str], size: int, alone: Collection[str]) -> Iterator[list[str]]:
    """``hosts`` in lists of at most ``size``; those in ``alone`` in lists of their own."""
    part: list[str] = []
    for host in hosts:
        if part and (len(part) == size or host in alone or part[0] in alone):
            yield part
            part = []
        part.append(host)
    if part:
        yield part


def _may_change(groups: dict[str, list[str]], cluster: str) -> bool:
    """Whether no check or step of the cluster failed; of one that ``--limit`` leaves out only nodes were checked."""
    if not set(groups[_MEMBERS + cluster]) <= set(groups.get(_SURVEYED, ())):
        return False
    return cluster in groups.get(_READY, ()) or cluster not in groups.get(_ASKED, ())


class FilterModule:
    """The collection's filters."""

    def filters(self) -> dict[str, t.Any]:
        return {"rollout_waves": rollout_waves}
