# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules for rollouts and troubles of nodes document is what they take."""

from __future__ import annotations

import importlib
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import KUBERNETES_SPEC
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import TALOS_SPEC

BASE = "ansible_collections.splithorizon.registry.plugins.modules"
CONNECTIONS = {
    "rollout_lock": KUBERNETES_SPEC,
    "spegel_node_files": KUBERNETES_SPEC | TALOS_SPEC,
    "talos_image_pull": TALOS_SPEC,
    "talos_node_health": KUBERNETES_SPEC | TALOS_SPEC,
    "talos_node_reboot": TALOS_SPEC,
    "talos_registry_doctor": KUBERNETES_SPEC | TALOS_SPEC,
}
TOLD = ("type", "elements", "default", "required", "choices")

Json = dict[str, t.Any]


def told(options: Json, below: str) -> Json:
    return {
        name: {
            **{key: option[key] for key in TOLD if key in option},
            **({"nested": told(option[below], below)} if below in option else {}),
        }
        for name, option in options.items()
    }


@pytest.mark.parametrize("name", CONNECTIONS)
def test_documentation_and_specification_agree(name: str) -> None:
    module = importlib.import_module(f"{BASE}.{name}")
    documented = told(yaml.safe_load(module.DOCUMENTATION)["options"], "suboptions")
    connection = CONNECTIONS[name]
    assert connection.items() <= module.SPEC.items()
    assert documented == told({key: how for key, how in module.SPEC.items() if key not in connection}, "options")


@pytest.mark.parametrize("name", CONNECTIONS)
def test_each_is_in_the_action_groups_of_its_connections(name: str) -> None:
    runtime = Path(__file__).resolve().parents[4] / "meta" / "runtime.yml"
    groups = yaml.safe_load(runtime.read_text(encoding="utf-8"))["action_groups"]
    for group, spec in (("kubernetes", KUBERNETES_SPEC), ("talos", TALOS_SPEC)):
        assert (name in groups[group]) == (spec.items() <= CONNECTIONS[name].items()), group
