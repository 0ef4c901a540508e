# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that find builders and prove them ask and return; the cluster is a table."""

from __future__ import annotations

import base64
import json
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.splithorizon.registry.plugins.modules import buildkit_proof_build, buildkit_survey

Json = dict[str, t.Any]
ARGS = {
    "namespace": "build",
    "name": "buildkitd",
    "image": "harbor.example.com/library/proof:1",
    "username": "robot$ci",
    "password": "very-secret",
    "ca": "/certs/ca.crt",
}
CACHED = "#4 [1/1] COPY proof /proof\n#4 CACHED\n"


class Cluster:
    """One Deployment with one pod. ``answers``: what the builds come to."""

    answers: t.ClassVar[list[tuple[int, str, str]]] = []
    asked: t.ClassVar[list[tuple[list[str], str]]] = []
    ready = "True"

    def __init__(self, _auth: Json, **_how: t.Any) -> None: ...

    def get(self, _api: str, _kind: str, _namespace: str, _name: str) -> Json:
        return {"data": {"buildkitd.toml": ""}}

    def list(self, _api: str, kind: str, namespace: str | None, **_how: str) -> t.Sequence[Json]:
        if kind == "Pod":
            status = {"conditions": [{"type": "Ready", "status": self.ready}]}
            return [{"metadata": {"name": "buildkitd-1"}, "status": status}]
        container = {"name": "daemon", "image": "moby/buildkit:1", "args": ["--addr", "tcp://0.0.0.0:1234"]}
        container["volumeMounts"] = [{"name": "config"}]
        spec = {"containers": [container], "volumes": [{"name": "config", "configMap": {"name": "buildkitd-config"}}]}
        metadata = {"namespace": namespace or "build", "name": "buildkitd"}
        found = {"metadata": metadata, "spec": {"selector": {"matchLabels": {"app": "b"}}, "template": {"spec": spec}}}
        return [found] if kind == "Deployment" else []

    def execute(
        self, namespace: str, pod: str, argv: t.Sequence[str], *, container: str, stdin: str, seconds: float
    ) -> tuple[int, str, str]:
        assert (namespace, pod, container, seconds) == ("build", "buildkitd-1", "daemon", 65)
        self.asked.append((list(argv), stdin))
        return self.answers.pop(0)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> t.Callable[..., Json]:
    for name, value in (("answers", [(0, "", ""), (0, CACHED, "")]), ("asked", []), ("ready", "True")):
        monkeypatch.setattr(Cluster, name, value)

    def run_module(module: t.Any = buildkit_proof_build, check: bool = False, **args: t.Any) -> Json:
        monkeypatch.setattr(module, "Cluster", Cluster)
        with patch_module_args({**args, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            module.main()
        printed: Json = json.loads(capsys.readouterr().out)
        return printed

    return run_module


def test_two_builds_with_the_cache_between_them(run: t.Callable[..., Json]) -> None:
    done = run(**ARGS)
    assert done["changed"] is False
    assert 0 <= done["rebuilt"] < 60
    assert 0 <= done["pushed"] < 60
    (first, config), (second, _again) = Cluster.asked
    assert json.loads(config) == {
        "auths": {"harbor.example.com": {"auth": base64.b64encode(b"robot$ci:very-secret").decode()}}
    }
    shared = ["--addr", "tcp://127.0.0.1:1234", "build", "--progress=plain", "--frontend=dockerfile.v0"]
    output = "--output=type=image,name=harbor.example.com/library/proof:1,push=true"
    shared += [f"{output},annotation.splithorizon.registry.proof=true"]
    shared += ["--registry-auth-tlscontext=host=harbor.example.com,ca=/certs/ca.crt"]
    assert first[8:] == [*shared, "--export-cache=type=inline"]
    assert second[8:] == [*shared, "--import-cache=type=registry,ref=harbor.example.com/library/proof:1"]
    assert (first[:2], first[6]) == (["timeout", "60"], str(len(config)))
    assert first[7] == second[7] != ""
    assert "very-secret" not in json.dumps([done, first, second])


def test_check_mode_builds_nothing(run: t.Callable[..., Json]) -> None:
    assert run(check=True, **ARGS)["changed"] is False
    assert Cluster.asked == []


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            [(1, 'error: failed to do request: Head "https://harbor.example.com/v2/x": tls: x509: unknown\n', "")],
            "build in pod build/buildkitd-1: the daemon does not trust the certificate of https://harbor.example.com",
        ),
        ([(124, "#1 x\n", "")], "the build failed (#1 x)"),
        ([(0, "", ""), (0, "#4 DONE\n", "")], "the second build did not use the cache"),
    ],
)
def test_a_build_that_fails_says_why(
    run: t.Callable[..., Json], answers: list[tuple[int, str, str]], message: str
) -> None:
    Cluster.answers = answers
    assert message in run(**ARGS)["msg"]


def test_a_name_that_does_not_build(run: t.Callable[..., Json]) -> None:
    assert "build/other: nothing of this name runs buildkitd" in run(**{**ARGS, "name": "other"})["msg"]


def test_no_pod(run: t.Callable[..., Json]) -> None:
    Cluster.ready = "False"
    assert "build/Deployment/buildkitd: no buildkitd pod is ready" in run(**ARGS)["msg"]


def test_the_survey_finds_it(run: t.Callable[..., Json]) -> None:
    found = run(buildkit_survey)["daemons"]
    assert [(one["kind"], one["namespace"], one["config_map"], one["key"]) for one in found] == [
        ("Deployment", "build", "buildkitd-config", "buildkitd.toml")
    ]
