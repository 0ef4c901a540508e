# SPDX-License-Identifier: GPL-3.0-or-later
"""The running sandbox, started once for all integration tests and ended with them."""

from __future__ import annotations

import typing as t

import pytest

from sandbox import keeper
from sandbox.inside import Inside
from sandbox.paths import paths
from sandbox.start import start

if t.TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Inside]:
    """The sandbox in the HTTP era, or as it runs already (``make sandbox``), which then is left running."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        leash = start(lifetime="2h")
    yield Inside(paths())
    if leash:
        keeper.stop(paths())
