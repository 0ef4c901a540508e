# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

from sandbox.model import by_name
from sandbox.network import rules, steps


def test_pods_never_reach_any_load_balancer_address() -> None:
    drop = re.search(r"ip saddr (\S+) ip daddr \{ (.*) \} counter drop", rules(by_name("beta")))
    assert drop
    assert (drop[1], set(drop[2].split(", "))) == ("10.42.0.0/16", {"192.168.1.110", "192.168.1.105"})


def test_all_nodes_are_on_the_cable_and_the_lan_finds_the_balancers() -> None:
    (_, lan), (inside_name, inside), (_, routes) = steps(by_name("alpha"))
    assert "address add 10.5.0.1/24 dev lan-alpha\n" in lan
    assert inside_name == "alpha"
    assert re.findall(r"address add (\S+) dev uplink", inside) == ["10.5.0.2/24", "10.5.0.3/24", "10.5.0.4/24"]
    assert routes == "route add 203.0.113.7/32 via 10.5.0.2\n"
