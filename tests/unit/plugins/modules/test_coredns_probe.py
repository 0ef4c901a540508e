# SPDX-License-Identifier: GPL-3.0-or-later
"""What the probe makes of the pods' answers."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.splithorizon.registry.plugins.module_utils import _coredns
from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import Replica
from ansible_collections.splithorizon.registry.plugins.modules import coredns_probe

GOOD = Replica(pod="a", node="n1", bare=("10.96.0.9",), target=("10.96.0.9",))
BAD = Replica(pod="b", node="n2", bare=("203.0.113.7",), target=("10.96.0.9",))
Json = dict[str, t.Any]


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> t.Callable[..., tuple[Json, Json]]:
    """Run the module over these replicas; what it printed, and what was asked."""

    def run_module(*replicas: Replica, **args: t.Any) -> tuple[Json, Json]:
        asked: Json = {}

        def ask(self: object, **question: t.Any) -> list[Replica]:
            asked.update(question)
            return list(replicas)

        monkeypatch.setattr(coredns_probe, "Cluster", lambda auth: None)
        monkeypatch.setattr(_coredns.CoreDns, "ask", ask)
        with patch_module_args({"name": "harbor.example.com", **args}), pytest.raises(SystemExit):
            coredns_probe.main()
        return json.loads(capsys.readouterr().out), asked

    return run_module


def test_all_as_expected(probe: t.Callable[..., tuple[Json, Json]]) -> None:
    result, asked = probe(GOOD, target="Envoy.gateway.svc.k8s.home", fail_on_mismatch=True)
    assert asked == {"name": "harbor.example.com", "target": "envoy.gateway.svc.k8s.home", "domain": "k8s.home"}
    assert result["changed"] is False
    assert (result["ok"], result["expected"], result["problems"]) == (True, ["10.96.0.9"], [])
    assert result["replicas"] == [
        {"pod": "a", "node": "n1", "name": "", "bare": ["10.96.0.9"], "expanded": [], "aaaa": []}
    ]


def test_mismatch_is_reported_or_fails(probe: t.Callable[..., tuple[Json, Json]]) -> None:
    result, asked = probe(GOOD, BAD, target="a.b.svc.cluster.local", cluster_domain="other.local")
    assert asked["domain"] == "other.local"
    assert result["ok"] is False
    assert result["problems"] == ["b: 203.0.113.7 for the name, not 10.96.0.9"]
    failed, _asked = probe(GOOD, BAD, target="a.b.svc.cluster.local", fail_on_mismatch=True)
    assert failed["failed"] is True
    assert "b: 203.0.113.7 for the name" in failed["msg"]


def test_without_target_all_must_agree(probe: t.Callable[..., tuple[Json, Json]]) -> None:
    assert probe(BAD, BAD)[0]["expected"] == ["203.0.113.7"]
    assert probe(BAD, GOOD)[0]["ok"] is False


@pytest.mark.parametrize("args", [{"name": "10.0.0.1"}, {"target": "10.0.0.1"}])
def test_bad_names(probe: t.Callable[..., tuple[Json, Json]], args: Json) -> None:
    assert probe(GOOD, **args)[0]["failed"] is True
