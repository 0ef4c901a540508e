#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_core_patch
short_description: Set which token realm Harbor names to its clients
version_added: 0.1.0
description:
  - Sets C(EXT_ENDPOINT) and C(CORE_URL) of Harbor's core and jobservice together, restarts both one after the other,
    waits until every component is healthy, and reads the realm back as a client without credentials gets it.
  - A host that matches C(CORE_URL) is told the realm of C(CORE_URL). Every other host is told, from Harbor 2.14 on, its
    own name under the scheme of C(EXT_ENDPOINT); before, C(EXT_ENDPOINT) itself. RV(realms) is the table of what every
    host that a client may use is told, before and after; C(--check --diff) shows it.
  - Where Harbor does not become healthy, the old values are put back and both are restarted.
  - Nothing is written where a right is missing, or where a component that core needs to start is not healthy.
  - Pods that started before the last write of these values, because a run was interrupted, are restarted too.
  - C(helm upgrade), Flux and Argo CD write the chart's ConfigMaps again; RV(undone_by) says who does here, and when.
    What lasts is a change of the release (O(kind=HelmRelease)) or of the files in Git that make it (O(path)).
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - splithorizon.registry._attributes
  - splithorizon.registry._attributes.actiongroup_kubernetes
requirements:
  - kubernetes >= 24.2.0
options:
  namespace:
    description: Namespace of the release. With O(path), only used to predict realms.
    type: str
  fullname:
    description:
      - The chart's full name, by which its objects begin.
      - By default that of the only Harbor in O(namespace). Where there are two, that is an error that names them.
    type: str
  release:
    description:
      - Name of the Helm release, in place of O(fullname).
      - The full name is that of the chart, C(fullnameOverride), or the release's name where it contains C(harbor), else
        C(<release>-harbor).
    type: str
  external_url:
    description:
      - The URL by which clients reach Harbor, C(externalURL) of the chart. Scheme, host and port only.
      - In a C(kustomization.yaml), it is only written where a patch there sets C(EXT_ENDPOINT) already.
    type: str
    required: true
  core_url:
    description:
      - The C(CORE_URL) to set.
      - By default the chart's own, C(http://<fullname>-core:80), or C(https://<fullname>-core:443) with C(internalTLS).
      - Its scheme must be the one of the chart's own, because jobservice reaches core by it.
    type: str
  state:
    description:
      - With V(absent), C(CORE_URL) is given back as the chart writes it; O(external_url) is set in both states.
    type: str
    choices: [present, absent]
    default: present
  kind:
    description:
      - What is changed in the cluster.
      - V(ConfigMap) is both ConfigMaps of the chart, at once, until their owner writes them again.
      - V(HelmRelease) is the release of Flux that makes them, in C(spec.values) (and C(spec.postRenderers), see
        O(core_url_by)). Flux is waited for.
    type: str
    choices: [ConfigMap, HelmRelease]
    default: ConfigMap
  helm_release:
    description: Name of the HelmRelease in O(namespace). By default the one whose labels the chart's objects have.
    type: str
  path:
    description:
      - A file on the controller to edit in place of a cluster; nothing is restarted or waited for.
      - Values of Harbor's chart, by themselves or in a HelmRelease of Flux, an Application of Argo CD, a HelmChart of
        k3s or a ConfigMap with C(values.yaml); or a C(kustomization.yaml) or Kustomization of Flux with patches.
      - A C(kustomization.yaml) gets C(patches/<ConfigMap>-cm-patch.yaml) for both ConfigMaps; with O(state=absent), a
        patch in which nothing is left goes, and its file with it.
      - Every other line keeps its bytes. What Flux substitutes (C(${NAME})) is kept where it may mean O(external_url).
        A template, a file encrypted with SOPS, and an anchor that another key uses are errors.
    type: path
  core_url_by:
    description:
      - How C(CORE_URL) is set in a release, whose values have none for it.
      - V(extra_env_vars) sets it in C(core.extraEnvVars) and C(jobservice.extraEnvVars), which the chart has from
        1.13.0 (Harbor 2.9) on. Pods restart by themselves.
      - V(post_renderer) patches the ConfigMaps in the HelmRelease's C(spec.postRenderers), with any version.
      - V(auto) keeps to the one in use, else takes V(extra_env_vars) where the chart has it.
      - C(core.configureUserSettings) is none of them, in any version. Both are settings of the system, and a core that
        finds them there does not start; such values are an error.
    type: str
    choices: [auto, extra_env_vars, post_renderer]
    default: auto
  chart_version:
    description: Version of the chart, where the file or release does not pin it.
    type: str
  hosts:
    description:
      - More names, with a port where clients use one, whose realm is predicted and read back.
      - The names and addresses of Services before core, and those of the URLs, need not be given.
    type: list
    elements: str
    default: []
  cluster_domain:
    description: The cluster's DNS domain.
    type: str
    default: cluster.local
  version:
    description: Harbor's version, which decides the rule of the realm. By default that of core's image, or the chart's.
    type: str
  wait:
    description: Wait until both are restarted and every component is healthy, and read the realm back.
    type: bool
    default: true
  wait_timeout:
    description: Seconds that all waiting may take together; putting the old values back may take as long again.
    type: int
    default: 300
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Name the HTTPS realm to everybody
  splithorizon.registry.harbor_core_patch:
    context: alpha
    namespace: default
    external_url: https://harbor.example.com

