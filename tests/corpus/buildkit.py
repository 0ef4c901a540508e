# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of every buildkitd.toml, and every YAML file around one, in a folder of real ones.

    PYTHONPATH=tests:.cache/collections .venv/bin/python tests/corpus/buildkit.py ../shared/corpus/buildkit

A registry is put in and taken out again, which must give the file back; then each registry that the file has is taken
out, after which it must say the same of everything else. Files that are not edited are listed with their reason.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tomllib
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_source import plan_source
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_wanted import Entry
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError

if t.TYPE_CHECKING:
    from collections.abc import Iterator

NEW = Entry(host="split-horizon.example.com", settings={"ca": ["/certs/ca.crt"]})
YAML = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class Found:
    """One file: why it is not edited, or the registries that were taken out of it."""

    name: str
    refused: str = ""
    hosts: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return "YAML" if self.name.endswith(YAML) else "TOML"


def files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.iterdir()):
        if path.suffix in (".toml", *YAML):
            yield path.name, path.read_text()


def examined(name: str, text: str) -> Found:
    """AssertionError where a byte is lost."""

    def edited(text: str, entry: Entry) -> str:
        return plan_source(text=text, path=name, key=None, wanted=[entry]).after

    try:
        first = plan_source(text=text, path=name, key=None, wanted=[NEW])
    except RegistryError as error:
        return Found(name=name, refused=error.problem)
    assert first.after != text, f"{name}: nothing added"
    assert edited(first.after, NEW) == first.after, f"{name}: not found again"
    back = edited(first.after, Entry(host=NEW.host, present=False))
    # Only the end of the file may differ: a last line gets its newline, blank lines after it go.
    assert back.rstrip("\n") == text.rstrip("\n"), f"{name}: not restored"
    for host in first.old:
        without = edited(text, Entry(host=host, present=False))
        assert set(without.splitlines()) <= set(text.splitlines()), f"{name}: {host} leaves other lines"
        if not name.endswith(YAML):
            before, after = tomllib.loads(text), tomllib.loads(without)
            del before["registry"][host]
            assert after.get("registry", {}) == before.pop("registry"), f"{name}: more than {host} is gone"
            after.pop("registry", None)
            assert after == before, f"{name}: more than {host} is gone"
    return Found(name=name, hosts=tuple(first.old))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    found = [examined(name, text) for name, text in files(parser.parse_args().folder)]
    for kind in ("TOML", "YAML"):
        ours = [each for each in found if each.kind == kind]
        edited = [each for each in ours if not each.refused]
        hosts = sum(len(each.hosts) for each in edited)
        print(f"{kind}: {len(ours)} files, {len(edited)} edited and restored, {hosts} registries taken out")
        for reason, count in collections.Counter(each.refused for each in ours if each.refused).most_common():
            print(f"  {count:4} {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
