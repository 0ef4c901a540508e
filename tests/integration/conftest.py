# SPDX-License-Identifier: GPL-3.0-or-later
"""The running sandbox, started once for the tests of a process and ended with them.

``make integration`` runs two processes, each with a sandbox of its own and one file at a time (``--dist loadfile``).
Every file finds its sandbox in the HTTP era and leaves it so.
"""

from __future__ import annotations

import os
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox import keeper
from sandbox.faults import Faults
from sandbox.inside import Inside
from sandbox.model import CLUSTERS
from sandbox.paths import paths
from sandbox.start import start

if t.TYPE_CHECKING:
    from collections.abc import Iterator

# The files that take longest, first, so that no process is left alone with one of them at the end.
LONGEST = ("test_site", "test_failures", "test_bad_input")

if (worker := os.environ.get("PYTEST_XDIST_WORKER", "gw0")) != "gw0":
    os.environ["SANDBOX_HOME"] = f"{paths().home}-{worker}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Inside]:
    """The sandbox in the HTTP era, or as it runs already (``make sandbox``), which then is left running."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        leash = start(lifetime="2h")
    yield Inside(paths())
    if leash:
        keeper.stop(paths())


@pytest.fixture(scope="module")
def http_era_afterwards(sandbox: Inside) -> Iterator[None]:
    """For a file whose tests follow one another through other states."""
    yield
    with ThreadPoolExecutor(len(CLUSTERS)) as pool:
        list(pool.map(lambda cluster: Faults(sandbox, cluster.name).reseed(), CLUSTERS))
