# SPDX-License-Identifier: GPL-3.0-or-later
"""What buildkitd.toml is to say, in both states; the module takes it as it is."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.filter.builder_registries import FilterModule, builder_registries
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_toml import plan
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_wanted import read_entries

NAME, INTERNAL = "harbor.example.com", "harbor.harbor.svc.cluster.local"
SITE: dict[str, t.Any] = {"name": NAME, "image_names": ["192.168.1.105", NAME], "internal_name": INTERNAL}
HTTP = f'[registry."{INTERNAL}"]\n  http = true\n\n[registry."192.168.1.105"]\n  http = true\n'
HTTPS = f'[registry."{NAME}"]\n  ca = ["/ca.crt"]\n'


@pytest.mark.parametrize(
    ("transport", "ca", "before", "after"),
    [
        ("https", [], HTTP, ""),
        ("https", ["/ca.crt"], HTTP, HTTPS),
        ("https", [], f'[registry."{NAME}"]\n  http = true\n', ""),
        ("https", [], HTTPS, HTTPS),
        ("http", ["/ca.crt"], "", HTTP),
        ("http", [], HTTPS, f"{HTTPS}\n{HTTP}"),
    ],
)
def test_there_and_back(transport: str, ca: list[str], before: str, after: str) -> None:
    entries = read_entries(builder_registries(transport, ca=ca, **SITE))
    assert plan(text=before, wanted=entries, where="").after == after


def test_its_name() -> None:
    assert FilterModule().filters() == {"builder_registries": builder_registries}
