# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection splithorizon.registry.

from __future__ import annotations


class ModuleDocFragment:
    # Kept in step with REGISTRIES_SPEC and LAYER_SPEC of module_utils/_node_registries.py.
    DOCUMENTATION = r"""
options:
  state:
    description:
      - V(present) makes every named item what it is described as, and leaves all others alone. An item may say
        C(state=absent) for itself.
      - V(absent) takes every named item away, whatever else is said of it, so the options that set something also
        undo it. An item that says C(state=present) for itself is an error.
      - V(exact) is V(present), and takes away every mirror, every credentials and all TLS settings that are not named,
        in both layers; with none named, all of them. Host entries have other owners too, so only if O(hosts) is given
        are those that are not named taken away, all of them with an empty list. What is not named is absent anyway,
        so an item with C(state=absent) of its own says the same again.
    type: str
    choices: [present, absent, exact]
    default: present
  exact_hosts:
    description:
      - With O(state=exact), whether host entries that are not named are taken away too. By default they are if O(hosts)
        is given.
    type: bool
  mirrors:
    description: Where images of a registry are pulled from.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The registry as image references name it, V(host) or V(host:port), without a scheme.
          - V(*) is every registry without a mirror of its own.
        type: str
        required: true
      endpoints:
        description:
          - URLs to ask in this order, V(http://) or V(https://). All of the registry's endpoints.
          - An item is a URL, or a dictionary of C(url) and C(override_path).
          - Required if the mirror is to be present. An empty list asks the registry itself, in spite of a mirror of
            V(*).
        type: list
        elements: raw
      skip_fallback:
        description: Do not ask the registry itself when no endpoint has the image. Needs Talos 1.9.
        type: bool
        default: false
      override_path:
        description:
          - The endpoints' paths are complete, C(/v2) is not added to them.
          - In the v1alpha1 layer it is of all endpoints or of none; a mirror in which they differ is written as a
            document.
        type: bool
        default: false
      state:
        description: Whether the mirror is to be there. By default V(absent) if O(state=absent), else V(present).
        type: str
        choices: [present, absent]
  auth:
    description:
      - Credentials for the hosts of endpoint URLs. One kind of credentials for each host.
      - Before Talos 1.14 containerd takes changed credentials only when the node restarts, see RV(reboot_required).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - Host of the endpoint's URL, with its port if the URL writes one.
          - Docker Hub itself, without a mirror, is V(registry-1.docker.io).
        type: str
        required: true
      username:
        description: User or robot account; goes with O(auth[].password).
        type: str
      password:
        description: Its password.
        type: str
      auth:
        description: User and password as C(user:password) in Base64.
        type: str
      identity_token:
        description: An identity token.
        type: str
      state:
        description: Whether the credentials are to be there. By default V(absent) if O(state=absent), else V(present).
        type: str
        choices: [present, absent]
  tls:
    description: How the certificates of endpoints are verified.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Host of an V(https://) endpoint's URL, with its port if the URL writes one.
        type: str
        required: true
      ca:
        description: Certificates to trust for it, as PEM text.
        type: str
      client_cert:
        description: Client certificate, as PEM text; goes with O(tls[].client_key).
        type: str
      client_key:
        description: Its private key, as PEM text.
        type: str
      insecure_skip_verify:
        description: Do not verify the certificate.
        type: bool
        default: false
      state:
        description: Whether the settings are to be there. By default V(absent) if O(state=absent), else V(present).
        type: str
        choices: [present, absent]
  hosts:
    description: Lines of the node's C(/etc/hosts). From Talos 1.14 the node's DNS answers them too, to pods as well.
    type: list
    elements: dict
    suboptions:
      ip:
        description: The address. Only names that are to be absent may do without, and then go wherever they are.
        type: str
        default: ""
      names:
        description:
          - All names of the address. A name that another address has is moved here.
          - With O(hosts[].state=absent) the names to take away; none means the address and all its names.
        type: list
        elements: str
        default: []
      state:
        description: Whether the names are to be there. By default V(absent) if O(state=absent), else V(present).
        type: str
        choices: [present, absent]
  layer:
    description:
      - Where new settings are written. In V(v1alpha1) they are in C(machine.registries) and
        C(machine.network.extraHostEntries) of the v1alpha1 document. In V(documents) each has a document of its own
        (C(RegistryMirrorConfig), C(RegistryAuthConfig), C(RegistryTLSConfig), C(StaticHostConfig); Talos 1.12).
      - V(auto) keeps to what the node uses, and takes documents where it uses neither and is 1.12 or newer.
        A setting that is right already stays where it is.
      - A setting is taken out of the other layer, so that it neither hides what is wanted nor comes back later.
      - Talos 1.12.0 and 1.12.1 break on a TLS document without both C(ca) and C(client_cert). There, V(auto) writes
        it in the v1alpha1 document, and V(documents) is an error.
    type: str
    choices: [auto, v1alpha1, documents]
    default: auto
  migrate:
    description:
      - Also move all that C(machine.registries) and C(machine.network.extraHostEntries) hold to documents, whether the
        other options name it or not. Needs Talos 1.12, and not O(layer=v1alpha1).
      - What only moves leaves the node's files the same byte for byte. What a document would not take, or would not
        give back as it is written, is an error before anything is sent.
    type: bool
    default: false
"""
