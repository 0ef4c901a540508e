# SPDX-License-Identifier: GPL-3.0-or-later
"""Predicted files against the files that a real Talos 1.13 node wrote for the same settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import talos_files
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _node_files
from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import MachineConfig
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import (
    Endpoint,
    Mirror,
    Settings,
    Tls,
)

TRUTH = Path(__file__).resolve().parents[4].parent / "shared" / "talos-1.13" / "ground-truth.yaml"
CASES = yaml.safe_load(TRUTH.read_text(encoding="utf-8")) if TRUTH.is_file() else []
BASE = "version: v1alpha1\nmachine:\n  type: worker\n"
NODE_LINES = {"127.0.0.1", "10.5.0.2", "::1", "ff02::1", "ff02::2"}


def merged(tree, patch):
    """Talos's strategic merge, as far as the captured patches go: lists append, $patch deletes."""
    for key, value in patch.items():
        if isinstance(value, dict) and value.get("$patch") == "delete":
            tree.pop(key, None)
        elif isinstance(value, dict):
            merged(tree.setdefault(key, {}), value)
        elif isinstance(value, list):
            gone = [item["ip"] for item in value if isinstance(item, dict) and item.get("$patch")]
            old = [item for item in tree.get(key, []) if not isinstance(item, dict) or item.get("ip") not in gone]
            tree[key] = old + [item for item in value if not isinstance(item, dict) or "$patch" not in item]
        else:
            tree[key] = value
    return tree


def configuration(case):
    documents = {None: yaml.safe_load(BASE)}
    for step in (step for step in case["steps"] if step["rc"] == 0):
        for patch in yaml.safe_load_all(step["patch"]):
            key = (patch["kind"], patch["name"]) if "kind" in patch else None
            if patch.get("$patch") == "delete":
                documents.pop(key)
            else:
                merged(documents.setdefault(key, {}), patch)
    return MachineConfig.parse(yaml.safe_dump_all(documents.values(), sort_keys=False))


@pytest.mark.captures
@pytest.mark.skipif(not CASES, reason="no captures of the real systems beside this checkout (../shared)")
def test_the_captures_are_all_read():
    assert len(CASES) >= 40


@pytest.mark.captures
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_files_are_what_the_real_node_wrote(case):
    settings = configuration(case).effective
    predicted = _node_files.node_files(settings)
    wrote = {path: _node_files.parse_hosts(text) for path, text in case["hosts_toml"].items()}
    expected = {f"{_node_files.directory_of(key)}/hosts.toml": file for key, file in predicted.hosts.items()}
    if case["name"] in {"same-endpoint-twice"}:  # the node wrote a table twice: no reader takes that
        assert wrote == {"harbor.example.com/hosts.toml": None}
        assert [host.url for host in expected["harbor.example.com/hosts.toml"].hosts] == ["http://old.internal"] * 2
    else:
        assert expected == wrote
    assert {path: text.strip() for path, text in predicted.others.items()} == {
        path: text.strip() for path, text in case["other_files"].items()
    }
    assert {*expected, *predicted.others} == {path for path in case["hosts_tree"] if "/" in path}
    lines = [re.split(r"\s+", line) for line in case["etc_hosts"]]
    assert [(ip, *names) for ip, names in _node_files.host_lines(settings.hosts)] == [
        tuple(line) for line in lines if line[0] not in NODE_LINES
    ]


@pytest.mark.captures
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_bytes_are_what_the_real_node_wrote(case):
    """What the test of migrations relies on."""
    settings = configuration(case).effective
    predicted = _node_files.node_files(settings)
    written = {
        f"{_node_files.directory_of(key)}/hosts.toml": talos_files.hosts_toml(file)
        for key, file in predicted.hosts.items()
    }
    # The prediction for an endpoint that is there twice is right too: what Talos wrote is no TOML.
    assert {**written, **predicted.others} == {**case["hosts_toml"], **case["other_files"]}
    own = [line.split(maxsplit=1) for line in case["etc_hosts"]]
    own = [(ip, [names]) for ip, names in own if ip in NODE_LINES]
    assert talos_files.etc_hosts(_node_files.host_lines(settings.hosts), own) == case["etc_hosts"]


