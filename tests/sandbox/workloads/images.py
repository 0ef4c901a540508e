# SPDX-License-Identifier: GPL-3.0-or-later
"""The first images of a cluster's Harbor, pushed by its internal address, as builders do in the HTTP era."""

from __future__ import annotations

import json
import sys
import typing as t

from ..paths import TESTS
from ..process import run
from .era import ERAS, PUSH

if t.TYPE_CHECKING:
    from ..cluster import Cluster

__all__ = ["REPOSITORY", "TAGS", "install"]

REPOSITORY = "library/app"
TAGS = ("1", "before", "after")  # an image each, so that the first pull of every one is a real one


def install(cluster: Cluster) -> None:
    era = ERAS[cluster.name]
    target = {"host": era.internal, "address": era.internal_address, "repository": REPOSITORY, "tags": TAGS}
    told = json.dumps({**target, "username": PUSH.name, "password": PUSH.secret})
    argv = [sys.executable, "-m", "sandbox.push"]
    run(argv, network=cluster.name, stdin=told, env={"PYTHONPATH": str(TESTS)}, timeout=60)
