# SPDX-License-Identifier: GPL-3.0-or-later
"""The drawing says in a line who gets what; the page has every question, and a table that Markdown takes."""

from __future__ import annotations

from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import (
    Horizons,
    Lookup,
    NodeView,
    PodView,
    Server,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon_page import drawing, page
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon_verdict import judge

NAME = "harbor.example.com"
NOWHERE = Lookup(name=f"{NAME}.default.svc.cluster.local.", rcode="NXDOMAIN")
INSIDE = Lookup(name=f"{NAME}.", a=("10.96.44.7",), rcode="NOERROR")
OUTSIDE = Server(address="10.5.0.1", lookup=Lookup(name=f"{NAME}.", a=("203.0.113.7",), rcode="NOERROR"))
SEEN = Horizons(
    name=NAME,
    target="envoy.gw.svc.cluster.local",
    pods=(
        PodView(pod="a", node="w1", lookups=(NOWHERE, INSIDE), target=INSIDE),
        PodView(pod="b", node="w2", problem="refused | by policy"),
    ),
    nodes=(
        NodeView(node="10.5.0.2", resolvers=(OUTSIDE,)),
        NodeView(node="10.5.0.3", resolvers=(OUTSIDE,)),
        NodeView(node="10.5.0.4", hosts=("10.96.44.7", "fd00::7"), host_dns=True),
        NodeView(node="10.5.0.5", problem="the node cannot be reached"),
    ),
    outside=OUTSIDE,
)


def test_drawing() -> None:
    assert drawing(SEEN, judge(SEEN)) == [
        "harbor.example.com",
        "├─ pods     10.96.44.7           a on w1",
        "├─ pods     -                    b on w2",
        "├─ nodes    203.0.113.7          10.5.0.2 by 10.5.0.1, 10.5.0.3 by 10.5.0.1",
        "├─ nodes    10.96.44.7, fd00::7  10.5.0.4 by /etc/hosts",
        "├─ nodes    -                    10.5.0.5",
        "└─ outside  203.0.113.7          by 10.5.0.1",
        "split horizon does not hold",
    ]


def test_drawing_of_pods_alone() -> None:
    seen = Horizons(name=NAME, pods=SEEN.pods[:1])
    assert drawing(seen, judge(seen)) == [NAME, "└─ pods     10.96.44.7  a on w1", "split horizon holds"]


def test_page() -> None:
    text = page(SEEN, judge(SEEN))
    lines = text.splitlines()
    assert lines[0] == "## harbor.example.com"
    assert [line for line in lines if line.startswith("|")] == [
        "| who | asked for | A | AAAA |",
        "| --- | --- | --- | --- |",
        "| pod a | harbor.example.com.default.svc.cluster.local. | NXDOMAIN |  |",
        "| pod a | harbor.example.com. | 10.96.44.7 | - |",
        "| pod b | refused \\| by policy |  |  |",
        "| node 10.5.0.2 | harbor.example.com. of 10.5.0.1 | 203.0.113.7 | - |",
        "| node 10.5.0.3 | harbor.example.com. of 10.5.0.1 | 203.0.113.7 | - |",
        "| node 10.5.0.4 | /etc/hosts | 10.96.44.7 | fd00::7 |",
        "| node 10.5.0.5 | the node cannot be reached |  |  |",
        "| outside, 10.5.0.1 | harbor.example.com. | 203.0.113.7 | - |",
    ]
    assert "- b: refused | by policy" in lines
    assert any(line.startswith("- Note: node 10.5.0.4") for line in lines)
    assert "\n\n\n" not in text
