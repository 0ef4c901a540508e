# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _docker_config, _pull_secret
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import Conflict, RegistryError

DATA = Path(__file__).parent / "data" / "pull_secret"


def load(kind):
    paths = sorted((DATA / kind).glob("*.yaml"))
    return [pytest.param(yaml.safe_load(path.read_text()), id=path.stem) for path in paths]


def secret(*, type="kubernetes.io/dockerconfigjson", data, text=None, labels=None, annotations=None, **fields):
    texts = {**{key: json.dumps(config) for key, config in data.items()}, **(text or {})}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in texts.items()}
    metadata = {"resourceVersion": "7", "uid": "u", "labels": labels, "annotations": annotations}
    return {"type": type, "metadata": metadata, "data": encoded, **fields}


def plan(given, *, found=None):
    empty = {"username": None, "password": None, "state": "present"}
    wanted = _pull_secret.Wanted(
        name="pull",
        credentials=tuple(
            _docker_config.check_credentials({**empty, **one}, where="registries") for one in given["credentials"]
        ),
        config_json=given.get("config_json"),
        added_only=given.get("added_only", False),
    )
    return _pull_secret.plan_secret(namespace="apps", found=found, wanted=wanted)


def sent(step, found):
    """The Secret after the step, as the API server keeps it."""
    if step.method == "delete":
        return None
    if not step.method:
        return found
    if step.method == "create":
        return {**step.body, "metadata": {**step.body["metadata"], "resourceVersion": "8", "uid": "v"}}
    merged = {**found["data"], **step.body["data"]}
    marks = {**(found["metadata"]["annotations"] or {}), **step.body["metadata"]["annotations"]}
    data = {key: value for key, value in merged.items() if value is not None}
    annotations = {key: value for key, value in marks.items() if value is not None}
    return {**found, "data": data, "metadata": {**found["metadata"], "annotations": annotations}}


def configs(found):
    return {key: json.loads(base64.b64decode(value)) for key, value in (found or {}).get("data", {}).items()}


@pytest.mark.parametrize("case", load("valid"))
def test_plan(case):
    found = secret(**case["given"]["found"]) if "found" in case["given"] else None
    step = plan(case["given"], found=found)
    after = sent(step, found)
    assert step.method == case["method"]
    assert configs(after) == case["after"]
    assert ((after or {}).get("metadata", {}).get("annotations") or {}).get(_pull_secret.ADDED, "") == case["added"]
    assert {"before": step.change.before, "after": step.change.after} == case["diff"]
    assert step.change.changed is bool(step.method)
    assert step.present is (after is not None)


@pytest.mark.parametrize("case", load("valid"))
def test_a_second_plan_changes_nothing(case):
    found = secret(**case["given"]["found"]) if "found" in case["given"] else None
    again = sent(plan(case["given"], found=found), found)
    assert plan(case["given"], found=again).method == ""


@pytest.mark.parametrize("case", [case for case in load("valid") if case.values[0]["method"] in ("create", "merge")])
def test_the_way_back_restores_what_was_there(case):
    """Adding, and then taking away what was added: every entry of before is there, and none more."""
    found = secret(**case["given"]["found"]) if "found" in case["given"] else None
    absent = [one["name"] for one in case["given"]["credentials"] if one.get("state") == "absent"]
    there = sent(plan(case["given"], found=found), found)
    away = [{"name": one["name"], "state": "absent"} for one in case["given"]["credentials"]]
    back = sent(plan({"credentials": away, "added_only": True}, found=there), there)
    before, kept = configs(found), case["given"].get("config_json") is not False
    entries = {key: config["auths"].keys() - absent for key, config in before.items() if key != "config.json" or kept}
    assert {key: config["auths"].keys() for key, config in configs(back).items()} == entries


@pytest.mark.parametrize("case", load("invalid"))
def test_refused_without_a_secret_in_the_words(case):
    found = secret(**case["given"]["found"]) if "found" in case["given"] else None
    with pytest.raises(RegistryError) as error:
        plan(case["given"], found=found)
    assert type(error.value).__name__ == case["error"]
    assert case["said"] in str(error.value)
    assert "SECRET" not in str(error.value)


def test_only_keys_that_change_are_written():
    found = secret(data={".dockerconfigjson": {"auths": {}}, "config.json": {"auths": {"h": {"auth": "dTpw"}}}})
    step = plan({"credentials": [{"name": "h", "username": "u", "password": "p"}]}, found=found)
    assert list(step.body["data"]) == [".dockerconfigjson"]
    assert step.body["metadata"]["resourceVersion"] == "7"


def test_a_password_is_in_no_text_made_of_a_plan():
    found = secret(data={".dockerconfigjson": {"auths": {"h": {"username": "u", "password": "OLD-SECRET"}}}})
    given = {"credentials": [{"name": "h", "username": "u", "password": "NEW-SECRET"}]}
    step = plan(given, found=found)
    assert "SECRET" not in f"{step.change} {step.change.diff} {step.change.before!r}"
    assert "SECRET" not in repr(_docker_config.Login(username="u", password="SECRET"))


LISTED = {"metadata": {"resourceVersion": "3"}, "imagePullSecrets": [{"name": "old"}], "secrets": [{"name": "token"}]}
FIRST = {**LISTED, "imagePullSecrets": [{"name": "pull"}, {"name": "old"}]}


@pytest.mark.parametrize(
    ("found", "present", "key", "after"),
    [
        (LISTED, True, "imagePullSecrets", ["old", "pull"]),
        (LISTED, True, "secrets", ["token", "pull"]),
        (FIRST, True, "imagePullSecrets", None),
        (FIRST, False, "imagePullSecrets", ["old"]),
        ({"metadata": {"resourceVersion": "3"}}, True, "imagePullSecrets", ["pull"]),
        (LISTED, False, "imagePullSecrets", None),
        (None, False, "imagePullSecrets", None),
    ],
)
def test_what_a_service_account_lists(found, present, key, after):
    step = _pull_secret.plan_account(
        namespace="apps", name="default", found=found, secret="pull", present=present, key=key
    )
    assert ([one["name"] for one in step.body[key]] if step.method else None) == after
    assert step.change.changed is (after is not None)


def test_a_service_account_that_is_not_there_cannot_list():
    with pytest.raises(Conflict, match="ServiceAccount apps/ci: does not exist"):
        _pull_secret.plan_account(
            namespace="apps", name="ci", found=None, secret="pull", present=True, key="imagePullSecrets"
        )
