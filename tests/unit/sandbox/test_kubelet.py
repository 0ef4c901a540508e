# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import yaml

from sandbox import kubelet

CLUSTER = kubelet.Kubelet(cluster_dns="10.96.0.10", client_ca="CA")
NODE = kubelet.Node(
    name="alpha-worker-1",
    address="10.5.0.3",
    root=Path("/n/root"),
    run=Path("/run/n"),
    state=Path("/n/state"),
    pod_cidr="10.244.2.0/24",
)
BIN = Path("/bin-of-sandbox")


def test_kubelets_of_one_network_namespace_listen_on_their_own_address_only() -> None:
    settings = kubelet.configuration(CLUSTER, NODE)
    listening = {key: value for key, value in settings.items() if key.lower().endswith("address")}
    assert listening == {"address": "10.5.0.3", "healthzBindAddress": "10.5.0.3"}
    assert settings["readOnlyPort"] == 0


def test_nothing_asks_for_cgroups() -> None:
    settings = kubelet.configuration(CLUSTER, NODE)
    assert settings["cgroupsPerQOS"] is False
    assert settings["enforceNodeAllocatable"] == []
    assert not any(key.endswith("Cgroups") for key in settings)


def test_what_the_configuration_names_is_among_the_files() -> None:
    files = kubelet.files(CLUSTER, NODE, kubeconfig="K", certificate="C", key="P")
    settings = json.loads(files[kubelet.CONFIG])
    named = {
        settings["tlsCertFile"]: "C",
        settings["tlsPrivateKeyFile"]: "P",
        settings["authentication"]["x509"]["clientCAFile"]: "CA",
        kubelet.KUBECONFIG: "K",
    }
    assert {path: files[path] for path in named} == named
    assert all(path.startswith("/etc/kubernetes/") for path in files.keys() - {kubelet.PASSWD})


def test_the_kubelet_joins_the_node_that_its_runtime_made() -> None:
    runtime = kubelet.pod_runtime_command(NODE, bin_dir=BIN, images=Path("/images.yaml"))
    joined = kubelet.command(NODE, bin_dir=BIN)
    assert runtime[:2] == ["/bin-of-sandbox/pod-runtime", "serve"]
    assert joined[:2] == ["/bin-of-sandbox/pod-runtime", "join"]
    for flag in ("--node-name", "--run-dir"):
        assert runtime[runtime.index(flag) + 1] == joined[joined.index(flag) + 1]
    program = joined[joined.index("--") + 1 :]
    assert program[0] == "/bin-of-sandbox/kubelet"
    assert "--config=/etc/kubernetes/kubelet.yaml" in program


def test_empty_options_are_left_out() -> None:
    words = kubelet.pod_runtime_command(NODE, bin_dir=BIN, images=Path("/i")) + kubelet.command(NODE, bin_dir=BIN)
    assert not {"--resolver", "--system-ca", ""} & set(words)
    assert not any(word.startswith("--node-labels") for word in words)

    given = replace(NODE, resolver="10.5.0.1:53", system_ca=Path("/ca.crt"), labels={"b": "2", "a": "1"})
    words = kubelet.pod_runtime_command(given, bin_dir=BIN, images=Path("/i")) + kubelet.command(given, bin_dir=BIN)
    assert words[words.index("--resolver") + 1] == "10.5.0.1:53"
    assert words[words.index("--system-ca") + 1] == "/ca.crt"
    assert "--node-labels=a=1,b=2" in words


def test_every_known_image_has_a_program_that_the_sandbox_builds() -> None:
    table = yaml.safe_load((Path(kubelet.__file__).parent / "images.yaml").read_text())
    build = (Path(kubelet.__file__).parent / "build.py").read_text()
    programs = {entry["program"] for entry in table["images"] if "program" in entry}
    assert programs
    assert {name for name in programs if f'"{name}"' not in build} == set()
