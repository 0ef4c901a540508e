#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: tekton_registry
short_description: Have builds in Tekton speak HTTPS with a registry, by its public name
version_added: 0.1.0
description:
  - Edits Tasks, Pipelines, StepActions, TriggerTemplates and CronJobs, in a cluster (in whichever API version it
    serves) or with O(path) in files of a repository. Runs are never edited.
  - Takes out the flags with which builders speak plain HTTP with the registry or do not verify its certificate.
    BuildKit's C(registry.insecure=true) in C(--output), C(--export-cache) and C(--import-cache); those of kaniko,
    buildah, podman, skopeo and jib; and the parameters of the Tekton catalog for them (C(TLSVERIFY), C(EXTRA_ARGS),
    C(srcTLSverify), C(INSECUREREGISTRY)).
  - Such a flag left behind switches the verification of certificates off, also where the push works.
  - Gives image and cache references O(name) in the place of one of O(replaces).
  - Scripts are read as shell, so that a flag is found in variables, arrays, here-documents and continued lines, and in
    C(args). Comments, quotes, the order of options and flags for other registries stay byte for byte.
  - For which registry a flag is follows from the images that stand with it, by the defaults of parameters and by what
    Pipelines, TriggerTemplates and runs give to them. What is not sure is not edited but returned in RV(unsure), each
    with file and line; so are scripts in another language than shell, and other mentions of an old name.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - tree-sitter >= 0.25 and tree-sitter-bash >= 0.25, to read shell scripts
  - kubernetes >= 24.2.0, without O(path)
options:
  name:
    description: "What the registry is to be called: C(host) or C(host:port), without a scheme."
    type: str
    required: true
  replaces:
    description: Its other names, such as that of its Service or the address of its load balancer.
    type: list
    elements: str
    default: []
  transport:
    description:
      - V(https) takes flags out. V(http) is the way back and adds those that a builder needs for plain HTTP, where it
        is sure that the registry is meant.
      - With V(http), the C(image) of a step or container keeps its name, since nodes pull by the public one; so does
        the default of a parameter that is used for it.
    type: str
    choices: [https, http]
    default: https
  path:
    description:
      - A file on the controller, or a folder with all C(*.yaml) and C(*.yml) below it, in place of a cluster.
      - The files of a folder are read together, so that a Pipeline's values of parameters are known to its Tasks.
      - A template (Helm, Jinja) and a file that SOPS encrypted are refused. In a folder they are listed in RV(refused).
    type: path
  namespaces:
    description: Namespaces of the cluster to work in. All of them where it is empty.
    type: list
    elements: str
    default: []
  assume_registry:
    description:
      - A flag whose registry no text tells is for this registry.
      - For sites that build for one registry only.
    type: bool
    default: false
  docker_config_secret:
    description:
      - A Secret of type C(kubernetes.io/dockerconfigjson) in the namespace of the Tasks, with credentials for O(name).
      - Steps that push to the registry and are given no credentials by their text get it as a C(config.json), in a
        volume, with C(DOCKER_CONFIG) or C(REGISTRY_AUTH_FILE).
      - Without it nothing is added, since a run's ServiceAccount may give credentials that no text shows.
    type: str
    default: ""
notes:
  - In a cluster it lists the kinds that it edits, and TaskRuns and PipelineRuns, and updates what it edits.
  - A flag of kaniko, buildah, podman, skopeo or jib is taken to be for the registry of the images in the same command,
    also where it is about images that a Dockerfile names.
  - Over HTTP, BuildKit needs no flag where C(buildkitd.toml) has C(http = true) for the registry.
seealso:
  - module: splithorizon.registry.registry_probe
author:
  - The splithorizon authors (@splithorizon)
"""

EXAMPLES = r"""
- name: Builds push and pull by Harbor's public name, over HTTPS
  splithorizon.registry.tekton_registry:
    context: alpha
    name: harbor.example.com
    replaces: [harbor-core.default.svc.cluster.local]

- name: The same in the repository that Argo CD reads
  splithorizon.registry.tekton_registry:
    path: dev/dev-tekton
    name: harbor.example.com
    replaces: [harbor-core.default.svc.cluster.local, 192.168.1.105]
    docker_config_secret: harbor-push
  register: tekton
  delegate_to: localhost

- name: What has to be looked at by hand
  ansible.builtin.debug:
    msg: "{{ tekton.unsure | map(attribute='message') }}"

- name: Back to plain HTTP
  splithorizon.registry.tekton_registry:
    context: alpha
    name: harbor-core.default.svc.cluster.local
    replaces: [harbor.example.com]
    transport: http
