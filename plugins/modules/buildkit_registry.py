#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: buildkit_registry
short_description: Say in buildkitd.toml how BuildKit reaches registries
version_added: 1.0.0
description:
  - Sets or takes out C([registry."HOST"]) tables in the C(buildkitd.toml) of a ConfigMap, or of a file. Comments, order
    and every line that is not about the registry keep their bytes.
  - Says in RV(registries) what the settings come to. C(http) alone means http. C(insecure) alone means https without
    verification. With both, https is tried first, without verification, and http where that is refused.
  - The settings are the daemon's alone. Tokens are fetched by the client (C(buildctl), C(docker buildx)), which follows
    the registry's realm and trusts what its own system trusts. A private authority must be in O(registries[].ca) and in
    the client's image.
  - C(registry.insecure=true) in a build's C(--output) or cache options makes BuildKit pass over all that buildkitd.toml
    says of this host, and verify no certificate.
  - buildkitd reads the file when it starts. Where the meaning changed, every Deployment, StatefulSet and DaemonSet that
    mounts the ConfigMap is restarted, once no build runs in its pods or O(builds_timeout) is over. A change of layout,
    or of what says the default, restarts nothing.
  - A run that ends between the change and the restart is made good by the next one.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - kubernetes >= 24.2.0
  - tomlkit >= 0.13
