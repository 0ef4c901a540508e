# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: which lines of a patch an edit may take away: those of settings that change, and no other.

Where a text does not allow an edit of some lines, the editor writes a whole mapping anew; its comments would be lost.
In a node's configuration nobody reads them, in Git they are what people wrote.
"""

from __future__ import annotations

import typing as t

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _yaml_nodes
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import EXTRA_HOSTS, KINDS

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import MachineConfig
    from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import Path

__all__ = ["first_lost", "lost_line", "nothing_stays"]


def lost_line(before: str, after: str, *, before_config: MachineConfig, after_config: MachineConfig) -> int | None:
    """The first line of ``before``, counted from 1, that is not ours and not in ``after`` in its turn; else None."""
    return first_lost(before, after, owned=_owned(before_config, after_config))


def first_lost(before: str, after: str, *, owned: set[int]) -> int | None:
    """The same, for the lines that are owned, counted from 0."""
    rest = iter(after.splitlines())
    for number, line in enumerate(before.splitlines()):
        if number not in owned and not any(line == other for other in rest):
            return number + 1
    return None


def nothing_stays(lines: list[str], span: range, owned: set[int]) -> bool:
    """Whether all of a section but its first line is owned, comments aside."""
    return all(line in owned or lines[line].strip()[:1] in {"", "#"} for line in span[1:])


def _owned(before: MachineConfig, after: MachineConfig) -> set[int]:
    """The lines, counted from 0, of all that changes between the two."""
    kept = {document.text.rstrip("\n") for document in after.documents}
    owned: set[int] = set()
    start = 0
    for document in before.documents:
        count = len(document.text.splitlines())
        if document.is_main:
            owned |= {start + line for line in _owned_in_main(document.text, before, after)}
        elif document.text.rstrip("\n") not in kept:
            owned |= set(range(start, start + count))
        start += count
    return owned


def _owned_in_main(text: str, before: MachineConfig, after: MachineConfig) -> set[int]:
    lines = text.splitlines()
    # The document goes with its last entry.
    owned = set() if after.main.get("machine") else {i for i, line in enumerate(lines) if line.strip() == "---"}
    places = {path[1:]: (node, line - 1) for path, node, line in _yaml_nodes.walk(text)}
    changed = set(_changed(before, after))
    # From the settings outwards to the sections that hold them.
    for path in sorted({one[:end] for one in changed for end in range(1, len(one) + 1)}, key=len, reverse=True):
        if path not in places:
            continue
        node, first = places[path]
        span = range(first, _yaml_nodes.last_line(node, text) + 1)
        alias = _yaml_nodes.origin(node) is not node
        flow = isinstance(node, yaml.CollectionNode) and node.flow_style
        # A section in which nothing stays may go, and come again elsewhere.
        if path in changed or (not alias and (flow or nothing_stays(lines, span, owned))):
            owned |= set(span)
    return owned


def _changed(before: MachineConfig, after: MachineConfig) -> Iterator[Path]:
    """The paths in the v1alpha1 document whose settings differ, or come or go."""
    old, new = before.in_v1alpha1, after.in_v1alpha1
    for kind, spec in KINDS.items():
        was, will = getattr(old, kind), getattr(new, kind)
        yield from (spec.path(key) for key in was.keys() | will.keys() if was.get(key) != will.get(key))
    if old.hosts != new.hosts:
        yield EXTRA_HOSTS
        yield from ((*EXTRA_HOSTS, index) for index, host in enumerate(old.hosts) if host not in new.hosts)
