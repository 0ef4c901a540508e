# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Unreachable
from ansible_collections.splithorizon.registry.plugins.module_utils._node_doctor import NodeReader, examine, repair
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import Access, Answer

HOST = "harbor.apps.svc.cluster.local"
REGISTRY = "192.168.1.105"
CONFIG = f"""\
version: v1alpha1
machine:
  registries:
    mirrors:
      {REGISTRY}: {{endpoints: ['http://{HOST}']}}
  network:
    extraHostEntries:
      - {{ip: 10.43.0.1, aliases: [{HOST}]}}
"""
TOML = f"[host.'http://{HOST}']\n"
LINE = "{node}   -rw-r--r--   0     0     71        Nov 21 12:28:01       {name}\n"
NO_FOLDER = "1 error occurred:\n rpc error: code = Unknown desc = lstat /var/lib/x: no such file or directory\n"
REFUSED = "error reading: rpc error: code = PermissionDenied desc = not authorized"
GONE = "rpc error: code = Unavailable desc = connection error: no route to host"
WAITING = {"reason": "ErrImagePull", "message": "401 Unauthorized"}
POD = {
    "metadata": {"namespace": "a", "name": "p"},
    "spec": {"nodeName": "worker"},
    "status": {"containerStatuses": [{"image": f"{REGISTRY}/a:1", "state": {"waiting": WAITING}}]},
}


class Nodes:
    """talosctl for nodes of one configuration each; those of ``gone`` do not answer."""

    def __init__(self, *names, gone=(), unreadable=()):
        self.configs = dict.fromkeys(names, CONFIG)
        self.gone, self.unreadable = gone, unreadable
        self.asked = []
        self.lock = threading.Lock()
        self.refusing = ()

    def __call__(self, argv, stdin, _seconds):
        with self.lock:
            self.asked.append(argv)
        names = argv[argv.index("--nodes") + 1].split(",")
        up = [name for name in names if name not in self.gone]
        if not up:
            return Answer(returncode=1, stderr=GONE)
        answer = getattr(self, argv[1].replace("-", "_"))(argv, up, stdin)
        return answer if isinstance(answer, Answer) else Answer(returncode=0, stdout=answer)

    def count(self, *command):
        return sum(argv[1 : 1 + len(command)] == list(command) for argv in self.asked)

    def version(self, _argv, up, _stdin):
        return "Client:\n\tTag: v1.13.0\nServer:\n" + "".join(f"\tNODE: {n}\n\tTag: v1.13.0\n" for n in up)

    def get(self, argv, up, _stdin):
        if "etcfilespecs" in argv:
            hosts = f"10.43.0.1 {HOST}\n"
            return yaml.safe_dump_all({"node": name, "spec": {"contents": hosts}} for name in up)
        return yaml.safe_dump_all(
            {"node": name, "metadata": {"id": kind}, "spec": self.configs[name]}
            for name in up
            for kind in ("v1alpha1", "persistent")
        )

    def list(self, argv, up, _stdin):
        if "ingest" in argv[4]:
            return Answer(returncode=1, stdout="NODE   NAME\n", stderr=NO_FOLDER)
        return "".join(LINE.format(node=name, name=f"hosts/{REGISTRY}/hosts.toml") for name in up)

    def read(self, argv, up, _stdin):
        if up[0] in self.unreadable:
            return Answer(
                returncode=1, stderr="error reading: rpc error: code = PermissionDenied desc = not authorized"
            )
        if argv[2] == "/etc/hosts":
            hosts = yaml.safe_load(self.configs[up[0]])["machine"]["network"]["extraHostEntries"]
            return "".join(f"{entry['ip']} {' '.join(entry['aliases'])}\n" for entry in hosts)
        return TOML

    def service(self, _argv, up, _stdin):
        return "".join(f"NODE {n}\n [Running]: Process P started with PID 23 (24m11s ago)\n" for n in up)

    def apply_config(self, argv, up, stdin):
        if up[0] in self.refusing:
            return Answer(returncode=1, stderr="rpc error: code = InvalidArgument desc = no")
        if "--dry-run" not in argv:
            self.configs[up[0]] = stdin
        return ""


