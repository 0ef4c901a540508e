# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import stat
import threading
import time

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _errors, _talosctl
from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import MachineConfig, Version
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import Access, Answer, Talosctl

ONE = "version: v1alpha1\nmachine:\n  type: worker # one\n"
TWO = "version: v1alpha1\nmachine:\n  type: controlplane\n"
BUSY = "error applying new configuration: rpc error: desc = another apply configuration is already in progress"
REFUSED = "1 error occurred:\n\t* rpc error: code = PermissionDenied desc = not authorized\n"
GONE = "error getting version: rpc error: code = Unavailable desc = connection error: no route to host"


def resource(node, id_, text, updated="2026-11-21T12:30:51Z"):
    metadata = {"namespace": "config", "id": id_, "updated": updated}
    return f"node: {node}\n" + yaml.safe_dump({"metadata": metadata, "spec": text}, default_style=None)


class Nodes:
    """A stand-in for talosctl: answers for nodes that are there, notes what it was asked."""

    def __init__(self, nodes, *, failing=(), client="v1.13.0", versions=(), answers=()):
        self.nodes, self.failing, self.client = dict(nodes), dict(failing), client
        self.versions = dict(versions)  # v1.13.0 where there is none
        self.answers = list(answers)  # for apply-config
        self.asked = []
        self.lock = threading.Lock()

    def __call__(self, argv, stdin, seconds):
        with self.lock:
            self.asked.append((argv, stdin, seconds))
        names = argv[argv.index("--nodes") + 1].split(",")
        up = [name for name in names if name in self.nodes and name not in self.failing]
        errors = "".join(self.failing.get(name, "") for name in names)
        if argv[1] == "version":
            tags = {name: self.versions.get(name, "v1.13.0") for name in up}
            servers = "".join(f"\tNODE:        {name}\n\tTag:         {tag}\n" for name, tag in tags.items())
            stdout = f"Client:\n\tTag:         {self.client}\nServer:\n{servers}"
        elif argv[1] == "get":
            stdout = "---\n".join(resource(n, i, self.nodes[n]) for n in up for i in ("persistent", "v1alpha1"))
        else:
            return self._apply(names[0], stdin)
        return Answer(returncode=1 if errors else 0, stdout=stdout, stderr=errors)

    def _apply(self, name, stdin):
        answer = self.answers.pop(0) if self.answers else ""
        if not answer:
            self.nodes[name] = stdin
        elif answer is not BUSY and "error" not in answer:
            self.nodes[name] = answer  # someone else was faster
            return Answer(returncode=1, stderr=BUSY)
        return Answer(returncode=1 if answer else 0, stderr=answer)

    def commands(self):
        return [argv[1] for argv, _stdin, _seconds in self.asked]


def client(nodes, **access):
    return Talosctl(Access(**access), run=nodes, sleep=lambda _seconds: None)


# --- command lines ---


def test_command_line_of_a_plain_access():
    assert Talosctl(Access()).argv("read", "/etc/hosts", nodes=["10.5.0.2"]) == [
        "talosctl",
        "read",
        "/etc/hosts",
        "--nodes",
        "10.5.0.2",
    ]


def test_command_line_with_everything():
    access = Access(
        talosconfig="/t/config",
        talos_context="alpha",
        talos_endpoints=("10.5.0.2", "10.5.0.3"),
        talosctl="/opt/talosctl",
    )
    assert Talosctl(access).argv("version", nodes=["10.5.0.3", "10.5.0.4"]) == [
        "/opt/talosctl",
        "version",
        "--nodes",
        "10.5.0.3,10.5.0.4",
        "--talosconfig",
        "/t/config",
        "--context",
        "alpha",
        "--endpoints",
        "10.5.0.2,10.5.0.3",
    ]


def test_configuration_goes_by_stdin_and_never_by_argument():
    nodes = Nodes({"n": ONE})
    client(nodes, talos_timeout=7).apply("n", MachineConfig.parse(TWO), instead_of=MachineConfig.parse(ONE))
    sent = [(argv, stdin, seconds) for argv, stdin, seconds in nodes.asked if argv[1] == "apply-config"]
    assert sent == [(["talosctl", "apply-config", "-f", "/dev/stdin", "--mode", "no-reboot", "--nodes", "n"], TWO, 7)]
    assert not any("controlplane" in part for argv, _stdin, _seconds in nodes.asked for part in argv)


def test_try_has_its_timeout():
    nodes = Nodes({"n": ONE})
    client(nodes).apply("n", MachineConfig.parse(TWO), instead_of=MachineConfig.parse(ONE), try_seconds=45)
    argv = next(argv for argv, _stdin, _seconds in nodes.asked if argv[1] == "apply-config")
    assert argv[4:8] == ["--mode", "try", "--timeout", "45s"]


