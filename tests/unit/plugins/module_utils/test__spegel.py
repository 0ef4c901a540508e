# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _spegel
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict, RegistryError
from hypothesis import given
from hypothesis import strategies as st

DATA = Path(__file__).parent / "data" / "spegel"
TARGETS = ["http://10.0.0.5:30020", "http://10.0.0.5:30021"]
HOSTS = ["docker.io", "ghcr.io", "harbor.example.com", "192.168.1.105", "registry.local:5000"]


def load(kind):
    paths = sorted((DATA / kind).glob("*.yaml"))
    return [pytest.param(yaml.safe_load(path.read_text()), id=path.stem) for path in paths]


def settings(registries=(), prepend=True):
    return _spegel.Settings(registries=tuple(registries), prepend=prepend)


def run(case):
    current = settings(case["current"].get("registries", []), case["current"].get("prepend", False))
    version = _spegel.chart_version(case["version"]) if "version" in case else None
    for key, where in (("present", "mirrored_registries"), ("absent", "removed_registries")):
        for url in case.get(key, []):
            _spegel.check_registry(url, where=where)
    wanted = _spegel.plan(
        current=current,
        present=case.get("present", []),
        absent=case.get("absent", []),
        prepend=case.get("prepend", True),
        version=version,
    )
    mirrors = [
        _spegel.TalosMirror(**{**mirror, "endpoints": tuple(mirror.get("endpoints", []))})
        for mirror in case.get("mirrors", [])
    ]
    _spegel.check_mirrors(settings=wanted, mirrors=mirrors)
    return wanted


@pytest.mark.parametrize("case", load("valid"))
def test_plan(case):
    wanted = run(case)
    assert list(wanted.registries) == case["expected"]
    assert run({**case, "current": {"registries": case["expected"], "prepend": wanted.prepend}}) == wanted


@pytest.mark.parametrize("case", load("invalid"))
def test_refused(case):
    with pytest.raises(RegistryError) as error:
        run(case)
    assert type(error.value).__name__ == case["error"]
    assert case["said"] in str(error.value)


@given(
    before=st.lists(st.sampled_from(HOSTS), unique=True, min_size=1),
    present=st.lists(st.sampled_from(HOSTS), unique=True),
    schemes=st.tuples(st.sampled_from(["http", "https"]), st.sampled_from(["http", "https"])),
)
def test_a_plan_holds_what_is_asked_and_keeps_the_rest_in_order(before, present, schemes):
    current = settings(f"{schemes[0]}://{host}" for host in before)
    asked = [f"{schemes[1]}://{host}" for host in present]
    wanted = _spegel.plan(current=current, present=asked)
    assert set(asked) <= set(wanted.registries)
    assert [url.partition("://")[2] for url in wanted.registries][: len(before)] == before
    assert len(wanted.registries) == len(set(before) | set(present))
    assert _spegel.plan(current=wanted, present=asked) == wanted


def ground_truth(captures):
    return yaml.safe_load((captures / "spegel-0.7.4" / "ground-truth.yaml").read_text())


def parsed(tree):
    return {path.removesuffix("/hosts.toml"): _spegel.parse_hosts(text) for path, text in tree.items()}


@pytest.mark.captures
def test_predictions_are_what_a_real_spegel_made_of_a_real_talos(captures):
    runs = 0
    for case in ground_truth(captures):
        before = parsed(case["before"])
        for one in case["runs"]:
            if one["rc"]:
                continue
            wanted = settings(one["mirrored_registries"], one["prepend_existing"])
            after = parsed({path: text for path, text in one["after"].items() if not path.startswith("_backup/")})
            assert _spegel.predict(settings=wanted, before=before, targets=TARGETS) == after, case["name"]
            runs += 1
    assert runs > 12


@pytest.mark.captures
def test_what_a_real_spegel_refuses_is_refused_here_too(captures):
    bad = [run["mirrored_registries"] for case in ground_truth(captures) for run in case["runs"] if run["rc"]]
    assert bad
    for (url,) in bad:
        with pytest.raises(BadInput):
            _spegel.check_registry(url, where="mirrored_registries")


@pytest.mark.captures
def test_lost_mirrors_are_those_a_real_spegel_lost(captures):
    """A mirror is refused exactly where the node's files have lost one of its hosts after the run."""
    talos = {case["name"]: case for case in yaml.safe_load((captures / "talos-1.13" / "ground-truth.yaml").read_text())}
    refused = kept = 0
    for case in ground_truth(captures):
        if case["talos_case"] not in talos or case["runs"][-1]["rc"]:
            continue
        run = case["runs"][-1]
        before, after = parsed(case["before"]), parsed(run["after"])
        wanted = settings(run["mirrored_registries"], run["prepend_existing"])
        for directory, file in before.items():
            hosts = (*file.hosts, *((file.server,) if file.server else ()))
            lost = any(host not in after.get(directory, _spegel.HostsFile()).hosts for host in hosts)
            mirror = _spegel.TalosMirror(name=_name(directory), endpoints=hosts, skip_fallback=bool(file.server))
            assert _is_refused(wanted, mirror) is lost, case["name"]
            refused, kept = refused + lost, kept + (not lost)
    assert refused >= 4
    assert kept >= 4


