# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway that pods cannot use is noticed before the first change; one that they can is not refused."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._gateway_policies import (
    access_notes,
    refuse_clients,
    serves,
)

if t.TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, t.Any]
HOST = "harbor.example.com"
REF = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "eg"}
HTTPS: Json = {"name": "https", "port": 443, "protocol": "HTTPS"}


def gateway(*listeners: Json, **spec: t.Any) -> Json:
    metadata = {"namespace": "gw", "name": "eg", "labels": {"use": "registry"}}
    return {"kind": "Gateway", "metadata": metadata, "spec": {"listeners": list(listeners) or [HTTPS], **spec}}


def policy(
    spec: Json, *, ref: Json | None = None, namespace: str = "gw", name: str = "p", at: str = "2026-01-01"
) -> Json:
    targets = spec if ref is None and "targetSelectors" in spec else {"targetRefs": [REF | (ref or {})], **spec}
    return {"metadata": {"namespace": namespace, "name": name, "creationTimestamp": at}, "spec": targets}


PROXY: Json = {"proxyProtocol": {}}
PLAIN: Json = {"http2": {}}


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        ([policy({"enableProxyProtocol": True})], "PROXY"),
        ([policy(PROXY)], "PROXY"),
        ([policy({"proxyProtocol": {"optional": False}})], "PROXY"),
        ([policy(PROXY, ref={"sectionName": "https"})], "PROXY"),
        ([policy({"targetRef": REF, "targetRefs": None, **PROXY})], "PROXY"),
        ([policy({"targetSelectors": [{"kind": "Gateway", "matchLabels": {"use": "registry"}}], **PROXY})], "PROXY"),
        ([policy(PLAIN, at="2026-02-02", name="a"), policy(PROXY, name="b")], "gw/b"),
        ([policy(PLAIN), policy(PROXY, ref={"sectionName": "https"}, name="b")], "gw/b"),
        ([policy({"tls": {"clientValidation": {}}})], "client certificate"),
        ([policy({"tls": {"clientValidation": {"mode": "RequireAny", "optional": True}}})], "client certificate"),
    ],
)
def test_refused(policies: list[Json], said: str) -> None:
    with pytest.raises(Conflict, match=said) as error:
        refuse_clients(gateway(), policies, hostname=HOST)
    assert "ClientTrafficPolicy gw/" in error.value.where
    assert "listener https of Gateway gw/eg" in error.value.problem


@pytest.mark.parametrize(
    "policies",
    [
        [],
        [policy(PLAIN)],
        [policy({"enableProxyProtocol": False})],
        [policy({"proxyProtocol": {"optional": True}, "enableProxyProtocol": True})],
        [policy({"tls": {"clientValidation": {"optional": True}}})],
        [policy({"tls": {"clientValidation": {"mode": "VerifyIfGiven"}}})],
        [policy(PROXY, namespace="elsewhere")],
        [policy(PROXY, ref={"name": "other"})],
        [policy(PROXY, ref={"kind": "ListenerSet"})],
        [policy(PROXY, ref={"sectionName": "http"})],
        [policy({"targetSelectors": [{"kind": "Gateway", "matchLabels": {"use": "other"}}], **PROXY})],
        [policy(PLAIN, ref={"sectionName": "https"}), policy(PROXY, name="b")],
        [policy(PLAIN), policy(PROXY, name="b", at="2026-02-02")],
    ],
)
def test_not_refused(policies: list[Json]) -> None:
    refuse_clients(gateway(), policies, hostname=HOST)


def test_only_listeners_of_the_name_on_443_count() -> None:
    other = {**HTTPS, "name": "other", "hostname": "git.example.com"}
    plain = {"name": "http", "port": 80}
    policies = [policy(PROXY, ref={"sectionName": name}) for name in ("other", "http")]
    refuse_clients(gateway(other, plain, HTTPS), policies, hostname=HOST)
    assert [serves({"hostname": each}, HOST) for each in ("", HOST, "*.example.com", "*.com", "example.com")] == [
        True,
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("found", "refused"),
    [
        (gateway({**HTTPS, "tls": {"frontendValidation": {"caCertificateRefs": [{"name": "ca"}]}}}), True),
        (gateway(tls={"frontend": {"default": {"validation": {"caCertificateRefs": [{"name": "ca"}]}}}}), True),
        (gateway(tls={"frontend": {"default": {"validation": {"mode": "AllowInsecureFallback"}}}}), False),
        (
            gateway(
                tls={"frontend": {"default": {"validation": {"mode": "AllowValidOnly"}}, "perPort": [{"port": 443}]}}
            ),
            False,
        ),
    ],
)
def test_gateway_api_asks_for_certificates_itself(found: Json, refused: bool) -> None:
    if not refused:
        refuse_clients(found, [], hostname=HOST)
        return
    with pytest.raises(Conflict, match="client certificate"):
        refuse_clients(found, [], hostname=HOST)


def test_what_security_policies_ask_for_is_told() -> None:
    route = {"kind": "HTTPRoute", "metadata": {"namespace": "harbor", "name": "harbor"}, "spec": {}}
    of_gateway = policy({"authorization": {"defaultAction": "Deny"}})
    of_route = policy({"basicAuth": {}, "jwt": {}}, ref={"kind": "HTTPRoute", "name": "harbor"}, namespace="harbor")
    cors = policy({"cors": {}}, ref={"kind": "HTTPRoute", "name": "harbor"}, namespace="harbor", at="2025-01-01")
    first, second = access_notes(gateway(), [route], [of_gateway, of_route])
    assert first.startswith("SecurityPolicy gw/p of Gateway gw/eg asks for authorization")
    assert "HTTPRoute harbor/harbor asks for a password and a token (JWT)" in second
    assert access_notes(gateway(), [route], [cors]) == []


def test_real_gateways_take_pods(captures: Path) -> None:
    """The corpus's policies beside a Gateway leave pods in: those that read the PROXY protocol make it optional."""
    seen = 0
    for path in sorted((captures / "corpus" / "envoy").glob("*.yaml")):
        found = _objects(path)
        policies = [one for one in found if one["kind"] == "ClientTrafficPolicy"]
        for each in (one for one in found if one["kind"] == "Gateway" and policies):
            refuse_clients(each, policies, hostname="registry.example.com")
            seen += 1
    assert seen > 50


def _objects(path: Path) -> list[Json]:
    """The objects of a file, in one namespace; none of a template."""
    try:
        found = [one for one in yaml.safe_load_all(path.read_text()) if isinstance(one, dict) and one.get("kind")]
    except yaml.YAMLError:
        return []
    for one in found:
        one["metadata"].setdefault("namespace", "network")
    return found