def test_dry_run_leaves_a_try_armed():
    nodes = Nodes({"n": ONE}, answers=["error"])
    with pytest.raises(_errors.RegistryError):
        client(nodes).dry_run("n", MachineConfig.parse(TWO))
    assert nodes.asked[0][0][4:7] == ["--mode", "try", "--dry-run"]


def test_dry_run_that_would_reboot_is_a_conflict():
    def run(_argv, _stdin, _seconds):
        return Answer(
            returncode=0, stderr="Dry run summary:\nApplied configuration with a reboot (skipped in dry-run).\n"
        )

    with pytest.raises(_errors.Conflict, match="would have to reboot"):
        Talosctl(Access(), run=run).dry_run("n", MachineConfig.parse(TWO))


# --- reading nodes ---


def test_two_processes_read_all_nodes():
    nodes = Nodes({"10.5.0.2": ONE, "10.5.0.3": TWO})
    found = client(nodes).nodes(["10.5.0.2", "10.5.0.3"])
    assert sorted(nodes.commands()) == ["get", "version"]
    assert found["10.5.0.2"].active.text == ONE
    assert found["10.5.0.3"].persistent.text == TWO
    assert found["10.5.0.3"].version == Version(1, 13, 0)


def test_a_failing_node_fails_alone():
    nodes = Nodes({"a": ONE, "b": ONE, "c": TWO}, failing={"a": GONE, "c": REFUSED})
    found = client(nodes).nodes(["a", "b", "c"])
    assert isinstance(found["a"], _errors.Unreachable)
    assert found["b"].active.text == ONE
    assert isinstance(found["c"], _errors.NotPermitted)
    assert found["c"].where == "node c"
    assert list(found) == ["a", "b", "c"]


def test_many_nodes_are_asked_in_groups_and_only_the_missing_alone():
    names = [f"10.5.1.{number}" for number in range(2 * _talosctl.GROUP + 1)]
    nodes = Nodes(dict.fromkeys(names, ONE), failing={names[3]: REFUSED})
    found = client(nodes).nodes(names)
    assert list(found) == names
    assert [name for name, node in found.items() if isinstance(node, _errors.NotPermitted)] == [names[3]]
    asked = sorted(argv[argv.index("--nodes") + 1] for argv, *_ in nodes.asked if argv[1] == "get")
    groups = [names[: _talosctl.GROUP], names[_talosctl.GROUP : -1], names[-1:]]
    assert asked == sorted([*[",".join(group) for group in groups], names[3]])


def test_an_answer_cut_off_by_the_time_limit_keeps_its_whole_nodes():
    whole = resource("a", "persistent", ONE) + "---\n" + resource("a", "v1alpha1", ONE) + "---\n"
    stdout = whole + resource("b", "persistent", ONE) + "---\n" + resource("b", "v1alpha1", ONE)[:-20]

    def run(argv, _stdin, _seconds):
        names = argv[argv.index("--nodes") + 1]
        if argv[1] == "version":
            return Nodes({"a": ONE, "b": ONE})(argv, None, 1)
        return Answer(returncode=None, stdout=stdout if names == "a,b" else "")

    found = Talosctl(Access(talos_timeout=3), run=run).nodes(["a", "b"])
    assert found["a"].active.text == ONE
    assert str(found["b"]).startswith("node b: no answer within 3 s")


def test_an_older_talosctl_is_refused():
    with pytest.raises(_errors.BadInput, match=r"talosctl 1\.12\.4 is older than the node's Talos 1\.13\.0"):
        client(Nodes({"n": ONE}, client="v1.12.4")).node("n")


@pytest.mark.parametrize("tag", ["v1.13.0", "v1.13.9", "v1.14.0-rc.1", "v1.15.0-alpha.0"])
def test_a_talosctl_of_the_same_minor_version_or_newer_is_taken(tag):
    node = client(Nodes({"n": ONE}, client=tag, versions={"n": "v1.13.4"})).node("n")
    assert node.version == Version(1, 13, 4)


def test_talosctl_is_measured_against_each_node():
    nodes = Nodes({"a": ONE, "b": ONE}, client="v1.13.9", versions={"a": "v1.10.9", "b": "v1.14.0-rc.1"})
    found = client(nodes).nodes(["a", "b"])
    assert found["a"].version == Version(1, 10, 9)
    assert str(found["b"]) == ("node b: talosctl 1.13.9 is older than the node's Talos 1.14.0. Install talosctl 1.14")


