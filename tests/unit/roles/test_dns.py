# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of role dns that changes nothing asks of an API server: one object, once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import loopback
import yaml

from sandbox.paths import ROOT
from sandbox.recap import changed

if t.TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler

NAME, TARGET = "harbor.example.com", "envoy-proxy.envoy-gateway-system.svc.cluster.local"
RULES = f"""\
    rewrite stop name exact {NAME} {TARGET}
    rewrite stop name exact git.example.com gitea.git.svc.cluster.local
"""
COREFILE = ".:53 {\n{rules}    kubernetes cluster.local\n    forward . /etc/resolv.conf\n    reload\n}\n"
SITE = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
    "registry_name": NAME,
    "registry_internal_name": "harbor.harbor.svc.cluster.local",
    "registry_dns_rewrites": [{"name": "git.example.com", "target": "gitea.git.svc.cluster.local"}],
    "registry_talosconfig": "/nowhere",
}
PLAY = """\
- hosts: all
  gather_facts: false
  module_defaults:
    group/splithorizon.registry.kubernetes:
      kubeconfig: "{{ registry_kubeconfig }}"
  roles: [splithorizon.registry.dns]
"""


def corefile(rules: str) -> str:
    return COREFILE.replace("{rules}", rules)


MAP = "/api/v1/namespaces/kube-system/configmaps"
OF_K3S = {
    "coredns": {"Corefile": corefile("    import /etc/coredns/custom/*.override\n")},
    "coredns-custom": {"splithorizon.override": "".join(line.strip() + "\n" for line in RULES.splitlines())},
}


class Case(t.NamedTuple):
    """The ConfigMaps of a cluster, how its site is described, and what is to be asked for."""

    maps: dict[str, dict[str, str]]
    site: dict[str, t.Any]
    asked: list[str]


CASES = {
    "the_corefile": Case({"coredns": {"Corefile": corefile(RULES)}}, {}, [f"{MAP}/coredns"]),
    "the_way_back": Case({"coredns": {"Corefile": corefile("")}}, {"registry_transport": "http"}, [f"{MAP}/coredns"]),
    "a_map_that_it_imports": Case(
        OF_K3S, {"registry_coredns_custom_config_map": "coredns-custom"}, [f"{MAP}/coredns", f"{MAP}/coredns-custom"]
    ),
}


def describe(folder: Path, name: str, port: int) -> dict[str, t.Any]:
    """A host for the cluster, whose API server stands below a path of its own name."""
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}/{name}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config = {"clusters": [cluster], "contexts": [context], "users": [{"name": "u", "user": {}}]}
    kubeconfig = folder / name
    kubeconfig.write_text(yaml.safe_dump({**config, "current-context": "c"}))
    return {**SITE, "registry_kubeconfig": str(kubeconfig), **CASES[name].site}


def play(folder: Path, port: int) -> subprocess.CompletedProcess[str]:
    (folder / "play.yml").write_text(PLAY)
    hosts = {name: describe(folder, name, port) for name in CASES}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    return subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.yml", "play.yml"],
        cwd=folder,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_run_that_changes_nothing_reads_each_corefile_once(tmp_path: Path) -> None:
    asked: dict[str, list[str]] = {name: [] for name in CASES}

    def answer(request: BaseHTTPRequestHandler) -> None:
        _, cluster, path = request.path.split("/", 2)
        asked[cluster].append(f"/{path}")
        name = path.rpartition("/")[2]
        data = CASES[cluster].maps.get(name)
        found = {"kind": "ConfigMap", "metadata": {"name": name, "resourceVersion": "1"}, "data": data}
        body = json.dumps(found).encode()
        request.send_response(200 if request.command == "GET" and data else 404)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    with loopback.serve(answer) as port:
        done = play(tmp_path, port)
    assert done.returncode == 0, done.stdout + done.stderr
    assert changed(done.stdout) == 0
    assert asked == {name: case.asked for name, case in CASES.items()}
