# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of every Corefile in a folder of real ones: read and printed, a rewrite added and taken out again.

    PYTHONPATH=tests:.cache/collections .venv/bin/python tests/corpus/corefiles.py ../shared/corpus/corefile [--coredns]

With ``--coredns`` the real CoreDNS starts with each file before and after the edit: it must take both or neither.
A Corefile is a file of its own, or a key of a ConfigMap (``Corefile``, ``*.override``, ``*.server``) in a YAML file.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import parse
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_tokens import lex
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._node_local import plan_corefile
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_servers import DNS_PORT, Servers
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import rewrite
from coredns_process import all_accepted

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan

NAME = "split-horizon.example.com"
KINDS = {
    "no kubernetes plugin": "the block that answers the name has no kubernetes plugin",
    "kubernetes plugin answers for": "its kubernetes plugin is for other zones",
    "no server block answers": "no server block for the name",
    "environment variable": "environment variable in an address",
    "has a wildcard": "template: placeholder for the cluster's domain",
    "is not a DNS name": "template: placeholder for the cluster's domain",
    "is no address": "template: placeholder as an address",
    "the file ends before": "a block is not closed",
    "closes nothing": "'}' where nothing is open",
    "needs the name": "import without a name",
    "the snippet": "snippet that imports itself, or is declared twice",
    "another address is expected": "comma before '{'",
}


@dataclass(frozen=True, kw_only=True)
class Found:
    """One Corefile, and what came of it: why it does not parse, why it is not edited, or how it reads edited."""

    name: str
    text: str
    not_parsed: str = ""
    not_edited: str = ""
    edited: str = ""


def corefiles(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and text of each; a YAML file that holds none, or is a template, counts as a Corefile as it stands."""
    for path in sorted(folder.iterdir()):
        text = path.read_bytes().decode()
        inside = dict(_in_config_maps(text)) if path.suffix in (".yaml", ".yml") else {}
        if not inside:
            yield path.name, text
        for key, value in inside.items():
            yield f"{path.name}__{key}", value


def _in_config_maps(text: str) -> Iterator[tuple[str, str]]:
    try:
        waiting = list(yaml.safe_load_all(text))
    except yaml.YAMLError:
        return
    while waiting:
        value = waiting.pop()
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
        if isinstance(value, dict):
            for key, content in value.items():
                if str(key).endswith(("Corefile", ".override", ".server")) and isinstance(content, str):
                    yield str(key), content


def examined(name: str, text: str) -> Found:
    """AssertionError where a byte is lost."""
    assert "".join(token.raw for token in lex(text)) == text, f"{name}: lost in tokens"
    try:
        corefile = parse(text)
    except RegistryError as error:
        return Found(name=name, text=text, not_parsed=_kind(error))
    assert "".join(token.raw for token in corefile.tokens) == text, f"{name}: lost in blocks"
    ports = [int(key.rpartition(":")[2]) for block in corefile.blocks for key in block.keys if key[-2:].isdecimal()]
    port = DNS_PORT if DNS_PORT in ports else next(iter(ports), DNS_PORT)
    _block, _zone, domain = Servers(corefile, where=name, port=port).domain_if_any(f"{NAME}.")

    def plan(text: str, *, present: bool = True) -> RewritePlan:
        target = f"envoy.gateway.svc.{domain}"
        wanted = [rewrite(name=NAME, target=target, present=present)]
        return plan_corefile(text=text, where=name, wanted=wanted, port=port)

    try:
        added = plan(text)
    except RegistryError as error:
        return Found(name=name, text=text, not_edited=_kind(error))
    assert added.after != text, f"{name}: nothing added"
    assert not plan(added.after).changes, f"{name}: not found again"
    assert plan(added.after, present=False).after == text, f"{name}: not restored"
    return Found(name=name, text=text, edited=added.after)


def _kind(error: RegistryError) -> str:
    """The problem without what is particular to one file."""
    return next((kind for words, kind in KINDS.items() if words in error.problem), error.problem)


def _table(title: str, counts: collections.Counter[str]) -> None:
    print(f"{title}: {counts.total()}")
    for kind, count in counts.most_common():
        print(f"  {count:4} {kind}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--coredns", action="store_true", help="start the real CoreDNS with each file that is edited")
    options = parser.parse_args()
    found = [examined(name, text) for name, text in corefiles(options.folder)]
    size = sum(len(each.text.encode()) for each in found)
    print(f"{len(list(options.folder.iterdir()))} files, {len(found)} Corefiles, {size} bytes: printed as they were")
    _table("not parsed", collections.Counter(each.not_parsed for each in found if each.not_parsed))
    _table("parsed, not edited", collections.Counter(each.not_edited for each in found if each.not_edited))
    edited = [each for each in found if each.edited]
    print(f"edited and restored: {len(edited)}")
    if not options.coredns:
        return 0
    with tempfile.TemporaryDirectory() as folder:
        before = all_accepted({each.name: each.text for each in edited}, Path(folder, "before"))
        after = all_accepted({each.name: each.edited for each in edited}, Path(folder, "after"))
    differing = sorted(name for name in before if before[name] != after[name])
    print(
        f"taken by CoreDNS before and after: {sum(before.values())}, by neither: {len(before) - sum(before.values())}"
    )
    print("\n".join(f"taken otherwise after the edit: {name}" for name in differing), end="")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
