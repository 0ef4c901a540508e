#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_lock
short_description: Keep two runs from changing a cluster's nodes at once
version_added: 0.1.0
description:
  - Takes a Lease (C(coordination.k8s.io/v1)) of the cluster for this run of C(ansible-playbook), renews it where this
    run has it already, or gives it back.
  - Where another run has it, waits, and then fails with that run's host, process and time.
  - A run of the same machine that has died, by a kill too, loses it at once; one of another machine when its lease has
    run out. For that the machines' clocks must agree within seconds.
  - Nobody is kept from using talosctl by hand.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes.actiongroup_kubernetes
attributes:
  check_mode:
    description: Takes nothing and waits for nobody.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: Never counts as a change, since the lease leaves with the run.
    support: full
  action:
    description: Has an action plugin, which knows the run and judges on the controller whether another one is alive.
    support: full
options:
  state:
    description: V(held) takes or renews the lease, V(released) gives it back if this run has it.
    type: str
    choices: [held, released]
    default: held
  namespace:
    description: Namespace of the Lease.
    type: str
    default: kube-system
  name:
    description: Name of the Lease.
    type: str
    default: splithorizon-registry-rollout
  lease_seconds:
    description: Seconds for which the lease is good unless it is renewed. Longer than anything between two renewals.
    type: int
    default: 900
  wait:
    description: Seconds to wait for another run to end.
    type: int
    default: 60
  holder:
    description: Who takes it; set by the action plugin.
    type: str
  dead:
    description: A holder that is known to have died; set by the action plugin.
    type: str
notes:
  - Needs the right to get, create, update and delete C(leases) in O(namespace).
author:
  - The splithorizon authors (@splithorizon)
"""

EXAMPLES = r"""
- name: Nobody else changes this cluster's nodes now
  splithorizon.registry.rollout_lock:
    context: alpha
    wait: 300

- name: Let the next one in
  splithorizon.registry.rollout_lock:
    context: alpha
    state: released
"""

RETURN = r"""
held:
  description: Whether this run has the lease now.
  returned: success
  type: bool
  sample: true
holder:
  description: Who had the lease before, as host, boot, process namespace, process number and start; empty for nobody.
  returned: success, and not in check mode
  type: str
  sample: ops1/0b5e…/pid:[4026531836]/4711/88213
since:
  description: Since when that one had it, UTC. Empty for nobody.
  returned: success, and not in check mode
  type: str
  sample: '2026-11-21T17:02:11Z'
until:
  description: Until when that lease was good, UTC. Empty for nobody.
  returned: success, and not in check mode
  type: str
  sample: '2026-11-21T17:17:11Z'
"""

import typing as t
from datetime import UTC, datetime

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import positive
from ansible_collections.splithorizon.registry.plugins.module_utils._rollout_lock import (
    API,
    Held,
    held_by,
    new_lease,
    renewed,
    taken_over,
)

SPEC: dict[str, t.Any] = {
    **KUBERNETES_SPEC,
    "state": {"type": "str", "choices": ["held", "released"], "default": "held"},
    "namespace": {"type": "str", "default": "kube-system"},
    "name": {"type": "str", "default": "splithorizon-registry-rollout"},
    "lease_seconds": {"type": "int", "default": 900},
    "wait": {"type": "int", "default": 60},
    "holder": {"type": "str"},
    "dead": {"type": "str"},
}
ZULU = "%Y-%m-%dT%H:%M:%SZ"


def told(held: Held | None, *, ours: bool) -> dict[str, t.Any]:
    if held is None:
        return {"held": ours, "holder": "", "since": "", "until": ""}
    times = {"since": held.since.strftime(ZULU), "until": held.until.strftime(ZULU)}
    return {"held": ours, "holder": held.holder, **times}


def take(cluster: Cluster, params: dict[str, t.Any], now: datetime) -> dict[str, t.Any]:
    """One attempt, which loses against anybody who writes at the same time."""
    place, holder, seconds = (params["namespace"], params["name"]), params["holder"], params["lease_seconds"]
    lease = cluster.get(API, "Lease", *place)
    held = held_by(lease) if lease else None
    if held and held.holder not in (holder, params["dead"]) and not held.is_over(now):
        return told(held, ours=False)
    try:
        if lease is None:
            cluster.create(new_lease(*place, holder=holder, seconds=seconds, now=now))
        elif held and held.holder == holder:
            cluster.replace(renewed(lease, seconds=seconds, now=now))
        else:
            cluster.replace(taken_over(lease, holder=holder, seconds=seconds, now=now))
    except Conflict:
        lease = cluster.get(API, "Lease", *place)
        return told(held_by(lease) if lease else None, ours=False)
    return told(held, ours=True)


def give_back(cluster: Cluster, params: dict[str, t.Any]) -> dict[str, t.Any]:
    lease = cluster.get(API, "Lease", params["namespace"], params["name"])
    held = held_by(lease) if lease else None
    if lease and held and held.holder == params["holder"]:
        cluster.delete(API, "Lease", params["namespace"], params["name"], uid=lease["metadata"]["uid"])
    return told(held, ours=False)


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    positive(params["lease_seconds"], where="lease_seconds")
    cluster = Cluster(params)
    if params["state"] == "released":
        return [], give_back(cluster, params)
    return [], take(cluster, params, datetime.now(UTC))


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
