#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: registry_proof_image
short_description: Push a small image that nobody has yet, to prove pulls with
version_added: 0.1.0
description:
  - Pushes an OCI image with one layer of random bytes by the registry's API, with the token its realm gives, or deletes
    it. A pull of it proves the path to the registry, because no node and no mirror can hold it already.
  - An image that is there under O(tag) stays as it is.
  - Only images that this module made, known by an annotation in their manifest, are deleted.
  - The image can be pulled and not run.
extends_documentation_fragment:
  - splithorizon.registry._attributes
options:
  url:
    description: Scheme, host and port of the registry.
    type: str
    required: true
  address:
    description: IP address, or C(ip:port), to connect to in place of what DNS says of the host.
    type: str
  ca:
    description: Certificates to trust, PEM text. By default those the system trusts.
    type: str
  username:
    description: User who may push to O(repository), and delete from it.
    type: str
    required: true
  password:
    description: Password of O(username).
    type: str
    required: true
  repository:
    description: Repository, with its project, which must be there.
    type: str
    required: true
  tag:
    description: Tag of the image.
    type: str
    required: true
  size:
    description: Bytes of the layer's random content.
    type: int
    default: 1048576
  state:
    description: Whether the image is to be there.
    type: str
    choices: [present, absent]
    default: present
  timeout:
    description: Seconds that one request may take, the upload of the layer too.
    type: int
    default: 60
author:
  - Split horizon registry contributors (@splithorizon)
"""

EXAMPLES = r"""
- name: Push an image for the pull proof of each node (1/2)
  splithorizon.registry.registry_proof_image:
    url: https://harbor.example.com
    address: 203.0.113.7
    username: robot$ci
    password: "{{ registry_push_password }}"
    repository: library/proof
    tag: "{{ run_id }}"

- name: Delete it after the proof (2/2)
  splithorizon.registry.registry_proof_image:
    url: https://harbor.example.com
    address: 203.0.113.7
    username: robot$ci
    password: "{{ registry_push_password }}"
    repository: library/proof
    tag: "{{ run_id }}"
    state: absent
"""

RETURN = r"""
reference:
  description: What to pull.
  returned: success
  type: str
  sample: harbor.example.com/library/proof:20261121-1402
digest:
  description: Digest of the image's manifest.
  returned: >-
    when the image is or was there; for an image that is to be pushed, not in check mode, because its bytes are random
  type: str
  sample: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change, report
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._http import (
    Client,
    direct,
    parse_address,
    parse_url,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._registry import (
    Registry,
    check_repository,
    check_tag,
    fresh_image,
    is_proof_image,
)

MAX_SIZE = 1024**3

SPEC: dict[str, t.Any] = {
    "url": {"type": "str", "required": True},
    "address": {"type": "str"},
    "ca": {"type": "str"},
    "username": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "repository": {"type": "str", "required": True},
    "tag": {"type": "str", "required": True},
    "size": {"type": "int", "default": 1024**2},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "timeout": {"type": "int", "default": 60},
}


def step(module: AnsibleModule) -> tuple[list[Change], dict[str, t.Any]]:
    params = module.params
    origin = parse_url(params["url"], where="url")
    check_repository(params["repository"], where="repository")
    check_tag(params["tag"], where="tag")
    if not 0 < params["size"] <= MAX_SIZE:
        raise BadInput(f"{params['size']} bytes", where="size", cure=f"Give 1 to {MAX_SIZE}")
    address, port = parse_address(params["address"], where="address") if params["address"] else (None, None)
    way = direct(seconds=params["timeout"], address=address, port=port, of=origin)
    client = Client(way=way, ca=params["ca"], seconds=params["timeout"])
    registry = Registry(origin=origin, client=client, username=params["username"], password=params["password"])
    if registry.realm_in_clear:
        module.warn(f"{origin} names the realm {registry.realm_in_clear}: credentials go there in clear")
    reference = f"{origin.netloc}/{params['repository']}:{params['tag']}"
    present = params["state"] == "present"
    digest, there = (_push if present else _delete)(module, registry, reference)
    words = {True: "present\n", False: ""}
    change = Change(what=f"image {reference}", before=words[there], after=words[present])
    return [change], {"reference": reference, **({"digest": digest} if digest else {})}


def _push(module: AnsibleModule, registry: Registry, _reference: str) -> tuple[str, bool]:
    repository, tag = module.params["repository"], module.params["tag"]
    if found := registry.find(repository, tag):
        return found[0], True
    if module.check_mode:
        return "", False
    image = fresh_image(size=module.params["size"])
    registry.push(repository, tag, image)
    return image.digest, False


def _delete(module: AnsibleModule, registry: Registry, reference: str) -> tuple[str, bool]:
    repository, tag = module.params["repository"], module.params["tag"]
    found = registry.find(repository, tag)
    if found is None:
        return "", False
    digest, manifest = found
    if not is_proof_image(manifest):
        raise Conflict("was not made by this module", where=reference, cure="Delete it by hand if it is to go")
    if not module.check_mode:
        registry.delete(repository, digest)
    return digest, True


def main() -> t.NoReturn:
    report(AnsibleModule(argument_spec=SPEC, supports_check_mode=True), step)


if __name__ == "__main__":
    main()