def test_staged_is_told_from_try_by_time():
    def node(active_since, persistent_since):
        parsed = {"active": MachineConfig.parse(ONE), "persistent": MachineConfig.parse(TWO)}
        times = {"active_since": active_since, "persistent_since": persistent_since}
        return _talosctl.Node(name="n", version=Version(1, 13), **parsed, **times)

    assert node("2026-11-21T12:00:00Z", "2026-11-21T12:00:05Z").is_staged
    assert not node("2026-11-21T12:00:05Z", "2026-11-21T12:00:00Z").is_staged
    assert not node("2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z").is_settled


def test_missing_file_is_none_and_other_errors_are_told():
    answers = iter(
        [
            Answer(returncode=1, stderr="error reading: rpc error: code = NotFound desc = stat /x: no such file"),
            Answer(returncode=1, stderr=REFUSED),
        ]
    )
    talos = Talosctl(Access(), run=lambda *_args: next(answers))
    assert talos.read("n", "/x") is None
    with pytest.raises(_errors.NotPermitted):
        talos.read("n", "/x")


# --- writing ---


def test_busy_node_is_asked_again():
    nodes = Nodes({"n": ONE}, answers=[BUSY, BUSY])
    client(nodes).apply("n", MachineConfig.parse(TWO), instead_of=MachineConfig.parse(ONE))
    assert nodes.nodes["n"] == TWO
    assert nodes.commands().count("apply-config") == 3


def test_busy_node_is_given_up_in_time():
    nodes = Nodes({"n": ONE}, answers=[BUSY] * 1000)
    clock = iter(range(0, 100000, 10))
    talos = Talosctl(Access(talos_timeout=30), run=nodes, clock=lambda: next(clock), sleep=lambda _seconds: None)
    with pytest.raises(_errors.Conflict, match="another configuration is being applied"):
        talos.apply("n", MachineConfig.parse(TWO), instead_of=MachineConfig.parse(ONE))
    assert nodes.commands().count("apply-config") == 3


def test_another_writer_before_sending_is_a_conflict():
    nodes = Nodes({"n": TWO})
    with pytest.raises(_errors.Conflict, match="changed by someone else"):
        client(nodes).apply("n", MachineConfig.parse(TWO), instead_of=MachineConfig.parse(ONE))
    assert "apply-config" not in nodes.commands()


def test_another_writer_while_busy_is_a_conflict():
    other = ONE.replace("one", "1") + "  install: {}\n"
    nodes = Nodes({"n": ONE}, answers=[other])
    with pytest.raises(_errors.Conflict, match="changed by someone else"):
        client(nodes).apply("n", MachineConfig.parse(TWO), instead_of=MachineConfig.parse(ONE))
    assert nodes.nodes["n"] == other


def test_waiting_for_files_is_bounded_and_names_them():
    clock = iter(range(100))
    talos = Talosctl(
        Access(),
        run=lambda argv, *_args: Answer(returncode=0, stdout=argv[2]),
        clock=lambda: next(clock),
        sleep=lambda _seconds: None,
    )
    talos.wait_for_files("n", {"/a": lambda text: text == "/a"}, seconds=0)
    with pytest.raises(_errors.NotReady, match="waited 5 s for /b to be as planned"):
        talos.wait_for_files("n", {"/a": lambda text: text == "/a", "/b": lambda text: text is None}, seconds=5)


# --- a real process ---


def program(folder, body):
    path = folder / "talosctl"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_hanging_talosctl_is_ended(tmp_path):
    talos = Talosctl(Access(talosctl=program(tmp_path, "exec sleep 60"), talos_timeout=1))
    begun = time.monotonic()
    with pytest.raises(_errors.Unreachable, match="no answer within 1 s"):
        talos.node("n")
    assert time.monotonic() - begun < 10


def test_stdin_reaches_the_program_as_a_file(tmp_path):
    nodes = Nodes({"n": ONE})
    sent = tmp_path / "sent"
    real = program(tmp_path, f"cat /dev/stdin > {sent}")
    talos = Talosctl(Access(talosctl=real))
    talos.active = lambda _name: MachineConfig.parse(ONE)
    talos.apply("n", MachineConfig.parse(ONE), instead_of=MachineConfig.parse(ONE))
    assert sent.read_text() == ONE
    assert nodes.asked == []


def test_missing_talosctl_is_one_clear_error(tmp_path):
    with pytest.raises(_errors.BadInput, match=r"cannot run .*nowhere: No such file or directory\. Install it"):
        Talosctl(Access(talosctl=str(tmp_path / "nowhere"))).node("n")


# --- what the real ones printed ---


