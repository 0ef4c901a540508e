# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules from arguments to result: check mode predicts, a second run changes nothing, errors come as one."""

from __future__ import annotations

import importlib
import json
from contextlib import contextmanager

import loopback
import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.splithorizon.registry.plugins.module_utils import _harbor, _http, _kubernetes
from fake_cluster import FakeCluster
from fake_harbor import REPOSITORY, ROBOT, FakeHarbor

PLUGINS = "ansible_collections.splithorizon.registry.plugins.modules"
NAME = "harbor.example.com"
WELL = {"status": "healthy", "components": [{"name": "core", "status": "healthy"}]}


@pytest.fixture
def run(capsys):
    def run_module(name, *, check=False, **args):
        module = importlib.import_module(f"{PLUGINS}.{name}")
        given = {**args, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(given), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return run_module


@pytest.fixture
def https_harbor(tmp_path):
    """A Harbor over TLS; its CA and address."""
    ca = loopback.make_ca()
    harbor = FakeHarbor()
    harbor.realm = f"https://{NAME}/service/token"
    with loopback.serve(harbor, certificate=loopback.make_certificate(ca, NAME), folder=tmp_path) as port:
        yield {"url": f"https://{NAME}", "ca": ca.pem, "address": f"127.0.0.1:{port}"}


def test_probe_tells_realm_certificate_and_token(run, https_harbor):
    found = run("registry_probe", **https_harbor, username=ROBOT[0], password=ROBOT[1], repository=REPOSITORY)
    assert (found["status"], found["realm"]) == (401, f"https://{NAME}/service/token")
    assert (found["tls"]["names"], found["tls"]["days_left"]) == ([NAME], 29)
    assert (found["token"], found["token_refusal"]) == (True, "")
    assert found["peer"] == https_harbor["address"]
    assert not found["changed"]


def test_probe_of_a_wrong_password_is_no_error_and_no_token(run, https_harbor):
    found = run("registry_probe", **https_harbor, username=ROBOT[0], password="wrong-password", repository=REPOSITORY)
    assert (found["token"], "wrong" in found["token_refusal"]) == (False, True)
    assert "wrong-password" not in json.dumps({key: value for key, value in found.items() if key != "invocation"})


def test_probe_of_a_certificate_near_its_end(run, https_harbor):
    found = run("registry_probe", **https_harbor, min_valid_days=60)
    assert found["failed"]
    assert "certificate expires on 20" in found["problem"]
    assert found["cure"] == "Renew it, or accept less than 60 days"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"url": NAME}, "url: 'harbor.example.com' has no scheme"),
        ({"url": f"https://{NAME}", "address": "nowhere"}, "address: 'nowhere' is not an IP address"),
        ({"url": f"https://{NAME}", "ca": "nonsense"}, "ca: is no PEM certificate"),
        ({"url": f"https://{NAME}", "repository": "Library/App"}, "repository: 'Library/App' is no repository name"),
        ({"url": f"https://{NAME}", "username": "u"}, "required together: username, password"),
        (
            {"url": f"https://{NAME}", "address": "10.0.0.1", "via_service": {"namespace": "a", "name": "b"}},
            "mutually exclusive: address|via_service",
        ),
    ],
)
def test_probe_refuses_bad_input(run, args, said):
    found = run("registry_probe", **args)
    assert found["failed"]
    assert said in found["msg"]


def test_proof_image_ladder(run, https_harbor):
    image = {
        **https_harbor,
        "username": ROBOT[0],
        "password": ROBOT[1],
        "repository": REPOSITORY,
        "tag": "t1",
        "size": 99,
    }
    steps = [
        run("registry_proof_image", **image, state=state, check=check)
        for state in ("present", "absent")
        for check in (True, False, True, False)
    ]
    assert [step["changed"] for step in steps] == [True, True, False, False, True, True, False, False]
    assert steps[0]["diff"] == steps[1]["diff"]
    assert steps[4]["diff"] == steps[5]["diff"]
    assert "digest" not in steps[0]
    assert steps[1]["digest"] == steps[3]["digest"] == steps[5]["digest"]
    assert steps[1]["reference"] == f"{NAME}/{REPOSITORY}:t1"


@pytest.mark.parametrize("size", [0, 2 * 1024**3])
def test_proof_image_refuses_a_size(run, https_harbor, size):
    args = {"username": "u", "password": "p", "repository": REPOSITORY, "tag": "t1", "size": size}
    assert "size: " in run("registry_proof_image", **https_harbor, **args)["msg"]


