# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of every Tekton file in a folder of real ones: over to HTTPS, and to HTTP and back.

    PYTHONPATH=tests:.cache/collections .venv/bin/python tests/corpus/tekton.py ../shared/corpus/tekton

Each file is edited as if every registry that its image references name were ours, once with what a run decides left
alone, once with it assumed to be for ours.
"""

from __future__ import annotations

import argparse
import collections
import re
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._image_references import Registry, registry_from
from ansible_collections.splithorizon.registry.plugins.module_utils._shell_script import parse_script
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_plan import FLAG, REFERENCE, Wanted
from ansible_collections.splithorizon.registry.plugins.module_utils._tekton_source import FilesPlan, plan_files
from ansible_collections.splithorizon.registry.plugins.module_utils._yaml_nodes import origin, walk

if t.TYPE_CHECKING:
    from collections.abc import Iterator

NAME, INTERNAL = "harbor.example.com", "registry.registry.svc.cluster.local"
_HOST = re.compile(r"(?<![\w./:@-])([a-z0-9][a-z0-9.-]*\.[a-z]{2,}(?::\d+)?)/[a-z0-9$]")
_SECURE = re.compile(r"\b(?:true|false)\b")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``kind``: edited, listed, nothing or refused. ``scripts`` of shell, and those not read (with the reason)."""

    file: str
    kind: str
    reason: str
    edits: int = 0
    flags: int = 0
    listed: int = 0
    scripts: int = 0
    unread: tuple[str, ...] = ()
    after: str = ""


def examined(file: str, text: str, *, assume: bool = False) -> Outcome:
    """AssertionError where more than the intended tokens differs, or the way back is another."""
    hosts = sorted(set(_HOST.findall(text)) - {NAME})
    wanted = Wanted(registry=registry_from(name=NAME, replaces=hosts, http=False), assume=assume)
    plan = plan_files({file: text}, wanted)
    if plan.refused:
        return Outcome(file=file, kind="refused", reason=plan.refused[0].reason)
    after = plan.after.get(file, text)
    _check_edit(file, text, after, hosts)
    for host in hosts:
        _check_way_back(file, text, host)
    scripts = list(_scripts(text))
    kind, reason = _kind(plan)
    return Outcome(
        file=file,
        kind=kind,
        reason=reason,
        edits=sum(finding.kind == REFERENCE for finding in plan.done),
        flags=sum(finding.kind == FLAG for finding in plan.done),
        listed=len(plan.unsure),
        scripts=len(scripts),
        unread=tuple(problem for problem in map(_unread, scripts) if problem),
        after=after,
    )


def _kind(plan: FilesPlan) -> tuple[str, str]:
    if plan.done:
        return "edited", ""
    if plan.unsure:
        return "listed", "; ".join(sorted({re.sub(r":.*", "", finding.reason) for finding in plan.unsure}))
    return "nothing", "" if plan.files else "no object of Tekton"


def _check_edit(file: str, before: str, after: str, hosts: list[str]) -> None:
    old, new = (list(_scripts(text)) for text in (before, after))
    assert [_bash(script) for script in new] == [_bash(script) for script in old], f"{file}: a script is broken"
    assert _comments(after) == _comments(before), f"{file}: a comment is lost"
    styles = [{path: node.style for path, node in _nodes(text)} for text in (before, after)]
    assert all(styles[0][path] == style for path, style in styles[1].items()), f"{file}: a style is another"
    any_host = re.compile("|".join(map(re.escape, sorted([NAME, *hosts], key=len, reverse=True))))
    short, long = (_SECURE.sub("", any_host.sub("", text)) for text in (after.replace("[]", ""), before))
    assert _is_within(short, long), f"{file}: something was added"


def _check_way_back(file: str, text: str, host: str) -> None:
    """To HTTP and back is the same as to have taken the flags out."""

    def edited(source: str, registry: Registry) -> str:
        plan = plan_files({file: source}, Wanted(registry=registry))
        return plan.after.get(file, source)

    to_http = Registry(name=INTERNAL, replaces=(host,), http=True)
    if edited(text, to_http) != text:
        secure = edited(text, Registry(name=host))
        again = edited(edited(secure, to_http), Registry(name=host, replaces=(INTERNAL,)))
        assert again == secure, f"{file}: {host} there and back is not the same"


def _is_within(short: str, long: str) -> bool:
    """Whether a text is another one with characters taken out."""
    rest = iter(long)
    return all(char in rest for char in short)


def _comments(text: str) -> list[str]:
    return re.findall(r"(?m)(?:^|\s)#.*$", text)


def _nodes(text: str) -> Iterator[tuple[t.Any, yaml.ScalarNode]]:
    for path, node, _line in walk(text):
        if isinstance(node, yaml.ScalarNode) and origin(node) is node:
            yield path, node


def _scripts(text: str) -> Iterator[str]:
    for path, node in _nodes(text):
        if path[-1] == "script":
            yield str(node.value)


def _unread(script: str) -> str:
    try:
        parse_script(script)
    except Conflict as error:
        return error.problem
    return ""


def _bash(script: str) -> int:
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for assume in (False, True):
        found = [examined(path.name, path.read_text(), assume=assume) for path in sorted(folder.iterdir())]
        print(f"{len(found)} files{', what a run decides is for ours' if assume else ''}")
        counts = collections.Counter((each.kind, each.reason) for each in found)
        for (kind, reason), count in sorted(counts.items()):
            print(f"  {count:4} {kind}{f': {reason}' if reason else ''}")
        print(f"  references {sum(each.edits for each in found)}, flags {sum(each.flags for each in found)},", end=" ")
        print(f"listed {sum(each.listed for each in found)}")
    unread = [problem for each in found for problem in each.unread]
    print(f"scripts: {sum(each.scripts for each in found)}, not read: {len(unread)} {sorted(set(unread))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
