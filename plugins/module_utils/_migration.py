# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: all that the v1alpha1 document holds of registries and extra hosts → documents that mean exactly the same.

Talos makes the same files of both, byte for byte, so nothing on the node changes. What a document would refuse, or
write in another way, is a Conflict that names it, before anything is sent.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_text
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._host_plan import with_static_hosts
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import check_certificates
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import EXTRA_HOSTS, KINDS
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


def migrated(config: MachineConfig, version: Version) -> tuple[MachineConfig, tuple[str, ...]]:
    """The configuration with nothing left in the v1alpha1 document, and what was moved."""
    old, new = config.in_v1alpha1, config.in_documents
    reasons: list[str] = []
    after = config
    for kind, spec in KINDS.items():
        hidden = getattr(new, kind)
        for key, value in getattr(old, kind).items():
            place = f"{spec.label} of {key}"
            if key in hidden:
                reasons.append(f"{place}: also in machine.registries, hidden by its document")
                continue
            _refuse_what_differs(value, version, where=place)
            after = after.with_document(spec.document, key, spec.write(value))
            reasons.append(f"{place}: to be a document")
    for ip, names in _joined(config).items():
        _refuse_host(ip, names)
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


def _refuse_what_differs(value: Setting, version: Version, *, where: str) -> None:
    if isinstance(value, Mirror):
        _refuse_mirror(value, where=where)
    elif isinstance(value, Auth):
        _refuse_auth(value, where=where)
    else:
        _refuse_tls(value, version, where=where)


def _refuse_mirror(mirror: Mirror, *, where: str) -> None:
    for number, endpoint in enumerate(mirror.endpoints, start=1):
        if not _PLAIN_URL.fullmatch(endpoint.url):
            # Not shown: it may hold a password.
            problem = f"a document does not take the URL of endpoint {number}, or not as it is written"
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


def _refuse_host(ip: str, names: tuple[str, ...]) -> None:
    cure = "Remove it: hosts with this ip and state: absent"
    try:
        ipaddress.ip_address(ip)
    except ValueError:
        raise Conflict("a document takes no host entry without an IP address", where=f"host {ip}", cure=cure) from None
    if not names:
        raise Conflict("a document takes no host entry without names", where=f"host {ip}", cure=cure)
