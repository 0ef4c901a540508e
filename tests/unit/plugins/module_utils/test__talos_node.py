# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout asks of nodes through talosctl, and what it makes of the answers."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils import _errors
from ansible_collections.splithorizon.registry.plugins.module_utils._talos_node import TalosNode, parse_listing
from ansible_collections.splithorizon.registry.plugins.module_utils._talosctl import Access, Answer

GONE = "rpc error: code = Unavailable desc = connection error: no route to host"


class Program:
    """Stands for talosctl: the same answer to everything."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[list[str], float]] = []

    def __call__(self, argv: t.Sequence[str], stdin: str | None, seconds: float) -> Answer:
        assert stdin is None
        self.asked.append((list(argv[1:]), seconds))
        return self.answer


def test_directories_of_many_nodes_by_one_process() -> None:
    listed = "NODE   NAME\nn1     .\nn2     .\nn2     _backup\nn1     docker.io\nn2     a name with spaces\n"
    program = Program(Answer(returncode=0, stdout=listed))
    found = TalosNode(Access(), run=program).directory(["n1", "n2"], "/etc")
    assert found == {"n1": {"docker.io"}, "n2": {"_backup", "a name with spaces"}}
    assert [argv for argv, _seconds in program.asked] == [["list", "/etc", "--nodes", "n1,n2"]]


def test_an_empty_directory_is_one_and_no_answer_is_none() -> None:
    assert parse_listing("NODE   NAME\nn1   .\n") == {"n1": set()}
    found = TalosNode(Access(), run=Program(Answer(returncode=1, stderr=GONE))).directory(["n1"], "/etc")
    assert isinstance(found["n1"], _errors.Unreachable)


def test_services_that_cannot_be_asked() -> None:
    with pytest.raises(_errors.Unreachable, match="node n1"):
        TalosNode(Access(), run=Program(Answer(returncode=1, stderr=GONE))).services("n1")


def test_a_reboot_is_bounded_by_talosctl_and_from_here() -> None:
    program = Program(Answer(returncode=0))
    TalosNode(Access(talos_timeout=7), run=program).reboot("n1", seconds=600)
    assert program.asked == [(["reboot", "--wait", "--timeout", "600s", "--nodes", "n1"], 607)]


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (Answer(returncode=None), _errors.NotReady, "not up again within 600 s"),
        (Answer(returncode=1, stderr="context deadline exceeded"), _errors.NotReady, "not up again within 600 s"),
        (Answer(returncode=1, stderr="code = PermissionDenied desc"), _errors.NotPermitted, "do not allow"),
    ],
)
def test_a_reboot_that_fails(answer: Answer, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        TalosNode(Access(), run=Program(answer)).reboot("n1", seconds=600)
