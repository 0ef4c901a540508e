# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from sandbox.keeper import seconds, unshare
from sandbox.process import Failed


def test_namespaces_end_with_the_command() -> None:
    for rootless in (True, False):
        assert {"--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"} <= set(
            unshare(rootless=rootless)
        )


def test_only_an_ordinary_user_needs_a_user_namespace() -> None:
    assert {"--user", "--map-root-user"} <= set(unshare(rootless=True))
    assert "--user" not in unshare(rootless=False)


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("90s", 90), ("15m", 900), ("4h", 14400), ("0.5h", 1800)])
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "h", "4d", "four", "-"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Failed, match="no duration"):
        seconds(text)
