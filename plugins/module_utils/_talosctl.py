# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: Talos nodes, through the talosctl program.

Command lines are built apart from running them; a machine configuration goes by stdin only, so that no secret is in an
argument or a file. Every call is bounded in time and judged by its exit code: talosctl prints ``patched …`` before a
node refuses. Of many nodes asked at once, each one that fails fails alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_nodes
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    Conflict,
    NotPermitted,
    NotReady,
    RegistryError,
    Unreachable,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import MachineConfig, Version
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import positive
from ansible_collections.splithorizon.registry.plugins.module_utils._pull_errors import is_of_pull, not_pulled

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["TALOS_SPEC", "Access", "Answer", "Node", "Talosctl"]

Json = dict[str, t.Any]

# Kept in step with doc_fragments/_talos.py.
TALOS_SPEC: Json = {
    "talosconfig": {"type": "path"},
    "talos_context": {"type": "str"},
    "talos_endpoints": {"type": "list", "elements": "str", "default": []},
    "talosctl": {"type": "str", "default": "talosctl"},
    "talos_timeout": {"type": "int", "default": 30},
}

POLL_SECONDS = 0.2
AT_ONCE = 8
GROUP = 25


@dataclass(frozen=True, kw_only=True)
class Access:
    """How to reach the nodes: the options of TALOS_SPEC."""

    talosconfig: str | None = None
    talos_context: str | None = None
    talos_endpoints: tuple[str, ...] = ()
    talosctl: str = "talosctl"
    talos_timeout: float = 30

    @classmethod
    def of(cls, params: Mapping[str, t.Any]) -> Access:
        given = {name: params[name] for name in TALOS_SPEC}
        positive(given["talos_timeout"], where="talos_timeout")
        if given["talosconfig"] and not Path(given["talosconfig"]).is_file():
            raise BadInput(
                f"{given['talosconfig']} is not there", where="talosconfig", cure="Give the path of a talosconfig"
            )
        return cls(**{**given, "talos_endpoints": tuple(given["talos_endpoints"])})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one run of talosctl gave; ``returncode`` is None where it was ended for taking too long."""

    returncode: int | None
    stdout: str = ""
    stderr: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Node:
    """What a node is and has: its version, and its configuration in use and on disk, which a reboot brings back."""

    name: str
    version: Version
    active: MachineConfig = field(repr=False)
    persistent: MachineConfig = field(repr=False)
    # Which of the two was written last, as RFC 3339 times; a staged configuration is newer on disk.
    active_since: str = ""
    persistent_since: str = ""
    # When the node got its first since it booted.
    active_created: str = ""

    @property
    def is_settled(self) -> bool:
        """No ``try`` that would be taken back, nothing ``staged`` for the next reboot."""
        return self.active.means_the_same_as(self.persistent)

    @property
    def is_as_booted(self) -> bool:
        """No configuration was put in use since the node started. Not known, and so not told, without its times."""
        return bool(self.active_created) and self.active_created == self.active_since

    @property
    def is_staged(self) -> bool:
        return not self.is_settled and self.persistent_since > self.active_since


Run = t.Callable[["Sequence[str]", "str | None", float], Answer]


def _run(argv: Sequence[str], stdin: str | None, seconds: float) -> Answer:
    """Run a program; BadInput where there is none."""
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        )
    except subprocess.TimeoutExpired as late:
        stdout = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
        return Answer(returncode=None, stdout=stdout)
    except OSError as error:
        cure = "Install it, of the nodes' minor version, or set talosctl to its path"
        raise BadInput(f"cannot run {argv[0]}: {error.strerror}", where="talosctl", cure=cure) from None
    return Answer(returncode=done.returncode, stdout=done.stdout, stderr=done.stderr)


class Talosctl:
    """Asks nodes and sends them configurations. ``run``, ``clock`` and ``sleep`` are there for tests."""

    def __init__(
        self,
        access: Access,
        *,
        run: Run = _run,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.access = access
        self._run = run
        self._clock = clock
        self._sleep = sleep

    # --- reading ---

    def node(self, name: str) -> Node:
        """One node; raises what keeps it from being read."""
        found = self.nodes([name])[name]
        if isinstance(found, RegistryError):
            raise found
        return found

    def nodes(self, names: Sequence[str]) -> dict[str, Node | RegistryError]:
        """Every node, or why it cannot be read. Side by side, a process for versions and one for configurations."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            versions = pool.submit(self._ask, ["version"], names, parse_versions)
            configurations = pool.submit(self._ask, ["get", "mc", "-o", "yaml"], names, parse_configurations)
            return {
                name: _joined(name, versions.result()[name], configurations.result()[name])
                for name in dict.fromkeys(names)
            }

    def active(self, name: str) -> MachineConfig:
        """The configuration in use."""
        found = self._ask(["get", "mc", "-o", "yaml"], [name], parse_configurations)[name]
        if isinstance(found, RegistryError):
            raise found
        return MachineConfig.parse(found["v1alpha1"].text)

    def read(self, name: str, path: str) -> str | None:
        """A file of the node, or None where it is not there."""
        answer = self._run(self.argv("read", path, nodes=[name]), None, self.access.talos_timeout)
        if answer.returncode == 0:
            return answer.stdout
        if "code = NotFound" in answer.stderr:
            return None
        raise self._error(answer, name)

    def pull(self, names: Sequence[str], image: str, *, seconds: float) -> dict[str, float | RegistryError]:
        """Have every node pull an image by its own resolver: how many seconds it took, or why it failed.

        Bounded from here: talosctl itself retries a 401 for more than nine minutes.
        """

        def one(name: str) -> float | RegistryError:
            argv = self.argv("image", "pull", "--namespace", "cri", image, nodes=[name])
            begin = self._clock()
            answer = self._run(argv, None, seconds)
            if answer.returncode == 0:
                return self._clock() - begin
            if answer.returncode is None:
                cure = "Credentials that do not open it are retried until then: check them, the realm and the mirror"
                return NotReady(f"no {image} within {seconds:g} s", where=f"node {name}", cure=cure)
            return self._error(answer, name)

        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            return dict(zip(names, pool.map(one, names), strict=True))

    # --- writing ---

    def dry_run(self, name: str, config: MachineConfig) -> None:
        """Let the node check a configuration; Conflict where it would refuse it or reboot.

        In ``try`` mode, since a dry run in any other would disarm a ``try`` that someone started meanwhile.
        """
        argv = self.argv("apply-config", "-f", "/dev/stdin", "--mode", "try", "--dry-run", nodes=[name])
        answer = self._run(argv, config.text, self.access.talos_timeout)
        if answer.returncode != 0:
            raise self._error(answer, name)
        if "with a reboot" in answer.stdout + answer.stderr:
            raise Conflict(
                "the node would have to reboot", where=f"node {name}", cure="Apply that change by hand first"
            )

    def apply(
        self, name: str, config: MachineConfig, *, instead_of: MachineConfig, try_seconds: int | None = None
    ) -> None:
        """Put a configuration in use without a reboot, for good or (``try_seconds``) until the node takes it back.

        Conflict where the configuration in use is no longer ``instead_of``: someone else wrote meanwhile. While
        another one is being applied it waits, at most the time of one request.
        """
        mode = ["--mode", "no-reboot"] if try_seconds is None else ["--mode", "try", "--timeout", f"{try_seconds}s"]
        argv = self.argv("apply-config", "-f", "/dev/stdin", *mode, nodes=[name])
        end = self._clock() + self.access.talos_timeout
        while True:
            self._refuse_other_writer(name, instead_of)
            answer = self._run(argv, config.text, self.access.talos_timeout)
            if answer.returncode == 0:
                break
            if "another apply configuration is already in progress" not in answer.stderr or self._clock() >= end:
                raise self._error(answer, name)
            self._sleep(POLL_SECONDS)
        self._refuse_other_writer(name, config)

    def _refuse_other_writer(self, name: str, expected: MachineConfig) -> None:
        if not self.active(name).means_the_same_as(expected):
            cure = "Let one writer at a time change a node, then run again"
            raise Conflict("its configuration was changed by someone else meanwhile", where=f"node {name}", cure=cure)

    def wait_for_files(self, name: str, files: Mapping[str, Callable[[str | None], bool]], *, seconds: float) -> None:
        """Read files until each is as its check wants it (None: not there); NotReady names those that are not."""
        end = self._clock() + seconds
        left = dict(files)
        while left := {path: wanted for path, wanted in left.items() if not wanted(self.read(name, path))}:
            if self._clock() >= end:
                problem = f"waited {seconds:g} s for {', '.join(sorted(left))} to be as planned"
                cure = "Look at `talosctl logs` of machined and cri, then run again"
                raise NotReady(problem, where=f"node {name}", cure=cure)
            self._sleep(POLL_SECONDS)

    # --- command lines and errors ---

    def argv(self, *command: str, nodes: Sequence[str]) -> list[str]:
        """The command line; nothing secret is ever part of it."""
        access = self.access
        argv = [access.talosctl, *command, "--nodes", ",".join(nodes)]
        if access.talosconfig:
            argv += ["--talosconfig", access.talosconfig]
        if access.talos_context:
            argv += ["--context", access.talos_context]
        if access.talos_endpoints:
            argv += ["--endpoints", ",".join(access.talos_endpoints)]
        return argv

    def _ask(
        self, command: Sequence[str], names: Sequence[str], parse: Callable[[str], dict[str, _T]]
    ) -> dict[str, _T | RegistryError]:
        """A process for each group of nodes, side by side; whoever is missing in its answer is asked alone.

        talosctl asks the nodes of a `get` one after the other: those after one that hangs are not read.
        """
        unique = list(dict.fromkeys(names))
        groups = [unique[at : at + GROUP] for at in range(0, len(unique), GROUP)] if len(unique) > 1 else []
        found: dict[str, _T | RegistryError] = {}
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            for answer in pool.map(lambda group: self._answer(command, group), groups):
                found.update(parse(answer.stdout))
            missing = [name for name in unique if name not in found]
            found.update(
                zip(missing, pool.map(lambda name: self._ask_alone(command, name, parse), missing), strict=True)
            )
        return {name: found[name] for name in names}

    def _ask_alone(
        self, command: Sequence[str], name: str, parse: Callable[[str], dict[str, _T]]
    ) -> _T | RegistryError:
        answer = self._answer(command, [name])
        for part in parse(answer.stdout).values():  # whatever the node is called there
            return part
        return self._error(answer, name)

    def _answer(self, command: Sequence[str], names: Sequence[str]) -> Answer:
        return self._run(self.argv(*command, nodes=names), None, self.access.talos_timeout)

    def _error(self, answer: Answer, name: str) -> RegistryError:
        where = f"node {name}"
        if answer.returncode is None:
            return Unreachable(
                f"no answer within {self.access.talos_timeout:g} s",
                where=where,
                cure="Check the node, its network and the endpoints of the talosconfig",
            )
        return translated(answer.stderr, where=where, contexts=self._contexts)

    def _contexts(self) -> str:
        """Which contexts the talosconfig has, for an error's cure; only names are read."""
        path = self.access.talosconfig or os.environ.get("TALOSCONFIG") or str(Path.home() / ".talos" / "config")
        try:
            data = _yaml_nodes.load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, Conflict):
            return f"There is no readable talosconfig at {path}: set talosconfig"
        names = sorted((data or {}).get("contexts") or {}) if isinstance(data, dict) else []
        return f"{path} has the contexts: {', '.join(names) or 'none'}; set talos_context or talos_endpoints"


