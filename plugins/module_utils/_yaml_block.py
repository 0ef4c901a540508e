# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: text inside a literal block (``|`` or ``|-``) of a YAML document: read it, and change some of its lines."""

from __future__ import annotations

import difflib

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import last_line_of_block

__all__ = ["block_content", "with_block_content"]


def block_content(text: str, node: yaml.Node) -> str | None:
    """What a literal block (``|`` or ``|-``) holds, without its indentation; None where it is written otherwise."""
    lines, indent = _block_lines(text, node)
    content = "".join(_dedented(line, indent) for line in lines)
    same = isinstance(node, yaml.ScalarNode) and node.style == "|" and content.rstrip("\n") == node.value.rstrip("\n")
    return content.rstrip("\n") + "\n" if same and lines else None


def with_block_content(text: str, node: yaml.Node, content: str) -> str:
    """``text`` with other content in a block that ``block_content`` can read; lines that stay keep every byte."""
    old, indent = _block_lines(text, node)
    new = content.rstrip("\n").splitlines(keepends=True)
    dedented = [_dedented(line, indent).rstrip("\r\n") for line in old]
    matcher = difflib.SequenceMatcher(None, dedented, [line.rstrip("\n") for line in new], autojunk=False)
    written: list[str] = []
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag == "equal":
            written += old[start:end]
        else:
            written += [" " * indent + line if line.strip() else line for line in new[new_start:new_end]]
    # Where the text's last line has no newline, the line that is last now has none either.
    ends = old[-1].endswith("\n")
    block = "".join(line if line.endswith("\n") else line + "\n" for line in written)
    lines = text.splitlines(keepends=True)
    first = node.start_mark.line + 1
    return "".join(lines[:first]) + (block if ends else block.removesuffix("\n")) + "".join(lines[first + len(old) :])


def _block_lines(text: str, node: yaml.Node) -> tuple[list[str], int]:
    """(the lines of a block scalar after its header, by how much they are indented)."""
    lines = text.splitlines(keepends=True)
    found = lines[node.start_mark.line + 1 : last_line_of_block(text, node.end_mark.index) + 1]
    filled = next((line for line in found if line.strip()), "")
    return found, len(filled) - len(filled.lstrip(" "))


def _dedented(line: str, indent: int) -> str:
    # A line of blanks may be shorter than the indentation.
    return line[indent:] or "\n"
