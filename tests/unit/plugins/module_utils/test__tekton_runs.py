# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runs of Tekton tell how a registry does."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_runs import newest_runs

HOST = "harbor-core.default.svc.cluster.local"
Json = dict[str, t.Any]


def run(name: str, status: str | None, finished: str = "2026-11-21T12:00:00Z", **more: t.Any) -> Json:
    conditions = [{"type": "Succeeded", "status": status, "message": f"{name} said"}] if status else []
    params = [{"name": "image", "value": more.pop("image", f"{HOST}/library/a:1")}]
    metadata = {"namespace": "dev", "name": name, "labels": {"tekton.dev/pipeline": "build"}, **more}
    return {
        "kind": "PipelineRun",
        "metadata": metadata,
        "spec": {"params": params},
        "status": {"conditions": conditions, "completionTime": finished},
    }


def test_the_newest_finished_run_of_each() -> None:
    runs = [
        run("build-1", "True", "2026-11-21T12:00:00Z"),
        run("build-2", "False", "2026-11-21T13:00:00Z"),
        run("build-3", "Unknown", "2026-11-21T14:00:00Z"),
        run("build-4", None),
        run("build-of-other-ns", "True", namespace="prod"),
        run("scan-x7k2p", "True", labels={}),
        run("part", "False", ownerReferences=[{"kind": "PipelineRun"}]),
        run("elsewhere", "False", "2026-11-21T15:00:00Z", image="harbor.example.com/library/a"),
    ]
    found = newest_runs(runs, host=HOST)
    assert [(one.namespace, one.of, one.name, one.succeeded) for one in found] == [
        ("dev", "build", "build-2", False),
        ("dev", "scan", "scan-x7k2p", True),
        ("prod", "build", "build-of-other-ns", True),
    ]
    assert found[0].shown["message"] == "build-2 said"


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (f"{HOST}/a", True),
        (f"{HOST}:80/a", True),
        (f"http://{HOST}", True),
        (f"x{HOST}/a", False),
        (f"a.{HOST}/a", False),
        (f"{HOST}.example.com/a", False),
        (f"see {HOST}.", True),
    ],
)
def test_a_name_is_the_whole_name(image: str, named: bool) -> None:
    assert bool(newest_runs([run("build-1", "True", image=image)], host=HOST)) is named
