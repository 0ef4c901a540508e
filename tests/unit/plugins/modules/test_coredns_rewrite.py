# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module does to a cluster and returns, in check mode and for real; the cluster is a table."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.splithorizon.registry.plugins.module_utils import _coredns
from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import Replica
from ansible_collections.splithorizon.registry.plugins.module_utils._dns import Answer
from ansible_collections.splithorizon.registry.plugins.modules import coredns_rewrite

if t.TYPE_CHECKING:
    from pathlib import Path

NAME, TARGET = "harbor.example.com", "envoy.gateway.svc.cluster.local"
BEFORE = ".:53 {\n    kubernetes cluster.local\n    reload\n    prometheus\n}\n"
RULE = f"rewrite stop name exact {NAME} {TARGET}"
AFTER = BEFORE.replace("    reload", f"    {RULE}\n    reload")
ARGS = {"name": NAME, "target": TARGET, "wait_timeout": 0}
NOBODY = dict.fromkeys(("title", "kind", "namespace", "name", "evidence", "writer", "written"), "") | {
    "undoes": "never"
}
CACHE = "cluster.local:53 {\n    forward . 10.96.0.9\n}\n.:53 {\n    forward . 1.1.1.1\n}\n"
Json = dict[str, t.Any]


class FakeCluster:
    """One ConfigMap, one pod and the target's Service. A dry run answers as the server does and keeps nothing."""

    text = BEFORE
    cache: str | None = None
    cache_labels: t.ClassVar[dict[str, str]] = {}
    labels: t.ClassVar[dict[str, str]] = {}
    owners: t.ClassVar[dict[str, Json]] = {}
    metrics: t.ClassVar[list[str]] = []
    service: t.ClassVar[Json | None] = {"spec": {"type": "ClusterIP"}}
    endpoints: t.ClassVar[list[Json]] = [{"addresses": ["10.244.0.9"]}]
    writes: t.ClassVar[list[tuple[str, bool]]] = []
    node_local = False
    version = "1.14.7"

    def __init__(self, auth: Json, *, dry_run: bool = False) -> None:
        self.dry_run = dry_run

    def get(self, api: str, kind: str, namespace: str, name: str) -> Json | None:
        if kind == "Service":
            return self.service if (namespace, name) in {("gateway", "envoy"), ("apps", "www")} else None
        if kind != "ConfigMap":
            return self.owners.get(kind)
        if name == "node-local-dns" and self.cache is not None:
            metadata = {"resourceVersion": "5", "labels": self.cache_labels}
            return {"metadata": metadata, "data": {"Corefile": FakeCluster.cache}}
        if name != "coredns":
            return None
        metadata = {"resourceVersion": "1", "labels": self.labels}
        return {"metadata": metadata, "data": {"Corefile": FakeCluster.text}}

    def merge(self, api: str, kind: str, namespace: str, name: str, body: Json) -> Json:
        text = body["data"]["Corefile"]
        self.writes.append((text, self.dry_run))
        if name == "node-local-dns":
            assert body["metadata"] == {"resourceVersion": "5"}
            FakeCluster.cache = FakeCluster.cache if self.dry_run else text
        elif not self.dry_run:
            FakeCluster.text = text
        return {"metadata": {"resourceVersion": "2", "labels": self.labels}}

    def create(self, body: Json) -> Json:
        self.writes.append((body["data"]["splithorizon.override"], self.dry_run))
        return {"metadata": {"resourceVersion": "1"}}

    def list(self, api: str, kind: str, namespace: str, *, selector: str) -> t.Sequence[Json]:
        if "node-local-dns" in selector:
            return [{}] if self.node_local else []
        if kind == "EndpointSlice":
            return [{"endpoints": self.endpoints}]
        spec = {"containers": [{"name": "coredns", "image": f"coredns/coredns:{self.version}"}]}
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        return [{"metadata": {"name": "a"}, "spec": spec, "status": ready}]

    def pod_log(self, *_where: object) -> str:
        return "[ERROR] plugin/reload: Corefile changed but reload failed: too bad\n"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> t.Callable[..., Json]:
    """Run the module with these arguments; what it printed."""
    answer = Replica(pod="a", node="n", name=NAME, bare=("10.96.0.9",), target=("10.96.0.9",))
    monkeypatch.setattr(coredns_rewrite, "Cluster", FakeCluster)
    monkeypatch.setattr(_coredns.CoreDns, "ask", lambda self, **question: [answer])
    monkeypatch.setattr(_coredns.CoreDns, "answer", lambda self, _pod, name: Answer(rcode="NOERROR", addresses=(name,)))
    monkeypatch.setattr(
        _coredns.CoreDns, "metrics", lambda self, _pod, _port: FakeCluster.metrics.pop(0) if FakeCluster.metrics else ""
    )
    monkeypatch.setattr(FakeCluster, "text", BEFORE)
    for name, value in (("labels", {}), ("owners", {}), ("metrics", []), ("writes", []), ("cache", None)):
        monkeypatch.setattr(FakeCluster, name, value)

    def run_module(check: bool = False, **args: t.Any) -> Json:
        warnings: list[str] = []
        monkeypatch.setattr(AnsibleModule, "warn", lambda self, text: warnings.append(text))
        flags = {"_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args({**args, **flags}), pytest.raises(SystemExit):
            coredns_rewrite.main()
        return {**json.loads(capsys.readouterr().out), "warned": warnings}

    return run_module


def test_check_mode_says_what_the_run_does(run: t.Callable[..., Json]) -> None:
    predicted = run(check=True, **ARGS)
    assert FakeCluster.writes == [(AFTER, True)]
    done = run(**ARGS)
    assert FakeCluster.text == AFTER
    assert predicted["changed"] is done["changed"] is True
    assert predicted["diff"] == done["diff"]
    assert predicted["diff"][0]["before"] == BEFORE
    assert predicted["diff"][0]["after"] == AFTER
    assert "replicas" not in predicted
    assert done["replicas"] == [
        {"pod": "a", "node": "n", "name": NAME, "bare": ["10.96.0.9"], "expanded": [], "aaaa": []}
    ]
    shown = {key: done[key] for key in ("zone", "rules", "autopath", "cluster_domain", "corefile_key", "owner")}
    assert shown == {
        "zone": ".",
        "rules": [RULE],
        "autopath": False,
        "cluster_domain": "cluster.local",
        "corefile_key": "Corefile",
        "owner": NOBODY,
    }


def test_second_run_writes_and_waits_for_nothing(run: t.Callable[..., Json]) -> None:
    FakeCluster.text = AFTER
    done = run(**ARGS)
    assert done["changed"] is False
    assert done["diff"] == []
    assert done["rules"] == [RULE]
    assert "replicas" not in done
    assert FakeCluster.writes == []


def test_absent_gives_the_corefile_back(run: t.Callable[..., Json]) -> None:
    FakeCluster.text = AFTER
    done = run(name=NAME, state="absent", wait=False)
    assert done["changed"] is True
    assert done["rules"] == []
    assert FakeCluster.text == BEFORE


def test_corefile_that_coredns_does_not_take_is_put_back(run: t.Callable[..., Json]) -> None:
    FakeCluster.metrics.extend(["coredns_reload_failed_total 0\n", "coredns_reload_failed_total 1\n"])
    failed = run(**ARGS)
    assert failed["failed"] is True
    assert "CoreDNS does not take the new Corefile: too bad. The old Corefile is back in place" in failed["msg"]
    assert failed["where"] == "pod a"
    assert [text for text, _dry_run in FakeCluster.writes] == [AFTER, BEFORE]
    assert FakeCluster.text == BEFORE


@pytest.mark.parametrize(
    ("what", "value", "said"),
    [
        ("service", None, "Service gateway/envoy: there is no such Service"),
        ("endpoints", [], "Service gateway/envoy: it has no ready endpoint"),
        ("endpoints", [{"conditions": {"ready": False}, "addresses": ["10.244.0.9"]}], "no ready endpoint"),
    ],
)
def test_target_without_anybody_behind_it_changes_nothing(
    run: t.Callable[..., Json], monkeypatch: pytest.MonkeyPatch, what: str, value: t.Any, said: str
) -> None:
    monkeypatch.setattr(FakeCluster, what, value)
    for check in (True, False):
        assert said in run(check=check, **ARGS)["msg"]
    assert FakeCluster.writes == []
    assert run(**ARGS, verify_target=False)["changed"] is True
    assert run(**ARGS)["changed"] is False, "what is there already is not judged anew"


def test_external_name_has_no_endpoints(run: t.Callable[..., Json], monkeypatch: t.Any) -> None:
    monkeypatch.setattr(FakeCluster, "service", {"spec": {"type": "ExternalName"}})
    monkeypatch.setattr(FakeCluster, "endpoints", [])
    assert run(**ARGS, wait=False)["changed"] is True


def test_control_name_that_is_rewritten_itself_changes_nothing(run: t.Callable[..., Json]) -> None:
    assert "option control_name" in run(**ARGS, control_name=NAME)["msg"]
    assert FakeCluster.writes == []


def test_contradiction_changes_nothing(run: t.Callable[..., Json]) -> None:
    FakeCluster.text = BEFORE.replace("reload", f"rewrite name {NAME} a.b.svc.cluster.local")
    failed = run(**ARGS)
    assert failed["where"] == "ConfigMap kube-system/coredns, key Corefile, line 3"
    assert FakeCluster.writes == []


def test_imported_config_map_in_place_of_the_corefile(run: t.Callable[..., Json]) -> None:
    FakeCluster.text = text = BEFORE.replace("reload", "reload\n    import custom/*.override")
    predicted = run(check=True, **ARGS, custom_config_map="coredns-custom")
    done = run(**ARGS, custom_config_map="coredns-custom")
    assert predicted["diff"] == done["diff"]
    assert done["corefile_key"] == "splithorizon.override"
    assert FakeCluster.writes == [(f"{RULE}\n", True), (f"{RULE}\n", False)]
    assert FakeCluster.text == text


def test_file_in_place_of_a_cluster(run: t.Callable[..., Json], tmp_path: Path) -> None:
    path = tmp_path / "Corefile"
    path.write_bytes(BEFORE.replace("\n", "\r\n").encode())
    predicted = run(check=True, **ARGS, path=str(path))
    assert path.read_bytes() == BEFORE.replace("\n", "\r\n").encode()
    done = run(**ARGS, path=str(path))
    assert predicted["diff"] == done["diff"]
    assert path.read_bytes() == AFTER.replace("\n", "\r\n").encode()
    assert (done["rules"], "managed_by" in done, "replicas" in done) == ([RULE], False, False)
    assert run(**ARGS, path=str(path))["changed"] is False
    assert FakeCluster.writes == []
    assert run(**ARGS, path=str(tmp_path / "none"))["failed"] is True


def test_owner_and_imports_are_warned_of(run: t.Callable[..., Json]) -> None:
    FakeCluster.labels["app.kubernetes.io/managed-by"] = "Helm"
    FakeCluster.text = BEFORE.replace("reload", "import custom/*.override")
    done = run(**ARGS, wait=False)
    assert (done["owner"]["title"], done["owner"]["undoes"]) == ("Helm", "next_run")
    owner, note = done["warned"]
    assert "line 3: rules of files imported there" in note
    assert "belongs to Helm" in owner
    assert len(run(**ARGS, wait=False)["warned"]) == 1


FLUX = {"kustomize.toolkit.fluxcd.io/name": "dns", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}


def test_owner_that_takes_it_back_stops_the_change(run: t.Callable[..., Json]) -> None:
    FakeCluster.labels.update(FLUX)
    FakeCluster.owners["Kustomization"] = {"spec": {"interval": "10m"}}
    for check in (True, False):
        failed = run(check=check, **ARGS)
        assert failed["failed"] is True
        assert "Flux (Kustomization flux-system/dns), within 10m, which takes the change back" in failed["msg"]
        assert "if_owned: warn" in failed["cure"]
    assert FakeCluster.writes == []
    done = run(**ARGS, if_owned="warn")
    assert (done["changed"], done["owner"]["undoes"], len(done["warned"])) == (True, "soon", 1)
    again = run(**ARGS)
    assert (again["changed"], again["owner"]["undoes"]) == (False, "next_run")


def test_nobody_is_asked_where_nothing_changes(run: t.Callable[..., Json], monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCluster.labels.update(FLUX)
    FakeCluster.text = AFTER
    asked: list[str] = []
    read = FakeCluster.get
    monkeypatch.setattr(FakeCluster, "get", lambda self, *where: asked.append(where[-1]) or read(self, *where))
    monkeypatch.setattr(FakeCluster, "list", lambda self, *where, **how: pytest.fail("a list"))
    assert run(**ARGS)["changed"] is False
    assert asked == ["coredns"]


SUFFIX = {"name": ".apps.example.com", "target": ".apps.svc.cluster.local", "match": "suffix"}
GENERAL = {**SUFFIX, "example": "www.apps.example.com"}


def test_several_names_in_one_call(run: t.Callable[..., Json]) -> None:
    done = run(rewrites=[{"name": NAME, "target": TARGET}, GENERAL, {"name": "old.example.com", "state": "absent"}])
    assert [each["state"] for each in done["rewrites"]] == ["present", "present", "absent"]
    rules = [RULE, "rewrite stop name suffix .apps.example.com .apps.svc.cluster.local answer auto"]
    assert done["rules"] == rules
    assert FakeCluster.text == BEFORE.replace("    reload", "".join(f"    {rule}\n" for rule in rules) + "    reload")
    assert run(name="old.example.com", state="exact", target=TARGET)["removed"] == rules


@pytest.mark.parametrize("given", [{"version": "1.8.3"}, {"option": "1.8.3"}])
def test_a_coredns_that_is_too_old_gets_no_answer_auto(
    run: t.Callable[..., Json], monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    monkeypatch.setattr(FakeCluster, "version", given.get("version", "1.14.7"))
    failed = run(**GENERAL, **({"coredns_version": given["option"]} if "option" in given else {}))
    assert "CoreDNS 1.8.3 does not know 'answer auto'" in failed["msg"]
    assert FakeCluster.writes == []
    assert run(**ARGS)["changed"] is True


def test_node_local_cache_that_keeps_the_name_stops_the_change(
    run: t.Callable[..., Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeCluster, "node_local", True)
    monkeypatch.setattr(FakeCluster, "cache", CACHE)
    for check in (True, False):
        failed = run(check=check, **ARGS)
        assert "node_local: pass_on" in failed["cure"]
        assert failed["where"] == "ConfigMap kube-system/node-local-dns, key Corefile"
    assert FakeCluster.writes == []
    done = run(**ARGS, node_local="warn")
    assert (done["changed"], done["node_local_dns"], len(done["warned"])) == (True, True, 1)
    assert FakeCluster.cache == CACHE
    assert "node_local_dns" not in run(**ARGS)
    assert run(name=NAME, state="absent", wait=False)["changed"] is True


def test_node_local_cache_gets_the_name_too(run: t.Callable[..., Json], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeCluster, "node_local", True)
    monkeypatch.setattr(FakeCluster, "cache", CACHE)
    options = {**ARGS, "node_local": "pass_on"}
    predicted, done = run(check=True, **options), run(**options)
    assert predicted["diff"] == done["diff"]
    assert [change["after"] for change in done["diff"]] == [FakeCluster.cache, AFTER]
    assert FakeCluster.cache == f"{NAME}:53 {{\n    forward . 10.96.0.9\n}}\n{CACHE}"
    writes = len(FakeCluster.writes)
    assert run(**options)["changed"] is False
    assert run(**ARGS)["warned"] == []
    FakeCluster.text = BEFORE
    assert run(**ARGS)["warned"] == []
    assert len(FakeCluster.writes) == writes + 1
    assert run(**{**options, "state": "absent", "wait": False})["changed"] is True
    assert (FakeCluster.cache, FakeCluster.text) == (CACHE, BEFORE)


RECONCILED = {"addonmanager.kubernetes.io/mode": "Reconcile", "kubernetes.io/cluster-service": "true"}


def test_node_local_cache_that_is_owned_stops_the_change(
    run: t.Callable[..., Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeCluster, "cache", CACHE)
    monkeypatch.setattr(FakeCluster, "cache_labels", RECONCILED)
    options = {**ARGS, "node_local": "pass_on"}
    assert "add-on manager" in run(**options)["msg"]
    assert FakeCluster.writes == []
    done = run(**options, if_owned="warn")
    assert (done["changed"], len(done["warned"]), len(FakeCluster.writes)) == (True, 1, 2)


def test_node_local_cache_as_the_home(run: t.Callable[..., Json], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeCluster, "cache", CACHE)
    done = run(**ARGS, config_map="node-local-dns")
    assert done["rules"] == [f"{NAME}:53 forward . 10.96.0.9"]
    assert not done.get("replicas")
    assert [text for text, _dry_run in FakeCluster.writes] == [FakeCluster.cache]


def test_node_local_cache_of_another_name(run: t.Callable[..., Json], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeCluster, "node_local", True)
    assert "give its own as config_map" in run(**ARGS)["cure"]
    assert run(**ARGS, node_local="pass_on")["warned"] == []


@pytest.mark.parametrize(
    "args",
    [
        {"name": NAME},
        {**ARGS, "name": "10.0.0.1"},
        {**ARGS, "target": "10.0.0.1"},
        {"state": "absent"},
        {**ARGS, "rewrites": []},
        SUFFIX,
        {**ARGS, "coredns_version": "latest"},
        {**ARGS, "source": {"kind": "HelmRelease", "namespace": "kube-system", "name": "none"}},
        {**ARGS, "source": {"kind": "Secret", "namespace": "kube-system", "name": "coredns"}},
        {**ARGS, "source": {"kind": "HelmRelease", "namespace": "a", "name": "b"}, "path": "values.yaml"},
        {"rewrites": [{"name": NAME, "target": TARGET, "state": "present"}], "state": "absent"},
    ],
)
def test_bad_input_is_one_error(run: t.Callable[..., Json], args: Json) -> None:
    assert run(**args)["failed"] is True
    assert FakeCluster.writes == []
