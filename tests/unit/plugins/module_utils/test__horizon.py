# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for a name, and what a client ends with."""

from __future__ import annotations

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import (
    Lookup,
    NodeView,
    PodView,
    Server,
    hosts_of,
    search_names,
)

HOSTS = """\
127.0.0.1   localhost
10.5.0.2\talpha-cp-1
fd00::7  harbor.example.com # the alias
203.0.113.7 other.example.com Harbor.Example.com
10.96.44.7 harbor.example.com harbor.example.com.
not-an-ip harbor.example.com
"""


def test_what_pods_ask_for_in_their_order() -> None:
    assert search_names("a.b", domain="k8s.home", namespaces=["default", "app"]) == [
        "a.b.default.svc.k8s.home.",
        "a.b.app.svc.k8s.home.",
        "a.b.svc.k8s.home.",
        "a.b.k8s.home.",
        "a.b.",
    ]


def test_a_hosts_file() -> None:
    found = hosts_of(HOSTS, "harbor.example.com")
    assert found == ("10.96.44.7", "203.0.113.7", "fd00::7", "not-an-ip")
    assert hosts_of(HOSTS, "example.com") == ()


def test_pods_go_on_where_there_is_no_address() -> None:
    nothing, bare = Lookup(name="a.b.svc.c.", rcode="NXDOMAIN"), Lookup(name="a.b.", aaaa=("fd00::1",))
    assert PodView(pod="p", node="n", lookups=(nothing, bare)).gets is bare
    assert PodView(pod="p", node="n", lookups=(bare, nothing)).gets is bare
    assert PodView(pod="p", node="n", lookups=(nothing, nothing)).gets.nothing == "NXDOMAIN"
    assert PodView(pod="p", node="n", problem="refused").gets.nothing == "refused"
    assert Lookup(name="a.b.", rcode="NOERROR").nothing == "no address"


@pytest.mark.parametrize(
    ("view", "gets", "by"),
    [
        (NodeView(node="n", hosts=("10.0.0.1",)), ("10.0.0.1",), "/etc/hosts"),
        (NodeView(node="n"), (), ""),
        (NodeView(node="n", resolvers=(Server(address="a", lookup=Lookup(name="x.", problem="late")),)), (), ""),
        (
            NodeView(node="n", resolvers=(Server(address="a", lookup=Lookup(name="x.", a=("10.0.0.2",))),)),
            ("10.0.0.2",),
            "a",
        ),
    ],
)
def test_what_a_node_gets_and_by_whom(view: NodeView, gets: tuple[str, ...], by: str) -> None:
    assert (view.gets, view.by) == (gets, by)
