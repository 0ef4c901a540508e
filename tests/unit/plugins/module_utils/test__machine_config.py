# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import copy
import difflib
from pathlib import Path

import pytest
import talos_files
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _errors, _node_registries
from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import (
    MachineConfig,
    Version,
    make_plan,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._node_change import describe
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import wanted_from
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import (
    Endpoint,
    Mirror,
    Settings,
    Wanted,
)
from certificate import CA

HERE = Path(__file__).resolve()
DATA = HERE.parent / "data" / "machine_config"
CORPUS = HERE.parents[4].parent / "shared" / "corpus" / "talos"
PLAIN = "version: v1alpha1\nmachine:\n  type: worker\n"

KEY = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"


def cases(kind):
    return [pytest.param(yaml.safe_load(p.read_text()), id=p.stem) for p in sorted((DATA / kind).glob("*.yaml"))]


def wanted(given):
    """What the module would get: every option with its default."""
    specs = {**_node_registries.REGISTRIES_SPEC, **_node_registries.LAYER_SPEC}
    filled = {name: given.get(name, spec.get("default")) for name, spec in specs.items()}
    for kind, spec in _node_registries.REGISTRIES_SPEC.items():
        defaults = {name: option.get("default") for name, option in spec["options"].items()}
        if filled[kind] is not None:
            filled[kind] = [{**defaults, **item} for item in filled[kind]]
    return wanted_from(filled)


def version(text):
    return Version(*(int(part) for part in text.split(".")))


def plan_of(case, text):
    return make_plan(
        MachineConfig.parse(text),
        wanted(case["wanted"]),
        version=version(case.get("version", "1.13.0")),
        layer=case.get("ask_layer", "auto"),
    )


@pytest.mark.parametrize("case", cases("valid"))
def test_plan(case):
    plan = plan_of(case, case["before"])
    assert plan.after.text == case["after"]
    assert list(plan.reasons) == case["reasons"]
    assert plan.changed == (case["before"] != case["after"])
    assert (plan.layer, plan.hosts_layer) == (case["layer"], case["hosts_layer"])
    assert plan.reboot_required == case["reboot_required"]


@pytest.mark.parametrize(
    ("minor", "layer", "reboots"),
    [
        (10, "v1alpha1", True),
        (11, "v1alpha1", True),
        (12, "documents", True),
        (13, "documents", True),
        (14, "documents", False),
        (15, "documents", False),
    ],
)
def test_what_each_version_gets_and_needs(minor, layer, reboots):
    credentials = {"auth": [{"name": "a.example.com", "username": "u", "password": "p"}]}
    config, of_node = MachineConfig.parse(PLAIN), Version(1, minor)
    plan = make_plan(config, wanted(credentials), version=of_node)
    assert (plan.layer, plan.hosts_layer, plan.reboot_required) == (layer, layer, reboots)
    assert bool(plan.after.in_documents.auth) == (layer == "documents")
    for asked in ({"layer": "documents"}, {"layer": "auto", "migrate": True}):
        more = wanted({**credentials, "migrate": asked.get("migrate", False)})
        if layer == "documents":
            assert make_plan(config, more, version=of_node, layer=asked["layer"]).after == plan.after
        else:
            with pytest.raises(_errors.BadInput, match="knows no registry documents"):
                make_plan(config, more, version=of_node, layer=asked["layer"])


@pytest.mark.parametrize("case", cases("valid"))
def test_second_plan_changes_nothing(case):
    plan = plan_of(case, case["after"])
    assert plan.reasons == ()
    assert plan.after.text == case["after"]


@pytest.mark.parametrize("case", cases("invalid"))
def test_refused(case):
    with pytest.raises(_errors.RegistryError) as caught:
        plan_of(case, case.get("before", PLAIN))
    assert type(caught.value).__name__ == case["error"]
    assert case["says"] in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("layer", ["documents", "v1alpha1"])
def test_certificates_in_both_layers(layer):
    tls = {"name": "h.example.com", "ca": CA + "\n\n", "client_cert": CA, "client_key": KEY}
    asked = wanted({"tls": [tls]})
    plan = make_plan(MachineConfig.parse(PLAIN), asked, version=Version(1, 13), layer=layer)
    loaded = list(yaml.safe_load_all(plan.after.text))
    if layer == "documents":
        assert loaded[1]["ca"] == CA
        assert loaded[1]["clientIdentity"] == {"cert": CA, "key": KEY}
    else:
        written = loaded[0]["machine"]["registries"]["config"]["h.example.com"]["tls"]
        assert base64.b64decode(written["ca"]).decode() == CA
        assert base64.b64decode(written["clientIdentity"]["crt"]).decode() == CA
        assert base64.b64decode(written["clientIdentity"]["key"]).decode() == KEY
    assert plan.after.effective.tls["h.example.com"].client_key == KEY
    assert make_plan(plan.after, asked, version=Version(1, 13), layer=layer).reasons == ()


def test_views_show_changed_secrets_without_them():
    def auth(password):
        return wanted({"auth": [{"name": "h.example.com", "username": "u", "password": password}]})

    first = make_plan(MachineConfig.parse(PLAIN), auth("hunter1"), version=Version(1, 13))
    second = make_plan(first.after, auth("hunter2"), version=Version(1, 13))
    assert first.views == ({}, {"RegistryAuthConfig/h.example.com": {"username": "u", "password": "VALUE_HIDDEN"}})
    assert second.views == (
        {"RegistryAuthConfig/h.example.com": {"username": "u", "password": "VALUE_HIDDEN (old)"}},
        {"RegistryAuthConfig/h.example.com": {"username": "u", "password": "VALUE_HIDDEN (new)"}},
    )
    for plan in (first, second):
        assert "hunter" not in repr(plan.reasons) + repr(plan.views) + repr(plan.after.effective)


def test_views_hide_client_keys_and_show_only_what_differs():
    tls = {"name": "h.example.com", "ca": CA, "client_cert": CA, "client_key": KEY}
    mirror = {"name": "r.example.com", "endpoints": ["https://h.example.com"]}
    first = make_plan(MachineConfig.parse(PLAIN), wanted({"mirrors": [mirror]}), version=Version(1, 13))
    second = make_plan(first.after, wanted({"mirrors": [mirror], "tls": [tls]}), version=Version(1, 13))
    before, after = second.views
    assert before == {}
    assert list(after) == ["RegistryTLSConfig/h.example.com"]
    assert after["RegistryTLSConfig/h.example.com"]["clientIdentity"]["key"] == "VALUE_HIDDEN"
    assert "c2VjcmV0" not in repr(second.views)


def test_a_migration_shows_no_secrets():
    auth = {"name": "h.example.com", "username": "u", "password": "hunter2"}
    tls = {"name": "h.example.com", "client_cert": CA, "client_key": KEY}
    asked = wanted({"auth": [auth], "tls": [tls]})
    old = make_plan(MachineConfig.parse(PLAIN), asked, version=Version(1, 13), layer="v1alpha1").after
    before, after = make_plan(old, wanted({"migrate": True}), version=Version(1, 13)).views
    assert [*before] == [f"machine.registries.config.h.example.com.{kind}" for kind in ("auth", "tls")]
    assert [*after] == ["RegistryAuthConfig/h.example.com", "RegistryTLSConfig/h.example.com"]
    key = base64.b64encode(KEY.encode()).decode()
    assert not any(secret in repr((before, after)) for secret in ("hunter2", "c2VjcmV0", key))


@pytest.mark.parametrize("layer", ["documents", "v1alpha1"])
def test_passwords_in_urls_of_a_node_are_not_shown(layer):
    mirror = Mirror(endpoints=(Endpoint(url="https://u:hunter2@h.example.com/v2"),))
    there = Wanted(mirrors={"a.example.com": mirror})
    config = make_plan(MachineConfig.parse(PLAIN), there, version=Version(1, 13), layer=layer).after
    assert "hunter2" in config.text
    plan = make_plan(config, wanted({"state": "exact"}), version=Version(1, 13))
    shown = repr(
        (plan.reasons, plan.views, describe(make_plan(config, Wanted(), version=Version(1, 13)), pending="none"))
    )
    assert "https://h.example.com/v2" in shown
    assert "hunter2" not in shown


def test_meaning_is_not_bytes():
    main = "version: v1alpha1\nmachine:\n  type: worker # x\n"
    one = MachineConfig.parse(main + "---\nkind: A\nname: 'b'\n---\nkind: C\n")
    flow = "version: v1alpha1\nmachine: {type: worker}\n"
    other = MachineConfig.parse("kind: C\n---\n# first\n" + flow + "---\n{kind: A, name: b}\n")
    assert one.means_the_same_as(other)
    assert not one.means_the_same_as(MachineConfig.parse(other.text.replace("worker", "controlplane")))


@pytest.mark.parametrize(
    ("text", "cached"),
    [
        (PLAIN, False),
        (PLAIN + "  features: {imageCache: {localEnabled: true}}\n", True),
        (PLAIN + "---\napiVersion: v1alpha1\nkind: ImageCacheConfig\nlocal: {enabled: true}\n", True),
        (PLAIN + "---\napiVersion: v1alpha1\nkind: ImageCacheConfig\nlocal: {enabled: false}\n", False),
    ],
)
def test_the_image_cache_is_seen_in_either_layer(text, cached):
    assert MachineConfig.parse(text).has_image_cache == cached


def whole_configurations():
    """Files of the corpus that are whole machine configurations (templates that parse as YAML among them)."""
    found = []
    for path in sorted(set(CORPUS.glob("*")) - set(CORPUS.glob("*decoder__testdata*"))) if CORPUS.is_dir() else []:
        text = path.read_text(encoding="utf-8")
        try:
            config = MachineConfig.parse(text)
            if {"machine", "version"} <= config.main.keys():
                found.append(pytest.param(text, id=path.name))
        except _errors.Conflict:
            continue
    return found


WHOLE = whole_configurations()
ASKED = {
    "mirrors": [{"name": "new.example.com:5000", "endpoints": ["https://h.example.com"], "skip_fallback": True}],
    "auth": [{"name": "h.example.com", "username": "robot$x", "password": "yes"}],
    "tls": [{"name": "h.example.com", "insecure_skip_verify": True}],
    "hosts": [{"ip": "10.43.7.9", "names": ["h.example.com", "i.example.com"]}],
}


@pytest.mark.captures
@pytest.mark.skipif(not WHOLE, reason="no corpus of real configurations beside this checkout (../shared)")
def test_the_corpus_is_read():
    assert len(WHOLE) >= 20


@pytest.mark.captures
@pytest.mark.parametrize("layer", ["documents", "v1alpha1"])
@pytest.mark.parametrize("text", WHOLE)
def test_real_configurations_added_to_and_taken_from(text, layer):
    config = MachineConfig.parse(text)
    gone = copy.deepcopy(ASKED)
    for items in gone.values():
        for item in items:
            item["state"] = "absent"
    added = make_plan(config, wanted(ASKED), version=Version(1, 13), layer=layer)
    assert len(added.reasons) == 4
    assert make_plan(added.after, wanted(ASKED), version=Version(1, 13), layer=layer).reasons == ()
    # No line of the original is gone but an empty parent that was written as `{}`.
    compared = difflib.ndiff(text.splitlines(), added.after.text.splitlines())
    assert [line for line in compared if line.startswith("- ") and not line.endswith("{}")] == []
    removed = make_plan(added.after, wanted(gone), version=Version(1, 13), layer=layer)
    if layer == "documents":
        assert removed.after.text.removesuffix("\n") == text.removesuffix("\n")
    assert without_empty(removed.after) == without_empty(config)


@pytest.mark.captures
@pytest.mark.parametrize("text", WHOLE)
def test_real_configurations_migrated(text):
    config = MachineConfig.parse(text)
    if any(ip.startswith("${") for ip, _names in config.effective.hosts):
        with pytest.raises(_errors.Conflict, match="without an IP address"):
            make_plan(config, wanted({"migrate": True}), version=Version(1, 13))
        return
    plan = make_plan(config, wanted({"migrate": True}), version=Version(1, 13))
    assert talos_files.everything(plan.after.effective) == talos_files.everything(config.effective)
    assert plan.after.in_v1alpha1 == Settings()
    exact = make_plan(plan.after, wanted({"state": "exact", "hosts": []}), version=Version(1, 13))
    assert exact.after.effective == Settings()
    assert without_empty(exact.after) == without_empty(without_ours(config))


def without_ours(config):
    return make_plan(config, wanted({"state": "exact", "hosts": []}), version=Version(1, 13)).after


def without_empty(config):
    documents = [copy.deepcopy(document.data) for document in config.documents if document.data]
    for document in documents:
        machine = document.get("machine") or {}
        for key in ("registries", "network"):
            for inner in ("mirrors", "config", "extraHostEntries"):
                if machine.get(key) and not machine[key].get(inner, True):
                    del machine[key][inner]
            if key in machine and not machine[key]:
                del machine[key]
    return documents
