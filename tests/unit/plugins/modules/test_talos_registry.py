# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Talos registry modules document is what they take."""

from __future__ import annotations

import importlib

import pytest
import yaml

BASE = "ansible_collections.splithorizon.registry.plugins"
TOLD = ("type", "elements", "default", "required", "choices")


def told(options):
    return {
        name: {
            **{key: option[key] for key in TOLD if key in option},
            **({"options": told(option["suboptions"])} if "suboptions" in option else {}),
        }
        for name, option in options.items()
    }


def taken(spec):
    return {
        name: {
            **{key: option[key] for key in TOLD if key in option},
            **({"options": taken(option["options"])} if "options" in option else {}),
        }
        for name, option in spec.items()
    }


@pytest.mark.parametrize("name", ["talos_registry_mirror", "talos_registry_survey", "talos_try_revert"])
def test_documentation_and_specification_agree(name):
    module = importlib.import_module(f"{BASE}.modules.{name}")
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    for part in ("_talos", "_registries"):
        fragment = importlib.import_module(f"{BASE}.doc_fragments.{part}").ModuleDocFragment
        documented |= yaml.safe_load(fragment.DOCUMENTATION)["options"]
    assert told(documented) == taken(module.SPEC)


@pytest.mark.parametrize("name", ["talos_registry_mirror", "talos_registry_survey", "talos_try_revert"])
def test_secrets_are_marked(name):
    registries = importlib.import_module(f"{BASE}.modules.{name}").SPEC
    marked = {
        f"{kind}.{option}"
        for kind in ("mirrors", "auth", "tls", "hosts")
        for option, how in registries[kind]["options"].items()
        if how.get("no_log")
    }
    assert marked == {"auth.password", "auth.auth", "auth.identity_token", "tls.client_key"}
