# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the real CoreDNS takes a Corefile: it is started in a network of its own, without a sandbox or a cluster."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Mapping

COREDNS = Path(__file__).resolve().parents[1] / ".cache" / "sandbox" / "bin" / "coredns"


def own_network() -> list[str]:
    """A command prefix that gives a network of its own, so that port 53 is free."""
    return ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]


def with_endpoint(text: str) -> str:
    """The same Corefile, its kubernetes plugin content without a cluster around it."""
    settings = "{\n endpoint http://127.0.0.1:1\n startup_timeout 10ms\n"
    return re.sub(
        r"(?<!@)\bkubernetes\b([^\n{]*)(\{)?",
        lambda found: f"kubernetes{found[1]} {settings}{'' if found[2] else '}'}",
        text,
    )


def accepted(text: str, folder: Path) -> bool:
    """Whether CoreDNS starts with this Corefile."""
    path = folder / "Corefile"
    folder.mkdir()
    path.write_bytes(with_endpoint(text).encode())
    process = subprocess.Popen(
        [*own_network(), COREDNS, "-conf", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    timer = threading.Timer(30, process.kill)
    timer.start()
    try:
        assert process.stdout
        started = any(line.startswith("CoreDNS-") for line in process.stdout)
    finally:
        timer.cancel()
        process.kill()
        process.wait()
    assert started or process.returncode == 1, f"CoreDNS neither started nor refused: {process.returncode}"
    return started


def all_accepted(texts: Mapping[str, str], folder: Path) -> dict[str, bool]:
    """The same for many, side by side. ``folder`` must not be there yet."""
    folder.mkdir()
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(accepted, texts.values(), [folder / name for name in texts])
        return dict(zip(texts, results, strict=True))