class HarborCluster(FakeCluster):
    """A release whose core answers by its ConfigMap, as it was when the core last started."""

    port = 0

    def __init__(self):
        pods = [_pod("core"), _pod("jobservice")]
        maps = [_map("core", {"EXT_ENDPOINT": "http://192.168.1.105"}), _map("jobservice-env", {})]
        super().__init__(*maps, *pods, _deployment("core"), _deployment("jobservice"), health=[WELL])
        self.running = dict(self._data())

    def _data(self):
        return self.objects["ConfigMap", "harbor", "harbor-core"]["data"]

    def restart(self, kind, namespace, name, *, stamp):
        self.running = dict(self._data())
        return super().restart(kind, namespace, name, stamp=stamp)

    def answer(self, handler):
        settings = {"ext_endpoint": self.running["EXT_ENDPOINT"], "core_url": self.running["CORE_URL"]}
        header = _harbor.challenge(_harbor.realm(host=handler.headers["Host"], **settings))
        loopback.reply(handler, 401, Www_Authenticate=header)

    @contextmanager
    def forward(self, _namespace, _pod, port):
        assert port == 8080
        with _http.direct(seconds=5)("127.0.0.1", self.port) as stream:
            yield stream.socket


def _map(name, data):
    metadata = {"namespace": "harbor", "name": f"harbor-{name}", "resourceVersion": "1"}
    return {"kind": "ConfigMap", "metadata": metadata, "data": {"CORE_URL": "http://harbor-core:80", **data}}


def _deployment(component):
    name, labels = f"harbor-{component}", {"component": component}
    container = {"name": component, "image": "goharbor/harbor:v2.15.2", "ports": [{"containerPort": 8080}]}
    container["envFrom"] = [{"configMapRef": {"name": name}}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"kind": "Deployment", "metadata": {"namespace": "harbor", "name": name, "labels": labels}, "spec": spec}