class FakeKubernetes:
    """One Service, one pod that waits for its image, one node."""

    def __init__(self, address="n1", pods=(POD,)):
        self.address, self.pods = address, pods
        self.asked = []

    def get(self, _version, kind, namespace, name):
        self.asked.append((kind, namespace, name))
        metadata = {"namespace": namespace, "name": name}
        return {"metadata": metadata, "spec": {"clusterIPs": ["10.43.0.9"]}}

    def list(self, _version, kind, _namespace, *, fields=""):
        self.asked.append((kind, fields))
        addresses = [{"type": "InternalIP", "address": self.address}]
        node = {"metadata": {"name": "worker"}, "status": {"addresses": addresses}}
        return {"Pod": list(self.pods), "Event": [], "Node": [node]}[kind]


def examined(run, names, connect=None):
    talos = NodeReader(Access(), run=run)
    return talos, examine(talos, connect, names, spegel="kube-system/spegel")


def kinds(found):
    return [(one.node, one.kind) for one in found.troubles]


def test_a_process_for_each_kind_of_reading_and_one_for_each_file():
    names = [f"n{number}" for number in range(20)]
    run = Nodes(*names)
    _talos, found = examined(run, names)
    assert found.troubles == ()
    assert len(found.nodes) == 20
    assert [run.count(*command) for command in (["version"], ["get", "mc"], ["get", "etcfilespecs"])] == [1, 1, 1]
    assert run.count("read") == 20
    assert run.count("service") == 1
    assert run.count("list") == 2 + 20, "those without the folder are asked once more"


def test_no_nodes():
    run = Nodes()
    assert examined(run, [])[1].troubles == ()
    assert run.asked == []


def test_kubernetes_tells_services_and_pulls():
    run, cluster = Nodes("n1", "n2"), FakeKubernetes()
    _talos, found = examined(run, ["n1", "n2"], lambda: cluster)
    assert kinds(found) == [("n1", "unauthorized"), ("n1", "stale_host"), ("n2", "stale_host")]
    assert "it has none for" in found.troubles[0].evidence
    assert cluster.asked == [
        ("Service", "apps", "harbor"),
        ("Pod", "status.phase=Pending"),
        ("Event", "reason=Pulled"),
        ("Node", ""),
    ]
    assert run.count("service", "cri") == 1


def test_what_cannot_be_read_is_a_trouble_and_stops_nothing():
    run = Nodes("n1", "n2", gone=("n3",), unreadable=("n2",))

    def connect():
        raise Unreachable("no answer", where="/api", cure="Check it")

    _talos, found = examined(run, ["n1", "n2", "n3"], connect)
    assert kinds(found) == [("n3", "unreadable"), ("n2", "unreadable"), ("", "unreadable")]
    assert [one.evidence for one in found.troubles][1:] == ["the credentials do not allow this", "/api: no answer"]
    assert found.troubles[1].cure.startswith("Use a talosconfig with the role os:admin")
    assert sorted(found.nodes) == ["n1", "n2"]


def test_a_kubeconfig_that_is_not_there_is_bad_input():
    def connect():
        raise BadInput("no file", where="kubeconfig")

    with pytest.raises(BadInput, match="no file"):
        examined(Nodes("n1"), ["n1"], connect)


def repaired(run, names, *, check_mode=False):
    talos, found = examined(run, names, lambda: FakeKubernetes(pods=()))
    return repair(talos, found, seconds=0.1, check_mode=check_mode)


def test_a_repair_is_predicted_and_done_once():
    run = Nodes("n1")
    predicted, left = repaired(run, ["n1"], check_mode=True)
    assert run.configs["n1"] == CONFIG
    done, left_then = repaired(run, ["n1"])
    assert [predicted[name].change(name) for name in predicted] == [done[name].change(name) for name in done]
    assert done["n1"].change("n1").changed
    assert left.troubles == left_then.troubles == ()
    assert "10.43.0.9" in run.configs["n1"]
    again, left_again = repaired(run, ["n1"])
    assert (again, left_again.troubles) == ({}, ())


def test_the_first_node_that_cannot_be_repaired_is_the_last():
    run = Nodes("n1", "n2", "n3")
    run.refusing = ("n2",)
    sent, left = repaired(run, ["n1", "n2", "n3"])
    assert list(sent) == ["n1"]
    assert kinds(left) == [("n2", "stale_host"), ("n3", "stale_host"), ("n2", "not_repaired")]
    assert [run.configs[name] == CONFIG for name in ("n1", "n2", "n3")] == [False, True, True]
