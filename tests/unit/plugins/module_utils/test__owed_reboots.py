# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes owe a reboot, by what talosctl prints of their files and of containerd's start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import MachineConfig
from ansible_collections.splithorizon.registry.plugins.module_utils._owed_reboots import ContainerdReader
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import Access, Answer, Node, parse_version

CONFIG = MachineConfig.parse("machine: {}\n")
BOOT, LATER = "2026-11-21T11:00:00Z", "2026-11-21T12:00:00Z"
GONE = Answer(returncode=1, stderr="rpc error: code = Unavailable desc = no route to host")


def node(name, *, version="1.13.0", since=LATER, created=BOOT):
    return Node(
        name=name,
        version=parse_version(version),
        active=CONFIG,
        persistent=CONFIG,
        active_since=since,
        active_created=created,
    )


class Nodes:
    """Every node started containerd an hour ago; ``written`` seconds later it got its credentials' file."""

    def __init__(self, written, *, silent=()):
        self.written, self.silent, self.asked = written, silent, []

    def __call__(self, argv, _stdin, _seconds):
        self.asked.append(argv[1])
        names = [name for name in argv[argv.index("--nodes") + 1].split(",") if (argv[1], name) not in self.silent]
        if not names:
            return GONE
        if argv[1] == "service":
            lines = [f"NODE {name}\n [Running]: Process P started with PID 23 (1h0m0s ago)\n" for name in names]
        else:
            assert "--recurse" not in argv
            at = datetime.now(tz=UTC) - timedelta(hours=1) + timedelta(seconds=self.written)
            lines = [f"{name}   -rw-------   0   0   71   {at:%b %e %T}   cri.toml\n" for name in names]
        return Answer(returncode=0, stdout="".join(lines))


def owing(run, *nodes):
    return ContainerdReader(Access(), run=run).owed_reboots(nodes)


@pytest.mark.parametrize(("written", "found"), [(-60, set()), (2, set()), (30, {"a", "b"}), (3500, {"a", "b"})])
def test_who_got_credentials_after_containerds_start_owes_a_reboot(written, found):
    run = Nodes(written)
    assert owing(run, node("a"), node("b")) == found
    assert sorted(run.asked) == ["list", "service"], "one process each for all nodes"


def test_nobody_is_asked_who_cannot_owe_one():
    run = Nodes(30)
    assert owing(run, node("new", version="1.14.0"), node("booted", since=BOOT)) == set()
    assert owing(run) == set()
    assert run.asked == []


def test_without_its_times_a_node_is_asked():
    assert owing(Nodes(30), node("a", since="", created="")) == {"a"}


@pytest.mark.parametrize("command", ["list", "service"])
def test_a_node_that_does_not_tell_is_not_rebooted_for_it(command):
    assert owing(Nodes(30, silent={(command, "a")}), node("a"), node("b")) == {"b"}
