# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewrites in a file that somebody else's Corefile imports: only that file changes, and only if it takes effect."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_custom import compose, plan_custom
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_map import CorefileMap, CustomMap
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import rewrite

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan

NAME, TARGET = "a.example.com", "b.c.svc.cluster.local"
RULE = f"rewrite stop name exact {NAME} {TARGET}\n"
KEY = "splithorizon.override"
K3S = """.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
    }
    hosts /etc/coredns/NodeHosts {
      ttl 60
    }
    reload
    import /etc/coredns/custom/*.override
}
import /etc/coredns/custom/*.server
"""


def plan(files: dict[str, str], *, corefile: str = K3S, present: bool = True, exact: bool = False) -> RewritePlan:
    wanted = [rewrite(name=NAME, target=TARGET, present=present)]
    return plan_custom(corefile=corefile, files=files, key=KEY, wanted=wanted, exact=exact, where="here", port=53)


@pytest.mark.parametrize(
    ("corefile", "files", "expected"),
    [
        ("import custom/*.server", {"b.server": "B", "a.server": "A", "a.override": "x"}, "\nA\n\nB\n"),
        ("import custom/*.server # all", {}, " # all"),
        ("import ../custom/only.server\n", {"only.server": "A", "b.server": "B"}, "\nA\n\n"),
        ("import other/*.server\nlog import custom/*", {"a.server": "A"}, "import other/*.server\nlog import custom/*"),
    ],
)
def test_files_in_the_place_of_their_import(corefile: str, files: dict[str, str], expected: str) -> None:
    assert compose(corefile, files) == expected


@pytest.mark.parametrize("text", ["", "log # ours\n", "rewrite name x.example.com y.example.com\n"])
def test_add_again_and_take_out(text: str) -> None:
    others = {"z.override": "cache 30\n", "team.server": "example.org {\n  forward . 1.1.1.1\n}\n"}
    done = plan({**others, KEY: text})
    assert (done.before, done.after, done.zone) == (text, text + RULE, ".")
    assert done.reloads
    assert not plan({**others, KEY: done.after}).changes
    assert plan({**others, KEY: done.after}, present=False).after == text


def test_file_without_final_line_ending() -> None:
    assert plan({KEY: "log"}).after == f"log\n{RULE}"


def test_rule_in_another_file_is_as_good() -> None:
    assert not plan({"a.override": RULE}).changes


@pytest.mark.parametrize(
    ("files", "corefile", "problem"),
    [
        ({}, K3S.replace("import", "# import"), "does not import this key"),
        ({"a.override": "rewrite stop type A AAAA\n"}, K3S, "stops before it"),
        ({"a.override": f"rewrite name {NAME} x.y.svc.cluster.local\n"}, K3S, "not to b.c.svc.cluster.local"),
        ({"a.server": "example.com {\n  forward . 1.1.1.1\n}\n"}, K3S, "it has no kubernetes plugin"),
        ({"a.server": "example.com {\n  kubernetes cluster.local\n}\n"}, K3S, "does not import this key"),
    ],
)
def test_what_would_take_no_effect_is_a_conflict(files: dict[str, str], corefile: str, problem: str) -> None:
    with pytest.raises(Conflict) as error:
        plan(files, corefile=corefile)
    assert problem in error.value.problem
    assert error.value.where.startswith("here")


def test_what_stands_elsewhere_is_not_taken_out() -> None:
    with pytest.raises(Conflict) as error:
        plan({"a.override": RULE}, present=False)
    assert "stands elsewhere" in error.value.problem


def test_exact_takes_out_other_lines_of_its_own() -> None:
    text = "log\nrewrite name old.example.com b.c.svc.cluster.local\n"
    assert plan({KEY: text}, exact=True).after == f"log\n{RULE}"


Json = dict[str, t.Any]


class FakeCluster:
    """The Corefile's ConfigMap, and the one beside it, if it is there."""

    def __init__(self, custom: Json | None) -> None:
        self.maps = {"coredns": {"metadata": {"resourceVersion": "1"}, "data": {"Corefile": K3S}}}
        if custom is not None:
            self.maps["coredns-custom"] = {"metadata": {"resourceVersion": "7"}, "data": custom}

    def get(self, api: str, kind: str, namespace: str, name: str) -> Json | None:
        return self.maps.get(name)

    def create(self, body: Json) -> Json:
        assert body["metadata"] == {"namespace": "kube-system", "name": "coredns-custom"}
        self.maps["coredns-custom"] = {"metadata": {"resourceVersion": "8"}, "data": body["data"]}
        return self.maps["coredns-custom"]

    def merge(self, api: str, kind: str, namespace: str, name: str, body: Json) -> Json:
        found = self.maps[name]
        assert body["metadata"] == found["metadata"]
        data = {**found["data"], **body["data"]}
        found["data"] = {key: value for key, value in data.items() if value is not None}
        return found


@pytest.mark.parametrize("custom", [None, {}, {"a.override": "log\n"}])
def test_only_its_own_key_is_written(custom: Json | None) -> None:
    cluster = t.cast("t.Any", FakeCluster(custom))
    corefile = CorefileMap(cluster, namespace="kube-system", name="coredns", key="Corefile")
    home = CustomMap(cluster, corefile=corefile, namespace="kube-system", name="coredns-custom", key=KEY)

    def edit(present: bool) -> bool:
        wanted = [rewrite(name=NAME, target=TARGET, present=present)]
        planned, _metadata = home.edit(lambda text: home.plan(text, wanted=wanted, exact=False, version=None, port=53))
        return planned.changes

    assert edit(True)
    assert cluster.maps["coredns-custom"]["data"] == {**(custom or {}), KEY: RULE}
    assert not edit(True)
    assert edit(False)
    assert cluster.maps["coredns-custom"]["data"] == (custom or {})
    assert cluster.maps["coredns"]["data"] == {"Corefile": K3S}
