# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for Flux: when it acts on a HelmRelease, and what it reports."""

from __future__ import annotations

import typing as t

import pytest

from sandbox.helm_standin import HelmStandIn
from sandbox.process import Failed

RELEASE: dict[str, t.Any] = {
    "metadata": {"name": "spegel", "namespace": "kube-system", "generation": 3},
    "spec": {"interval": "1h", "values": {"a": 1}},
}


class Cluster:
    """Records what is applied and reported."""

    name = "alpha"

    def __init__(self) -> None:
        self.applied: list[t.Any] = []
        self.status: dict[str, t.Any] = {}

    @property
    def api(self) -> Cluster:
        return self

    def apply(self, documents: list[t.Any]) -> None:
        self.applied += documents

    def patch(self, path: str, document: dict[str, t.Any]) -> None:
        assert path.endswith("/namespaces/kube-system/helmreleases/spegel/status")
        self.status = document["status"]


def reconcile(release: dict[str, t.Any], render: t.Callable[..., t.Any]) -> Cluster:
    cluster = Cluster()
    HelmStandIn(t.cast("t.Any", cluster), render)._reconcile(release)
    return cluster


def test_a_new_generation_is_rendered_applied_and_reported() -> None:
    cluster = reconcile(RELEASE, lambda values, **names: [{**values, **names}])
    assert cluster.applied == [{"a": 1, "namespace": "kube-system", "release": "spegel"}]
    assert cluster.status["observedGeneration"] == 3
    assert cluster.status["conditions"][0]["status"] == "True"


@pytest.mark.parametrize(
    "changed", [{"status": {"observedGeneration": 3}}, {"spec": {**RELEASE["spec"], "suspend": True}}]
)
def test_an_applied_or_suspended_release_is_left_alone(changed: dict[str, t.Any]) -> None:
    cluster = reconcile({**RELEASE, **changed}, lambda values, **_: [values])
    assert (cluster.applied, cluster.status) == ([], {})


def test_values_that_do_not_render_end_as_a_condition() -> None:
    def render(_: object, **__: object) -> list[t.Any]:
        raise Failed("no such value")

    condition = reconcile(RELEASE, render).status["conditions"][0]
    assert (condition["status"], condition["reason"]) == ("False", "UpgradeFailed")
    assert "no such value" in condition["message"]
