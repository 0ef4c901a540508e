# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _harbor
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, RegistryError

DATA = Path(__file__).parent / "data" / "harbor"
OLD, NEW = (2, 13, 5), (2, 14, 0)
WITH_ANNOTATION = " ["


def load(kind):
    paths = sorted((DATA / kind).glob("*.yaml"))
    return [pytest.param(yaml.safe_load(path.read_text()), id=path.stem) for path in paths]


@pytest.mark.parametrize("case", load("valid"))
def test_plan(case):
    found = _harbor.plan(**case["given"])
    assert found.after == case["after"]
    assert {name: found.patch(name) for name in found.after} == case["patch"]
    assert found.changed is any(case["patch"].values())


@pytest.mark.parametrize("case", load("valid"))
def test_a_second_plan_changes_nothing(case):
    given = case["given"]
    after = _harbor.plan(**given).after
    core, jobservice = after.values()
    again = {**given, "core": {**given["core"], **core}, "jobservice": {**given["jobservice"], **jobservice}}
    assert not _harbor.plan(**again).changed


@pytest.mark.parametrize("case", load("valid"))
def test_the_way_back_restores_every_value(case):
    found = _harbor.plan(**case["given"])
    back = {name: {**found.after[name], **found.patch(name, back=True)} for name in found.after}
    assert back == found.before


@pytest.mark.parametrize("case", load("invalid"))
def test_refused(case):
    with pytest.raises(RegistryError) as error:
        _harbor.plan(**case["given"])
    assert type(error.value).__name__ == case["error"]
    assert case["said"] in str(error.value)


@pytest.mark.captures
def test_every_realm_is_that_of_a_real_harbor(captures):
    cells = 0
    for setting in yaml.safe_load((captures / "harbor-2.15" / "realms.yaml").read_text()):
        for asked, header in setting["realms"].items():
            host, _blank, how = asked.partition(WITH_ANNOTATION)
            expected = _harbor.realm(host=host, ext_endpoint=setting["ext_endpoint"], core_url=setting["core_url"])
            # With credentials, and for the catalog, there is no realm: why it is read without.
            basic = how.startswith(("Authorization", "catalog"))
            wanted = 'Basic realm="harbor"' if basic else _harbor.challenge(expected)
            assert header.removeprefix("401 ") == wanted, (setting["core_url"], asked)
            cells += 1
    assert cells == 5 * 17


@pytest.mark.parametrize(
    ("host", "core_url", "version", "expected"),
    [
        ("harbor.example.com", "http://harbor-core:80", OLD, "https://hub.example.com/service/token"),
        ("harbor.example.com", "http://harbor-core:80", NEW, "https://harbor.example.com/service/token"),
        ("harbor-core", "http://harbor-core:80", OLD, "http://harbor-core:80/service/token"),
        ("harbor-core:80", "http://harbor-core", NEW, "http://harbor-core/service/token"),
        ("harbor-core:443", "https://harbor-core:443", NEW, "https://harbor-core:443/service/token"),
        ("harbor-core:443", "http://harbor-core:80", NEW, "https://harbor-core:443/service/token"),
        ("harbor-core:8080", "http://harbor-core:8080/", NEW, "http://harbor-core:8080/service/token"),
    ],
)
def test_realm_by_both_rules(host, core_url, version, expected):
    ext_endpoint = "https://hub.example.com"
    assert _harbor.realm(host=host, ext_endpoint=ext_endpoint, core_url=core_url, version=version) == expected


@pytest.mark.captures
def test_a_real_healthy_answer_is_healthy(captures):
    calls = yaml.safe_load((captures / "harbor-2.15" / "api.yaml").read_text())
    health = next(call["response"] for call in calls if call["name"] == "health")
    assert _harbor.unhealthy(health) == []
    health["components"][2] |= {"status": "unhealthy", "error": "connection refused"}
    health["status"] = "unhealthy"
    assert _harbor.unhealthy(health) == ["jobservice: connection refused"]


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (None, ["no answer"]),
        ({"status": "unhealthy", "components": []}, ["status: unhealthy"]),
        ({"status": "healthy", "components": [{"name": "core", "status": "unhealthy"}]}, ["core: unhealthy"]),
        ({"status": "healthy", "components": [{"name": "core", "status": "healthy"}]}, []),
    ],
)
def test_health_is_read_from_the_components(health, expected):
    assert _harbor.unhealthy(health) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("goharbor/harbor-core:v2.15.2", (2, 15, 2)),
        ("registry.example.com:5000/goharbor/harbor-core:v2.9.1-rc1", (2, 9, 1)),
        ("goharbor/harbor-core:v2.13.0@sha256:" + "0" * 64, (2, 13, 0)),
        ("goharbor/harbor-core:dev", None),
        ("registry.example.com:5000/harbor-core", None),
    ],
)
def test_version_in_an_image(image, expected):
    assert _harbor.image_version(image) == expected


def test_version_given():
    assert _harbor.parse_version("v2.13.5-abc", where="version") == (2, 13, 5)
    with pytest.raises(BadInput, match="version: '2' is no version"):
        _harbor.parse_version("2", where="version")


def config_map(*entries):
    fields = [{"time": time, "fieldsV1": {"f:data": {f"f:{key}": {} for key in keys}}} for time, keys in entries]
    return {"metadata": {"managedFields": fields}}


def pod(started, **metadata):
    state = {"running": {"startedAt": started}} if started else {"waiting": {}}
    return {"metadata": metadata, "status": {"containerStatuses": [{"state": state}]}}


WRITTEN = config_map(("2026-11-21T14:00:00Z", ["CORE_URL"]), ("2026-11-21T15:00:00Z", ["LOG_LEVEL"]))


@pytest.mark.parametrize(
    ("pods", "stale"),
    [
        ([pod("2026-11-21T13:59:59Z")], True),
        ([pod("2026-11-21T14:00:00Z")], False),
        ([pod("2026-11-21T14:30:00Z"), pod("2026-11-21T13:00:00Z")], True),
        ([pod("2026-11-21T13:00:00Z", deletionTimestamp="2026-11-21T14:00:01Z")], False),
        ([pod(None)], False),
        ([], False),
    ],
)
def test_pods_older_than_the_settings_are_found(pods, stale):
    assert _harbor.started_before(config_map=WRITTEN, pods=pods) is stale


def test_without_a_record_of_writes_nothing_is_stale():
    assert not _harbor.started_before(config_map={"metadata": {}}, pods=[pod("2026-11-21T13:00:00Z")])


@pytest.mark.captures
def test_every_external_url_in_the_wild_is_planned_or_refused_clearly(captures):
    """Templates (``${DOMAIN}``) are no URLs until somebody fills them in."""
    core = {"EXT_ENDPOINT": "http://192.168.1.105", "CORE_URL": "http://harbor-core:80"}
    planned = refused = 0
    for path in sorted((captures / "corpus" / "harbor").iterdir()):
        for url in re.findall(r"^\s*externalURL:\s*(\S+)", path.read_text(), re.MULTILINE):
            bare = url.strip("\"'")
            given = {"fullname": "harbor", "namespace": "harbor", "core": core, "jobservice": {}}
            try:
                found = _harbor.plan(**given, external_url=bare, core_url=None)
            except BadInput as error:
                assert re.search(r"[${}]|^[^/]*$", bare), (path.name, bare)
                assert error.where == "external_url"
                refused += 1
            else:
                assert found.after["harbor-core"]["EXT_ENDPOINT"] == bare
                planned += 1
    assert planned >= 4
    assert refused >= 2
