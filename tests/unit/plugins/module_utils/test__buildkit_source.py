# SPDX-License-Identifier: GPL-3.0-or-later
"""buildkitd.toml inside YAML: the block's lines change, and no other."""

from __future__ import annotations

import textwrap

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_source import plan_source
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_wanted import Entry
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict, RegistryError

OLD = Entry(host="old.example.com", present=False)
VALUES = """\
# values
spec:
  values:
    other: |
      [registry."old.example.com"]
    {key}: |  # the daemon's
      debug = true

      [registry."old.example.com"]
        http = true
    last:   "kept"
"""


def edited(text: str, *, key: str | None = None, path: str = "values.yaml") -> str:
    return plan_source(text=text, path=path, key=key, wanted=[OLD]).after


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("buildkitd.toml", None),
        ("buildkitd-config-inline", None),
        ("config", "config"),
        ("config", "values.config"),
        ("config", "spec.values.config"),
    ],
)
def test_a_block(written: str, key: str | None) -> None:
    text = VALUES.format(key=written)
    after = edited(text, key=key)
    gone = '\n      [registry."old.example.com"]\n        http = true\n'
    assert after == text.replace(f"      debug = true\n{gone}", "      debug = true\n")
    assert edited(after, key=key) == after


def test_a_toml_file_whatever_its_name() -> None:
    assert edited('[registry."old.example.com"]\n', path="buildkitd.toml.default") == ""


@pytest.mark.parametrize(
    ("text", "key", "error", "where", "problem"),
    [
        ("a: 1\n", None, BadInput, "values.yaml", "no text under buildkitd.toml or buildkitd-config-inline"),
        (VALUES.format(key="config"), "values.conf", BadInput, "values.yaml", "no text under values.conf"),
        (
            "a: {buildkitd.toml: x}\nb:\n  buildkitd.toml: x\n",
            None,
            BadInput,
            "values.yaml",
            r"several .* \(lines 1, 3\)",
        ),
        ("a: 1\nbuildkitd.toml: 'debug = true'\n", None, Conflict, "values.yaml, line 2", "no literal block"),
        ("buildkitd.toml: |\n  a = 1\n  a = 2\n", None, Conflict, "values.yaml, block of line 1, line 2", "is no TOML"),
        ("{{ if .x }}\nbuildkitd.toml: |\n  a = 1\n{{ end }}\n", None, Conflict, "values.yaml, line 1", "template"),
        ("buildkitd.toml: |\n  a = 1\nsops:\n  mac: x\n", None, Conflict, "values.yaml, line 3", "SOPS"),
    ],
)
def test_refused(text: str, key: str | None, error: type[RegistryError], where: str, problem: str) -> None:
    with pytest.raises(error, match=problem) as raised:
        edited(textwrap.dedent(text), key=key)
    assert raised.value.where == where
    assert raised.value.cure
