# SPDX-License-Identifier: GPL-3.0-or-later
"""CRDs of Gateway API and Envoy Gateway, from the Go modules that the controller is built from."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import typing as t
from pathlib import Path

from ..paths import BIN, TESTS
from ..process import Failed

if t.TYPE_CHECKING:
    from ..api import Json
    from ..cluster import Cluster

__all__ = ["install", "provide", "wait"]

MODULE = TESTS / "sandbox" / "parts" / "gateway"
FOLDER = BIN.parent / "crds"
SOURCES = {
    "sigs.k8s.io/gateway-api": "config/crd/standard",
    "github.com/envoyproxy/gateway": "charts/gateway-helm/charts/crds/crds/generated",
}
# The controller does without the kinds that are not here; all of them together take the API server seconds to take in.
WANTED = {
    "sigs.k8s.io/gateway-api": [
        f"gateway.networking.k8s.io_{kind}.yaml"
        for kind in ("gatewayclasses", "gateways", "httproutes", "referencegrants")
    ],
    "github.com/envoyproxy/gateway": [
        f"gateway.envoyproxy.io_{kind}.yaml"
        for kind in ("envoyproxies", "backendtrafficpolicies", "clienttrafficpolicies")
    ],
}
DOWNLOAD_SECONDS = 300
_LOCK = threading.Lock()


def provide() -> None:
    """Link the modules' folders into ``.cache/sandbox/crds``; outside the sandbox, as it may need the network."""
    with _LOCK:
        if all(_link(module).is_dir() for module in SOURCES):
            return
        FOLDER.mkdir(parents=True, exist_ok=True)
        for module, folder in _folders().items():
            link = _link(module)
            link.unlink(missing_ok=True)
            link.symlink_to(folder / SOURCES[module])


def install(cluster: Cluster) -> None:
    provide()
    files = [_link(module) / name for module, names in WANTED.items() for name in names]
    cluster.apply_files(*files)
    wait(cluster)


def wait(cluster: Cluster) -> None:
    """Until the API server serves every CRD it has."""
    cluster.wait("CRDs served", lambda: _established(cluster))


def _established(cluster: Cluster) -> bool:
    found = cluster.api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
    served = [crd for crd in found if any(_true(one) for one in crd.get("status", {}).get("conditions") or [])]
    return len(served) == len(found)


def _true(condition: Json) -> bool:
    return bool(condition["type"] == "Established" and condition["status"] == "True")


def _link(module: str) -> Path:
    """Named after the pinned version, so that a new pin is not taken for the old one."""
    pinned = re.search(rf"^\s*{re.escape(module)} (\S+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    if not pinned:
        raise Failed(f"{MODULE / 'go.mod'} does not require {module}")
    return FOLDER / f"{module.replace('/', '_')}@{pinned[1]}"


def _folders() -> dict[str, Path]:
    """Folders of the modules in Go's cache, downloaded where they are not there."""
    argv = ["go", "mod", "download", "-json", *SOURCES]
    done = subprocess.run(argv, cwd=MODULE, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    decoder, rest, found = json.JSONDecoder(), done.stdout.lstrip(), {}
    while rest:
        entry, end = decoder.raw_decode(rest)
        found[entry["Path"]] = Path(entry["Dir"])
        rest = rest[end:].lstrip()
    return found
