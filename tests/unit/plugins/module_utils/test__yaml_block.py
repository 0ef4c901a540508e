# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_block import (
    block_content,
    with_block_content,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import compose

TEXT = """\
a:
  # above
  - &b |-   # header
    one:

      two: 1
  \n\
    # in it
    three: 3

# below
c: 1
"""


def node_of(text):
    return compose(text)[0].value[0][1].value[0]


def test_a_block_is_read_as_yaml_reads_it():
    content = block_content(TEXT, node_of(TEXT))
    assert content == "one:\n\n  two: 1\n\n# in it\nthree: 3\n"
    assert content.rstrip("\n") == yaml.safe_load(TEXT)["a"][0]


def test_lines_that_stay_keep_their_blanks():
    edited = with_block_content(TEXT, node_of(TEXT), "one:\n\n  two: 2\n\n# in it\nthree: 3\nfour:\n- 4\n")
    assert edited == TEXT.replace("two: 1", "two: 2").replace("    three: 3\n", "    three: 3\n    four:\n    - 4\n")


def test_a_last_line_without_newline_stays_one():
    text = "a:\n- |-\n  x: 1"
    assert with_block_content(text, node_of(text), "x: 1\ny: 2\n") == "a:\n- |-\n  x: 1\n  y: 2"


@pytest.mark.parametrize("written", ["'x: 1'", "x", ">-\n  x: 1\n  y: 2", "|2-\n    x: 1\n  y: 2", "|-"])
def test_what_is_no_plain_block_is_not_read(written):
    text = f"a:\n- {written}\n"
    assert block_content(text, node_of(text)) is None
