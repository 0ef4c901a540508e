# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of every file with values of the CoreDNS chart in a folder of real ones: a rewrite added and taken out.

    PYTHONPATH=tests:.cache/collections .venv/bin/python tests/corpus/sources.py ../shared/corpus

Read are ``helm-values/*`` and ``edits/coredns__*.yaml``, which are the files before and after changes that people made.
"""

from __future__ import annotations

import collections
import difflib
import re
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_source import plan_source
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_servers import DNS_PORT
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import rewrite

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan

NAME, TARGET = "split-horizon.example.com", "envoy.gateway.svc.cluster.local"
REASONS = {
    "holds no Corefile": "no servers of the chart in it",
    "environment variable": "placeholder as a zone",
    "more than one rule": "a rewrite that CoreDNS refuses",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file, and what came of it: the form it has, or why it is refused."""

    name: str
    size: int
    form: str = ""
    refused: str = ""


def sources(corpus: Path) -> Iterator[Path]:
    yield from sorted((corpus / "helm-values").iterdir())
    yield from sorted((corpus / "edits").glob("coredns__*.yaml"))


def examined(path: Path) -> Source:
    """AssertionError where a byte is lost."""
    text = path.read_bytes().decode()
    size = len(text.encode())

    def plan(text: str, *, present: bool = True) -> RewritePlan:
        wanted = [rewrite(name=NAME, target=TARGET, present=present)]
        return plan_source(text=text, path=str(path), wanted=wanted, port=DNS_PORT)

    try:
        added = plan(text)
    except RegistryError as error:
        reason = next((kind for words, kind in REASONS.items() if words in error.problem), error.problem)
        return Source(name=path.name, size=size, refused=reason)
    changed = list(difflib.unified_diff(text.splitlines(), added.after.splitlines(), n=0))[2:]
    assert {"+" + line[1:].strip() for line in changed if line[0] == "+"} == _lines(added), f"{path.name}: other lines"
    assert not any(line[0] == "-" for line in changed), f"{path.name}: lines lost"
    assert not plan(added.after).changes, f"{path.name}: not found again"
    assert plan(added.after, present=False).after == text, f"{path.name}: not restored"
    return Source(name=path.name, size=size, form=_form(text, path))


def _lines(added: RewritePlan) -> set[str]:
    """The lines of the list items that are added."""
    parameters = {rule.partition(" ")[2] for rule in added.added}
    return {"+- name: rewrite", *(f"+parameters: {text}" for text in parameters)}


def _form(text: str, path: Path) -> str:
    kinds = re.findall(r"^kind: (HelmRelease|HelmChart|Application|ConfigMap)$", text, re.MULTILINE)
    template = " template" if path.suffix == ".j2" else ""
    return (kinds[0] if kinds else "file of values") + template


def main() -> int:
    found = [examined(path) for path in sources(Path(sys.argv[1]))]
    done = [each for each in found if each.form]
    size = sum(each.size for each in done)
    print(f"{len(found)} files with values: edited, found again and restored {len(done)}, {size} bytes")
    for kind, count in collections.Counter(each.form for each in done).most_common():
        print(f"  {count:4} {kind}")
    refused = [each for each in found if each.refused]
    print(f"refused: {len(refused)}")
    for kind, count in collections.Counter(each.refused for each in refused).most_common():
        print(f"  {count:4} {kind}: {', '.join(each.name for each in refused if each.refused == kind)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