def _name(directory):
    if directory == "_default":
        return "*"
    host, underscore, port = directory.removesuffix("_").partition("_")
    return f"{host}:{port}" if underscore else host


def _is_refused(wanted, mirror):
    try:
        _spegel.check_mirrors(settings=wanted, mirrors=[mirror])
    except Conflict:
        return True
    return False


@pytest.mark.parametrize(
    ("mirror", "directory", "hosts"),
    [
        (
            ("harbor.example.com", ("http://a", "http://b"), False),
            "harbor.example.com",
            (None, ("http://a", "http://b")),
        ),
        (("harbor.example.com", ("http://a", "http://b"), True), "harbor.example.com", ("http://b", ("http://a",))),
        (("registry.local:5000", ("http://a",), False), "registry.local_5000_", (None, ("http://a",))),
        (("*", (), True), "_default", (None, ())),
    ],
)
def test_what_talos_writes(mirror, directory, hosts):
    name, endpoints, skip = mirror
    found = _spegel.hosts_of_talos([_spegel.TalosMirror(name=name, endpoints=endpoints, skip_fallback=skip)])
    assert found == {directory: _spegel.HostsFile(server=hosts[0], hosts=hosts[1])}


CONFIGURATION = [
    "configuration",
    "--log-level=INFO",
    "--containerd-registry-config-path=/etc/cri/conf.d/hosts",
    "--mirrored-registries",
    "https://docker.io",
    "http://192.168.1.105",
    "--mirror-targets",
    "http://$(NODE_IP):30020",
    "http://$(NODE_IP):30021",
    "--resolve-tags=true",
    "--prepend-existing=true",
]
REGISTRY = ["registry", "--metrics-addr=:9090", "--mirrored-registries", "https://docker.io", "--containerd-sock=/x"]


def test_arguments_as_the_chart_writes_them():
    assert _spegel.from_args(CONFIGURATION) == settings(["https://docker.io", "http://192.168.1.105"])


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["configuration"], settings(prepend=False)),
        (["configuration", "--prepend-existing"], settings()),
        (["configuration", "--prepend-existing=false"], settings(prepend=False)),
        (["configuration", "--mirrored-registries=https://a"], settings(["https://a"], prepend=False)),
        (["--mirrored-registries", "--prepend-existing=1"], settings()),
        (["--mirrored-registries", "https://a", "--mirrored-registries", "https://b"], settings(["https://b"], False)),
    ],
)
def test_arguments_as_people_write_them(args, expected):
    assert _spegel.from_args(args) == expected


@pytest.mark.parametrize(
    "args", [CONFIGURATION, REGISTRY, ["configuration", "--mirror-targets", "http://a"], ["cleanup"]]
)
@pytest.mark.parametrize("wanted", [settings(["https://a", "https://b"]), settings(["https://a"], False), settings()])
def test_new_arguments_say_what_is_wanted_and_the_rest_as_before(args, wanted):
    changed = _spegel.to_args(args, wanted)
    assert _spegel.to_args(changed, wanted) == changed
    found = _spegel.from_args(changed)
    if args[0] == "cleanup":
        assert changed == args
        return
    assert found.registries == wanted.registries
    assert args[0] == "registry" or found.prepend == wanted.prepend
    assert _rest(changed) == _rest(args)


def _rest(args):
    """The arguments without those of the list and of prepend."""
    rest, inside = [], False
    for arg in args:
        inside = arg == "--mirrored-registries" or (inside and not arg.startswith("-"))
        if not inside and not arg.startswith("--prepend-existing"):
            rest.append(arg)
    return rest


def test_arguments_that_say_it_already_stay_as_they_are_written():
    args = ["configuration", "--prepend-existing", "--mirrored-registries=https://a"]
    assert _spegel.to_args(args, settings(["https://a"])) == args


def daemon_set(init=CONFIGURATION, image="ghcr.io/spegel-org/spegel:v0.7.4@sha256:0"):
    containers = {
        "initContainers": [{"name": "other", "image": "a:1"}, {"name": "configuration", "image": image, "args": init}],
        "containers": [{"name": "registry", "image": image, "args": REGISTRY, "env": [{"name": "NODE_IP"}]}],
    }
    return {"metadata": {"namespace": "kube-system", "name": "spegel"}, "spec": {"template": {"spec": containers}}}


def test_a_daemon_set_changes_in_both_containers_and_nowhere_else():
    before = daemon_set()
    after = _spegel.to_daemon_set(before, settings(["https://a"]))
    assert _spegel.from_args(after["initContainers"][1]["args"]).registries == ("https://a",)
    assert _spegel.from_args(after["containers"][0]["args"]).registries == ("https://a",)
    assert after["initContainers"][0] == before["spec"]["template"]["spec"]["initContainers"][0]
    assert after["containers"][0] | {"args": REGISTRY} == before["spec"]["template"]["spec"]["containers"][0]
    assert before == daemon_set()


