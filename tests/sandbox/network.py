# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's network: a LAN, and one namespace per cluster on a cable to it.

The LAN is the namespace the sandbox itself runs in: it is where an operator's machine stands, and it routes. All nodes
of a cluster share the cluster's namespace and have their addresses on its end of the cable; pods get namespaces of
their own, joined to it.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

from .model import CLUSTERS
from .process import run

if t.TYPE_CHECKING:
    from .model import ClusterModel

__all__ = ["UPLINK", "build", "rules", "steps"]

UPLINK = "uplink"
SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    # Answers to a pod come back by another way than the one the kernel would have chosen.
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
}


def build() -> None:
    """Make the whole network; it goes away with the namespaces it consists of."""
    run(["ip", "link", "set", "lo", "up"])
    _set_sysctls(None)
    for cluster in CLUSTERS:
        run(["ip", "netns", "add", cluster.name])
        _set_sysctls(cluster.name)
        for network, script in steps(cluster):
            run(["ip", "-batch", "-"], network=network, stdin=script)
        run(["nft", "-f", "-"], network=cluster.name, stdin=rules(cluster))


def steps(cluster: ClusterModel) -> list[tuple[str | None, str]]:
    """Batches for ``ip``, each with the namespace it runs in."""
    cable = f"lan-{cluster.name}"
    lan = [
        f"link add {cable} type veth peer name {UPLINK} netns {cluster.name}",
        f"address add {cluster.lan_address}/{cluster.prefix} dev {cable}",
        f"link set {cable} up",
    ]
    inside = ["link set lo up", f"link set {UPLINK} up"]
    inside += [f"address add {node.address}/{cluster.prefix} dev {UPLINK}" for node in cluster.nodes]
    inside += [f"route add default via {cluster.lan_address} src {cluster.api_address}"]
    routes = [f"route add {address}/32 via {cluster.api_address}" for address in cluster.balancer_addresses]
    return [(None, _lines(lan)), (cluster.name, _lines(inside)), (None, _lines(routes))]


def rules(cluster: ClusterModel) -> str:
    """Rules for ``nft``: pods leave the cluster by their node's address, and never reach a load balancer's address.

    The drop is what Cilium's direct server return does to such packets; it comes before kube-proxy would rewrite them.
    """
    balancers = ", ".join(cluster.balancer_addresses)
    return f"""
table ip sandbox {{
  chain no_hairpin {{
    type filter hook prerouting priority raw; policy accept;
    ip saddr {cluster.pod_range} ip daddr {{ {balancers} }} counter drop
  }}
  chain leave {{
    type nat hook postrouting priority srcnat + 10; policy accept;
    ip saddr {cluster.pod_range} ip daddr != {cluster.pod_range} oifname "{UPLINK}" masquerade
  }}
}}
"""


def _set_sysctls(network: str | None) -> None:
    if network is None:
        for name, value in SYSCTLS.items():
            Path("/proc/sys", name).write_text(value)
        return
    script = "; ".join(f"echo {value} > /proc/sys/{name}" for name, value in SYSCTLS.items())
    run(["sh", "-ec", script], network=network)


def _lines(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
