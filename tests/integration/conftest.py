# SPDX-License-Identifier: GPL-3.0-or-later
"""The running sandbox, started once for all integration tests and ended with them.

Tests that share something run one after the other in one process: those on the sandbox, and those of one file. The
rest of the machine's cores go to the others (``--dist loadgroup``).
"""

from __future__ import annotations

import typing as t

import pytest

from sandbox import keeper
from sandbox.inside import Inside
from sandbox.paths import paths
from sandbox.start import start

if t.TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        on_sandbox = item.get_closest_marker("sandbox") is not None
        item.add_marker(pytest.mark.xdist_group("sandbox" if on_sandbox else item.path.stem))


@pytest.fixture(scope="session")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Inside]:
    """The sandbox in the HTTP era, or as it runs already (``make sandbox``), which then is left running."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        leash = start(lifetime="2h")
    yield Inside(paths())
    if leash:
        keeper.stop(paths())