def test_recorded_configurations(recorded):
    found = _talosctl.parse_configurations(recorded["get-mc-yaml"]["stdout"])
    assert list(found) == ["10.5.0.2"]
    stored = found["10.5.0.2"]
    assert stored["v1alpha1"].since == "2026-11-21T12:30:51Z"
    config = MachineConfig.parse(stored["v1alpha1"].text)
    assert config.main["machine"]["type"] == "controlplane"
    assert len(config.documents) == 2
    assert "controlplane" not in repr(stored)


def test_recorded_versions(recorded):
    expected = {"10.5.0.2": (Version(1, 13, 0), Version(1, 13, 0))}
    assert _talosctl.parse_versions(recorded["version"]["stdout"]) == expected
    assert _talosctl.parse_versions(recorded["unreachable-node"]["stdout"]) == {}


@pytest.mark.parametrize(
    ("text", "version"),
    [("v1.14.0-rc.1", Version(1, 14, 0)), ("1.13", Version(1, 13, 0)), ("undefined", None), ("", None)],
)
def test_version_numbers(text, version):
    assert _talosctl.parse_version(text) == version


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("unreachable-node", _errors.Unreachable, "no route to host"),
        ("unreachable-endpoint", _errors.Unreachable, "no route to host"),
        ("no-talosconfig", _errors.BadInput, "no such context or no talosconfig"),
        ("unknown-context", _errors.BadInput, "no such context or no talosconfig"),
        ("reader-read", _errors.NotPermitted, "os:admin"),
        ("reader-get-mc", _errors.NotPermitted, "os:admin"),
        ("reader-apply", _errors.NotPermitted, "os:admin"),
        ("patch-null-mirror", _errors.Conflict, 'registries.mirrors["a.example.com"] is null'),
        ("doc-bad-static-host", _errors.Conflict, "StaticHostConfig/nope: name must be a valid IP address"),
        ("apply-no-reboot-refused", _errors.Conflict, "decode error: yaml"),
        ("reader-ls", _errors.NotReady, "nodes are not set for the command"),
    ],
)
def test_recorded_errors(recorded, name, error, said):
    told = _talosctl.translated(recorded[name]["stderr"], where="node n")
    assert type(told) is error
    assert said in str(told)
    assert str(told).startswith("node n: ")
    assert "\n" not in str(told)


@pytest.mark.parametrize(
    ("stderr", "error", "said"),
    [
        (
            "InvalidArgument desc = this config change can't be applied in immediate mode\ndiff:\n+ token: hunter2",
            _errors.Conflict,
            "would need a reboot",
        ),
        (
            "rpc error: code = InvalidArgument desc = unknown keys found during decoding:\nmachine:\n  token: hunter2",
            _errors.Conflict,
            "the node refused the configuration",
        ),
        (
            "rpc error: code = Unavailable desc = authentication handshake failed: tls: x509: expired",
            _errors.NotPermitted,
            "do not trust each other",
        ),
        ("configuration was already applied and node is rebooting", _errors.NotReady, "is rebooting"),
        ("", _errors.NotReady, "talosctl failed"),
    ],
)
def test_other_errors_without_secrets(stderr, error, said):
    told = _talosctl.translated(stderr, where="node n")
    assert type(told) is error
    assert said in str(told)
    assert "hunter2" not in str(told)


def test_unknown_context_tells_which_there_are(tmp_path):
    config = tmp_path / "config"
    config.write_text("context: alpha\ncontexts:\n  alpha: {key: hunter2}\n  beta: {}\n")
    stderr = "error constructing client: failed to determine endpoints\n"
    run = lambda *_args: Answer(returncode=1, stderr=stderr)  # noqa: E731
    with pytest.raises(_errors.BadInput, match="has the contexts: alpha, beta") as caught:
        Talosctl(Access(talosconfig=str(config), talos_context="nope"), run=run).node("n")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"talosconfig": "/nowhere/config"}, "is not there"), ({"talos_timeout": 0}, "no number of seconds")],
)
def test_bad_access_is_refused(changed, said):
    defaults = {name: option.get("default") for name, option in _talosctl.TALOS_SPEC.items()}
    with pytest.raises(_errors.BadInput, match=said):
        Access.of({**defaults, **changed})


def test_specification_and_fragment_agree():
    from ansible_collections.splithorizon.registry.plugins.doc_fragments._talos import ModuleDocFragment  # noqa: PLC0415

    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    told = {
        name: {key: option[key] for key in ("type", "elements", "default") if key in option}
        for name, option in documented.items()
    }
    assert told == _talosctl.TALOS_SPEC


def test_no_secret_in_a_representation():
    assert "hunter2" not in repr(Answer(returncode=1, stderr="hunter2"))
    assert not re.search("worker|controlplane", repr(client(Nodes({"n": ONE})).node("n")))
