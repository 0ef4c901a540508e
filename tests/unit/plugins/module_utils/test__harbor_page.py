# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a Harbor, told with its cure."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import challenge
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_page import troubles

OWN = "http://harbor-core:80"
INSIDE = "harbor-core.a.svc.cluster.local"
REALM = f"http://{INSIDE}:80/service/token"
WELL: t.Any = {
    "fullname": "harbor",
    "namespace": "a",
    "settings": {
        "harbor-core": {"EXT_ENDPOINT": "https://h", "CORE_URL": OWN},
        "harbor-jobservice-env": {"CORE_URL": OWN},
    },
    "stale": [],
    "health": {"status": "healthy", "components": [{"name": "core", "status": "healthy"}]},
    "expected": {INSIDE: REALM},
    "read": {INSIDE: challenge(REALM)},
}
ILL = {"status": "unhealthy", "components": [{"name": "redis", "status": "unhealthy", "error": "refused"}]}
PATCHED = {"harbor-core": {"CORE_URL": "http://x"}, "harbor-jobservice-env": {"CORE_URL": OWN}}


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        ({"stale": ["harbor-core"]}, "stale", "Deployment a/harbor-core: its pods started before"),
        ({"settings": PATCHED}, "replication", f"core (http://x) is not jobservice's ({OWN})"),
        ({"health": ILL}, "health", "Harbor a/harbor: redis: refused"),
        ({"health": None}, "health", "no answer"),
        ({"read": {INSIDE: challenge("https://x/service/token")}}, "realm", f"is https://x/service/token, not {REALM}"),
        ({"read": {INSIDE: ""}}, "realm", "is missing, not"),
    ],
)
def test_each_trouble_is_the_only_one(wrong: t.Any, kind: str, said: str) -> None:
    found = troubles(**(WELL | wrong))
    assert [(one["kind"], said in one["message"], bool(one["cure"])) for one in found] == [(kind, True, True)]


def test_all_is_well() -> None:
    assert troubles(**WELL) == []
    assert troubles(**(WELL | {"read": {}})) == []  # with internalTLS the realm is not read
