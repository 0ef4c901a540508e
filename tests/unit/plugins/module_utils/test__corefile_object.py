# SPDX-License-Identifier: GPL-3.0-or-later
"""Live objects of owners: the documented homes, edited in a cluster as they are in a file."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_object import SourceObject
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import Asked, rewrite
from fake_cluster import FakeCluster

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan

Json = dict[str, t.Any]
HOMES = Path(__file__).parents[4] / "docs" / "dns-homes"
LIVE = [path for path in sorted(HOMES.glob("*.before.yaml")) if path.name.startswith(("argo", "helm"))]
NAME, TARGET = "harbor.example.com", "envoy-proxy.envoy-gateway-system.svc.cluster.local"


def live(path: Path) -> Json:
    found: Json = yaml.safe_load(path.read_text())
    found["metadata"]["resourceVersion"] = "7"
    return found


def asked(*, present: bool = True) -> Asked:
    return Asked(wanted=[rewrite(name=NAME, target=TARGET, present=present)], port=53)


def source(cluster: t.Any, found: Json) -> SourceObject:
    metadata = found["metadata"]
    return SourceObject(cluster, kind=found["kind"], namespace=metadata["namespace"], name=metadata["name"])


def run(found: Json, *, present: bool = True) -> tuple[RewritePlan, Json, FakeCluster]:
    cluster = FakeCluster(found)
    home = source(cluster, found)
    planned, _metadata = home.edit(lambda text: home.plan(text, **asked(present=present)))
    return planned, next(iter(cluster.objects.values())), cluster


@pytest.mark.parametrize("path", LIVE, ids=lambda path: path.name.partition(".")[0])
def test_live_objects_get_what_their_files_would(path: Path) -> None:
    before, after = live(path), live(Path(str(path).replace(".before", ".after")))
    planned, written, cluster = run(before)
    assert written == after
    assert planned.reloads
    (_kind, _name, body), *more = cluster.writes
    assert not more
    assert body["metadata"] == {"resourceVersion": "7"}
    assert not run(after)[0].changes
    assert run(after, present=False)[1] == before


@pytest.mark.parametrize("kind", ["helm-release", "argo-values-object"])
def test_values_keep_their_types(kind: str) -> None:
    found = live(HOMES / f"{kind}.before.yaml")
    values = found["spec"]["values"] if kind == "helm-release" else found["spec"]["source"]["helm"]["valuesObject"]
    values["servers"][0]["plugins"][4] |= {"parameters": "30", "configBlock": "  a: \n\tb  \n"}
    values["servers"][0]["zones"][0] |= {"use_tcp": True, "zone": ".", "x": 1.5, "y": None, "z": "true", "w": "on"}
    before = copy.deepcopy(values["servers"])
    _planned, written, cluster = run(found)
    _added, restored, _cluster = run(written, present=False)
    assert json.dumps(restored, sort_keys=True) == json.dumps(found, sort_keys=True)
    assert "replicaCount" not in json.dumps(cluster.writes)
    assert before == values["servers"]


def test_put_back_takes_the_rewrite_out_again() -> None:
    found = live(HOMES / "argo-sources.before.yaml")
    cluster = FakeCluster(found)
    home = source(cluster, found)
    planned, metadata = home.edit(lambda text: home.plan(text, **asked()))
    assert home.put_back(planned, metadata) == "The old Corefile is back in place"
    assert next(iter(cluster.objects.values())) == found


def test_what_would_not_be_rolled_out() -> None:
    release = live(HOMES / "helm-release.before.yaml")
    release["spec"]["suspend"] = True
    with pytest.raises(Conflict, match=r"suspended.*flux resume helmrelease -n kube-system coredns"):
        run(release)
    application = live(HOMES / "argo-values.before.yaml")
    assert run(application)[0].notes == ()
    del application["spec"]["syncPolicy"]
    planned, written, _cluster = run(application)
    assert "sync it by hand" in planned.notes[0]
    assert run(written)[0].notes == ()


def test_objects_that_hold_no_values() -> None:
    release = live(HOMES / "helm-release.before.yaml")
    with pytest.raises(BadInput, match="there is no such object"):
        source(FakeCluster(), release).read()
    with pytest.raises(BadInput, match="Use custom_config_map for it"):
        source(
            FakeCluster(live(HOMES / "coredns-custom.before.yaml")), live(HOMES / "coredns-custom.before.yaml")
        ).read()
    del release["spec"]["values"]["servers"]
    with pytest.raises(BadInput, match="the servers are the chart's own"):
        source(FakeCluster(release), release).read()
