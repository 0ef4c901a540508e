# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which order nodes that differ are changed."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterator

DOCUMENTATION = r"""
name: rollout_wave
short_description: In which wave a node is changed
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
    description: Name of the host.
    type: str
    required: true
  groups:
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
    description: How many nodes of the host's cluster a wave holds.
    type: int
    default: 1
"""

EXAMPLES = r"""
- name: Sort the nodes into waves
  ansible.builtin.group_by:
    key: "wave_{{ inventory_hostname | splithorizon.registry.rollout_wave(groups) }}"
"""

RETURN = r"""
_value:
  description: Number of the wave, from 1. 0 for a node that is not to be changed.
  type: int
"""

_MEMBERS = "registry_nodes_of_"
_DIFFERS = "registry_differs"
_SURVEYED = "registry_surveyed"
_ASKED = "registry_asked"
_READY = "registry_ready"
_CONTROL_PLANES = "registry_control_planes"
_REBOOTS = "registry_reboots"

Groups = dict[str, list[str]]


def rollout_wave(host: str, groups: Groups, at_once: int | str = 1) -> int:
    """The wave of a host, from 1; 0 where it is in none. ``at_once`` of a command line (``-e``) is text."""
    if not str(at_once).isdecimal() or int(at_once) < 1:
        raise AnsibleFilterError(f"registry_nodes_at_once: {at_once!r} is no number of nodes. Give 1 or more")
    for name in (name for name in groups if name.startswith(_MEMBERS) and host in groups[name]):
        if _may_change(groups, name.removeprefix(_MEMBERS)):
            parts = _parts_of_cluster(groups[name], groups, int(at_once))
            return next((number for number, part in enumerate(parts, 1) if host in part), 0)
    return 0


def _parts_of_cluster(members: list[str], groups: Groups, at_once: int) -> Iterator[list[str]]:
    """One cluster's part of each wave."""
    differing = set(groups.get(_DIFFERS, ())) & set(members)
    # In the inventory's order: groups made during the run have that of the hosts' answers.
    hosts = [host for host in groups["all"] if host in differing]
    control_planes = set(groups.get(_CONTROL_PLANES, ()))
    alone = set(groups.get(_REBOOTS, ()))
    # ``--limit`` hides control planes; then fewer of them change at once than could.
    quorum = max(1, (len(control_planes & set(members)) - 1) // 2)
    for is_control_plane in dict.fromkeys(host in control_planes for host in hosts):
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


def _may_change(groups: Groups, cluster: str) -> bool:
    """Whether no check or step of the cluster failed; of one that ``--limit`` leaves out only nodes were checked."""
    if not set(groups[_MEMBERS + cluster]) <= set(groups.get(_SURVEYED, ())):
        return False
    return cluster in groups.get(_READY, ()) or cluster not in groups.get(_ASKED, ())


class FilterModule:
    """The collection's filters."""

    def filters(self) -> dict[str, t.Any]:
        return {"rollout_wave": rollout_wave}
