# SPDX-License-Identifier: GPL-3.0-or-later
"""The module against a Harbor on loopback: check mode is the run, a second run changes nothing, no secret is told."""

from __future__ import annotations

import json

import loopback
import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.splithorizon.registry.plugins.module_utils import _harbor_robot
from ansible_collections.splithorizon.registry.plugins.modules import harbor_robot
from fake_harbor_api import ADMIN, FakeHarborApi

NAME = "harbor.example.com"
SECRET, OLD = "Wanted1secret", "Earlier1secret"
PULL = [{"namespace": "*", "access": [{"resource": "repository", "action": "pull"}]}]
PUSH = [{"namespace": "apps", "access": [{"resource": "repository", "action": one} for one in ("push", "pull")]}]


@pytest.fixture
def harbor():
    return FakeHarborApi()


@pytest.fixture
def run(harbor, capsys, tmp_path):
    ca = loopback.make_ca()
    with loopback.serve(harbor, certificate=loopback.make_certificate(ca, NAME), folder=tmp_path) as port:
        there = {"url": f"https://{NAME}", "address": f"127.0.0.1:{port}", "ca": ca.pem}

        def module(*, check=False, password=ADMIN[1], **options):
            account = {"username": ADMIN[0], "password": password}
            modes = {"_ansible_check_mode": check, "_ansible_diff": True}
            with patch_module_args({**there, **account, **options, **modes}), pytest.raises(SystemExit):
                harbor_robot.main()
            printed = capsys.readouterr().out
            assert SECRET not in printed and OLD not in printed and "of-harbor" not in printed
            result = json.loads(printed)
            result.pop("invocation")
            return result

        yield module


def outcome(result):
    return result["changed"], result["diff"]


CASES = {
    "made": (None, {"secret": SECRET, "permissions": PULL}),
    "made for a project": (None, {"project": "apps", "secret": SECRET, "permissions": PUSH, "duration": 90}),
    "made disabled": (None, {"secret": SECRET, "permissions": PULL, "disable": True, "description": "later"}),
    "rotated": ({"secret": OLD}, {"secret": SECRET}),
    "may more": ({"secret": SECRET}, {"secret": SECRET, "permissions": PULL + PUSH}),
    "lasts longer": ({"secret": SECRET, "duration": 30, "age": 20}, {"secret": SECRET, "duration": 60}),
    "renewed after its end": ({"secret": SECRET, "duration": 10, "age": 20}, {"secret": SECRET, "duration": 60}),
    "disabled": ({"secret": SECRET}, {"secret": SECRET, "disable": True}),
    "enabled again": ({"secret": OLD, "disable": True}, {"secret": SECRET, "disable": False}),
    "described, its secret left": ({"secret": OLD}, {"description": "nodes"}),
    "gone": ({"secret": OLD}, {"state": "absent"}),
}


@pytest.mark.parametrize("case", CASES)
def test_check_mode_is_the_run_and_a_second_run_changes_nothing(run, harbor, case):
    before, options = CASES[case]
    if before:
        harbor.add("ci", **before)
    predicted = run(name="ci", check=True, **options)
    assert all(method in ("GET",) for method, _path, _body in harbor.requests)
    done = run(name="ci", **options)
    again = run(name="ci", **options)
    assert outcome(predicted) == outcome(done)
    assert done["changed"]
    assert outcome(again) == (False, [])
    assert {key: predicted.get(key) for key in ("expires", "days_left")} == {
        key: done.get(key) for key in ("expires", "days_left")
    } or before is None


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("made", {"name": "robot$ci", "duration": -1, "disable": False, "opens": True}),
        ("made for a project", {"name": "robot$apps+ci", "duration": 90, "disable": False, "opens": True}),
        ("made disabled", {"name": "robot$ci", "duration": -1, "disable": True, "opens": False}),
        ("rotated", {"name": "robot$ci", "duration": -1, "disable": False, "opens": True}),
        ("renewed after its end", {"name": "robot$ci", "duration": 60, "disable": False, "opens": True}),
        ("enabled again", {"name": "robot$ci", "duration": -1, "disable": False, "opens": True}),
    ],
)
def test_what_harbor_has_afterwards(run, harbor, case, expected):
    before, options = CASES[case]
    if before:
        harbor.add("ci", **before)
    run(name="ci", **options)
    (robot,) = harbor.robots.values()
    seen = {key: robot[key] for key in ("name", "duration", "disable")}
    assert {**seen, "opens": harbor.opens(robot["name"], SECRET)} == expected