_T = t.TypeVar("_T")


# --- what talosctl prints ---


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One of a node's two configurations, when it was written, and when the first of this boot was."""

    text: str = field(repr=False)
    since: str = ""
    created: str = ""


def parse_version(text: str) -> Version | None:
    """``v1.13.0``, ``v1.14.0-rc.1``, ``1.13``."""
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text.strip())
    return Version(int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def parse_versions(stdout: str) -> dict[str, tuple[Version, Version | None]]:
    """`talosctl version` → node: (its version, talosctl's own)."""
    client: Version | None = None
    node = ""
    result: dict[str, tuple[Version, Version | None]] = {}
    for line in stdout.splitlines():
        key, _, value = line.strip().partition(":")
        if key == "NODE":
            node = value.strip()
        elif key == "Tag" and (version := parse_version(value)):
            if node:
                result[node] = (version, client)
            else:
                client = version
    return result


def parse_configurations(stdout: str) -> dict[str, dict[str, Stored]]:
    """`talosctl get mc -o yaml` → node: {``v1alpha1``, ``persistent``}; nodes that show both."""
    try:
        documents = _yaml_nodes.load_all(stdout)
    except Conflict:  # cut off where the process was ended
        documents = _whole_documents(stdout)
    result: dict[str, dict[str, Stored]] = {}
    for document in documents:
        if isinstance(document, dict) and isinstance(document.get("spec"), str):
            metadata = document.get("metadata") or {}
            since, created = (str(metadata.get(time) or "") for time in ("updated", "created"))
            stored = Stored(text=document["spec"], since=since, created=created)
            result.setdefault(str(document.get("node", "")), {})[str(metadata.get("id", ""))] = stored
    return {node: stored for node, stored in result.items() if {"v1alpha1", "persistent"} <= stored.keys()}


def _whole_documents(stdout: str) -> list[t.Any]:
    """All but the last document, which may end anywhere."""
    parts = re.split(r"^---\n", stdout, flags=re.MULTILINE)[:-1]
    try:
        return [_yaml_nodes.load(part) for part in parts]
    except Conflict:
        return []


def _joined(
    name: str,
    version: tuple[Version, Version | None] | RegistryError,
    stored: dict[str, Stored] | RegistryError,
) -> Node | RegistryError:
    if isinstance(version, RegistryError):
        return version
    if isinstance(stored, RegistryError):
        return stored
    node, client = version
    if client is not None and client[:2] < node[:2]:
        problem = f"talosctl {client} is older than the node's Talos {node}"
        return BadInput(problem, where=f"node {name}", cure=f"Install talosctl {node.major}.{node.minor}")
    try:
        return Node(
            name=name,
            version=node,
            active=MachineConfig.parse(stored["v1alpha1"].text),
            persistent=MachineConfig.parse(stored["persistent"].text),
            active_since=stored["v1alpha1"].since,
            persistent_since=stored["persistent"].since,
            active_created=stored["v1alpha1"].created,
        )
    except Conflict as error:
        return Conflict(error.problem, where=f"machine configuration of node {name}", cure=error.cure)


@dataclass(frozen=True, kw_only=True)
class _Sign:
    """A string in talosctl's stderr, and what it means."""

    text: str
    error: type[RegistryError]
    problem: str
    cure: str


# In this order: the first sign that is found counts.
_SIGNS = (
    _Sign(
        text="can't be applied in immediate mode",
        error=Conflict,
        problem="the change would need a reboot",
        cure="Apply the other pending changes by hand first",
    ),
    _Sign(
        text="node is rebooting",
        error=NotReady,
        problem="the node is rebooting into another configuration",
        cure="Wait until it is up, then run again",
    ),
    _Sign(
        text="another apply configuration is already in progress",
        error=Conflict,
        problem="another configuration is being applied",
        cure="Let it end, then run again",
    ),
    _Sign(
        text="PermissionDenied",
        error=NotPermitted,
        problem="the credentials do not allow this",
        cure="Use a talosconfig with the role os:admin: machine configurations hold secrets",
    ),
    _Sign(
        text="code = Unimplemented",
        error=Conflict,
        problem="this Talos does not know the request",
        cure="Use the talosctl of the node's version",
    ),
    _Sign(
        text="tls: ",
        error=NotPermitted,
        problem="node and client do not trust each other",
        cure="Use the talosconfig of this cluster, and one that has not expired",
    ),
    _Sign(
        text="x509: ",
        error=NotPermitted,
        problem="node and client do not trust each other",
        cure="Use the talosconfig of this cluster, and one that has not expired",
    ),
    _Sign(
        text="code = Unavailable",
        error=Unreachable,
        problem="the node cannot be reached",
        cure="Check the node, its network and the endpoints of the talosconfig",
    ),
    _Sign(
        text="code = DeadlineExceeded",
        error=Unreachable,
        problem="the node did not answer in time",
        cure="Check the node, its network and the endpoints of the talosconfig",
    ),
)
_NO_CONTEXT = (
    "failed to determine endpoints",
    "failed to resolve config context",
    "failed to resolve configuration context",
    "failed to open config file",
)


def translated(stderr: str, *, where: str, contexts: Callable[[], str] = str) -> RegistryError:
    """talosctl's stderr as one of ours. Nothing that may hold a part of the configuration is kept."""
    if any(sign in stderr for sign in _NO_CONTEXT):
        return BadInput("talosctl finds no such context or no talosconfig", where=where, cure=contexts())
    if is_of_pull(stderr):
        # The registry's words, not the node's own: signs such as x509 would tell of the talosconfig.
        return not_pulled(stderr, where=where)
    for sign in _SIGNS:
        if sign.text in stderr:
            detail = _detail(stderr) if sign.error is Unreachable else ""
            return sign.error(f"{sign.problem}{detail}", where=where, cure=sign.cure)
    if "code = InvalidArgument" in stderr:
        return Conflict(f"the node refused the configuration{_detail(stderr)}", where=where)
    return NotReady(f"talosctl failed{_detail(stderr)}", where=where)


def _detail(stderr: str) -> str:
    """`` (…)`` of one line: the description of the error, up to where a quoted configuration could begin."""
    lines = [line.strip(" \t*") for line in stderr.splitlines()]
    lines = [line for line in lines if line and not re.match(r"\d+ error\(?s?\)? occurred|patched |WARNING", line)]
    text = re.split(r"unknown keys found|diff:", " ".join(lines[:3]))[0]
    text = text.rsplit(" desc = ", 1)[-1].removeprefix("1 error occurred:").strip(' :"\\')
    return f" ({text[:300]})" if text else ""
