# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: all that the v1alpha1 document holds of registries and extra hosts → documents that mean exactly the same.

Talos makes the same files of both, byte for byte, so nothing on the node changes. What a document would refuse, or
write in another way, is a Conflict that names it, before anything is sent.

In a file, ``${NAME}`` goes to the document as it stands: what is put in its place is one text for both layers.
So it may be a part of a URL that says its scheme, or an address; not a certificate, which is Base64 in one layer only.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_text
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._host_plan import with_static_hosts
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import check_certificates
from ansible_collections.splithorizon.registry.plugins.module_utils._placeholders import PLACEHOLDER
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import EXTRA_HOSTS, KINDS, mapping
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import (
    Auth,
    Mirror,
    Setting,
    Tls,
    normal_pem,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_version import (
    FIRST_WITH_PARTIAL_TLS_DOCUMENTS,
)

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._config_documents import MachineConfig
    from ansible_collections.splithorizon.registry.plugins.module_utils._talos_version import Version

__all__ = ["BREAKS_ON_TLS_DOCUMENTS", "holds_tls_document", "migrated"]

BREAKS_ON_TLS_DOCUMENTS: t.Final = (
    "Talos 1.12.0 and 1.12.1 stop writing hosts files at a TLS document without both ca and client certificate"
)

REGISTRIES: t.Final = ("machine", "registries")
# A document's URL is parsed and written anew by Go's net/url; one of these comes out as it went in.
_PLAIN_URL = re.compile(
    r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?(/[A-Za-z0-9._~!$&'()*+,;=:@/-]*)?",
)


def migrated(
    config: MachineConfig, version: Version, *, placeholders: bool = False
) -> tuple[MachineConfig, tuple[str, ...]]:
    """The configuration with nothing left in the v1alpha1 document, and what was moved.

    ``placeholders``: it is a file in which a later step fills in ``${NAME}``.
    """
    old, new = config.in_v1alpha1, config.in_documents
    reasons: list[str] = []
    after = config
    if placeholders:
        _refuse_encoded_placeholders(config)
    for kind, spec in KINDS.items():
        hidden = getattr(new, kind)
        for key, value in getattr(old, kind).items():
            place = f"{spec.label} of {key}"
            if key in hidden:
                reasons.append(f"{place}: also in machine.registries, hidden by its document")
                continue
            _refuse_what_differs(value, version, placeholders=placeholders, where=place)
            after = after.with_document(spec.document, key, spec.write(value))
            reasons.append(f"{place}: to be a document")
    for ip, names in _joined(config).items():
        _refuse_host(ip, names, placeholders=placeholders)
        after = with_static_hosts(after, [(ip, names)])
        reasons.append(f"host {ip}: to be a document")
    if reasons:
        after = after.with_v1alpha1(REGISTRIES, _yaml_text.DELETE).with_v1alpha1(EXTRA_HOSTS, _yaml_text.DELETE)
    return after, tuple(reasons)


def holds_tls_document(version: Version, tls: Tls) -> bool:
    """Whether this Talos can read these settings as a document."""
    return version >= FIRST_WITH_PARTIAL_TLS_DOCUMENTS or bool(tls.ca and tls.client_cert)


def _joined(config: MachineConfig) -> dict[str, tuple[str, ...]]:
    """For each address of the v1alpha1 document: its names and then those of its document, as Talos joins them."""
    old, documents = config.in_v1alpha1.hosts, dict(config.in_documents.hosts)
    joined: dict[str, tuple[str, ...]] = {}
    for ip, names in old:
        joined[ip] = (*joined.get(ip, ()), *names)
    return {ip: (*names, *documents.get(ip, ())) for ip, names in joined.items()}


def _refuse_what_differs(value: Setting, version: Version, *, placeholders: bool, where: str) -> None:
    if isinstance(value, Mirror):
        _refuse_mirror(value, placeholders=placeholders, where=where)
    elif isinstance(value, Auth):
        _refuse_auth(value, where=where)
    else:
        _refuse_tls(value, version, where=where)


def _refuse_encoded_placeholders(config: MachineConfig) -> None:
    registries = mapping(mapping(config.main.get("machine")).get("registries"))
    for key, value in mapping(registries.get("config")).items():
        tls = mapping(mapping(value).get("tls"))
        texts = [tls.get("ca"), *mapping(tls.get("clientIdentity")).values()]
        if any(PLACEHOLDER.search(str(text)) for text in texts):
            problem = "a placeholder stands for Base64 in machine.registries, and for PEM text in a document"
            cure = "Name it in tls with the PEM text, a placeholder for that, or state: absent, in the same call"
            raise Conflict(problem, where=f"TLS settings of {key}", cure=cure)


def _refuse_mirror(mirror: Mirror, *, placeholders: bool, where: str) -> None:
    for number, endpoint in enumerate(mirror.endpoints, start=1):
        # A number may stand wherever a placeholder may: in a name, as a port, in a path.
        url = PLACEHOLDER.sub("1", endpoint.url) if placeholders else endpoint.url
        if not _PLAIN_URL.fullmatch(url):
            # Not shown: it may hold a password.
            problem = f"a document does not take the URL of endpoint {number}, or not as it is written"
            if url != endpoint.url:
                problem = f"the URL of endpoint {number} does not say http:// or https:// before its placeholder"
            raise Conflict(problem, where=where, cure="Write it as http:// or https://host[:port][/path] first")


def _refuse_auth(auth: Auth, *, where: str) -> None:
    if sum(map(bool, (auth.username, auth.auth, auth.identity_token))) > 1:
        cure = "Set the one that is needed with auth, in the same call"
        raise Conflict("a document takes one kind of credentials, here are two", where=where, cure=cure)


def _refuse_tls(tls: Tls, version: Version, *, where: str) -> None:
    if not holds_tls_document(version, tls):
        raise Conflict(BREAKS_ON_TLS_DOCUMENTS, where=where, cure="Upgrade Talos to 1.12.2 first")
    if bool(tls.client_cert) != bool(tls.client_key):
        raise Conflict(
            "a client certificate without its key, or a key without it", where=where, cure="Complete it first"
        )
    if "\ufffd" in tls.ca + tls.client_cert + tls.client_key:
        raise Conflict("a document takes no bytes that are not UTF-8 text", where=where, cure="Write it as PEM first")
    for pem in filter(None, (tls.ca, tls.client_cert)):
        try:
            check_certificates(normal_pem(pem), where=where)
        except BadInput as error:
            raise Conflict(f"a document does not take it: {error.problem}", where=where, cure=error.cure) from None


def _refuse_host(ip: str, names: tuple[str, ...], *, placeholders: bool) -> None:
    cure = "Remove it: hosts with this ip and state: absent"
    try:
        if not (placeholders and PLACEHOLDER.fullmatch(ip)):
            ipaddress.ip_address(ip)
    except ValueError:
        raise Conflict("a document takes no host entry without an IP address", where=f"host {ip}", cure=cure) from None
    if not names:
        raise Conflict("a document takes no host entry without names", where=f"host {ip}", cure=cure)