def test_a_disabled_robots_secret_is_that_which_was_given(run, harbor):
    run(name="ci", secret=SECRET, permissions=PULL, disable=True)
    assert harbor.secrets == {1: SECRET}


def test_nothing_is_asked_for_and_nothing_is_sent(run, harbor):
    harbor.add("ci", SECRET, duration=30)
    assert run(name="ci", secret=SECRET)["days_left"] == 29
    assert [method for method, _path, _body in harbor.requests] == ["GET", "GET"]


@pytest.mark.parametrize(("duration", "warned"), [(30, True), (90, False), (-1, False)])
def test_an_end_that_is_near_is_warned_of(run, harbor, monkeypatch, duration, warned):
    told = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: told.append(text))
    harbor.add("ci", SECRET, duration=duration, age=20)
    result = run(name="ci", secret=SECRET)
    assert ["robot robot$ci expires on" in one for one in told] == [True] * warned
    assert (result["expires"] == "") is (duration == -1)


@pytest.mark.parametrize(
    ("before", "options", "said"),
    [
        (None, {"name": "CI"}, "name: 'CI' is no robot's name"),
        (None, {"name": "robot$ci"}, "name: 'robot$ci' is no robot's name"),
        (None, {"name": "ci", "permissions": PULL}, "secret: a new robot needs one"),
        (None, {"name": "ci", "secret": SECRET}, "permissions: a new robot needs at least one"),
        (None, {"name": "ci", "secret": "weak", "permissions": PULL}, "secret: Harbor does not take it. 8 to 128"),
        (None, {"name": "ci", "secret": SECRET.lower(), "permissions": PULL}, "secret: Harbor does not take it"),
        (None, {"name": "ci", "secret": "x" * 126 + "Y1z", "permissions": PULL}, "secret: Harbor does not take it"),
        (None, {"name": "ci", "secret": SECRET, "permissions": PULL, "duration": 0}, "duration: 0 is no duration"),
        (
            None,
            {"name": "ci", "secret": SECRET, "permissions": PULL, "project": "apps"},
            "permissions of project *: the robot is of project apps",
        ),
        (
            None,
            {"name": "ci", "project": "nope", "secret": SECRET, "permissions": [{**PULL[0], "namespace": "nope"}]},
            "project: Harbor has no project nope",
        ),
        (
            None,
            {"name": "ci", "secret": SECRET, "permissions": [{**PULL[0], "kind": "system"}]},
            "permissions of system *: namespace / goes with kind system",
        ),
        ({"secret": SECRET, "duration": 9, "age": 20}, {"name": "ci", "secret": SECRET}, "robot robot$ci: has expired"),
        (
            {"secret": SECRET, "age": 20},
            {"name": "ci", "secret": SECRET, "duration": 10},
            "robot robot$ci: would have expired on",
        ),
        (None, {"name": "ci", "password": "wrong-one"}, "/robots: status 401: unauthorized. Check username"),
    ],
)  # fmt: skip
def test_one_clear_error_before_any_change(run, harbor, before, options, said):
    if before:
        harbor.add("ci", **before)
    result = run(**options)
    assert result["failed"]
    assert said in result["msg"]
    assert all(method == "GET" for method, _path, _body in harbor.requests)


def test_a_secret_that_opens_nothing_afterwards_is_told(run, harbor):
    harbor.add("ci", OLD)
    harbor.opens = lambda *_given: False
    assert "its new secret opens nothing" in run(name="ci", secret=SECRET)["msg"]


@pytest.mark.captures
def test_a_real_harbors_robot_is_read_and_written_as_captured(captures):
    cases = {case["name"]: case for case in yaml.safe_load((captures / "harbor-2.15" / "api.yaml").read_text())}
    found = _harbor_robot.existing(cases["robot get"]["response"])
    assert (found.name, found.id, found.expires, found.level) == ("robot$cluster-pull", 1, None, "system")
    assert found == _harbor_robot.existing(cases["robot list"]["response"][0])
    sent = cases["robot create"]["body"]
    assert _harbor_robot.as_body(found.robot, name="cluster-pull", level="system") == {**sent, "description": ""}
