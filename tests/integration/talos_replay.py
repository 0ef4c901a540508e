# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays captured talosctl commands to our own talos-node, in a network namespace with the captured addresses.

Run as ``unshare -n python talos_replay.py BIN CAPTURES FOLDER CAPTURE`` (``unshare -rn`` without root), CAPTURE being
``recorded`` or ``ground-truth``: writes ``FOLDER/CAPTURE.json``, one answer per captured case, in the capture's shape.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import yaml

ADDRESS = "10.5.0.2"
REGISTRY = f"{ADDRESS}:5000"
CREDENTIALS = ("robot", "secret")
SECONDS = 30
BOUND = 3  # of a pull that would go on for minutes
TRY_SECONDS = 9  # by then the captured `try` of 8 s is over
LAYER = b"\x5a" * 1_100_000

MIRROR = "machine: {registries: {mirrors: {harbor.example.com: {endpoints: [http://harbor.harbor.svc.cluster.local]}}}}"
PULL = """
machine:
  registries:
    mirrors: {{harbor.example.com: {{endpoints: ["http://{registry}"], skipFallback: true}}}}
    config: {{"{registry}": {{auth: {{username: {user}, password: {password}}}}}}}
"""

# What the captured `-p @patch.yaml` held, told by what came out of it.
PATCHES = {
    "patch-dry-run": MIRROR,
    "patch-apply": MIRROR,
    "patch-no-change-empty-doc": "machine: {}",
    "patch-delete-absent": "machine: {registries: {mirrors: {nope.example.com: {$patch: delete}}}}",
    "patch-delete-absent-document": "apiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: nope\n$patch: delete\n",
    "patch-unknown-kind": "apiVersion: v1alpha1\nkind: NoSuchConfig\nname: x\n",
    "patch-unknown-key": "machine: {registries: {mirror: {}}}",
    "patch-yaml-error": "machine: [",
    "patch-null-mirror": "machine: {registries: {mirrors: {a.example.com: null}}}",
    "doc-bad-scheme": "apiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: a.example.com\nendpoints: [{url: 'ftp://x'}]\n",
    "doc-bad-static-host": "apiVersion: v1alpha1\nkind: StaticHostConfig\nname: nope\nhostnames: [a.example.com]\n",
    "doc-tls-star": "apiVersion: v1alpha1\nkind: RegistryTLSConfig\nname: '*'\ninsecureSkipVerify: true\n",
    "try-mode": MIRROR,
    "staged-mode": MIRROR,
    "patch-auth": PULL.format(registry=REGISTRY, user=CREDENTIALS[0], password=CREDENTIALS[1]),
    "patch-bad-auth": PULL.format(registry=REGISTRY, user=CREDENTIALS[0], password="wrong"),
}
KERNEL = ("apply-dry-run-reboot-needed", "apply-no-reboot-refused")  # the text with a block of the wrong indent in it
READER = ("reader-ls", "reader-read", "reader-get-mc", "reader-apply")


class Registry(http.server.BaseHTTPRequestHandler):
    """A registry of one image under two tags, behind basic authentication."""

    protocol_version = "HTTP/1.1"
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    blobs: t.ClassVar[dict[str, bytes]] = {}
    manifest = b""

    @classmethod
    def fill(cls) -> None:
        for blob in (cls.config, LAYER):
            cls.blobs[_digest(blob)] = blob
        cls.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": _descriptor("application/vnd.oci.image.config.v1+json", cls.config),
                "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", LAYER)],
            }
        ).encode()
        cls.blobs[_digest(cls.manifest)] = cls.manifest

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(":".join(CREDENTIALS).encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="registry"'})
            return
        kind, _, reference = self.path.split("?")[0].removeprefix("/v2/library/bb/").partition("/")
        body = self.manifest if kind == "manifests" and reference in ("1", "2") else self.blobs.get(reference)
        if body is None:
            self._answer(404, b'{"errors":[{"code":"NOT_FOUND"}]}', {})
            return
        media = "vnd.oci.image.manifest.v1+json" if kind == "manifests" else "octet-stream"
        self._answer(200, body, {"Content-Type": f"application/{media}", "Docker-Content-Digest": _digest(body)})

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: t.Any) -> None:
        pass


