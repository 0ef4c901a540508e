# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module does to a cluster or a file and returns, in check mode and for real; the cluster is a table."""

from __future__ import annotations

import copy
import json
import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_daemon import STAMP
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_find import DUE
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Unreachable
from ansible_collections.splithorizon.registry.plugins.modules import buildkit_registry
from fake_cluster import FakeCluster

if t.TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, t.Any]
Run = t.Callable[..., Json]
OLD, NEW = "harbor-core.default.svc.cluster.local", "harbor.example.com"
BEFORE = f'debug = true\n\n[registry."{OLD}"]\n  http = true\n'
AFTER = f'debug = true\n\n[registry."{NEW}"]\n  ca = ["/certs/ca.crt"]\n'
ARGS: Json = {
    "namespace": "build",
    "config_map": "buildkitd",
    "builds_timeout": 0,
    "registries": [{"host": OLD, "state": "absent"}, {"host": NEW, "ca": ["/certs/ca.crt"]}],
}


def config_map(text: str = BEFORE) -> Json:
    metadata = {"namespace": "build", "name": "buildkitd", "resourceVersion": "1"}
    return {"kind": "ConfigMap", "metadata": metadata, "data": {"buildkitd.toml": text}}


def deployment(name: str = "buildkitd", volume: Json | None = None, **annotations: str) -> Json:
    volume = volume or {"configMap": {"name": "buildkitd"}}
    daemon = {"name": "daemon", "args": ["--addr", "tcp://0.0.0.0:1234"], "volumeMounts": [{"name": "config"}]}
    spec = {"containers": [{"name": "other"}, daemon], "volumes": [{"name": "config", **volume}]}
    template = {"metadata": {"annotations": {}}, "spec": spec}
    return {
        "kind": "Deployment",
        "metadata": {"namespace": "build", "name": name, "annotations": annotations},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    }


def pod(phase: str = "Running") -> Json:
    metadata = {"namespace": "build", "name": "buildkitd-1", "labels": {"app": "buildkitd"}}
    return {"kind": "Pod", "metadata": metadata, "status": {"phase": phase}}


