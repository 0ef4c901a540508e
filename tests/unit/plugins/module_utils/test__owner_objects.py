# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner's own object is asked whether it takes changes back."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import NotPermitted
from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import Owner, Undoes
from ansible_collections.splithorizon.registry.plugins.module_utils._owner_objects import look_up

Json = dict[str, t.Any]


def test_owner_is_asked_by_the_first_api_that_knows_it() -> None:
    class Cluster:
        def __init__(self, known: str) -> None:
            self.known, self.asked = known, [""]

        def get(self, api: str, kind: str, namespace: str, name: str) -> Json | None:
            self.asked.append(api)
            return {"spec": {"driftDetection": {"mode": "enabled"}}} if api == self.known else None

    owner = Owner(title="Flux", kind="HelmRelease", namespace="a", name="b", undoes=Undoes.NEXT_RUN)
    old, new = Cluster("helm.toolkit.fluxcd.io/v2beta2"), Cluster("helm.toolkit.fluxcd.io/v2")
    assert {look_up(t.cast("t.Any", cluster), owner).undoes for cluster in (old, new)} == {Undoes.SOON}
    assert new.asked[1:] == ["helm.toolkit.fluxcd.io/v2"]


def test_owner_that_may_not_be_read_stays_as_it_is_known() -> None:
    class Cluster:
        def get(self, *_where: str) -> Json:
            raise NotPermitted("forbidden")

    owner = Owner(title="Helm", namespace="a", name="b", undoes=Undoes.NEXT_RUN)
    assert look_up(t.cast("t.Any", Cluster()), owner) == owner
    assert look_up(t.cast("t.Any", None), Owner()) == Owner()
