# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: what network policies would do to pods that reach the gateway's pods directly, in place of its outer address.

Told from the policies as written; whether a network plugin enforces them is not known. Nothing here is refused for it.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ansible_collections.splithorizon.registry.plugins.module_utils._selectors import matches

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = ["Proxies", "cilium_gateway_notes", "cilium_notes", "names_notes", "network_notes"]

NAMESPACE = "io.kubernetes.pod.namespace"
ANYBODY = {"all", "cluster"}


@dataclass(frozen=True, kw_only=True)
class Proxies:
    """The gateway's pods: their labels, the port for HTTPS on them and its name, and the gateway's outer addresses."""

    namespace: str
    labels: Mapping[str, str]
    port: int | str
    addresses: Sequence[str] = ()


def network_notes(policies: Sequence[Json], proxies: Proxies) -> list[str]:
    """NetworkPolicies that keep pods out of the gateway's, and those that let pods out to its outer address only."""
    selecting = [one for one in policies if _selects(one, proxies)]
    rules = [rule for one in selecting for rule in one["spec"].get("ingress") or []]
    notes = []
    if selecting and not any(_admits_all(rule, proxies.port) for rule in rules):
        notes.append(_closed(selecting, proxies, "Allow ingress from every namespace that uses the registry"))
    by_address = [one for one in policies if _lets_out_to(one, proxies.addresses)]
    if by_address:
        notes.append(
            f"pods that may leave by {_names(by_address)} get to the gateway's outer address, and by the alias they go "
            f"to its pods. Allow egress to namespace {proxies.namespace}, port {proxies.port}, too"
        )
    return notes


def _closed(policies: Sequence[Json], proxies: Proxies, cure: str) -> str:
    return (
        f"pods of other namespaces would not get to port {proxies.port} of the gateway's pods, because of "
        f"{_names(policies)}. {cure}"
    )


def _selects(policy: Json, proxies: Proxies) -> bool:
    spec = policy["spec"]
    ingress = "Ingress" in (spec.get("policyTypes") or ["Ingress"])
    here = policy["metadata"]["namespace"] == proxies.namespace
    return here and ingress and matches(spec.get("podSelector") or {}, proxies.labels)


def _admits_all(rule: Json, port: int | str) -> bool:
    """Whether pods of every namespace may reach the port by this rule."""
    peers = rule.get("from") or []
    everybody = not peers or any(_is_every_pod(peer) for peer in peers)
    ports = rule.get("ports") or []
    return everybody and (not ports or any(_covers(one, port) for one in ports))


def _is_every_pod(peer: Json) -> bool:
    """Addresses are not counted in: most network plugins do not take them for pods'."""
    return peer.get("namespaceSelector") == {} and not peer.get("podSelector")


def _covers(rule: Json, port: int | str) -> bool:
    if rule.get("protocol", "TCP") != "TCP":
        return False
    first = rule.get("port")
    if first is None or first == port:
        return True
    numbers = isinstance(first, int) and isinstance(port, int)
    return bool(numbers and t.cast("int", first) <= t.cast("int", port) <= int(rule.get("endPort", 0)))


def _lets_out_to(policy: Json, addresses: Sequence[str]) -> bool:
    peers = [peer for rule in policy["spec"].get("egress") or [] for peer in rule.get("to") or []]
    blocks = [peer["ipBlock"]["cidr"] for peer in peers if peer.get("ipBlock")]
    return any(_is_inside(address, block) for address in addresses for block in blocks)


def _is_inside(address: str, block: str) -> bool:
    """Not for a block of everything, which lets out to the Internet, not to the gateway."""
    network = ipaddress.ip_network(block, strict=False)
    try:
        return network.prefixlen > 0 and ipaddress.ip_address(address) in network
    except ValueError:  # an address of a Gateway may be a name
        return False


def cilium_notes(policies: Sequence[Json], proxies: Proxies) -> list[str]:
    """The same for CiliumNetworkPolicies, those of a namespace and those of the cluster."""
    labels = {**proxies.labels, NAMESPACE: proxies.namespace}
    closing = [one for one in policies if _cilium_closing(one, labels, proxies)]
    if not closing or _admitted(closing, labels, proxies):
        return []
    return [_closed(closing, proxies, "Allow ingress fromEntities cluster to that port")]


def cilium_gateway_notes(policies: Sequence[Json], proxies: Proxies) -> list[str]:
    """The same for Cilium's own gateway.

    It is no pod but an endpoint with the label ``reserved:ingress``, which has no namespace: where the cluster's
    policies deny what is not named, it needs a rule of its own.
    """
    labels = {"reserved:ingress": ""}
    of_cluster = [one for one in policies if not one["metadata"].get("namespace")]
    denying = [one for one in of_cluster if any("ingress" in rule and _is_broad(rule) for rule in _rules(one))]
    if not denying or _admitted(of_cluster, labels, proxies):
        return []
    return [
        f"Cilium's gateway would answer 403, because of {_names(denying)}: no policy lets anybody in to its endpoint. "
        "Allow ingress to the endpoints on which the label reserved:ingress exists"
    ]


