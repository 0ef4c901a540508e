# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.splithorizon.registry.plugins.filter.pull_secrets import pull_secrets

NAME, OLD = "harbor.example.com", "192.168.1.105"
SITE = {"name": NAME, "username": "robot$pull", "password": "one"}
PLAIN = {"name": "pull", "namespaces": ["apps"]}
OTHER = {
    "name": "push",
    "namespaces": ["ci"],
    "username": "robot$ci",
    "password": "two",
    "config_json": True,
    "service_accounts": ["pipeline"],
    "list": "secrets",
}
PRESENT = {"name": NAME, "state": "present"}


@pytest.mark.parametrize(
    ("transport", "image_names", "entry"),
    [
        ("https", [OLD], PRESENT),
        ("https", [NAME], PRESENT),
        ("http", [OLD, NAME], PRESENT),
        ("http", [OLD], {"name": NAME, "state": "absent"}),
    ],
)
def test_the_public_names_entry_follows_who_uses_it(transport, image_names, entry):
    plain, other = pull_secrets([PLAIN, OTHER], transport=transport, image_names=image_names, **SITE)
    present = entry["state"] == "present"
    logins = [{"username": "robot$pull", "password": "one"}, {"username": "robot$ci", "password": "two"}]
    given = logins if present else [{}, {}]
    assert [one["registries"] for one in (plain, other)] == [[{**entry, **login}] for login in given]
    assert plain["added_only"] is other["added_only"] is not present
    assert ("config_json" in plain, other.get("config_json", False)) == (False, present)


def test_list_and_accounts_are_those_given_or_none():
    plain, other = pull_secrets([PLAIN, OTHER], transport="https", image_names=[NAME], **SITE)
    assert (plain["service_accounts"], plain["list"]) == ([], "imagePullSecrets")
    assert (other["service_accounts"], other["list"]) == (["pipeline"], "secrets")