def _digest(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def _descriptor(media_type: str, blob: bytes) -> dict[str, t.Any]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


class Replay:
    """One node in ``folder`` and the commands to it."""

    def __init__(self, *, programs: Path, folder: Path) -> None:
        self.programs = programs
        self.folder = folder
        self.root = folder / "root"
        self.base = ""
        self.tried = 0.0

    def start(self, recorded: list[dict[str, t.Any]]) -> subprocess.Popen[bytes]:
        """The node with the captured configuration; what the capture hides comes from a new cluster."""
        for command in (
            "ip link set lo up",
            f"ip addr add {ADDRESS}/32 dev lo",
            "ip route add unreachable 10.5.0.98/31",
        ):
            subprocess.run(command.split(), check=True)
        (self.folder / "work").mkdir()
        node = self.programs / "talos-node"
        made = ("--out", str(self.folder / "gen"), "--talosconfig", str(self.folder / "talosconfig"))
        cluster = (
            "--cluster",
            "lab",
            "--endpoint",
            f"https://{ADDRESS}:6443",
            "--node",
            f"tnode1={ADDRESS},controlplane",
        )
        subprocess.run([node, "gen", *made, *cluster], check=True)
        self._split_contexts()
        spec = next(case["stdout"] for case in recorded if case["name"] == "get-mc-v1alpha1-jsonpath")
        generated = yaml.safe_load_all((self.folder / "gen" / "tnode1.yaml").read_text())
        self.base = _dump([_unredacted(*pair) for pair in zip(yaml.safe_load_all(spec), generated, strict=True)])
        (self.folder / "base.yaml").write_text(self.base)
        with (self.folder / "node.log").open("wb") as log:
            places = ("--root", str(self.root), "--state", str(self.folder / "state"))
            given = ("--name", "tnode1", "--address", ADDRESS, "--config", str(self.folder / "base.yaml"))
            running = subprocess.Popen([node, *places, *given], stdout=log, stderr=log)
        for _ in range(100):
            if self.talosctl("version").returncode == 0:
                return running
            time.sleep(0.1)
        raise SystemExit((self.folder / "node.log").read_text())

    def _split_contexts(self) -> None:
        """``talosconfig`` with the admin's context alone, ``work/reader.yaml`` with the reader's, without nodes."""
        text = yaml.safe_load((self.folder / "talosconfig").read_text())
        reader = text["contexts"].pop("lab-reader") | {"nodes": [], "endpoints": []}
        (self.folder / "talosconfig").write_text(yaml.safe_dump(text))
        (self.folder / "work" / "reader.yaml").write_text(
            yaml.safe_dump({"context": "lab", "contexts": {"lab": reader}})
        )

    def talosctl(
        self, *argv: str, config: str = "../talosconfig", stdin: str = "", seconds: float = SECONDS
    ) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "TALOSCONFIG": config}
        return subprocess.run(
            [str(self.programs / "talosctl"), *argv],
            cwd=self.folder / "work",
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def patch(self, text: str, *argv: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "work" / "patch.yaml").write_text(text)
        return self.talosctl("patch", "mc", "-p", "@patch.yaml", *argv)

    def recorded(self, case: dict[str, t.Any]) -> dict[str, t.Any]:
        """The node's answer to one recorded command."""
        name = case["name"]
        argv = case["argv"].replace("'", "").split()[1:]
        if name in PATCHES:
            (self.folder / "work" / "patch.yaml").write_text(PATCHES[name])
        stdin = self.base
        if name in KERNEL:
            stdin = stdin.replace("machine:\n", "machine:\n    kernel:\n        modules:\n            - name: nbd\n", 1)
        config = "reader.yaml" if name in READER else "absent.yaml" if name == "no-talosconfig" else "../talosconfig"
        if name == "try-mode":
            self.tried = time.monotonic()
        if name == "hosts-after-try-expired":
            time.sleep(max(self.tried + TRY_SECONDS - time.monotonic(), 0))
        try:
            seconds = BOUND if name == "image-pull-unauthorized" else SECONDS
            done = self.talosctl(*argv, config=config, stdin=stdin if "stdin" in case else "", seconds=seconds)
        except subprocess.TimeoutExpired:
            return {"rc": "timeout", "stdout": "", "stderr": ""}
        return {"rc": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

    def ground_truth(self, case: dict[str, t.Any]) -> dict[str, t.Any]:
        """What the node says to the case's patches, and its files afterwards."""
        reset = self.talosctl("apply-config", "--mode", "no-reboot", "-f", "/dev/stdin", stdin=self.base)
        assert reset.returncode == 0, reset.stderr
        steps = [self.patch(step["patch"]) for step in case["steps"]]
        etc = self.root / "etc"
        hosts = etc / "cri" / "conf.d" / "hosts"
        files = {str(file.relative_to(hosts)): file for file in sorted(hosts.rglob("*")) if file.is_file()}
        listed = self.talosctl("ls", "-r", "/etc/cri/conf.d/hosts").stdout.splitlines()[1:]
        return {
            "steps": [
                {"rc": step.returncode, "stdout": step.stdout.splitlines(), "stderr": step.stderr} for step in steps
            ],
            "hosts_tree": sorted(path for line in listed if (path := line.split(maxsplit=1)[1]) != "."),
            "hosts_toml": {name: file.read_text() for name, file in files.items() if file.name == "hosts.toml"},
            "other_files": {name: file.read_text() for name, file in files.items() if file.name != "hosts.toml"},
            "registries_part": (etc / "cri" / "conf.d" / "01-registries.part").read_text(),
            "etc_hosts": (etc / "hosts").read_text().splitlines(),
            "modes": sorted({f"{path.stat().st_mode:o}" for path in hosts.rglob("*")}),
        }


def _unredacted(captured: t.Any, generated: t.Any) -> t.Any:
    if captured == "<redacted>":
        return generated
    if isinstance(captured, dict) and isinstance(generated, dict):
        return {key: _unredacted(value, generated.get(key)) for key, value in captured.items()}
    return captured


def _dump(documents: list[t.Any]) -> str:
    return yaml.safe_dump_all(documents, sort_keys=False, width=10_000)


def main(programs: str, captures: str, folder: str, capture: str) -> None:
    replay = Replay(programs=Path(programs), folder=Path(folder))
    recorded = yaml.safe_load((Path(captures) / "recorded.yaml").read_text())
    cases = yaml.safe_load((Path(captures) / f"{capture}.yaml").read_text())
    answer = {"recorded": replay.recorded, "ground-truth": replay.ground_truth}[capture]
    node = replay.start(recorded)
    try:
        Registry.fill()
        registry = http.server.ThreadingHTTPServer((ADDRESS, int(REGISTRY.split(":")[1])), Registry)
        threading.Thread(target=registry.serve_forever, daemon=True).start()
        answers = {case["name"]: answer(case) for case in cases}
        (replay.folder / f"{capture}.json").write_text(json.dumps(answers))
    finally:
        node.terminate()
        node.wait(timeout=10)


if __name__ == "__main__":
    os.umask(0o022)
    main(*sys.argv[1:])