"""

RETURN = r"""
objects:
  description: The objects that were read, or with O(path) the files with objects of Tekton.
  returned: success
  type: list
  elements: str
  sample: [Task build/buildkit, Pipeline build/release]
edits:
  description: What is edited, or would be.
  returned: success
  type: list
  elements: dict
  contains: &finding
    kind:
      description: V(flag), V(http_flag), V(reference), V(credentials), V(unsure) or V(refused).
      returned: always
      type: str
      sample: flag
    where:
      description: The file, or the object and the entry in it.
      returned: always
      type: str
      sample: Task build/buildkit, spec.steps[0].script
    line:
      description: Line of the file, or of the entry's text.
      returned: always
      type: int
      sample: 4
    text:
      description: What stands there.
      returned: always
      type: str
      sample: registry.insecure=true
    reason:
      description: What it means, or why it is not edited.
      returned: always
      type: str
      sample: left from plain HTTP, it switches verification off unseen
    message:
      description: All of it in one line.
      returned: always
      type: str
      sample: >-
        Task build/buildkit, spec.steps[0].script, line 4: registry.insecure=true: left from plain HTTP, it switches
        verification off unseen
unsure:
  description: What may have to be edited, and is not.
  returned: success
  type: list
  elements: dict
  contains: *finding
refused:
  description: Files below a folder O(path) that cannot be edited.
  returned: success
  type: list
  elements: dict
  contains: *finding
without_credentials:
  description: Steps that push to the registry and whose text gives them no credentials for it.
  returned: success
  type: list
  elements: dict
  contains: *finding
findings:
  description:
    - What is not as it is wanted, each in one line. In check mode RV(edits), RV(unsure) and RV(refused), else what is
      left after the edits.
  returned: success
  type: list
  elements: str
  sample: []
managed_by:
  description: Who manages objects that are edited, and may take the change back at its own next run, by object.
  returned: success and O(path) is not given
  type: dict
  sample: {'Task build/buildkit': 'Flux (Kustomization)'}
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._image_references import registry_from
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster
from ansible_collections.splithorizon.registry.plugins.module_utils._names import dns_name
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_cluster import TektonCluster
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_files import edit_files
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_plan import Wanted

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_findings import Finding

SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "replaces": {"type": "list", "elements": "str", "default": []},
    "transport": {"type": "str", "choices": ["https", "http"], "default": "https"},
    "path": {"type": "path"},
    "namespaces": {"type": "list", "elements": "str", "default": []},
    "assume_registry": {"type": "bool", "default": False},
    "docker_config_secret": {"type": "str", "default": "", "no_log": False},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    registry = registry_from(name=params["name"], replaces=params["replaces"], http=params["transport"] == "http")
    secret = params["docker_config_secret"] and dns_name(params["docker_config_secret"], where="docker_config_secret")
    wanted = Wanted(registry=registry, assume=params["assume_registry"], secret=secret)
    if params["path"]:
        changes, files = edit_files(Path(params["path"]), wanted, check_mode=module.check_mode)
        results: dict[str, t.Any] = {"objects": files.files}
        return changes, results | _findings(module, files.done, files.unsure, files.refused, files.without_credentials)
    tekton = TektonCluster(Cluster(params, dry_run=module.check_mode), namespaces=params["namespaces"])
    plan = tekton.plan(wanted)
    tekton.write(plan.after)
    for where, owner in plan.owners.items():
        module.warn(f"{where} is managed by {owner}, which may take the change back: make it there too (path)")
    results = {"objects": plan.objects, "managed_by": plan.owners}
    return plan.changes, results | _findings(module, plan.done, plan.unsure, [], plan.without_credentials)


def _findings(
    module: AnsibleModule,
    done: Sequence[Finding],
    unsure: Sequence[Finding],
    refused: Sequence[Finding],
    without: Sequence[Finding],
) -> dict[str, t.Any]:
    names = {"edits": done, "unsure": unsure, "refused": refused, "without_credentials": without}
    left = [*(done if module.check_mode else ()), *unsure, *refused]
    shown = {name: [finding.result for finding in sorted(found)] for name, found in names.items()}
    return {**shown, "findings": [finding.message for finding in sorted(left)]}


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec=KUBERNETES_SPEC | SPEC,
        mutually_exclusive=[("path", "namespaces")],
        supports_check_mode=True,
    )
    report(module, step)


if __name__ == "__main__":
    main()
