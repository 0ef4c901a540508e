# SPDX-License-Identifier: GPL-3.0-or-later
"""What talosctl prints of nodes → what each gets for a name."""

from __future__ import annotations

import threading
import typing as t

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon import Lookup
from ansible_collections.splithorizon.registry.plugins.module_utils._horizon_nodes import HorizonReader
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import Access, Answer

if t.TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "harbor.example.com"
HOSTS = {"a": "127.0.0.1 localhost\n", "b": f"10.96.44.7 {NAME}\n", "c": f"10.96.44.7 {NAME}\n"}
RESOLVERS = {"a": ["10.5.0.1", "10.5.0.9"], "b": ["10.5.0.1"], "c": []}
VERSIONS = {"a": "v1.14.0", "b": "v1.13.0", "c": "v1.14.1"}
GONE = "rpc error: code = Unavailable desc = connection error: no route to host"


class Nodes:
    """talosctl for these nodes."""

    def __init__(self, *, gone: Sequence[str] = ()) -> None:
        self.gone = gone
        self.asked: list[str] = []
        self.lock = threading.Lock()

    def __call__(self, argv: Sequence[str], _stdin: str | None, _seconds: float) -> Answer:
        words = list(argv[1 : argv.index("--nodes")])
        nodes = [node for node in argv[argv.index("--nodes") + 1].split(",") if node not in self.gone]
        with self.lock:
            self.asked.append(" ".join(words[:2]))
        if not nodes:
            return Answer(returncode=1, stderr=GONE)
        if words == ["version"]:
            tags = (f"\tNODE: {node}\n\tTag: {VERSIONS[node]}\n" for node in nodes)
            return Answer(returncode=0, stdout="Client:\n\tTag: v1.14.0\nServer:\n" + "".join(tags))
        specs: dict[str, t.Callable[[str], t.Any]] = {
            "etcfilespecs": lambda node: {"contents": HOSTS[node]},
            "resolvers": lambda node: {"dnsServers": RESOLVERS[node]},
            "hostdnsconfigs": lambda node: {"enabled": True},
        }
        printed = yaml.safe_dump_all([{"node": node, "spec": specs[words[1]](node)} for node in nodes])
        return Answer(returncode=0, stdout=printed)


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def asker(asked: list[str]) -> t.Callable[[str, str], Lookup]:
    def ask(address: str, name: str) -> Lookup:
        asked.append(address)
        return Lookup(name=name, a=("203.0.113.7",), rcode="NOERROR")

    return ask


def test_each_node_and_each_resolver_once(asked: list[str], asker: t.Callable[[str, str], Lookup]) -> None:
    nodes = Nodes()
    a, b, c = HorizonReader(Access(), run=nodes).views(["a", "b", "c", "a"], NAME, asker=asker)
    assert (a.gets, a.by, a.host_dns) == (("203.0.113.7",), "10.5.0.1", True)
    assert (b.gets, b.by, b.host_dns) == (("10.96.44.7",), "/etc/hosts", False)
    assert (c.gets, c.by, c.host_dns, c.resolvers) == (("10.96.44.7",), "/etc/hosts", True, ())
    assert sorted(asked) == ["10.5.0.1", "10.5.0.9"]
    assert sorted(nodes.asked) == ["get etcfilespecs", "get hostdnsconfigs", "get resolvers", "version"]


def test_a_node_that_does_not_answer_keeps_none_from_being_read(asker: t.Callable[[str, str], Lookup]) -> None:
    a, b = HorizonReader(Access(), run=Nodes(gone=["a"])).views(["a", "b"], NAME, asker=asker)
    assert a.problem.startswith("the node cannot be reached")
    assert (a.gets, a.by) == ((), "")
    assert (b.by, b.problem) == ("/etc/hosts", "")
