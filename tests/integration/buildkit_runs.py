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
from pathlib import Path

BUILD_SECONDS = 40
START_SECONDS = 20
DAEMON = ("buildkitd", "--oci-worker=true", "--oci-worker-binary=/bin/true", "--oci-worker-snapshotter=native")


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
    hosts = folder / "hosts"
    names = "".join(f"{address} {name}\n" for name, address in told["hosts"].items())
    hosts.write_text(Path("/etc/hosts").read_text() + names)
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
    (folder / "context").mkdir()
    (folder / "context" / "Dockerfile").write_text("FROM scratch\nCOPY file /file\n")
    daemons: dict[tuple[str, bool], tuple[str, subprocess.Popen[bytes]]] = {}
    try:
        for run in told["runs"]:
            key = run["toml"], "daemon" in run["trust"]
            if key not in daemons:
                daemons[key] = start(folder / str(len(daemons)), run["toml"], told["ca"] if key[1] else None)
        for address, process in daemons.values():
            wait(address, process)
        return [
            build(folder, daemons[run["toml"], "daemon" in run["trust"]][0], run, told["ca"]) for run in told["runs"]
        ]
    finally:
        for _address, process in daemons.values():
            process.kill()
            process.wait()


def trusting(ca: str | None) -> dict[str, str]:
    """Go's programs take their authorities from there; without, from nowhere."""
    return {"SSL_CERT_FILE": ca or "/dev/null", "SSL_CERT_DIR": "/nonexistent"}


def start(folder: Path, toml: str, ca: str | None) -> tuple[str, subprocess.Popen[bytes]]:
    folder.mkdir()
    (folder / "buildkitd.toml").write_text(toml)
    address = f"unix://{folder}/socket"
    places = ("--config", str(folder / "buildkitd.toml"), "--root", str(folder / "root"), "--addr", address)
    with (folder / "log").open("wb") as log:
        return address, subprocess.Popen(
            [*DAEMON, "--oci-worker-net=host", *places], env={**os.environ, **trusting(ca)}, stdout=log, stderr=log
        )


def wait(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    asked = ["buildctl", "--addr", address, "debug", "workers"]
    while subprocess.run(asked, capture_output=True, check=False).returncode:
        if time.monotonic() > end or process.poll() is not None:
            sys.exit(f"buildkitd does not start: {Path(address.removeprefix('unix://')).with_name('log').read_text()}")
        time.sleep(0.05)


def build(folder: Path, address: str, run: Run, ca: str) -> Answer:
    context, config = folder / "context", folder / "docker"
    (context / "file").write_text(run["name"])
    config.mkdir(exist_ok=True)
    (config / "config.json").write_text(
        json.dumps({"auths": {host: {"auth": auth} for host, auth in run["auth"].items()}})
    )
    words = ["build", "--progress=plain", "--frontend=dockerfile.v0", f"--local=context={context}"]
    words += [f"--local=dockerfile={context}", f"--output=type=image,name={run['image']},push=true{run['flags']}"]
    if run["cache"]:
        reference = f"type=registry,ref={run['cache']}"
        words += [f"--export-cache={reference},mode=max", f"--import-cache={reference}"]
    environment = {**os.environ, **trusting(ca if "client" in run["trust"] else None), **run["environment"]}
    done = subprocess.run(
        ["buildctl", "--addr", address, *words],
        env={**environment, "DOCKER_CONFIG": str(config)},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    return {"rc": done.returncode, "output": done.stdout + done.stderr}


if __name__ == "__main__":
    main()
