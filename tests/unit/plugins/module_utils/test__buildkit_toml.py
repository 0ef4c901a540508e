# SPDX-License-Identifier: GPL-3.0-or-later
"""Registries go in and out of a buildkitd.toml, and every other byte stays."""

from __future__ import annotations

import tomllib
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _errors
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_config import meaning
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_toml import plan
from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_wanted import Entry
from corpus.buildkit import examined, files
from hypothesis import given, settings
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from collections.abc import Sequence

DATA = Path(__file__).parent / "data" / "buildkit"
NEW = "new.example.com"


def cases(kind: str) -> list[t.Any]:
    return [pytest.param(yaml.safe_load(path.read_text()), id=path.stem) for path in sorted((DATA / kind).iterdir())]


def entries(items: Sequence[dict[str, t.Any]]) -> list[Entry]:
    """``{host: …, <setting>: …}``; with ``absent``, the host that takes its place or an empty text."""
    return [
        Entry(host=host, present=absent is None, replaced_by=absent or "", settings=settings)
        for settings in (dict(item) for item in items)
        for host, absent in [(settings.pop("host"), settings.pop("absent", None))]
    ]


@pytest.mark.parametrize("case", cases("valid"))
def test_edited_in_place_and_then_left_alone(case: dict[str, t.Any]) -> None:
    wanted = entries(case["wanted"])
    planned = plan(text=case["before"], wanted=wanted, where="the file")
    assert planned.after == case.get("after", case["before"])
    assert planned.restart is case.get("restart", "after" in case)
    assert list(planned.notes) == case.get("notes", [])
    again = plan(text=planned.after, wanted=wanted, where="the file")
    assert (again.after, again.restart) == (planned.after, False)


@pytest.mark.parametrize("case", cases("invalid"))
def test_refused_with_the_place(case: dict[str, t.Any]) -> None:
    with pytest.raises(_errors.Conflict) as error:
        plan(text=case["text"], wanted=[Entry(host=NEW, settings={"http": True})], where="the file")
    assert error.value.where == case["where"]
    assert case["problem"] in error.value.problem
    assert error.value.cure


HOSTS = st.sampled_from([NEW, "a.example.com", "b.example.com:5000", "docker.io"])
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "http": st.booleans(),
        "insecure": st.booleans(),
        "mirrors": st.lists(st.sampled_from(["m.example.com", "n.example.com/proxy"]), unique=True),
        "ca": st.lists(st.sampled_from(["/a.crt", "/b.crt"]), unique=True),
        "keypair": st.lists(st.fixed_dictionaries({"key": st.just("/k"), "cert": st.just("/c")}), max_size=2),
    },
)
ENTRIES = st.builds(lambda host, settings: Entry(host=host, settings=settings), HOSTS, SETTINGS) | st.builds(
    lambda host: Entry(host=host, present=False), HOSTS
)
PIECES = st.lists(
    st.sampled_from(
        [
            "\n# apart\n\n",
            "[worker.oci]\n  max-parallelism = 4\n",
            '[[worker.oci.gcpolicy]]\nfilters = [\n  "type==source",\n]\n',
            '# a stands alone\n[registry."a.example.com"]\n  http = true  # why\n  # insecure = true\n',
            f'[registry."{NEW}"]\nca=["/a.crt"]\n\n[[registry."{NEW}".keypair]]\n  key="/k"\n  cert="/c"\n',
            '[registry."docker.io"]\n  mirrors = [\n    "a.example.com/proxy",  # first\n    "m.example.com",\n  ]\n',
        ]
    ),
    unique=True,
).map(lambda pieces: "debug = true\n" + "".join(pieces))


@settings(max_examples=40)
@given(PIECES, st.lists(ENTRIES, max_size=3, unique_by=lambda entry: entry.host))
def test_what_is_wanted_is_there_and_nothing_else_is_gone(text: str, wanted: list[Entry]) -> None:
    after = plan(text=text, wanted=wanted, where="").after
    data = tomllib.loads(after)
    asked = {entry.host: entry for entry in wanted}
    for entry in wanted:
        table = meaning(data).get("registry", {}).get(entry.host, {})
        if not entry.present:
            assert entry.host not in data.get("registry", {})
        assert {key: table.get(key, value and None) for key, value in entry.settings.items() if value} == {
            key: value for key, value in entry.settings.items() if value
        }
    others = {host: table for host, table in tomllib.loads(text).get("registry", {}).items() if host not in asked}
    assert {host: table for host, table in data.get("registry", {}).items() if host not in asked} == others
    for line in ("# apart\n", "debug = true\n", "[worker.oci]\n", '  "type==source",\n'):
        assert (line in after) is (line in text)
    assert plan(text=after, wanted=wanted, where="").after == after


@settings(max_examples=40)
@given(PIECES.filter(lambda text: NEW not in text and not text.endswith("\n\n")))
def test_put_in_and_taken_out_gives_the_text_back(text: str) -> None:
    added = plan(text=text, wanted=[Entry(host=NEW, settings={"ca": ["/ca.crt"]})], where="").after
    assert plan(text=added, wanted=[Entry(host=NEW, present=False)], where="").after == text


@pytest.mark.captures
def test_every_real_file_is_edited_and_restored_or_holds_none(captures: Path) -> None:
    found = [examined(name, text) for name, text in files(captures / "corpus" / "buildkit")]
    assert len(found) == 21
    assert {each.refused for each in found if each.kind == "TOML"} == {""}
    refused = [each for each in found if each.refused]
    assert len(refused) == 4
    assert {each.refused for each in refused} == {"it has no text under buildkitd.toml or buildkitd-config-inline"}
