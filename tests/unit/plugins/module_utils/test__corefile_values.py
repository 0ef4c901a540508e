# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewrites in files of a repository: only the lines of what is added or taken out, in whatever file the Corefile is."""

from __future__ import annotations

import textwrap
import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_values import corefile_of, plan_source
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import rewrite

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan

NAME, TARGET = "a.example.com", "b.c.svc.cluster.local"
RULE = f"stop name exact {NAME} {TARGET}"
GENERAL: dict[str, str] = {"name": r"^(.*)\.b\.com\.$", "target": TARGET, "match": "regex", "example": "a.b.com"}
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


ENDS_ITS_BLOCK = "}\n          }\n          example.org {\n          log {"


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
    assert corefile_of(servers) == "dns://. a.b:53 {\nerrors\n}\n. {\nlog . {$X} {\nclass error\n}\n}\n"


def test_rule_goes_before_one_that_stops_and_after_the_comment_of_its_neighbour() -> None:
    first = "      - name: rewrite\n        parameters: type A AAAA\n"
    text = VALUES.replace("      - name: errors\n", first + "      - name: errors\n")
    assert plan(text).after == text.replace(first, ITEM + first)
    assert plan(plan(text).after, present=False).after == text


def test_exact_takes_out_other_items() -> None:
    other = "      - name: rewrite\n        parameters: stop\n        configBlock: |-\n          name exact x.y z.y\n"
    assert plan(with_item(VALUES, other), exact=True).after == with_item(VALUES)


def test_several_rules_in_their_order() -> None:
    wanted = [rewrite(name=NAME, target=TARGET), rewrite(**GENERAL)]  # type: ignore[arg-type]
    done = plan_source(text=VALUES, path="values.yml", wanted=wanted, port=53)
    second = f"      - name: rewrite\n        parameters: stop name regex {GENERAL['name']} {TARGET} answer auto\n"
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


@pytest.mark.parametrize(
    ("text", "error", "problem"),
    [
        ("", BadInput, "holds no Corefile"),
        ("# nothing\n---\n", BadInput, "holds no Corefile"),
        ("kind: ConfigMap\ndata: {}\n", BadInput, "holds no Corefile"),
        (VALUES + "---\n" + VALUES, BadInput, "holds 2 Corefiles"),
        ("data:\n  Corefile: '. {}'\n", Conflict, "no literal block"),
        ("servers: [{plugins: [{name: kubernetes, parameters: cluster.local}]}]\n", Conflict, "edited in place"),
        (VALUES.replace("zone: .,", "zone: '${DOMAIN}',"), Conflict, "environment variable"),
        (VALUES.replace("kubernetes", "k8s"), Conflict, "no kubernetes plugin"),
        (VALUES.replace("- name: ready", "- ready"), BadInput, "holds no Corefile"),
        (VALUES.replace("- name: ready", "- nome: ready"), BadInput, "holds no Corefile"),
        (
            VALUES.replace("pods verified", ENDS_ITS_BLOCK),
            Conflict,
            "ends its server block",
        ),
        (VALUES + "servers: 3\n", BadInput, "holds no Corefile"),
        ("servers: {{ .Values }}\n- x", Conflict, ""),
    ],
)
def test_what_cannot_be_edited(text: str, error: type[RegistryError], problem: str) -> None:
    with pytest.raises(error) as found:
        plan(text)
    assert problem in found.value.problem


@pytest.mark.captures
def test_corpus_is_edited_and_given_back(captures: Path) -> None:
    folder = captures / "corpus"
    files = [*(folder / "helm-values").iterdir(), *(folder / "edits").glob("coredns__*.yaml")]
    restored, refused = 0, 0
    for path in files:
        text = path.read_bytes().decode()
        try:
            done = plan(text)
        except RegistryError:
            refused += 1
            continue
        assert done.changes, path.name
        assert not plan(done.after).changes, path.name
        assert plan(done.after, present=False).after == text, path.name
        restored += 1
    assert restored > 10 * refused