- name: Keep an HTTP realm for builders that use the internal name, where Flux runs the chart
  splithorizon.registry.harbor_core_patch:
    context: alpha
    namespace: default
    kind: HelmRelease
    external_url: https://harbor.example.com
    core_url: http://harbor-core.default.svc.cluster.local:80

- name: The same in Git, as a patch by kustomize
  splithorizon.registry.harbor_core_patch:
    path: production/default/kustomization.yaml
    external_url: https://harbor.example.com
    core_url: http://harbor-core.default.svc.cluster.local:80

- name: Take that back
  splithorizon.registry.harbor_core_patch:
    path: production/default/kustomization.yaml
    external_url: https://harbor.example.com
    state: absent
"""

RETURN = r"""
before:
  description: The settings that core and jobservice start with, by ConfigMap, as they were.
  returned: success
  type: dict
  sample: {harbor-core: {EXT_ENDPOINT: 'http://192.168.1.105', CORE_URL: 'http://harbor-core:80'}}
after:
  description: The settings as they are, or will be.
  returned: success
  type: dict
  sample: {harbor-core: {EXT_ENDPOINT: 'https://harbor.example.com', CORE_URL: 'http://harbor-core:80'}}
fullname:
  description: What the names of the release's objects begin with.
  returned: success
  type: str
  sample: harbor
kind:
  description: What was changed, as O(kind) says; of a file what it holds, V(values) or the kind of its resource.
  returned: success
  type: str
  sample: ConfigMap
files:
  description: The files that changed, or would change.
  returned: success and O(path) is given
  type: list
  elements: str
  sample: [production/default/kustomization.yaml, production/default/patches/harbor-core-cm-patch.yaml]
restarted:
  description: Names of the Deployments that were restarted, or would be.
  returned: success
  type: list
  elements: str
  sample: [harbor-core, harbor-jobservice]
undone_by:
  description: Who writes what O(kind) names again, and when; empty where nobody is known.
  returned: success and O(path) is not given
  type: str
  sample: Flux (HelmRelease apps/harbor) within its interval (driftDetection is enabled)
realms:
  description: Per host the realm it was told with the settings before, and is told with those after.
  returned: success
  type: dict
  sample:
    harbor.example.com:
      before: http://harbor.example.com/service/token
      after: https://harbor.example.com/service/token
realm_read:
  description:
    - Per host the C(WWW-Authenticate) header that core answered.
    - After a change, of all hosts in RV(realms), else of those in O(hosts).
  returned: when O(wait=true), not in check mode, O(path) is not given, and Harbor does not use C(internalTLS)
  type: dict
  sample: {harbor.example.com: 'Bearer realm="https://harbor.example.com/service/token",service="harbor-registry"'}
health:
  description: What C(/api/v2.0/health) answered at last.
  returned: when O(wait=true), not in check mode, and O(path) is not given
  type: dict
  sample: {status: healthy, components: [{name: core, status: healthy}]}
version:
  description: The version whose rule was used.
  returned: success
  type: str
  sample: 2.15.2
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import parse_version
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_files import AUTO, BY_ENV, BY_PATCH, Asked
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_git import change_files
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_live import (
    CONFIG_MAP,
    HELM_RELEASE,
    Live,
    change_cluster,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC, Cluster

SPEC: dict[str, t.Any] = {
    "namespace": {"type": "str"},
    "fullname": {"type": "str"},
    "release": {"type": "str"},
    "external_url": {"type": "str", "required": True},
    "core_url": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "kind": {"type": "str", "choices": [CONFIG_MAP, HELM_RELEASE], "default": CONFIG_MAP},
    "helm_release": {"type": "str"},
    "path": {"type": "path"},
    "core_url_by": {"type": "str", "choices": [AUTO, BY_ENV, BY_PATCH], "default": AUTO},
    "chart_version": {"type": "str"},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "cluster_domain": {"type": "str", "default": "cluster.local"},
    "version": {"type": "str"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    versions = {name: params[name] and parse_version(params[name], where=name) for name in ("version", "chart_version")}
    asked = Asked(
        external_url=params["external_url"],
        core_url=params["core_url"] if params["state"] == "present" else None,
        by=params["core_url_by"],
        fullname=params["fullname"],
        release=params["release"],
        chart=versions["chart_version"],
    )
    asked.check()
    common = {
        "namespace": params["namespace"],
        "hosts": params["hosts"],
        "domain": params["cluster_domain"],
        "version": versions["version"],
    }
    if params["path"]:
        return change_files(params["path"], asked, **common, check_mode=module.check_mode, warn=module.warn)
    live = Live(
        **common,
        kind=params["kind"],
        helm_release=params["helm_release"],
        wait=params["wait"],
        seconds=params["wait_timeout"],
    )
    return change_cluster(Cluster(params, dry_run=module.check_mode), asked, live, warn=module.warn)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec=KUBERNETES_SPEC | SPEC,
        mutually_exclusive=[("fullname", "release"), ("path", "helm_release")],
        required_one_of=[("namespace", "path")],
        supports_check_mode=True,
    )
    report(module, step)


if __name__ == "__main__":
    main()
