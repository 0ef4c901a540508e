# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from sandbox.packages import TABLE, missing


def test_each_missing_package_once_in_order() -> None:
    table = "# a comment\nip iproute2 # why\nunshare util-linux # why\n\nnsenter util-linux # why\nnft nftables # why\n"
    assert missing(table, lambda command: command == "ip") == ["util-linux", "nftables"]


def test_every_row_of_the_table_says_why() -> None:
    rows = [line for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    assert len(rows) >= 5
    for row in rows:
        words, _, reason = row.partition("#")
        assert len(words.split()) == 2, row
        assert reason.strip(), row