def _pod(component):
    metadata = {"namespace": "harbor", "name": f"{component}-1", "labels": {"component": component}}
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    spec = _deployment(component)["spec"]["template"]["spec"]
    return {"kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


@pytest.fixture
def harbor(monkeypatch):
    """The cluster that harbor_core_patch finds; a dry run leaves it as it is."""
    modules = [importlib.import_module(f"{PLUGINS}.{name}") for name in ("harbor_core_patch", "harbor_doctor")]
    monkeypatch.setattr(_kubernetes, "POLL_SECONDS", 0.01)
    cluster = HarborCluster()
    with loopback.serve(cluster.answer) as cluster.port:

        def connect(_params, *, dry_run):
            cluster.dry_run = dry_run
            cluster.merge = (lambda *_args: {}) if dry_run else FakeCluster.merge.__get__(cluster)
            return cluster

        for module in modules:
            monkeypatch.setattr(module, "Cluster", connect)
        yield cluster


def test_harbor_ladder(run, harbor):
    wanted = {"namespace": "harbor", "external_url": f"https://{NAME}", "hosts": [NAME, "harbor-core:80"]}
    steps = [run("harbor_core_patch", **wanted, check=check) for check in (True, False, True, False)]
    assert [step["changed"] for step in steps] == [True, True, False, False]
    assert steps[0]["diff"] == steps[1]["diff"]
    assert steps[0]["realms"] == steps[1]["realms"]
    assert steps[1]["restarted"] == ["harbor-core", "harbor-jobservice"]
    assert steps[1]["realms"][NAME] == {
        "before": f"http://{NAME}/service/token",
        "after": f"https://{NAME}/service/token",
    }
    assert f'realm="https://{NAME}/service/token"' in steps[1]["realm_read"][NAME]
    assert 'realm="http://harbor-core:80/service/token"' in steps[3]["realm_read"]["harbor-core:80"]
    assert "realm_read" not in steps[0]


def test_harbor_whose_realm_is_not_as_predicted_gets_its_old_values_back(run, harbor):
    wanted = {"namespace": "harbor", "external_url": "https://hub.example.com", "hosts": [NAME], "version": "2.13.0"}
    found = run("harbor_core_patch", **wanted)
    assert found["failed"]
    assert "The old values are back, and Harbor is healthy with them" in found["msg"]
    assert harbor.running["EXT_ENDPOINT"] == "http://192.168.1.105"


def test_harbor_refuses_before_anything_is_written(run, harbor):
    found = run("harbor_core_patch", namespace="harbor", external_url=NAME)
    assert "external_url: 'harbor.example.com' has no scheme" in found["msg"]
    assert harbor.writes == []


def test_harbor_in_files(run, tmp_path):
    """Patches as a guide makes them, predicted, made, made no more, and taken back with their files."""
    path = tmp_path / "kustomization.yaml"
    path.write_bytes(b"resources:\r\n  - harbor.yaml\r\n")
    wanted = {"path": str(path), "external_url": f"https://{NAME}"}
    core_url = "http://harbor-core.a.svc.cluster.local:80"
    steps = [run("harbor_core_patch", **wanted, core_url=core_url, check=check) for check in (True, False, True, False)]
    assert [step["changed"] for step in steps] == [True, True, False, False]
    assert [steps[1][key] == steps[0][key] for key in ("diff", "files", "realms", "before", "after")] == [True] * 5
    patches = tmp_path / "patches"
    assert sorted(steps[1]["files"]) == sorted(map(str, [path, *patches.iterdir()]))
    assert f"  CORE_URL: {core_url}\n" in (patches / "harbor-core-cm-patch.yaml").read_text()
    assert steps[1]["realms"]["harbor-core.a.svc.cluster.local:80"] == {
        "before": "https://harbor-core.a.svc.cluster.local:80/service/token",
        "after": f"{core_url}/service/token",
    }
    back = run("harbor_core_patch", **wanted, state="absent")
    assert back["changed"]
    assert path.read_bytes() == b"resources:\r\n  - harbor.yaml\r\n"
    assert list(patches.iterdir()) == []


def test_harbor_doctor(run, harbor):
    asked = {"namespace": "harbor", "external_url": f"https://{NAME}", "hosts": [NAME], "registry": NAME}
    found = run("harbor_doctor", **asked)
    assert not found["changed"]
    assert [one["kind"] for one in found["troubles"]] == ["realm"]
    assert (found["local_replication"], found["runs"], found["health"]) == (True, [], WELL)
    harbor.objects["ConfigMap", "harbor", "harbor-jobservice-env"]["data"]["CORE_URL"] = "http://other"
    assert [one["kind"] for one in run("harbor_doctor", namespace="harbor")["troubles"]] == ["replication"]


def spegel_daemon_set():
    listed = ["--mirrored-registries", "https://docker.io", f"http://{NAME}"]
    init = ["configuration", *listed, "--mirror-targets", "http://$(NODE_IP):30020", "--prepend-existing=true"]
    image = "ghcr.io/spegel-org/spegel:v0.7.4"
    pod = {
        "initContainers": [{"name": "configuration", "image": image, "args": init}],
        "containers": [{"name": "registry", "image": image, "args": ["registry", *listed]}],
    }
    metadata = {"namespace": "kube-system", "name": "spegel", "resourceVersion": "3", "generation": 1}
    status = {"observedGeneration": 1}
    return {"kind": "DaemonSet", "metadata": metadata, "spec": {"template": {"spec": pod}}, "status": status}


@pytest.fixture
def spegel(monkeypatch):
    module = importlib.import_module(f"{PLUGINS}.spegel_registries")
    cluster = FakeCluster(spegel_daemon_set())

    def connect(_params, *, dry_run):
        cluster.merge = (lambda *_args: {}) if dry_run else FakeCluster.merge.__get__(cluster)
        return cluster

    monkeypatch.setattr(module, "Cluster", connect)
    return cluster


def test_spegel_ladder(run, spegel):
    mirrors = [
        {"name": NAME, "endpoints": [{"url": f"https://{NAME}", "override_path": False}]},
        {"name": "registry.local:5000", "endpoints": ["http://10.0.0.1:5000"], "state": "absent"},
    ]
    wanted = {"mirrored_registries": [f"https://{NAME}"], "talos_mirrors": mirrors}
    steps = [run("spegel_registries", **wanted, check=check) for check in (True, False, True, False)]
    assert [step["changed"] for step in steps] == [True, True, False, False]
    assert steps[0]["diff"] == steps[1]["diff"]
    assert steps[1]["before"]["mirrored_registries"] == ["https://docker.io", f"http://{NAME}"]
    assert steps[1]["after"]["mirrored_registries"] == ["https://docker.io", f"https://{NAME}"]
    expected = {"server": f"https://{NAME}", "hosts": ["http://$(NODE_IP):30020", f"https://{NAME}"]}
    assert steps[0]["hosts_toml"][NAME] == steps[3]["hosts_toml"][NAME] == expected
    back = [run("spegel_registries", mirrored_registries=[f"http://{NAME}"]) for _time in range(2)]
    assert [step["changed"] for step in back] == [True, False]
    assert spegel.get("", "DaemonSet", "kube-system", "spegel")["spec"] == spegel_daemon_set()["spec"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"mirrored_registries": [NAME]}, "mirrored_registries: 'harbor.example.com' has no scheme"),
        ({"removed_registries": ["ftp://a"]}, "removed_registries: the scheme of 'ftp://a' is not http or https"),
        (
            {"talos_mirrors": [{"name": NAME, "endpoints": [{}]}]},
            "talos_mirrors, harbor.example.com: an endpoint is no",
        ),
        ({"talos_mirrors": [{"name": "ghcr.io", "endpoints": ["http://a"]}]}, "Add https://ghcr.io to mirrored_regist"),
    ],
)
def test_spegel_refuses_before_anything_is_written(run, spegel, args, said):
    assert said in run("spegel_registries", **args)["msg"]
    assert spegel.writes == []
