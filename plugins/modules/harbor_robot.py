#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_robot
short_description: Make, change, rotate and remove a robot account of Harbor
version_added: 0.1.0
description:
  - Makes one robot account what is asked for, by Harbor's API. What is not asked for stays.
  - Harbor cannot be asked for a secret. Whether the robot has O(secret) is seen by what it opens, and it is set where
    it opens nothing. That voids the secret from before at once. To rotate without a gap, make a second robot, move its
    users there, and remove the first.
  - What was set is read back, and a new secret must open the registry.
extends_documentation_fragment:
  - splithorizon.registry._harbor
  - splithorizon.registry._attributes
attributes:
  check_mode:
    description: Can run in C(check_mode) and predict what the run will do; Harbor has no dry run, so nothing is sent.
    support: full
requirements:
  - cryptography >= 42
options:
  name:
    description: Its name, without Harbor's prefix and without a project.
    type: str
    required: true
  project:
    description: Project that the robot belongs to. Without one, it is a robot of the system.
    type: str
  secret:
    description:
      - Secret that the robot is to have, from a vault or the environment. Required for a robot that is to be made.
      - 8 to 128 characters, with an upper-case letter, a lower-case letter and a digit.
      - That of a robot that is and stays disabled is left as it is, because nobody can see which it is.
    type: str
  permissions:
    description: All that the robot may do. Required for a robot that is to be made.
    type: list
    elements: dict
    suboptions:
      kind:
        description: What O(permissions[].namespace) names.
        type: str
        choices: [project, system]
        default: project
      namespace:
        description: A project, V(*) for every project, V(/) for the system.
        type: str
        required: true
      access:
        description: Actions on resources.
        type: list
        elements: dict
        required: true
        suboptions:
          resource:
            description: As Harbor names it, V(repository) for images.
            type: str
            required: true
          action:
            description: As Harbor names it, V(pull), V(push) or V(delete) for images. Who pushes needs V(pull) too.
            type: str
            required: true
  duration:
    description: Days from the robot's creation until it expires, V(-1) for never, which is the default of a new robot.
    type: int
  disable:
    description: Whether the robot is kept from being used.
    type: bool
  description:
    description: A text for people.
    type: str
  state:
    description: Whether the robot is to be there.
    type: str
    choices: [present, absent]
    default: present
  min_valid_days:
    description: Warn where the robot expires in fewer days.
    type: int
    default: 14
seealso:
  - module: splithorizon.registry.docker_config_secret
  - module: splithorizon.registry.registry_probe
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: A robot that pulls from every project, before DNS leads to the new address
  splithorizon.registry.harbor_robot:
    url: https://harbor.example.com
    address: 203.0.113.7
    username: admin
    password: "{{ lookup('ansible.builtin.env', 'HARBOR_ADMIN_PASSWORD') }}"
    name: cluster-pull
    secret: "{{ registry_pull_password }}"
    permissions:
      - namespace: '*'
        access:
          - {resource: repository, action: pull}

- name: A robot of one project that expires after 90 days
  splithorizon.registry.harbor_robot:
    url: https://harbor.example.com
    username: admin
    password: "{{ harbor_admin_password }}"
    project: apps
    name: ci
    secret: "{{ ci_password }}"
    duration: 90
    permissions:
      - namespace: apps
        access:
          - {resource: repository, action: pull}
          - {resource: repository, action: push}
"""

RETURN = r"""
name:
  description: The name to log in with, with Harbor's prefix.
  returned: when the robot is there
  type: str
  sample: robot$cluster-pull
id:
  description: Its number in Harbor.
  returned: when the robot is there
  type: int
  sample: 1
expires:
  description: When it expires, UTC. Empty where it never does.
  returned: when the robot is there
  type: str
  sample: '2027-02-19T13:12:42Z'
days_left:
  description: Whole days until then. Null where it never expires.
  returned: when the robot is there
  type: int
  sample: 90
expiry_warning:
  description: The warning that was given, empty where it expires later than O(min_valid_days) or never.
  returned: when the robot is there
  type: str
  sample: ''
"""

import typing as t
from datetime import UTC, datetime

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._credentials_spec import HARBOR_SPEC, ROBOT_SPEC
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_api import connect
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_robots import (
    expiry,
    send,
    step,
)

SPEC: dict[str, t.Any] = {**HARBOR_SPEC, **ROBOT_SPEC, "min_valid_days": {"type": "int", "default": 14}}


def robot(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    api = connect(module.params, warn=module.warn)
    planned = step(api, module.params, now=datetime.now(UTC))
    after = planned.found.after(planned.wanted) if planned.found and planned.wanted else None
    if planned.change.changed and not module.check_mode:
        after = send(api, planned)
    if after is None:
        return [planned.change], {}
    times, warning = expiry(after, now=datetime.now(UTC), min_valid_days=module.params["min_valid_days"])
    if warning:
        module.warn(warning)
    return [planned.change], {"name": after.name, "id": after.id, **times, "expiry_warning": warning}


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=SPEC, supports_check_mode=True), robot)


if __name__ == "__main__":
    main()