def _cilium_closing(policy: Json, labels: Mapping[str, str], proxies: Proxies) -> list[Json]:
    """The rules of a policy that select the endpoint, so that only what they name comes in."""
    if policy["metadata"].get("namespace") not in (None, proxies.namespace):
        return []
    return [
        rule
        for rule in _rules(policy)
        if "ingress" in rule and "endpointSelector" in rule and matches(_plain(rule["endpointSelector"] or {}), labels)
    ]


def _admitted(policies: Iterable[Json], labels: Mapping[str, str], proxies: Proxies) -> bool:
    rules = [rule for one in policies for rule in _cilium_closing(one, labels, proxies)]
    return any(_cilium_admits(each, proxies.port) for rule in rules for each in rule["ingress"] or [])


def _is_broad(rule: Json) -> bool:
    """Whether it is for all but a few: it does not name labels that it is for."""
    return "endpointSelector" in rule and not (rule["endpointSelector"] or {}).get("matchLabels")


def _rules(policy: Json) -> list[Json]:
    return [rule for rule in [policy.get("spec"), *(policy.get("specs") or [])] if rule]


def _plain(selector: Json) -> Json:
    """A selector of Cilium with labels as Kubernetes writes them: without the prefix of their source."""
    expressions = [{**one, "key": _key(one["key"])} for one in selector.get("matchExpressions") or []]
    wanted = {_key(key): value for key, value in (selector.get("matchLabels") or {}).items()}
    return {"matchLabels": wanted, "matchExpressions": expressions}


def _key(key: str) -> str:
    return key.removeprefix("k8s:").removeprefix("any:")


def _cilium_admits(rule: Json, port: int | str) -> bool:
    """Whether all pods of the cluster may come in by it. An empty rule lets in nobody."""
    sources = [key for key in rule if key.startswith("from")]
    everybody = (not sources and bool(rule)) or bool(ANYBODY & set(rule.get("fromEntities") or []))
    everybody = everybody or any(_is_every_endpoint(one) for one in rule.get("fromEndpoints") or [])
    ports = [one for each in rule.get("toPorts") or [] for one in each.get("ports") or []]
    return everybody and (not ports or any(_cilium_covers(one, port) for one in ports))


def _is_every_endpoint(selector: Json) -> bool:
    """Of any namespace: in a policy of a namespace an empty selector means that namespace."""
    plain = _plain(selector)
    exists = [one for one in plain["matchExpressions"] if (one["key"], one["operator"]) == (NAMESPACE, "Exists")]
    return bool(exists) and not plain["matchLabels"] and len(plain["matchExpressions"]) == 1


def _cilium_covers(rule: Json, port: int | str) -> bool:
    first = str(rule.get("port", "0"))
    if rule.get("protocol", "ANY") not in {"ANY", "TCP"}:
        return False
    if first in {"0", str(port)}:
        return True
    numbers = first.isdigit() and isinstance(port, int)
    return bool(numbers and int(first) <= int(port) <= int(rule.get("endPort", 0)))


def names_notes(policies: Sequence[Json], *, hostname: str, proxies: Proxies) -> list[str]:
    """Cilium's policies that let pods out to the registry by its name: to a Service of the cluster they do not."""
    naming = [one for one in policies if any(_lets_out_by_name(rule, hostname) for rule in _rules(one))]
    if not naming:
        return []
    return [
        f"pods that may leave by {_names(naming)} get to {hostname} by toFQDNs, which does not cover pods of the "
        f"cluster. Allow egress to the endpoints of namespace {proxies.namespace}, port {proxies.port}, too"
    ]


def _lets_out_by_name(rule: Json, hostname: str) -> bool:
    named = [one for each in rule.get("egress") or [] for one in each.get("toFQDNs") or []]
    return any(
        one.get("matchName") == hostname or ("matchPattern" in one and fnmatchcase(hostname, one["matchPattern"]))
        for one in named
    )


def _names(policies: Iterable[Json]) -> str:
    return ", ".join(f"{_kind(one)} {'/'.join(filter(None, _place(one)))}" for one in policies)


def _kind(policy: Json) -> str:
    """Lists of built-in kinds do not say it of their items."""
    return str(policy.get("kind", "NetworkPolicy"))


def _place(policy: Json) -> tuple[str, str]:
    return policy["metadata"].get("namespace", ""), policy["metadata"]["name"]
