# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewrites in files of a repository: only the lines of what is added or taken out, in whatever file the Corefile is."""

from __future__ import annotations

import difflib
import textwrap
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _errors
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_source import plan_source
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_values import corefile_of
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import rewrite
from corpus.sources import REASONS, examined, sources

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan

DATA = Path(__file__).parent / "data" / "corefile_source"
DOCS = Path(__file__).parents[4] / "docs"
NAME, TARGET = "a.example.com", "b.c.svc.cluster.local"
RULE = f"stop name exact {NAME} {TARGET}"
PATTERN = r"^(.*)\.b\.com\.$"
VALUES = """# values of the chart
servers:
  - zones:
      - {zone: ., scheme: dns://, use_tcp: true}  # all
    port: 53
    plugins:
      - name: errors
      # why ready stands here
      - name: ready
      - name: kubernetes
        parameters: cluster.local in-addr.arpa
        configBlock: |-
          pods verified
          fallthrough in-addr.arpa

      # and what is not the cluster's
      - name: forward
        parameters: . "${RESOLVER}"
      - name: cache
        parameters: 30
replicaCount: 2
"""
ITEM = f"""      - name: rewrite
        parameters: {RULE}
"""


def cases(kind: str) -> list[t.Any]:
    return [pytest.param(yaml.safe_load(path.read_text()), id=path.stem) for path in sorted((DATA / kind).iterdir())]


def plan(text: str, *, path: str = "values.yaml", present: bool = True, exact: bool = False) -> RewritePlan:
    wanted = [rewrite(name=NAME, target=TARGET, present=present)]
    return plan_source(text=text, path=path, wanted=wanted, exact=exact, port=53)


def flux(values: str) -> str:
    head = "---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  interval: 1h\n  values:\n"
    return head + textwrap.indent(values, "    ")


def argo(values: str) -> str:
    return "kind: Application\nspec:\n  source:\n    helm:\n      valuesObject:\n" + textwrap.indent(values, " " * 8)


def with_item(text: str, item: str = ITEM) -> str:
    line = next(line for line in text.splitlines(keepends=True) if "fallthrough" in line)
    indent = " " * (len(line) - len(line.lstrip()) - len(" " * 10))
    return text.replace(line, line + textwrap.indent(item, indent))


@pytest.mark.parametrize("form", [str, flux, argo, lambda text: "kind: Other\n---\n" + flux(text)])
def test_items_of_the_charts_plugins(form: t.Callable[[str], str]) -> None:
    text = form(VALUES)
    done = plan(text)
    assert (done.before, done.after, done.zone) == (text, with_item(text), ".")
    assert not plan(done.after).changes
    assert plan(done.after, present=False).after == text


def test_values_as_the_chart_writes_them_out() -> None:
    servers = [
        {"zones": [{"zone": ".", "scheme": "dns://"}, {"zone": "a.b"}], "port": "53", "plugins": [{"name": "errors"}]},
        {"plugins": [{"name": "log", "parameters": ". ${X:-y}", "configBlock": "class error"}]},
    ]
    written = "dns://. a.b:53 {\nerrors\n}\n. {\nlog . {$X} {\nclass error\n}\n}\n"
    assert corefile_of({"servers": servers}) == written
    extra = {"import": {"parameters": "/opt/*.conf"}}
    assert corefile_of({"servers": servers, "extraConfig": extra}) == f"import /opt/*.conf\n{written}"


def test_rule_goes_before_one_that_stops_and_after_the_comment_of_its_neighbour() -> None:
    first = "      - name: rewrite\n        parameters: type A AAAA\n"
    text = VALUES.replace("      - name: errors\n", first + "      - name: errors\n")
    assert plan(text).after == text.replace(first, ITEM + first)
    assert plan(plan(text).after, present=False).after == text


def test_exact_takes_out_other_items() -> None:
    other = "      - name: rewrite\n        parameters: stop\n        configBlock: |-\n          name exact x.y z.y\n"
    assert plan(with_item(VALUES, other), exact=True).after == with_item(VALUES)


def test_several_rules_in_their_order() -> None:
    general = rewrite(name=PATTERN, target=TARGET, match="regex", example="a.b.com")
    wanted = [rewrite(name=NAME, target=TARGET), general]
    done = plan_source(text=VALUES, path="values.yml", wanted=wanted, port=53)
    second = f"      - name: rewrite\n        parameters: stop name regex {PATTERN} {TARGET} answer auto\n"
    assert done.after == with_item(VALUES, ITEM + second)


def test_file_without_final_line_ending() -> None:
    text = VALUES.removesuffix("replicaCount: 2\n").rstrip("\n")
    done = plan(text)
    assert done.after == with_item(text)
    assert plan(done.after, present=False).after == text


def test_corefile_in_a_config_map_and_by_itself() -> None:
    corefile = ".:53 {\n  kubernetes cluster.local  # ours\n}\n"
    after = corefile.replace("ours\n", f"ours\n  rewrite {RULE}\n")
    assert plan(corefile, path="Corefile").after == after
    head = "kind: ConfigMap\ndata:\n  NodeHosts: ''\n  Corefile: |\n"
    text = head + textwrap.indent(corefile, "    ")
    done = plan(text)
    assert done.after == head + textwrap.indent(after, "    ")
    assert plan(done.after, present=False).after == text


@pytest.mark.parametrize("case", cases("invalid"))
def test_what_cannot_be_edited(case: dict[str, str]) -> None:
    with pytest.raises(getattr(_errors, case["error"])) as found:
        plan(case["text"], path=case.get("path", "values.yaml"), exact=bool(case.get("exact")))
    assert case["problem"] in str(found.value)


@pytest.mark.parametrize("case", cases("valid"))
def test_forms(case: dict[str, str]) -> None:
    path = case.get("path", "values.yaml")
    done = plan(case["before"], path=path)
    assert done.after == case["after"]
    assert not plan(case["after"], path=path).changes
    assert plan(case["after"], path=path, present=False).after == case.get("absent", case["before"])


# The homes of docs/dns-homes.md

HOMES = sorted((DOCS / "dns-homes").glob("*.before*"))


@pytest.mark.parametrize("path", HOMES, ids=lambda path: path.name.partition(".")[0])
def test_homes_as_documented(path: Path) -> None:
    before, after = path.read_text(), Path(str(path).replace(".before", ".after")).read_text()
    name, target = "harbor.example.com", "envoy-proxy.envoy-gateway-system.svc.cluster.local"

    def plan(text: str, *, present: bool = True) -> RewritePlan:
        wanted = [rewrite(name=name, target=target, present=present)]
        return plan_source(text=text, path=str(path), wanted=wanted, port=53)

    assert plan(before).after == after
    assert not plan(after).changes
    assert plan(after, present=False).after == before
    difference = difflib.unified_diff(before.splitlines(), after.splitlines(), n=2, lineterm="")
    shown = [line for line in difference if not line.startswith(("---", "+++", "@@"))]
    guide = (DOCS / "dns-homes.md").read_text()
    assert "\n".join(line.rstrip() for line in shown) in guide
    assert f"(dns-homes/{path.name})" in guide


@pytest.mark.captures
def test_corpus_is_edited_and_given_back(captures: Path) -> None:
    found = [examined(path) for path in sources(captures / "corpus")]
    refused = [each for each in found if each.refused]
    assert {each.refused for each in refused} <= set(REASONS.values())
    assert len(found) > 20 * len(refused)
