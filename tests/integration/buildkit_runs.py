# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a pod: builds FROM scratch, each with the daemon, credentials and trust that it asks for.

Standard input: ``{"hosts": {name: address}, "ca": path, "runs": [Run, …]}``; standard output: an ``Answer`` per run. It
takes a mount namespace of its own, so that /etc/hosts is nobody else's. Only the standard library is here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator

BUILD_SECONDS = 40
START_SECONDS = 20
DAEMON = (
    "buildkitd",
    "--oci-worker=true",
    "--oci-worker-binary=/bin/true",
    "--oci-worker-snapshotter=native",
    "--oci-worker-net=host",
)


class Run(t.TypedDict):
    """``toml``: the daemon's; ``trust``: who trusts the authority by their system; ``auth``: credentials by host."""

    name: str
    toml: str
    trust: list[str]
    image: str
    flags: str
    cache: str
    auth: dict[str, str]
    environment: dict[str, str]


class Answer(t.TypedDict):
    rc: int
    output: str


def main() -> None:
    told = json.load(sys.stdin)
    if "--inside" not in sys.argv:
        own = ["unshare", "--mount", sys.executable, "-c", sys.orig_argv[2], "--inside"]
        sys.exit(subprocess.run(own, input=json.dumps(told), text=True, check=False).returncode)
    with tempfile.TemporaryDirectory() as folder:
        json.dump(run_all(Path(folder), told), sys.stdout)


def run_all(folder: Path, told: dict[str, t.Any]) -> list[Answer]:
    """Daemons side by side, the runs of each one after the other."""
    hosts = folder / "hosts"
    names = "".join(f"{address} {name}\n" for name, address in told["hosts"].items())
    hosts.write_text(Path("/etc/hosts").read_text() + names)
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
    groups: dict[tuple[str, bool], list[int]] = {}
    for number, run in enumerate(told["runs"]):
        groups.setdefault((run["toml"], "daemon" in run["trust"]), []).append(number)
    answers: dict[int, Answer] = {}

    def group(numbers: list[int]) -> None:
        with daemon(folder / f"daemon-{numbers[0]}", told["runs"][numbers[0]], told["ca"]) as address:
            for number in numbers:
                answers[number] = build(folder / f"run-{number}", address, told["runs"][number], told["ca"])

    with ThreadPoolExecutor(len(groups)) as pool:
        list(pool.map(group, groups.values()))
    return [answers[number] for number in sorted(answers)]


def trusting(ca: str | None) -> dict[str, str]:
    """Go's programs take their authorities from there; without, from nowhere."""
    return {"SSL_CERT_FILE": ca or "/dev/null", "SSL_CERT_DIR": "/nonexistent"}


@contextmanager
def daemon(folder: Path, run: Run, ca: str) -> Iterator[str]:
    """The address of a buildkitd as the run wants it."""
    folder.mkdir()
    (folder / "buildkitd.toml").write_text(run["toml"])
    socket = folder / "socket"
    places = ("--config", str(folder / "buildkitd.toml"), "--root", str(folder / "root"), "--addr", f"unix://{socket}")
    trust = trusting(ca if "daemon" in run["trust"] else None)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*DAEMON, *places], env={**os.environ, **trust}, stdout=log, stderr=log)
    try:
        end = time.monotonic() + START_SECONDS
        while not socket.exists():
            if time.monotonic() > end or process.poll() is not None:
                raise SystemExit(f"buildkitd does not start: {(folder / 'log').read_text()}")
            time.sleep(0.05)
        yield f"unix://{socket}"
    finally:
        process.kill()
        process.wait()


def build(folder: Path, address: str, run: Run, ca: str) -> Answer:
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY file /file\n")
    (folder / "file").write_text(run["name"])
    auths = {host: {"auth": auth} for host, auth in run["auth"].items()}
    (folder / "config.json").write_text(json.dumps({"auths": auths}))
    words = ["build", "--progress=plain", "--frontend=dockerfile.v0", f"--local=context={folder}"]
    words += [f"--local=dockerfile={folder}", f"--output=type=image,name={run['image']},push=true{run['flags']}"]
    if run["cache"]:
        reference = f"type=registry,ref={run['cache']}"
        words += [f"--export-cache={reference},mode=max", f"--import-cache={reference}"]
    environment = {**os.environ, **trusting(ca if "client" in run["trust"] else None), **run["environment"]}
    done = subprocess.run(
        ["buildctl", "--addr", address, *words],
        env={**environment, "DOCKER_CONFIG": str(folder)},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    return {"rc": done.returncode, "output": done.stdout + done.stderr}


if __name__ == "__main__":
    main()
