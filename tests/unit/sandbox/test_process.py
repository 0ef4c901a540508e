# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest

from sandbox import process
from sandbox.process import Failed, Part, Supervisor, run, until

if t.TYPE_CHECKING:
    from pathlib import Path


def test_a_failure_carries_the_programs_words() -> None:
    with pytest.raises(Failed, match="exit code 3: out of luck"):
        run(["sh", "-c", "echo out of luck >&2; exit 3"])


def test_a_program_is_bounded_in_time() -> None:
    with pytest.raises(Failed, match="no end after 0 s"):
        run(["sleep", "60"], timeout=0.2)


def test_nothing_of_the_callers_environment_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid")
    assert "proxy.invalid" not in run(["env"])


def test_a_wait_names_what_did_not_come_and_why() -> None:
    def ask() -> bool:
        raise OSError("nobody there")

    with pytest.raises(Failed, match=r"the door: not within 0 s \(nobody there\)"):
        until("the door", ask, timeout=0.05, pause=0.01)


def test_a_part_that_ends_comes_back(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    supervisor.start(Part("short", ("sh", "-c", "echo here; exit 4")))
    log = supervisor.log("short")
    until("said it again", lambda: log.read_text().count("here") >= 2, timeout=10)
    supervisor.stop("short")
    assert "short ended with 4, again in" in log.read_text()


def test_a_part_that_is_stopped_stays_away(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    supervisor.start(Part("long", ("sleep", "1000")))
    until("runs", lambda: supervisor.report()["long"]["pid"] > 0, timeout=5)
    supervisor.stop("long")
    assert supervisor.report() == {}
    supervisor.start(Part("long", ("sleep", "1000")))
    supervisor.stop("long")


def test_a_part_whose_program_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="part x: no program no-such-program"):
        Supervisor(tmp_path).start(Part("x", ("no-such-program",)))


def test_a_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_BYTES", 1000)
    monkeypatch.setattr(process, "CHECK_SECONDS", 0.05)
    supervisor = Supervisor(tmp_path)
    supervisor.start(Part("loud", ("sh", "-c", "while :; do echo 0123456789; sleep 0.001; done")))
    until("turned", (tmp_path / "loud.log.1").exists, timeout=10)
    supervisor.stop("loud")
    assert supervisor.log("loud").stat().st_size < 100_000
