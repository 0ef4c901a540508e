# SPDX-License-Identifier: GPL-3.0-or-later
"""What CoreDNS is to rewrite, in both states, as coredns_rewrite reads it."""

from __future__ import annotations

import pytest
from ansible_collections.splithorizon.registry.plugins.filter.dns_rewrites import dns_rewrites
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import read_rewrites

NAME, TARGET = "harbor.example.com", "envoy-proxy.gw.svc.cluster.local"
FURTHER = [
    {"name": "notary.example.com"},
    {"name": "git.example.com", "target": "gitea.git.svc.cluster.local"},
    {"name": "old.example.com", "state": "absent"},
]


def test_https() -> None:
    assert dns_rewrites("https", name=NAME, target=TARGET, further=FURTHER) == [
        {"name": NAME, "target": TARGET},
        {"name": "notary.example.com", "target": TARGET},
        {"name": "git.example.com", "target": "gitea.git.svc.cluster.local"},
        {"name": "old.example.com", "target": TARGET, "state": "absent"},
    ]


@pytest.mark.parametrize("transport", ["https", "http"])
def test_the_module_takes_them(transport: str) -> None:
    items = dns_rewrites(transport, name=NAME, target=TARGET, further=FURTHER)
    defaults = {"state": None, "match": None, "example": None}
    state = "present" if transport == "https" else "absent"
    read = read_rewrites({"state": state, "rewrites": [{**defaults, **item} for item in items]})
    assert [each.present for each in read] == [transport == "https"] * 3 + [False]
