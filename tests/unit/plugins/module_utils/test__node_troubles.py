# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import MachineConfig, make_plan
from ansible_collections.splithorizon.registry.plugins.module_utils._node_files import directory_of
from ansible_collections.splithorizon.registry.plugins.module_utils._node_readings import Pull, Readings, Service
from ansible_collections.splithorizon.registry.plugins.module_utils._node_troubles import (
    node_troubles,
    repairs,
    service_names,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import Node, parse_version

DATA = Path(__file__).parent / "data" / "node_troubles"
TROUBLED = sorted((DATA / "troubled").glob("*.yaml"))
HEALTHY = sorted((DATA / "healthy").glob("*.yaml"))
EARLY, LATE = "2026-11-21T12:00:00Z", "2026-11-21T12:00:09Z"
NAME = "10.5.0.3"


def load(path):
    return yaml.safe_load(path.read_text())


def readings(case):
    active = MachineConfig.parse(case["active"])
    node = Node(
        name=NAME,
        version=parse_version(case.get("version", "1.13.0")),
        active=active,
        persistent=MachineConfig.parse(case["persistent"]) if "persistent" in case else active,
        active_since=EARLY if case.get("staged") else LATE,
        persistent_since=LATE if case.get("staged") else EARLY,
        active_created=LATE if case.get("as_booted") else EARLY,
    )
    return Readings(
        node=node,
        files=files(case),
        hosts_toml=case.get("hosts_toml", {}),
        etc_hosts=case.get("etc_hosts"),
        ingests=case.get("ingests", {}),
        services={
            host: None if given is None else Service(**{key: at_hand(value) for key, value in given.items()})
            for host, given in case.get("services", {}).items()
        },
        pulls=tuple(Pull(**pull) for pull in case.get("pulls", ())),
        containerd_since=moment(case.get("containerd_since")),
    )


def at_hand(value):
    return tuple(value) if isinstance(value, list) else value


def moment(value):
    return value.replace(tzinfo=UTC) if value else None


def files(case):
    """Talos names a folder ``host_port_``, Spegel ``host:port``."""
    is_spegels = "_backup" in case.get("folders", ())
    folders = [key if is_spegels else directory_of(key) for key in case.get("hosts_toml", {})]
    paths = [*(f"hosts/{name}" for name in case.get("folders", ())), *(f"hosts/{name}/hosts.toml" for name in folders)]
    paths += [f"hosts/{name}" for name in folders]
    any_time = moment(yaml.safe_load("2026-11-21 12:00:00"))
    listed = {".": any_time} if "folders" in case or "hosts_toml" in case else {}
    written = {"cri.toml": moment(case["cri_toml_written"])} if "cri_toml_written" in case else {}
    return listed | dict.fromkeys(paths, any_time) | written


@pytest.mark.parametrize("path", TROUBLED, ids=lambda path: path.stem)
def test_troubles(path):
    case = load(path)
    found = node_troubles(readings(case))
    assert [(one.kind, one.repairable) for one in found] == [
        (one["kind"], one["repairable"]) for one in case["troubles"]
    ], found
    for one, wanted in zip(found, case["troubles"], strict=True):
        assert one.node == NAME
        assert [text for text in wanted["says"] if text not in one.evidence] == [], one.evidence
        assert wanted["cure"] in one.cure
    assert "hunter2" not in repr([one.result for one in found])


@pytest.mark.parametrize("path", HEALTHY, ids=lambda path: path.stem)
def test_no_trouble(path):
    assert node_troubles(readings(load(path))) == ()


@pytest.mark.parametrize("path", [path for path in TROUBLED if "repaired" in load(path)], ids=lambda path: path.stem)
def test_a_repair_takes_away_what_it_can_and_changes_nothing_else(path):
    case = load(path)
    before = readings(case)
    found = node_troubles(before)
    plan = make_plan(before.node.active, repairs(found, before.node.active.effective), version=before.node.version)
    after = plan.after.effective
    assert {ip: list(names) for ip, names in after.hosts} == case["repaired"]["hosts"]
    assert sorted(after.tls) == case["repaired"]["tls"]
    assert (after.mirrors, after.auth) == (before.node.active.effective.mirrors, before.node.active.effective.auth)
    node = replace(before.node, active=plan.after, persistent=plan.after)
    assert node_troubles(replace(before, node=node)) == tuple(one for one in found if not one.repairable)


def test_every_repairable_case_says_what_it_becomes():
    repairable = {path.stem for path in TROUBLED if any(one["repairable"] for one in load(path)["troubles"])}
    assert repairable == {path.stem for path in TROUBLED if "repaired" in load(path)}
    assert repairable


def test_names_of_services():
    config = MachineConfig.parse(
        """
version: v1alpha1
machine:
  registries: {mirrors: {a.example.com: {endpoints: ['http://one.x.svc:80', 'https://h.example.com']}}}
  network: {extraHostEntries: [{ip: 10.0.0.1, aliases: [two.y.svc.home.arpa, other.example.com]}]}
cluster: {network: {dnsDomain: home.arpa}}
"""
    )
    assert service_names(config) == ["two.y.svc.home.arpa", "one.x.svc"]
