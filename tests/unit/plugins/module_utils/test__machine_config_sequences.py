# SPDX-License-Identifier: GPL-3.0-or-later
"""Random sequences of present, absent and exact over both layers, beside a model of what they mean."""

from __future__ import annotations

import base64

import talos_files
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _node_registries
from ansible_collections.splithorizon.registry.plugins.module_utils._machine_config import (
    MachineConfig,
    Version,
    make_plan,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import (
    Auth,
    Endpoint,
    Mirror,
    Settings,
    Tls,
    normal,
)
from certificate import CA
from hypothesis import given, settings
from hypothesis import strategies as st

KEY = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"

REGISTRIES = ["a.example.com", "b.example.com:5000", "*", "docker.io", "[fd00::1]:5000"]
SECURE = ["m.example.com", "[fd00::2]:5000"]
URLS = [*(f"https://{host}" for host in SECURE), "https://m.example.com/v2/hub", "http://plain.example.com:8080"]
ADDRESSES = ["10.0.0.1", "10.0.0.2", "fd00::1"]
NAMES = ["m.example.com", "n.example.com", "o.example.com"]

MAIN_HEAD = "# of the team\nversion: v1alpha1 # first\nmachine:\n    type: worker # kept\n    kubelet: {image: 'x'}\n"
OTHERS = "---\n# another kind\napiVersion: v1alpha1\nkind: HostnameConfig\nhostname:   n # kept\n"

KINDS = ("mirrors", "auth", "tls")


def some(of, **bounds):
    return st.lists(st.sampled_from(of), unique=True, **bounds)


def values(mixed):
    """Kind → a strategy for one value; ``mixed``: override_path may differ between the endpoints of a mirror."""
    overrides = st.lists(st.booleans(), min_size=3, max_size=3) if mixed else st.booleans().map(lambda one: [one] * 3)
    mirrors = st.builds(
        lambda urls, override, skip: Mirror(
            endpoints=tuple(Endpoint(url=url, override_path=o) for url, o in zip(urls, override, strict=False)),
            skip_fallback=skip,
        ),
        some(URLS, min_size=1, max_size=3),
        overrides,
        st.booleans(),
    )
    auth = st.sampled_from(
        [
            Auth(username="robot$x", password="yes"),
            Auth(username="u", password="1e3"),
            Auth(auth="dTpw"),
            Auth(identity_token="~"),
        ]
    )
    tls = st.sampled_from([Tls(ca=CA), Tls(insecure_skip_verify=True), Tls(ca=CA, client_cert=CA, client_key=KEY)])
    return {"mirrors": mirrors, "auth": auth, "tls": tls}


KEYS = {"mirrors": REGISTRIES, "auth": SECURE, "tls": SECURE}


@st.composite
def configurations(draw, documents):
    """A configuration with registry settings and hosts in both layers, some keys in both."""
    layers = [
        {kind: draw(st.dictionaries(st.sampled_from(KEYS[kind]), values(mixed)[kind], max_size=2)) for kind in KINDS}
        for mixed in (False, True)
    ]
    # An address may have several entries in the v1alpha1 document.
    entries = draw(st.lists(st.tuples(st.sampled_from(ADDRESSES), some(NAMES, min_size=1)), max_size=3))
    hosts = [
        entries,
        list(draw(st.dictionaries(st.sampled_from(ADDRESSES), some(NAMES, min_size=1), max_size=2)).items()),
    ]
    text = MAIN_HEAD + v1alpha1_text(layers[0], hosts[0]) + OTHERS
    return text + documents_text(layers[1], hosts[1]) if documents else text


def v1alpha1_text(layer, hosts):
    def encoded(text):
        # As somebody wrote it: without the last newline.
        return base64.b64encode(text.rstrip("\n").encode()).decode()

    config = {}
    for key, auth in layer["auth"].items():
        config.setdefault(key, {})["auth"] = auth_data(auth)
    for key, tls in layer["tls"].items():
        identity = {"crt": encoded(tls.client_cert), "key": encoded(tls.client_key)}
        config.setdefault(key, {})["tls"] = {
            **({"ca": encoded(tls.ca)} if tls.ca else {}),
            **({"clientIdentity": identity} if tls.client_cert else {}),
            "insecureSkipVerify": tls.insecure_skip_verify,
        }
    mirrors = {
        key: {
            "endpoints": [endpoint.url for endpoint in mirror.endpoints],
            "overridePath": mirror.endpoints[0].override_path,
            "skipFallback": mirror.skip_fallback,
        }
        for key, mirror in layer["mirrors"].items()
    }
    entries = [{"ip": ip, "aliases": names} for ip, names in hosts]
    data = {
        "network": {"hostname": "n", "extraHostEntries": entries},
        "registries": {"mirrors": mirrors, "config": config},
    }
    return "".join(f"    {line}" for line in yaml.safe_dump(data, sort_keys=False).splitlines(keepends=True))


def documents_text(layer, hosts):
    documents = [
        {"kind": "RegistryMirrorConfig", "name": key, "skipFallback": mirror.skip_fallback}
        | {"endpoints": [{"url": e.url, "overridePath": e.override_path} for e in mirror.endpoints]}
        for key, mirror in layer["mirrors"].items()
    ]
    documents += [{"kind": "RegistryAuthConfig", "name": key, **auth_data(auth)} for key, auth in layer["auth"].items()]
    documents += [
        {"kind": "RegistryTLSConfig", "name": key, "insecureSkipVerify": tls.insecure_skip_verify}
        | ({"ca": tls.ca} if tls.ca else {})
        | ({"clientIdentity": {"cert": tls.client_cert, "key": tls.client_key}} if tls.client_cert else {})
        for key, tls in layer["tls"].items()
    ]
    documents += [{"kind": "StaticHostConfig", "name": ip, "hostnames": names} for ip, names in hosts]
    return "".join("---\n" + yaml.safe_dump({"apiVersion": "v1alpha1", **one}, sort_keys=False) for one in documents)


def auth_data(auth):
    names = {"username": "username", "password": "password", "auth": "auth", "identity_token": "identityToken"}
    return {names[key]: value for key, value in vars(auth).items() if value}


@st.composite
def steps(draw, documents):
    """(options of the module, layer)."""
    layer = draw(st.sampled_from(["auto", "v1alpha1", "documents"] if documents else ["auto", "v1alpha1"]))
    state = draw(st.sampled_from(["present", "absent", "exact"]))
    item_state = st.sampled_from([None, "absent"])
    options = {"state": state, "layer": layer, "migrate": False}
    for kind, value in values(documents and layer != "v1alpha1").items():
        wanted = draw(st.dictionaries(st.sampled_from(KEYS[kind]), st.tuples(value, item_state), max_size=2))
        options[kind] = [{"name": key, "state": own, **as_options(one)} for key, (one, own) in wanted.items()]
    names = draw(st.permutations(NAMES))
    hosts = [
        {"ip": ip, "names": list(names[index : index + 1 + index]), "state": draw(item_state)}
        for index, ip in enumerate(draw(some(ADDRESSES, max_size=2)))
    ]
    options["hosts"] = draw(st.sampled_from([None, hosts]))
    return options


def as_options(value):
    if isinstance(value, Mirror):
        endpoints = [{"url": e.url, "override_path": e.override_path} for e in value.endpoints]
        return {"endpoints": endpoints, "skip_fallback": value.skip_fallback, "override_path": False}
    return dict(vars(value))


class Model:
    """What a configuration means: settings by key, and names by address."""

    def __init__(self, config):
        effective = config.effective
        self.settings = {kind: {k: normal(v) for k, v in getattr(effective, kind).items()} for kind in KINDS}
        self.hosts = {}
        for ip, names in effective.hosts:
            self.hosts.setdefault(ip, []).extend(names)

    @property
    def meaning(self):
        return self.settings, {ip: sorted(names) for ip, names in self.hosts.items()}

    def take(self, options):
        state = options["state"]
        for kind in KINDS:
            named = {item["name"]: (item["state"] or state) != "absent" for item in options[kind]}
            there = self.settings[kind]
            for key in [*there] if state == "exact" else [*named]:
                there.pop(key, None)
            values = getattr(_node_registries.wanted_from({**options, "state": "present"}), kind)
            there.update({key: values[key] for key, present in named.items() if present})
        hosts = options["hosts"] or []
        present = {item["ip"]: item["names"] for item in hosts if (item["state"] or state) != "absent"}
        if state == "exact" and options["hosts"] is not None:
            self.hosts = {}
        for item in hosts:
            left = [name for name in self.hosts.pop(item["ip"], []) if name not in item["names"]]
            if left:
                self.hosts[item["ip"]] = left
        taken = {name for names in present.values() for name in names}
        self.hosts = {ip: [name for name in names if name not in taken] for ip, names in self.hosts.items()}
        self.hosts = {ip: names for ip, names in {**self.hosts, **present}.items() if names}


@st.composite
def histories(draw):
    version = draw(st.sampled_from([Version(1, 11), Version(1, 12, 1), Version(1, 13, 9), Version(1, 15)]))
    documents = version > Version(1, 12, 1)
    return version, draw(configurations(documents)), draw(st.lists(steps(documents), min_size=1, max_size=4))


def beside(config):
    """What is not ours in a configuration."""
    main = yaml.safe_load(config.documents[0].text)
    main["machine"].pop("registries", None)
    main["machine"].get("network", {}).pop("extraHostEntries", None)
    return main


@settings(max_examples=30, deadline=None)
@given(histories())
def test_sequences_end_in_what_they_mean(history):
    version, text, sequence = history
    start = config = MachineConfig.parse(text)
    model = Model(config)
    for options in sequence:
        wanted = _node_registries.wanted_from(options)
        plan = make_plan(config, wanted, version=version, layer=options["layer"])
        model.take(options)
        assert Model(plan.after).meaning == model.meaning
        assert plan.changed == (plan.after.text != config.text) == (plan.views[0] != plan.views[1])
        again = make_plan(plan.after, wanted, version=version, layer=options["layer"])
        assert (again.reasons, again.after.text) == ((), plan.after.text)
        config = MachineConfig.parse(plan.after.text)
        for kind, key, _value in wanted.registries:
            assert not (key in getattr(config.in_v1alpha1, kind) and key in getattr(config.in_documents, kind))
    assert config.text.startswith(MAIN_HEAD)
    assert OTHERS in config.text
    assert beside(config) == beside(start)


@settings(max_examples=30, deadline=None)
@given(configurations(documents=True))
def test_a_migration_leaves_every_byte_on_the_node(text):
    config = MachineConfig.parse(text)
    wanted = _node_registries.wanted_from({"mirrors": [], "auth": [], "tls": [], "hosts": None, "migrate": True})
    plan = make_plan(config, wanted, version=Version(1, 13))
    assert talos_files.everything(plan.after.effective) == talos_files.everything(config.effective)
    assert plan.after.in_v1alpha1 == Settings()
    assert plan.changed == (config.in_v1alpha1 != Settings())
    assert make_plan(plan.after, wanted, version=Version(1, 13)).reasons == ()
    assert not plan.reboot_required
    assert plan.after.text.startswith(MAIN_HEAD)
    assert OTHERS in plan.after.text
    assert beside(plan.after) == beside(config)