@pytest.mark.parametrize(
    ("kind", "key"),
    [("mirrors", "http://r.example"), ("tls", "r.example/v2"), ("tls", "*")],
)
def test_one_key_stops_all_files(kind, key):
    mirror, tls = Mirror(endpoints=(Endpoint(url="https://h.example"),)), Tls(insecure_skip_verify=True)
    fine = Settings(mirrors={"r.example": mirror}, tls={"h.example": tls})
    wrong = {key: mirror if kind == "mirrors" else tls}
    stopped = (
        Settings(mirrors={**fine.mirrors, **wrong}) if kind == "mirrors" else Settings(mirrors=fine.mirrors, tls=wrong)
    )
    assert _node_files.stopper(fine) is None
    assert _node_files.stopper(stopped) == (kind, key)
    assert _node_files.node_files(stopped) == _node_files.NodeFiles(hosts={}, others={})


def test_tls_for_every_registry_beside_such_a_mirror_stops_nothing():
    settings = Settings(mirrors={"*": Mirror()}, tls={"*": Tls(insecure_skip_verify=True)})
    assert _node_files.stopper(settings) is None
    assert _node_files.node_files(settings).hosts == {"*": _node_files.HostsFile()}


def test_what_is_no_toml_is_not_taken_for_an_empty_file():
    empty = Settings(mirrors={"r.example": Mirror()})
    (check,) = _node_files.file_checks(Settings(), empty).values()
    assert check("")
    assert not check("[host]\n[host")
    assert not check(None)


def test_user_and_password_of_a_url_are_no_part_of_its_host():
    settings = Settings(
        mirrors={"r.example": Mirror(endpoints=(Endpoint(url="https://u:p@h.example:8443/v2"),))},
        tls={"h.example:8443": Tls(insecure_skip_verify=True)},
    )
    assert _node_files.node_files(settings).hosts["r.example"].hosts[0].skip_verify


def test_order_of_hosts_counts():
    one = _node_files.parse_hosts("[host]\n[host.'https://a']\n[host.'https://b']\n")
    other = _node_files.parse_hosts("[host.'https://b']\n[host.'https://a']\n")
    assert one is not None
    assert [host.url for host in one.hosts] == ["https://a", "https://b"]
    assert one != other


def test_what_is_no_toml_is_no_file():
    assert _node_files.parse_hosts("[host]\n[host.'a']\n[host.'a']\n") is None


def test_client_certificate_of_an_endpoint():
    settings = Settings(
        mirrors={"r.example:5000": Mirror(endpoints=(Endpoint(url="https://h.example:8443"),))},
        tls={"h.example:8443": Tls(client_cert="C\n", client_key="K\n")},
    )
    files = _node_files.node_files(settings)
    root = "/etc/cri/conf.d/hosts/r.example_5000_/h.example:8443-client"
    assert files.hosts["r.example:5000"].hosts[0].client == ((f"{root}.crt", f"{root}.key"),)
    assert files.path("r.example:5000") == "/etc/cri/conf.d/hosts/r.example_5000_/hosts.toml"
    assert files.others["r.example_5000_/h.example:8443-client.key"] == "K\n"


OWN_LINES = "127.0.0.1 localhost\n10.5.0.2  node-1\n\n"


@pytest.mark.parametrize(
    ("added", "is_as_wanted"),
    [
        ("10.5.0.2 registry.example\n10.9.0.1 a.example b.example\n", True),  # Talos 1.12 and later: joined, sorted
        ("10.9.0.1 a.example\n10.5.0.2 registry.example\n10.9.0.1 b.example\n", True),  # before
        ("10.9.0.1 a.example b.example\n", False),
        ("10.5.0.2 registry.example\n10.9.0.1 a.example\n", False),
        ("10.5.0.2 registry.example\n10.9.0.1 a.example b.example\n10.9.0.7 old.example\n", False),
    ],
)
def test_lines_of_etc_hosts_are_read_in_the_form_of_every_version(added, is_as_wanted):
    before = Settings(
        hosts=(("10.9.0.1", ("a.example",)), ("10.9.0.1", ("b.example",)), ("10.9.0.7", ("old.example",)))
    )
    after = Settings(hosts=(*before.hosts[:2], ("10.5.0.2", ("registry.example",))))
    check = _node_files.file_checks(before, after)[_node_files.ETC_HOSTS]
    assert check(OWN_LINES + added) is is_as_wanted


def test_image_cache_comes_first_everywhere():
    settings = Settings(
        mirrors={"r.example": Mirror(endpoints=(Endpoint(url="https://h.example"),), skip_fallback=True)}
    )
    files = _node_files.node_files(settings, image_cache=True)
    assert files.hosts["r.example"].summary == {"hosts": ["http://127.0.0.1:3172"], "server": "https://h.example"}
    assert files.hosts["*"].summary == {"hosts": ["http://127.0.0.1:3172"], "server": None}
