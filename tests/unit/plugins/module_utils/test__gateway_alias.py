# SPDX-License-Identifier: GPL-3.0-or-later
"""The alias follows the generated Service in every mode of deployment, and keeps what is not its own."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._envoy_gateway import advice, exposure_of
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._gateway_alias import plan_absent, plan_alias

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._gateway_alias import AliasPlan

DATA = Path(__file__).parent / "data" / "gateway_alias"
Json = dict[str, t.Any]


def load(kind: str) -> list[t.Any]:
    return [
        pytest.param(yaml.safe_load(path.read_text()), id=path.stem) for path in sorted((DATA / kind).glob("*.yaml"))
    ]


def plan(case: Json, current: Json | None) -> AliasPlan:
    exposure = exposure_of(case["services"], case["gateway"])
    return plan_alias(current, exposure, namespace=case["namespace"], name=case["name"])


@pytest.mark.parametrize("case", load("valid"))
def test_alias(case: Json) -> None:
    wanted = case["expected"]
    exposure = exposure_of(case["services"], case["gateway"])
    assert (exposure.mode, exposure.stable) == (wanted["mode"], wanted["stable"])
    planned = plan(case, case["current"])
    assert (planned.before, planned.after, planned.patch) == (wanted["before"], wanted["after"], wanted.get("patch"))


@pytest.mark.parametrize("case", load("valid"))
def test_what_was_made_is_left_alone_and_taken_away(case: Json) -> None:
    made = plan(case, case["current"]).after
    if made is None:
        assert not plan_absent(case["current"]).changes, "a generated Service is not ours to delete"
        return
    service = {"metadata": {"namespace": case["namespace"], "name": case["name"]}, "spec": made}
    assert not plan(case, service).changes
    gone = plan_absent(service)
    assert (gone.before, gone.after) == (made, None)


@pytest.mark.parametrize("case", load("invalid"))
def test_alias_that_could_not_work(case: Json) -> None:
    with pytest.raises(RegistryError) as error:
        plan(case, case["current"])
    assert type(error.value).__name__ == case["error"]
    assert [words for words in case["said"] if words not in str(error.value)] == [], str(error.value)


def test_a_better_way_is_offered() -> None:
    cases = {path.stem: yaml.safe_load(path.read_text()) for path in (DATA / "valid").glob("*.yaml")}
    said = {
        name: advice(exposure_of(case["services"], case["gateway"]), name=case["name"]) for name, case in cases.items()
    }
    assert "envoyService.name" in said["a-proxy-for-each-gateway"]
    assert "registry_alias_name=envoy-external" in said["beside-the-gateway"]
    assert said["the-generated-service-has-the-name"] == said["cilium-has-the-name"] == ""
