# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-playbook printed, as data."""

from __future__ import annotations

from sandbox.recap import changed, failures, recap

PRINTED = """
TASK [The node can be changed] ***
[ERROR]: Task failed: Action failed: node 10.5.0.3: no answer
Origin: /checkout/roles/nodes/tasks/survey.yml:3:3

fatal: [node-1]: FAILED! =>
    changed: false
    msg: 'node 10.5.0.3: the configuration in use
        is not the one on disk'

TASK [Pull] ***
failed: [node-2] (item=harbor.example.com) =>
    __name: harbor.example.com
    msg: no room left
ok: [node-3]

fatal: [node-2 -> localhost]: FAILED! =>
    msg: twice

PLAY RECAP ***
node-1                     : ok=4    changed=0    unreachable=0    failed=1    skipped=2    rescued=0    ignored=0
node-2                     : ok=9    changed=2    unreachable=0    failed=1    skipped=0    rescued=1    ignored=0
"""


def test_failures_of_every_host_in_their_order() -> None:
    assert failures(PRINTED) == {
        "node-1": ["node 10.5.0.3: the configuration in use is not the one on disk"],
        "node-2": ["no room left", "twice"],
    }


def test_numbers_of_the_recap() -> None:
    assert recap(PRINTED)["node-2"]["rescued"] == 1
    assert changed(PRINTED) == 2