class Cluster(FakeCluster):
    """A dry run answers as the server does and keeps nothing. ``answers``: what buildctl says, one by one."""

    def __init__(self, *objects: Json) -> None:
        super().__init__(*objects)
        self.answers: list[tuple[int, str, str] | Exception] = [(0, "", "")]
        self.asked: list[tuple[str, ...]] = []
        self.dry_run = False

    def merge(self, api: str, kind: str, namespace: str, name: str, body: Json) -> Json:
        kept = copy.deepcopy(self.objects)
        merged: Json = super().merge(api, kind, namespace, name, body)
        if self.dry_run:
            self.objects = kept
        return merged

    def execute(self, namespace: str, name: str, argv: tuple[str, ...], *, container: str) -> tuple[int, str, str]:
        self.asked.append((namespace, name, container, *argv))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def text(self) -> str:
        return str(self.objects["ConfigMap", "build", "buildkitd"]["data"]["buildkitd.toml"])

    def restarted(self, name: str = "buildkitd") -> bool:
        return STAMP in self.objects["Deployment", "build", name]["spec"]["template"]["metadata"]["annotations"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the module on a cluster with these arguments; what it printed."""

    def run_module(cluster: Cluster | None = None, check: bool = False, **args: t.Any) -> Json:
        warnings: list[str] = []
        monkeypatch.setattr(AnsibleModule, "warn", lambda self, text: warnings.append(text))

        def connect(_auth: Json, *, dry_run: bool) -> Cluster | None:
            if cluster:
                cluster.dry_run = dry_run
            return cluster

        monkeypatch.setattr(buildkit_registry, "Cluster", connect)
        flags = {"_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args({**args, **flags}), pytest.raises(SystemExit):
            buildkit_registry.main()
        return {**json.loads(capsys.readouterr().out), "warned": warnings}

    return run_module


def test_check_mode_says_what_the_run_does(run: Run) -> None:
    cluster = Cluster(config_map(), deployment(), deployment("other", {"configMap": {"name": "another"}}), pod())
    predicted = run(cluster, check=True, **ARGS)
    assert (cluster.text, cluster.restarted(), cluster.asked) == (BEFORE, False, [])
    done = run(cluster, **ARGS)
    assert cluster.text == AFTER
    assert cluster.restarted()
    assert not cluster.restarted("other")
    assert predicted == done
    assert done["changed"] is done["restart"] is True
    assert (done["diff"][0]["before"], done["diff"][0]["after"]) == (BEFORE, AFTER)
    assert done["daemons"] == [{"kind": "Deployment", "name": "buildkitd", "restarted": True}]
    assert done["registries"] == [
        {
            "host": OLD,
            "before": {"http": True},
            "after": {},
            "transport_before": "http",
            "transport_after": "https, verified by the system",
        },
        {
            "host": NEW,
            "before": {},
            "after": {"ca": ["/certs/ca.crt"]},
            "transport_before": "https, verified by the system",
            "transport_after": "https, verified by /certs/ca.crt or the system",
        },
    ]
    assert cluster.asked[0][:6] == ("build", "buildkitd-1", "daemon", "buildctl", "--addr", "tcp://127.0.0.1:1234")


def test_a_second_run_changes_and_restarts_nothing(run: Run) -> None:
    cluster = Cluster(config_map(AFTER), deployment(), pod())
    done = run(cluster, **ARGS)
    assert (done["changed"], done["restart"], cluster.writes, cluster.asked) == (False, False, [], [])
    assert done["daemons"] == [{"kind": "Deployment", "name": "buildkitd", "restarted": False}]


def test_the_same_meaning_restarts_nothing(run: Run) -> None:
    cluster = Cluster(config_map(f'[registry."{OLD}"]\n  insecure = false\n'), deployment(), pod())
    done = run(cluster, **{**ARGS, "registries": ARGS["registries"][:1]})
    assert (done["changed"], done["restart"], cluster.restarted(), cluster.text) == (True, False, False, "")


def test_no_restart_where_none_is_wanted(run: Run) -> None:
    cluster = Cluster(config_map(), deployment(), pod())
    done = run(cluster, restart=False, **ARGS)
    assert (done["changed"], done["restart"], cluster.restarted()) == (True, True, False)


@pytest.mark.parametrize("check", [True, False])
def test_a_run_cut_off_before_the_restart_is_made_good(run: Run, check: bool) -> None:
    cluster = Cluster(config_map(AFTER), deployment(**{DUE: "buildkitd.toml"}), pod())
    done = run(cluster, check=check, **ARGS)
    assert (done["changed"], done["restart"], cluster.restarted()) == (True, False, not check)
    assert done["diff"][0]["after"] == "restarted\n"
    assert (DUE in cluster.objects["Deployment", "build", "buildkitd"]["metadata"]["annotations"]) is check


def test_what_is_due_is_written_down_before_the_text(run: Run) -> None:
    cluster = Cluster(config_map(), deployment(), pod())
    run(cluster, **ARGS)
    assert [kind for kind, _name, _body in cluster.writes] == ["Deployment", "ConfigMap", "Deployment"]
    assert cluster.writes[0][2] == {"metadata": {"annotations": {DUE: "buildkitd.toml"}}}


def test_it_waits_for_builds(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    cluster = Cluster(config_map(), deployment(), pod())
    running = json.dumps({"record": {"Ref": "a", "CreatedAt": {"seconds": 1}}})
    ended = json.dumps({"type": 1, "record": {"Ref": "a", "CompletedAt": {"seconds": 2}}})
    cluster.answers = [(0, f"{running}\n", ""), (0, f"{ended}\n", "")]
    done = run(cluster, **{**ARGS, "builds_timeout": 60})
    assert len(cluster.asked) == 2
    assert (done["warned"], cluster.restarted()) == ([], True)


@pytest.mark.parametrize(
    ("answer", "warning"),
    [
        ((0, '{"record":{"Ref":"a"}}\n{"record":{"Ref":"b"}}\n', ""), "restarted after 0 s with 2 builds running"),
        ((127, "", "x\nbuildctl: not found\n"), "without knowing whether it builds: buildctl: not found"),
        (Unreachable("refused", where="exec"), "without knowing whether it builds: exec: refused"),
    ],
)
def test_the_wait_is_bounded_and_says_what_it_found(run: Run, answer: t.Any, warning: str) -> None:
    cluster = Cluster(config_map(), deployment(), pod())
    cluster.answers = [answer]
    done = run(cluster, **ARGS)
    assert warning in done["warned"][0]
    assert cluster.restarted()


def test_pods_that_do_not_run_are_not_asked(run: Run) -> None:
    cluster = Cluster(config_map(), deployment(), pod("Pending"))
    run(cluster, **ARGS)
    assert (cluster.asked, cluster.restarted()) == ([], True)


def test_a_projected_config_map_counts(run: Run) -> None:
    volume = {"projected": {"sources": [{"secret": {}}, {"configMap": {"name": "buildkitd"}}]}}
    done = run(Cluster(config_map(), deployment(volume=volume)), **ARGS)
    assert done["daemons"][0]["restarted"]


def test_whose_config_map_it_is(run: Run) -> None:
    owned = config_map()
    owned["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    done = run(Cluster(owned), **ARGS)
    assert done["managed_by"] == "Helm"
    assert "managed by Helm" in done["warned"][0]


@pytest.mark.parametrize(
    ("objects", "problem"),
    [
        ([], "there is no such ConfigMap"),
        ([{**config_map(), "data": {"other": ""}}], "there is no such key. Its keys are: other"),
        ([config_map("[registry")], "is no TOML"),
    ],
)
def test_nothing_is_written_where_the_text_cannot_be_read(run: Run, objects: list[Json], problem: str) -> None:
    cluster = Cluster(*objects, deployment())
    done = run(cluster, **ARGS)
    assert done["failed"]
    assert problem in done["msg"]
    assert cluster.writes == []


@pytest.mark.parametrize(
    ("registry", "problem"),
    [
        ({"host": "https://harbor.example.com"}, "has a scheme. Write it without the scheme: harbor.example.com"),
        ({"host": "harbor.example.com/library"}, "is not a registry host"),
        ({"host": NEW, "state": "absent", "http": True}, "http is given with state: absent"),
        ({"host": NEW, "replaced_by": OLD}, "replaced_by is given without state: absent"),
        ({"host": NEW, "state": "absent", "replaced_by": "http://x"}, "has a scheme"),
        ({"host": NEW, "mirrors": ["http://m.example.com/x"]}, "BuildKit passes over the scheme"),
        ({"host": NEW, "mirrors": ["/x"]}, "is not a registry host"),
        ({"host": NEW, "ca": ["-----BEGIN CERTIFICATE-----"]}, "this is no path"),
        ({"host": NEW, "tlsconfigdir": ["certs"]}, "is no absolute path"),
        ({"host": NEW, "keypair": [{"key": "k", "cert": "/c"}]}, "is no absolute path"),
        ({"host": NEW, "realm": "harbor.example.com"}, "has no scheme"),
        ({"host": NEW, "http": True, "realm": f"https://{NEW}/service/token"}, "would end with: connection refused"),
        (
            {"host": OLD, "http": True, "serves": ["http"], "realm": f"https://{OLD}/service/token"},
            "would end with: failed to fetch oauth token: connection refused",
        ),
    ],
)
def test_bad_input_is_one_error_before_any_change(run: Run, registry: Json, problem: str) -> None:
    cluster = Cluster(config_map(), deployment())
    done = run(cluster, **{**ARGS, "registries": [registry]})
    assert done["failed"]
    assert problem in done["msg"]
    assert cluster.writes == []


def test_a_host_twice(run: Run) -> None:
    done = run(Cluster(config_map()), **{**ARGS, "registries": [{"host": NEW}, {"host": NEW}]})
    assert f"{NEW} is there twice" in done["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_a_file(run: Run, tmp_path: Path, check: bool) -> None:
    file = tmp_path / "buildkitd.toml"
    file.write_bytes(BEFORE.replace("\n", "\r\n").encode())
    done = run(path=str(file), registries=ARGS["registries"], check=check)
    assert done["changed"]
    assert "daemons" not in done
    assert file.read_bytes().decode() == (BEFORE if check else AFTER).replace("\n", "\r\n")