options:
  registries:
    description: The registries, each once.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description: The first part of image references, C(host) or C(host:port), as they write it.
        type: str
        required: true
      state:
        description:
          - With V(present), the settings that are given are there. Others of the table stay.
          - With V(absent), the table is taken out, with its parts and the comment that stands right above it.
        type: str
        choices: [present, absent]
        default: present
      http:
        description: Whether the daemon speaks http. V(false) takes it out.
        type: bool
      insecure:
        description: Whether certificates are not verified. V(false) takes it out.
        type: bool
      mirrors:
        description: Hosts to pull from before this one, C(host[:port][/path]). An empty list takes them out.
        type: list
        elements: str
      ca:
        description: Files with authorities to trust beside the system's, as paths in the daemon's container.
        type: list
        elements: str
      keypair:
        description: Client certificates, as paths in the daemon's container.
        type: list
        elements: dict
        suboptions:
          key:
            description: The private key.
            type: str
            required: true
          cert:
            description: The certificate.
            type: str
            required: true
      tlsconfigdir:
        description: Folders with C(*.crt), C(*.cert) and C(*.key) files.
        type: list
        elements: str
      replaced_by:
        description:
          - With O(registries[].state=absent), the host that takes its place in the C(mirrors) of other registries.
            Without it they stay, with a warning.
        type: str
      serves:
        description: Schemes that the registry answers under this name.
        type: list
        elements: str
        choices: [http, https]
        default: [https]
      realm:
        description:
          - Where the registry sends clients for tokens, as RV(splithorizon.registry.harbor_core_patch#module:realms)
            has it. With it, settings by which no push could reach the registry are an error before any change.
        type: str
  namespace:
    description: Namespace of O(config_map) and of the workloads that mount it.
    type: str
  config_map:
    description: ConfigMap that holds the text.
    type: str
  key:
    description:
      - Key of the text in O(config_map), by default C(buildkitd.toml).
      - With O(path) of a YAML file, the key of the literal block that holds it, or the end of the block's path with
        dots, such as C(spec.values.config). By default C(buildkitd.toml) or C(buildkitd-config-inline).
    type: str
  path:
    description:
      - A file on the controller to edit in place of a cluster. Nothing is restarted.
      - A C(buildkitd.toml); or, where its name ends with C(.yaml) or C(.yml), a ConfigMap, values of a Helm chart or a
        workflow that has the text as a literal block.
    type: path
  restart:
    description: Whether the daemons are restarted where the meaning changed.
    type: bool
    default: true
  builds_timeout:
    description:
      - Seconds to wait for running builds before each restart. Afterwards the daemon is restarted nevertheless, with a
        warning. It is asked with C(buildctl debug histories) in its own container.
    type: int
    default: 600
  wait:
    description: Wait until the restarted daemons are ready.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait for each.
    type: int
    default: 180
seealso:
  - module: splithorizon.registry.harbor_core_patch
  - name: buildkitd.toml
    description: All settings of the daemon.
    link: https://docs.docker.com/build/buildkit/toml-configuration/
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Harbor by its public name and a public authority needs no settings; the internal name goes
  splithorizon.registry.buildkit_registry:
    context: alpha
    namespace: buildkit
    config_map: buildkitd
    registries:
      - host: harbor-core.default.svc.cluster.local
        state: absent
        replaced_by: harbor.example.com
      - host: harbor.example.com
        http: false
        insecure: false

- name: Trust a private authority, whose certificate is mounted into the daemon
  splithorizon.registry.buildkit_registry:
    context: alpha
    namespace: buildkit
    config_map: buildkitd
    registries:
      - host: harbor.example.com
        ca: [/etc/buildkit/certs/ca.crt]

- name: The same in Git, in the values of a chart
  splithorizon.registry.buildkit_registry:
    path: apps/buildkit/helmrelease.yaml
    key: spec.values.config
    registries:
      - host: harbor.example.com
        ca: [/etc/buildkit/certs/ca.crt]
"""

RETURN = r"""
registries:
  description: What the text says of each registry that was asked for.
  returned: success
  type: list
  elements: dict
  contains:
    host:
      description: As asked for.
      returned: always
      type: str
      sample: harbor.example.com
    before:
      description: Its settings as they were, none where it had no table.
      returned: always
      type: dict
      sample: {http: true, insecure: true}
    after:
      description: Its settings as they are, or will be.
      returned: always
      type: dict
      sample: {}
    transport_before:
      description: How the daemon reached it.
      returned: always
      type: str
      sample: https without verification, then http
    transport_after:
      description: How it reaches it, or will.
      returned: always
      type: str
      sample: https, verified by the system
restart:
  description: Whether the daemons have to read the text anew.
  returned: success
  type: bool
  sample: true
daemons:
  description: The workloads that mount the ConfigMap.
  returned: success and O(path) is not given
  type: list
  elements: dict
  contains:
    kind:
      description: V(Deployment), V(StatefulSet) or V(DaemonSet).
      returned: always
      type: str
      sample: Deployment
    name:
      description: Its name.
      returned: always
      type: str
      sample: buildkitd
    restarted:
      description: Whether it was restarted, or would be.
      returned: always
      type: bool
      sample: true
managed_by:
  description: Who manages the ConfigMap and may take the change back at its own next run, empty where nobody is known.
  returned: success and O(path) is not given
  type: str
  sample: ''
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_daemon import Daemons
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_map import BuildkitMap
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_source import plan_source
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_wanted import (
    read_entries,
    refuse_unreachable,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._text_files import read_text, write_bytes

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_find import Workload
    from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_toml import BuildkitPlan
    from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_wanted import Entry

REGISTRY: dict[str, t.Any] = {
    "host": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "http": {"type": "bool"},
    "insecure": {"type": "bool"},
    "mirrors": {"type": "list", "elements": "str"},
    "ca": {"type": "list", "elements": "str"},
    "keypair": {
        "type": "list",
        "elements": "dict",
        "no_log": False,
        "options": {
            "key": {"type": "str", "required": True, "no_log": False},
            "cert": {"type": "str", "required": True},
        },
    },
    "tlsconfigdir": {"type": "list", "elements": "str"},
    "replaced_by": {"type": "str"},
    "serves": {"type": "list", "elements": "str", "choices": ["http", "https"], "default": ["https"]},
    "realm": {"type": "str"},
}
SPEC: dict[str, t.Any] = {
    "registries": {"type": "list", "elements": "dict", "required": True, "options": REGISTRY},
    "namespace": {"type": "str"},
    "config_map": {"type": "str"},
    "key": {"type": "str", "no_log": False},
    "path": {"type": "path"},
    "restart": {"type": "bool", "default": True},
    "builds_timeout": {"type": "int", "default": 600},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 180},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    wanted = read_entries(module.params["registries"])
    if module.params["path"]:
        return _step_for_path(module, wanted)
    params = module.params
    namespace, name = params["namespace"], params["config_map"]
    cluster = Cluster(params, dry_run=module.check_mode)
    config_map = BuildkitMap(cluster, namespace=namespace, name=name, key=params["key"])
    planned = config_map.plan(wanted)
    _check(module, planned, wanted, where=config_map.where)
    daemons = Daemons(cluster, namespace=namespace, config_map=name)
    found = daemons.find()
    changes = [Change(what=config_map.where, before=planned.before, after=planned.after)]
    due = [each for each in found if params["restart"] and (planned.restart or each.due)]
    if changes[0].changed:
        for each in due:
            daemons.mark(each)
        config_map.write(planned)
    else:
        changes += [Change(what=each.where, before="a restart is due\n", after="restarted\n") for each in due]
    if config_map.managed_by and changes[0].changed:
        module.warn(f"{config_map.where} is managed by {config_map.managed_by}, which may take the change back")
    for each in due:
        _restart(module, daemons, each)
    shown = [{"kind": each.kind, "name": each.name, "restarted": each in due} for each in found]
    return changes, {**_results(planned, wanted), "daemons": shown, "managed_by": config_map.managed_by}


def _restart(module: AnsibleModule, daemons: Daemons, workload: Workload) -> None:
    params = module.params
    if not module.check_mode:
        seconds = params["builds_timeout"]
        busy = daemons.wait_idle(workload, seconds=seconds)
        if busy.unknown:
            module.warn(f"{workload.where} is restarted without knowing whether it builds: {busy.unknown}")
        if busy.builds:
            module.warn(f"{workload.where} is restarted after {seconds} s with {busy.builds} builds running")
    daemons.restart(workload)
    if params["wait"] and not module.check_mode:
        daemons.wait_ready(workload, seconds=params["wait_timeout"])


def _step_for_path(module: AnsibleModule, wanted: list[Entry]) -> tuple[list[Change], dict[str, t.Any]]:
    path = Path(module.params["path"])
    file = read_text(path)
    planned = plan_source(text=file.text, path=str(path), key=module.params["key"], wanted=wanted)
    _check(module, planned, wanted, where=str(path))
    change = Change(what=str(path), before=planned.before, after=planned.after)
    if change.changed and not module.check_mode:
        write_bytes(path, file.encoded(planned.after))
    return [change], _results(planned, wanted)


def _check(module: AnsibleModule, planned: BuildkitPlan, wanted: list[Entry], *, where: str) -> None:
    for entry in wanted:
        refuse_unreachable(entry, planned.new.get(entry.host), where=where)
    for note in planned.notes:
        module.warn(note)


def _results(planned: BuildkitPlan, wanted: list[Entry]) -> dict[str, t.Any]:
    return {"registries": [planned.shown(entry.host) for entry in wanted], "restart": planned.restart}


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec=KUBERNETES_SPEC | SPEC,
        required_one_of=[("path", "config_map")],
        mutually_exclusive=[("path", "config_map"), ("path", "namespace")],
        required_by={"config_map": "namespace"},
        supports_check_mode=True,
    )
    report(module, step)


if __name__ == "__main__":
    main()
