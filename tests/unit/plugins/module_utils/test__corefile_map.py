# SPDX-License-Identifier: GPL-3.0-or-later
"""A concurrent edit is never lost, neither when a Corefile is written nor when it is put back."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_map import (
    WRITE_ATTEMPTS,
    without_edit,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from fake_coredns import COREFILE, FakeCoreDns, corefile, plan

Json = dict[str, t.Any]


def test_edit_writes_once_and_keeps_other_keys() -> None:
    cluster = FakeCoreDns()
    planned, metadata = corefile(cluster).edit(plan)
    assert cluster.config_map == {
        "metadata": {"resourceVersion": "2"},
        "data": {"Corefile": planned.after, "NodeHosts": ""},
    }
    assert metadata["resourceVersion"] == "2"
    again, _metadata = corefile(cluster).edit(plan)
    assert not again.changes
    assert cluster.calls == ["write"]


def append(line: str) -> t.Callable[[Json], None]:
    """A writer that puts a line of its own at the end of the Corefile, each time anew."""
    count = iter(range(10_000))
    return lambda data: data.update(Corefile=f"{data['Corefile']}# {line} {next(count)}\n")


def other_key(data: Json) -> None:
    data["NodeHosts"] += "10.0.0.1 node\n"


def test_concurrent_edits_are_planned_anew_and_kept() -> None:
    cluster = FakeCoreDns()
    cluster.writers = [other_key, *[append("theirs")] * (WRITE_ATTEMPTS - 2)]
    planned, _metadata = corefile(cluster).edit(plan)
    theirs = "".join(f"# theirs {count}\n" for count in range(WRITE_ATTEMPTS - 2))
    assert cluster.config_map is not None
    assert cluster.config_map["data"] == {"Corefile": plan(COREFILE).after + theirs, "NodeHosts": "10.0.0.1 node\n"}
    assert planned.before == COREFILE + theirs
    assert cluster.calls == ["write"]


def test_concurrent_edits_without_end_are_an_error() -> None:
    cluster = FakeCoreDns()
    cluster.writers = [other_key] * 1000
    with pytest.raises(Conflict):
        corefile(cluster).edit(plan)
    assert len(cluster.writers) == 1000 - WRITE_ATTEMPTS
    assert cluster.calls == []


def test_put_back() -> None:
    cluster = FakeCoreDns()
    planned, metadata = corefile(cluster).edit(plan)
    assert "is back" in corefile(cluster).put_back(planned, metadata)
    assert cluster.config_map is not None
    assert cluster.config_map["data"]["Corefile"] == COREFILE


@pytest.mark.parametrize(
    ("writers", "corefile_left", "hosts_left"),
    [
        ([other_key], "", "10.0.0.1 node\n"),
        ([append("theirs"), other_key], "# theirs 0\n", "10.0.0.1 node\n"),
        ([append("theirs"), append("others")], "# theirs 0\n# others 0\n", ""),
    ],
)
def test_put_back_keeps_what_others_wrote_since(
    writers: list[t.Callable[[Json], None]], corefile_left: str, hosts_left: str
) -> None:
    cluster = FakeCoreDns()
    planned, metadata = corefile(cluster).edit(plan)
    cluster.writers = list(writers)
    assert "is back" in corefile(cluster).put_back(planned, metadata)
    assert cluster.config_map is not None
    assert cluster.config_map["data"] == {"Corefile": COREFILE + corefile_left, "NodeHosts": hosts_left}


def test_put_back_says_so_where_it_cannot() -> None:
    cluster = FakeCoreDns()
    planned, metadata = corefile(cluster).edit(plan)
    cluster.writers = [lambda data: data.update(Corefile=COREFILE)]
    assert "somebody else has changed the same lines" in corefile(cluster).put_back(planned, metadata)
    cluster.writers = [lambda data: data.pop("Corefile")]
    assert "there is no such key" in corefile(cluster).put_back(planned, metadata)


def test_an_edit_that_took_lines_out_is_not_guessed_back() -> None:
    planned = plan(plan(COREFILE).after, present=False)
    assert without_edit(planned, planned.after) == planned.before
    assert without_edit(planned, planned.after + "# theirs\n") is None


def test_missing_config_map_and_key() -> None:
    cluster = FakeCoreDns()
    with pytest.raises(BadInput) as error:
        corefile(cluster, key="corefile").read()
    assert "Corefile, NodeHosts" in error.value.cure
    cluster.config_map = {"metadata": {}}
    with pytest.raises(BadInput):
        corefile(cluster).read()
    cluster.config_map = None
    with pytest.raises(BadInput) as error:
        corefile(cluster).read()
    assert error.value.where == "ConfigMap kube-system/coredns, key Corefile"
