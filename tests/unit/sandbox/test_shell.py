# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

from sandbox.keeper import Running
from sandbox.paths import BIN, Paths
from sandbox.shell import command, environment

HOME = Paths(Path("/home/sandbox"))


def _command(*, rootless: bool = False, cluster: str | None = None) -> list[str]:
    return command(HOME, Running(init=7, born=1, rootless=rootless), ["dig", "x"], cluster=cluster)


def test_it_enters_the_namespaces_of_process_1() -> None:
    words = _command()
    assert words[:2] == ["nsenter", "--target=7"]
    assert {"--net", "--mount", "--pid"} <= set(words)
    assert "--user" not in words
    assert words[-2:] == ["dig", "x"]


def test_an_ordinary_user_enters_the_user_namespace_too() -> None:
    assert {"--user", "--preserve-credentials"} <= set(_command(rootless=True))


def test_on_a_cluster_names_resolve_as_on_its_nodes() -> None:
    assert "/home/sandbox/run/beta/resolv.conf" in _command(cluster="beta")


def test_the_environment_points_at_the_sandbox_and_has_no_proxy() -> None:
    outside = {"PATH": "/usr/bin", "EDITOR": "vi", "KUBECONFIG": "/mine", "HTTPS_PROXY": "x", "no_proxy": "y"}
    inside = environment(HOME, outside)
    assert inside["KUBECONFIG"] == "/home/sandbox/kubeconfig"
    assert inside["SSL_CERT_FILE"] == "/home/sandbox/ca.crt"
    assert inside["PATH"].split(":")[0] == str(BIN)
    assert inside["EDITOR"] == "vi"
    assert not {"HTTPS_PROXY", "no_proxy"} & set(inside)