def test_what_a_daemon_set_says():
    assert _spegel.mirror_targets(daemon_set()) == ["http://$(NODE_IP):30020", "http://$(NODE_IP):30021"]
    assert _spegel.daemon_set_version(daemon_set()) == (0, 7, 4)
    assert _spegel.daemon_set_version(daemon_set(image="registry.example.com:5000/spegel")) is None


@pytest.mark.parametrize("args", [["registry"], []])
def test_another_daemon_set_is_refused(args):
    with pytest.raises(Conflict, match="kube-system/spegel: has no init container that runs Spegel's configuration"):
        _spegel.from_daemon_set(daemon_set(args))


def test_a_daemon_set_of_before_0_1_is_refused():
    with pytest.raises(Conflict, match="too old"):
        _spegel.from_daemon_set(daemon_set(["configuration", "--registries", "https://docker.io"]))


@pytest.mark.parametrize(
    ("values", "running", "version", "expected"),
    [
        ({}, None, None, settings(prepend=False)),
        ({}, settings(["https://a"]), None, settings(["https://a"])),
        ({"spegel": {"mirroredRegistries": ["https://b"]}}, settings(["https://a"]), None, settings(["https://b"])),
        ({"spegel": {"mirroredRegistries": None}}, settings(["https://a"]), None, settings()),
        ({"spegel": {"prependExisting": False}}, settings(["https://a"]), None, settings(["https://a"], False)),
        ({"spegel": {"appendMirrors": True}}, None, (0, 7, 4), settings(prepend=False)),
        ({"spegel": None}, None, None, settings(prepend=False)),
    ],
)
def test_values(values, running, version, expected):
    assert _spegel.from_values(values, running=running, where="HelmRelease", version=version) == expected


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"mirroredRegistries": ["https://a"]}, "outside of the key spegel"),
        ({"spegel": ["https://a"]}, "no mapping"),
        ({"spegel": {"mirroredRegistries": "https://a"}}, "no list"),
        (
            {"spegel": {"registries": ["https://a"], "appendMirrors": True}},
            "holds registries, appendMirrors, and the ver",
        ),
        ({"spegel": {"containerdMirrorAdd": False}}, "writes no hosts.toml"),
    ],
)
def test_values_that_cannot_be_worked_with(values, said):
    with pytest.raises(Conflict) as error:
        _spegel.from_values(values, running=None, where="HelmRelease")
    assert said in error.value.problem


@pytest.mark.parametrize("version", [(0, 0, 30), (0, 0, 18)])
def test_spegel_before_0_1_is_refused(version):
    with pytest.raises(Conflict, match=r"Upgrade Spegel to 0\.1\.0"):
        _spegel.check_version(version, where="HelmRelease kube-system/spegel")


@pytest.mark.parametrize("version", [None, (0, 1, 0), (0, 7, 4), (1, 0, 0)])
def test_newer_and_unknown_versions_are_not(version):
    _spegel.check_version(version, where="HelmRelease kube-system/spegel")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ("flux", "spegel")),
        ({"targetNamespace": "kube-system"}, ("kube-system", "kube-system-spegel")),
        ({"targetNamespace": "kube-system", "releaseName": "spegel"}, ("kube-system", "spegel")),
        ({"releaseName": "mirror"}, ("flux", "mirror-spegel")),
        ({"values": {"fullnameOverride": "p2p"}}, ("flux", "p2p")),
    ],
)
def test_the_daemon_set_of_a_release(spec, expected):
    assert _spegel.daemon_set_of({"metadata": {"namespace": "flux", "name": "spegel"}, "spec": spec}) == expected


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ({"spec": {"chart": {"spec": {"version": "v0.0.30"}}}}, (0, 0, 30)),
        ({"spec": {"chart": {"spec": {"version": ">=0.1 <1"}}}}, None),
        ({"spec": {"chartRef": {"kind": "OCIRepository"}}}, None),
        ({"spec": {}, "status": {"history": [{"chartVersion": "0.7.4"}]}}, (0, 7, 4)),
    ],
)
def test_the_version_of_a_release(release, expected):
    assert _spegel.release_version(release) == expected


@pytest.mark.captures
def test_every_release_in_the_wild_is_read_or_refused_clearly(captures):
    read = refused = 0
    for path in sorted((captures / "corpus" / "spegel").glob("*.yaml")):
        if path.name.startswith("spegel-org"):
            continue
        for document in yaml.safe_load_all(path.read_text()):
            if not isinstance(document, dict) or document.get("kind") != "HelmRelease":
                continue
            document["metadata"].setdefault("namespace", "kube-system")
            version = _spegel.release_version(document)
            values = document["spec"].get("values") or {}
            try:
                _spegel.check_version(version, where=path.name)
                found = _spegel.from_values(values, running=None, where=path.name, version=version)
            except Conflict as error:
                assert error.cure
                refused += 1
                continue
            wanted = _spegel.plan(current=found, present=["https://harbor.example.com"])
            merged = values | {"spegel": (values.get("spegel") or {}) | _spegel.to_values(wanted)["spegel"]}
            assert _spegel.from_values(merged, running=None, where=path.name, version=version) == wanted
            assert _spegel.daemon_set_of(document)[1]
            read += 1
    assert read > 20
    assert refused >= 3
