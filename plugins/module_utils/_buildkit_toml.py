# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: the text of a buildkitd.toml with other settings of registries. Every other line stays."""

from __future__ import annotations

import copy
import typing as t
from dataclasses import dataclass, replace

import tomlkit
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_config import (
    is_default,
    meaning,
    mirror_parts,
    notes,
    registries,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_transport import Registry, describe
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._toml_sections import (
    Section,
    Tree,
    join,
    read,
    split,
    without,
)

if t.TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_wanted import Entry

__all__ = ["BuildkitPlan", "plan"]

_INDENT = "  "


@dataclass(frozen=True, kw_only=True)
class BuildkitPlan:
    """The text before and after, what it says of registries, and what the user should know."""

    before: str
    after: str
    old: dict[str, Registry]
    new: dict[str, Registry]
    restart: bool
    notes: tuple[str, ...] = ()

    def shown(self, host: str) -> dict[str, t.Any]:
        """As the module returns it."""
        old, new = self.old.get(host), self.new.get(host)
        return {
            "host": host,
            "before": old.shown if old else {},
            "after": new.shown if new else {},
            "transport_before": describe(host, old),
            "transport_after": describe(host, new),
        }


def plan(*, text: str, wanted: Sequence[Entry], where: str) -> BuildkitPlan:
    """``text`` with the entries as wanted; Conflict where it cannot be done in place."""
    data = read(text, where=where)
    old = registries(data, where=where)
    sections = split(text)
    for entry in wanted:
        sections = _put(sections, entry) if entry.present else _take_out(sections, entry)
    after = join(sections)
    new_data = read(after, where=where)
    if meaning(new_data) != meaning(_expected(data, wanted)):
        cure = 'Write it as [registry."host"], a key a line, and run again'
        raise Conflict("the registry is written in a form that cannot be edited in place", where=where, cure=cure)
    new = registries(new_data, where=where)
    return BuildkitPlan(
        before=text,
        after=after,
        old=old,
        new=new,
        restart=meaning(data) != meaning(new_data),
        notes=tuple(notes(wanted, new_data, new)),
    )


def _expected(data: Tree, wanted: Sequence[Entry]) -> Tree:
    data = copy.deepcopy(data)
    tables = data.setdefault("registry", {})
    for entry in wanted:
        if entry.present:
            tables.setdefault(entry.host, {}).update(entry.settings)
        else:
            tables.pop(entry.host, None)
            for table in tables.values() if entry.replaced_by else ():
                _repoint(table.get("mirrors", []), entry)
    return data


def _put(sections: Sequence[Section], entry: Entry) -> list[Section]:
    path = ("registry", entry.host)
    keys = {key: value for key, value in entry.settings.items() if key != "keypair"}
    edited = _with_keys(sections, path, keys)
    if "keypair" in entry.settings:
        edited = _with_keypairs(edited, path, entry.settings["keypair"])
    return _tidied(edited, path)


def _with_keys(sections: Sequence[Section], path: tuple[str, ...], wanted: Tree) -> list[Section]:
    """The keys changed where they stand, or put into the table's first section, or into one made for them."""
    edited, host = list(sections), path[1]
    owned = {number: own for number, section in enumerate(edited) if (own := _own(section, path)) is not None}
    have = {key: value for own in owned.values() for key, value in own.items()}
    changes = {key: value for key, value in wanted.items() if not _same(host, key, have.get(key), value)}
    if changes and not owned:
        lines = _lines({key: value for key, value in changes.items() if not is_default(host, key, value)})
        return _inserted(edited, Section(path=path, body=f"[{_header(path)}]\n{lines}"))
    # What is set comes first: a dotted table is gone with its last key.
    for key, value in sorted(changes.items(), key=lambda change: is_default(host, *change)):
        number = next((number for number, own in owned.items() if key in own), next(iter(owned)))
        edited[number] = _edited(edited[number], path, key, value)
    return edited


def _with_keypairs(sections: Sequence[Section], path: tuple[str, ...], wanted: Sequence[Tree]) -> list[Section]:
    """The host's client certificates anew, where they differ."""
    edited, tables = list(sections), (*path, "keypair")
    have = [pair for section in edited for pair in (_own(section, path) or {}).get("keypair", [])]
    have += [_pair(section) for section in edited if section.path == tables]
    if have == list(wanted):
        return edited
    edited = [_edited(section, path, "keypair", []) for section in edited]
    edited = without(edited, lambda section: section.path == tables)
    for pair in wanted:
        edited = _inserted(edited, Section(path=tables, body=f"[[{_header(tables)}]]\n{_lines(pair)}"))
    return edited


def _pair(section: Section) -> Tree:
    data: t.Any = read(section.body, where="")
    for key in section.path:
        data = data[key]
    return t.cast("Tree", data[0])


def _same(host: str, key: str, one: t.Any, other: t.Any) -> bool:
    return one == other or (is_default(host, key, one) and is_default(host, key, other))


def _take_out(sections: Sequence[Section], entry: Entry) -> list[Section]:
    path = ("registry", entry.host)
    left = without(sections, lambda section: section.path[:2] == path)
    left = [_without_table(section, path) for section in left]
    if entry.replaced_by:
        left = [_with_mirrors(section, entry) for section in left]
    return _tidied(left, path)


def _tidied(sections: Sequence[Section], path: tuple[str, ...]) -> list[Section]:
    """Without a table of this host that says nothing, nor ``[registry]`` without a registry."""
    has_parts = any(section.path[:2] == path and len(section.path) > len(path) for section in sections)
    left = without(sections, lambda each: each.path == path and not _own(each, path) and not has_parts)
    has_registries = any(section.path[:1] == ("registry",) and len(section.path) > 1 for section in left)
    return without(left, lambda each: each.path == ("registry",) and not _at(each, each.path) and not has_registries)


def _own(section: Section, path: tuple[str, ...]) -> Tree | None:
    """The host's keys that stand in this section, under its header, dotted or inline; None where it has no place."""
    return _at(section, path) if section.path in (path, path[:1], ()) else None


def _at(section: Section, path: tuple[str, ...]) -> Tree | None:
    data: t.Any = read(section.body, where="")
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else None


def _edited(section: Section, path: tuple[str, ...], key: str, value: t.Any) -> Section:
    """A key set or taken out by tomlkit, a new one in line with the others."""
    have = _own(section, path)
    drop = is_default(path[1], key, value)
    if have is None or (drop and key not in have):
        return section
    document = tomlkit.parse(section.body if section.body.endswith("\n") else f"{section.body}\n")
    table: t.Any = document["registry"][path[1]]
    if drop:
        del table[key]
    elif key in have:
        table[key] = value
    else:
        item = tomlkit.item(value)
        item.trivia.indent = _indent_of_keys(section)
        table[key] = item
    return replace(section, body=tomlkit.dumps(document))


def _indent_of_keys(section: Section) -> str:
    lines = section.body.split("\n")[1:] if section.path else []
    keys = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return keys[0][: len(keys[0]) - len(keys[0].lstrip())] if keys else _INDENT if section.path else ""


def _without_table(section: Section, path: tuple[str, ...]) -> Section:
    if section.path == path or _own(section, path) is None:
        return section
    document = tomlkit.parse(section.body)
    parent: t.Any = document["registry"]
    del parent[path[1]]
    return replace(section, body=tomlkit.dumps(document))


def _with_mirrors(section: Section, entry: Entry) -> Section:
    document = tomlkit.parse(section.body)
    tables: t.Any = document.get("registry", {})
    for table in tables.values():
        _repoint(table.get("mirrors", []), entry)
    body = tomlkit.dumps(document)
    return section if body == section.body else replace(section, body=body)


def _repoint(mirrors: MutableSequence[str], entry: Entry) -> None:
    """The old host's place goes to the new one; where the new one is there already, it keeps its own."""
    for number in reversed(range(len(mirrors))):
        renamed = _renamed(mirrors[number], entry)
        if renamed == mirrors[number]:
            continue
        if renamed in mirrors:
            del mirrors[number]
        else:
            mirrors[number] = renamed


def _renamed(mirror: str, entry: Entry) -> str:
    scheme, rest = mirror_parts(mirror)
    host, slash, path = rest.partition("/")
    # BuildKit passes over a mirror's scheme; one that says http would mislead the reader.
    return f"{scheme and 'https://'}{entry.replaced_by}{slash}{path}" if host == entry.host else mirror


def _lines(keys: Tree) -> str:
    return "".join(f"{_INDENT}{key} = {tomlkit.item(value).as_string()}\n" for key, value in keys.items())


def _header(path: Sequence[str]) -> str:
    return ".".join([path[0], tomlkit.item(path[1]).as_string(), *path[2:]])


def _inserted(sections: Sequence[Section], new: Section) -> list[Section]:
    """Behind the host's other sections, or the last registry, or at the end; set off as its neighbours are."""
    path = new.path[:2]
    own = [number for number, section in enumerate(sections) if section.path[:2] == path]
    any_registry = [number for number, section in enumerate(sections) if section.path[:1] == ("registry",)]
    at = (own or any_registry or [len(sections) - 1])[-1] + 1
    if own and new.path == path:
        at = own[0]  # a table stands before its parts
    before, following = list(sections[:at]), list(sections[at:])
    if before and not before[-1].text.endswith("\n") and before[-1].text:
        before[-1] = _newline(before[-1])
    above = join(before)
    if following:
        new = replace(new, tail="\n" if above.endswith("\n\n") else "")
    elif above and not above.endswith("\n\n") and not _dense(before):
        before[-1] = replace(before[-1], tail=before[-1].tail + "\n")
    return [*before, new, *following]


def _newline(section: Section) -> Section:
    part = next(name for name in ("tail", "trailer", "body", "lead") if getattr(section, name))
    return replace(section, **{part: getattr(section, part) + "\n"})


def _dense(sections: Sequence[Section]) -> bool:
    """Whether the file sets its registries off by nothing."""
    return (
        len(sections) > 1
        and sections[-1].path[:1] == ("registry",)
        and bool(sections[-2].text)
        and not sections[-2].tail
    )
