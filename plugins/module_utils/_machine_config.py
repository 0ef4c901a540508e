# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: a Talos machine configuration and what is wanted in it → the text to send, and why.

Registry settings live in one of two layers: ``machine.registries`` of the v1alpha1 document, or documents of their own
(``RegistryMirrorConfig`` …, Talos >= 1.12). Where both hold a key the document replaces the other as a whole; extra
hosts of both layers are joined. So a key is written in one layer and taken out of the other, else it would override
what is wanted or come back when the document goes. Everything else in the text stays byte for byte.
"""

from __future__ import annotations

import base64
import binascii
import re
import typing as t
from dataclasses import dataclass, replace
from functools import cached_property

from ansible_collections.splithorizon.registry.plugins.module_utils import _names, _yaml_text
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, Conflict
from ansible_collections.splithorizon.registry.plugins.module_utils._node_registries import (
    Auth,
    Endpoint,
    Mirror,
    Settings,
    Tls,
    Wanted,
    WantedHost,
    normal_pem,
    same_ip,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DOCUMENTS", "V1ALPHA1", "MachineConfig", "Plan", "Version", "make_plan"]

Json = dict[str, t.Any]
Setting = Mirror | Auth | Tls

V1ALPHA1: t.Final = "v1alpha1"
DOCUMENTS: t.Final = "documents"

HOST_KIND = "StaticHostConfig"
EXTRA_HOSTS = ("machine", "network", "extraHostEntries")
HIDDEN = "VALUE_HIDDEN"


class Version(t.NamedTuple):
    """Of Talos: 1.13.0 is (1, 13, 0)."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


FIRST_WITH_DOCUMENTS = Version(1, 12)
# Older ones hand registry credentials to containerd at its start only.
FIRST_THAT_RELOADS_AUTH = Version(1, 14)


# --- The configuration: documents in a text, and the settings they hold ---


@dataclass(frozen=True)
class Document:
    """``text`` begins with its ``---`` line, if it has one; the texts of all documents joined are the configuration."""

    text: str

    @cached_property
    def data(self) -> Json:
        loaded = _yaml_text.load(self.text)
        return loaded if isinstance(loaded, dict) else {}

    @property
    def is_main(self) -> bool:
        return bool(self.data) and "kind" not in self.data

    def is_of(self, kind: str) -> bool:
        return self.data.get("kind") == kind and self.data.get("apiVersion") == V1ALPHA1

    def with_body(self, body: Json) -> Document:
        """The same place and the comments around it, with other content."""
        lines = self.text.splitlines(keepends=True)
        plain = [i for i, line in enumerate(lines) if not re.match(r"\s*(#|$)|---(\s|$)", line)] or [len(lines)]
        head, tail = "".join(lines[: plain[0]]), "".join(lines[plain[-1] + 1 :])
        new = _yaml_text.render(body)
        commented = Document(head + new + tail)
        # Content on the marker's own line is no comment to keep.
        return commented if commented.reads_as(body) else Document("---\n" + new)

    def reads_as(self, body: Json) -> bool:
        try:
            return bool(self.data == _yaml_text.load(_yaml_text.render(body)))
        except Conflict:
            return False


@dataclass(frozen=True)
class MachineConfig:
    """The documents of one machine configuration; every change gives a new one."""

    documents: tuple[Document, ...]

    @classmethod
    def parse(cls, text: str) -> MachineConfig:
        """Conflict where the text is not YAML or holds no v1alpha1 document."""
        # A line that starts with --- is a document marker wherever it stands, in block scalars too.
        starts = [0, *(found.start() for found in re.finditer(r"^---(?=\s|$)", text, re.MULTILINE) if found.start())]
        parts = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
        config = cls(tuple(Document(part) for part in parts))
        if sum(document.is_main for document in config.documents) != 1:
            raise Conflict(
                "the machine configuration has no v1alpha1 document", cure="Give the node a whole configuration"
            )
        return config

    @property
    def text(self) -> str:
        return "".join(document.text for document in self.documents)

    @cached_property
    def main(self) -> Json:
        return self.documents[self._main_index].data

    @cached_property
    def in_v1alpha1(self) -> Settings:
        """What ``machine.registries`` and ``machine.network.extraHostEntries`` hold."""
        machine = _mapping(self.main.get("machine"))
        registries = _mapping(machine.get("registries"))
        mirrors = {str(key): _mapping(value) for key, value in _mapping(registries.get("mirrors")).items()}
        config = {str(key): _mapping(value) for key, value in _mapping(registries.get("config")).items()}
        entries = _mapping(machine.get("network")).get("extraHostEntries") or []
        return Settings(
            mirrors={key: _read_v1alpha1_mirror(value) for key, value in mirrors.items()},
            auth={key: _read_auth(value["auth"]) for key, value in config.items() if value.get("auth") is not None},
            tls={
                key: _read_v1alpha1_tls(value["tls"]) for key, value in config.items() if value.get("tls") is not None
            },
            hosts=tuple((str(e.get("ip", "")), _texts(e.get("aliases"))) for e in map(_mapping, entries)),
        )

    @cached_property
    def in_documents(self) -> Settings:
        """What the documents of their own hold."""
        return Settings(
            mirrors={name: _read_mirror(data) for name, data in self._of("RegistryMirrorConfig")},
            auth={name: _read_auth(data) for name, data in self._of("RegistryAuthConfig")},
            tls={name: _read_tls(data) for name, data in self._of("RegistryTLSConfig")},
            hosts=tuple((name, _texts(data.get("hostnames"))) for name, data in self._of(HOST_KIND)),
        )

    @cached_property
    def effective(self) -> Settings:
        """What Talos makes of both: a document replaces a key, hosts are joined."""
        old, new = self.in_v1alpha1, self.in_documents
        return Settings(
            mirrors={**old.mirrors, **new.mirrors},
            auth={**old.auth, **new.auth},
            tls={**old.tls, **new.tls},
            hosts=old.hosts + new.hosts,
        )

    @property
    def has_image_cache(self) -> bool:
        """Talos then puts its own registry before every mirror."""
        features = _mapping(_mapping(self.main.get("machine")).get("features"))
        return str(_mapping(features.get("imageCache")).get("localEnabled")).lower() == "true"

    def means_the_same_as(self, other: MachineConfig) -> bool:
        """Whether comments, order of documents, quotes and layout are all that differs."""
        return self.text == other.text or self._meaning == other._meaning

    def with_v1alpha1(self, path: _yaml_text.Path, value: t.Any) -> MachineConfig:
        """With one entry of the v1alpha1 document set, or taken away with DELETE."""
        index = self._main_index
        changed = Document(_yaml_text.edit(self.documents[index].text, path, value))
        return MachineConfig((*self.documents[:index], changed, *self.documents[index + 1 :]))

    def with_document(self, kind: str, name: str, body: Json | None) -> MachineConfig:
        """With a document of this name replaced in its place or appended, or taken away with None."""
        whole = {"apiVersion": V1ALPHA1, "kind": kind, "name": name, **(body or {})}
        documents: list[Document] = []
        found = False
        for document in self.documents:
            if not (document.is_of(kind) and document.data.get("name") == name):
                documents.append(document)
            elif body is not None:
                documents.append(document.with_body(whole))
                found = True
        if body is not None and not found:
            if not documents[-1].text.endswith("\n"):
                documents[-1] = Document(documents[-1].text + "\n")
            documents.append(Document("---\n" + _yaml_text.render(whole)))
        return MachineConfig(tuple(documents))

    @cached_property
    def _meaning(self) -> list[Json]:
        whole = [document.data for document in self.documents if document.data]
        return sorted(whole, key=lambda data: (str(data.get("kind", "")), str(data.get("name", ""))))

    @cached_property
    def _main_index(self) -> int:
        return next(index for index, document in enumerate(self.documents) if document.is_main)

    def _of(self, kind: str) -> list[tuple[str, Json]]:
        return [(str(d.data.get("name", "")), d.data) for d in self.documents if d.is_of(kind)]


def _mapping(value: t.Any) -> Json:
    return value if isinstance(value, dict) else {}


def _texts(value: t.Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _flag(value: t.Any) -> bool:
    return str(value).lower() in {"true", "yes", "on", "y"}


def _read_mirror(data: Json) -> Mirror:
    endpoints = [_mapping(item) for item in data.get("endpoints") or ()]
    return Mirror(
        endpoints=tuple(
            Endpoint(url=str(item.get("url", "")), override_path=_flag(item.get("overridePath"))) for item in endpoints
        ),
        skip_fallback=_flag(data.get("skipFallback")),
    )


def _read_v1alpha1_mirror(data: Json) -> Mirror:
    override = _flag(data.get("overridePath"))
    return Mirror(
        endpoints=tuple(Endpoint(url=url, override_path=override) for url in _texts(data.get("endpoints"))),
        skip_fallback=_flag(data.get("skipFallback")),
    )


def _read_auth(data: t.Any) -> Auth:
    keys = {"username": "username", "password": "password", "auth": "auth", "identity_token": "identityToken"}
    return Auth(**{name: str(_mapping(data).get(key) or "") for name, key in keys.items()})


def _read_tls(data: Json) -> Tls:
    identity = _mapping(data.get("clientIdentity"))
    return Tls(
        ca=normal_pem(str(data.get("ca") or "")),
        client_cert=normal_pem(str(identity.get("cert") or "")),
        client_key=normal_pem(str(identity.get("key") or "")),
        insecure_skip_verify=_flag(data.get("insecureSkipVerify")),
    )


def _read_v1alpha1_tls(data: t.Any) -> Tls:
    data = _mapping(data)
    identity = _mapping(data.get("clientIdentity"))
    return Tls(
        ca=normal_pem(_from_base64(data.get("ca"))),
        client_cert=normal_pem(_from_base64(identity.get("crt"))),
        client_key=normal_pem(_from_base64(identity.get("key"))),
        insecure_skip_verify=_flag(data.get("insecureSkipVerify")),
    )


def _from_base64(value: t.Any) -> str:
    try:
        return base64.b64decode(str(value or ""), validate=False).decode(errors="replace")
    except binascii.Error:
        return str(value)


# --- Settings as each layer writes them ---


def _write_mirror(mirror: Mirror) -> Json:
    endpoints = [{"url": e.url, **({"overridePath": True} if e.override_path else {})} for e in mirror.endpoints]
    return {"endpoints": endpoints, **({"skipFallback": True} if mirror.skip_fallback else {})}


def _write_v1alpha1_mirror(mirror: Mirror) -> Json:
    overrides = {endpoint.override_path for endpoint in mirror.endpoints}
    return {
        "endpoints": [endpoint.url for endpoint in mirror.endpoints],
        **({"overridePath": True} if True in overrides else {}),
        **({"skipFallback": True} if mirror.skip_fallback else {}),
    }


def _write_auth(auth: Auth) -> Json:
    written = {
        "username": auth.username,
        "password": auth.password,
        "auth": auth.auth,
        "identityToken": auth.identity_token,
    }
    return {key: value for key, value in written.items() if value}


def _write_tls(tls: Tls) -> Json:
    identity = {"clientIdentity": {"cert": tls.client_cert, "key": tls.client_key}} if tls.client_cert else {}
    return {
        **identity,
        **({"ca": tls.ca} if tls.ca else {}),
        **({"insecureSkipVerify": True} if tls.insecure_skip_verify else {}),
    }


def _write_v1alpha1_tls(tls: Tls) -> Json:
    identity = {"clientIdentity": {"crt": _base64(tls.client_cert), "key": _base64(tls.client_key)}}
    return {
        **(identity if tls.client_cert else {}),
        **({"ca": _base64(tls.ca)} if tls.ca else {}),
        **({"insecureSkipVerify": True} if tls.insecure_skip_verify else {}),
    }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """Where a kind of setting lives in both layers, and how it is written there."""

    document: str
    label: str
    path: Callable[[str], _yaml_text.Path]
    write: Callable[[t.Any], Json]
    write_v1alpha1: Callable[[t.Any], Json]


_KINDS: Mapping[str, _Kind] = {
    "mirrors": _Kind(
        document="RegistryMirrorConfig",
        label="mirror",
        path=lambda key: ("machine", "registries", "mirrors", key),
        write=_write_mirror,
        write_v1alpha1=_write_v1alpha1_mirror,
    ),
    "auth": _Kind(
        document="RegistryAuthConfig",
        label="credentials",
        path=lambda key: ("machine", "registries", "config", key, "auth"),
        write=_write_auth,
        write_v1alpha1=_write_auth,
    ),
    "tls": _Kind(
        document="RegistryTLSConfig",
        label="TLS settings",
        path=lambda key: ("machine", "registries", "config", key, "tls"),
        write=_write_tls,
        write_v1alpha1=_write_v1alpha1_tls,
    ),
}


# --- The plan ---


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``after`` is to be sent where ``changed``; ``reasons`` say why, without secrets."""

    before: MachineConfig
    after: MachineConfig
    layer: str
    hosts_layer: str
    version: Version
    reasons: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.reasons)

    @property
    def reboot_required(self) -> bool:
        """Whether containerd gets changed credentials only when the node restarts."""
        same = dict(self.before.effective.auth) == dict(self.after.effective.auth)
        return not same and self.version < FIRST_THAT_RELOADS_AUTH

    @property
    def views(self) -> tuple[Json, Json]:
        """What differs, entry by entry, before and after; secrets replaced."""
        before, after = _entries(self.before), _entries(self.after)
        keys = [key for key in [*before, *after] if before.get(key) != after.get(key)]
        pairs = {key: _hidden(before.get(key), after.get(key)) for key in keys}
        return (
            {key: pair[0] for key, pair in pairs.items() if key in before},
            {key: pair[1] for key, pair in pairs.items() if key in after},
        )


def make_plan(config: MachineConfig, wanted: Wanted, *, version: Version, layer: str = "auto") -> Plan:
    """What ``config`` becomes so that all that is wanted holds; BadInput or Conflict where it cannot.

    ``layer``: ``auto`` keeps to the layer that the configuration uses.
    """
    layer_of_registries, layer_of_hosts = _layers(config, version, layer)
    plan = Plan(before=config, after=config, layer=layer_of_registries, hosts_layer=layer_of_hosts, version=version)
    for kind, key, value in wanted.registries:
        plan = _with_setting(plan, kind, key, value, explicit=layer != "auto")
    plan = _with_hosts(plan, wanted.hosts, explicit=layer != "auto")
    _refuse_what_breaks(plan.after.effective, wanted)
    return plan


def _layers(config: MachineConfig, version: Version, layer: str) -> tuple[str, str]:
    if version < FIRST_WITH_DOCUMENTS:
        if layer == DOCUMENTS:
            cure = "Use layer: auto or v1alpha1"
            raise BadInput(f"Talos {version} knows no registry documents (1.12 does)", where="layer", cure=cure)
        return V1ALPHA1, V1ALPHA1
    if layer != "auto":
        return layer, layer
    old, new = config.in_v1alpha1, config.in_documents
    registries = V1ALPHA1 if old.has_registries and not new.has_registries else DOCUMENTS
    return registries, V1ALPHA1 if old.hosts and not new.hosts else DOCUMENTS


def _with_setting(plan: Plan, kind: str, key: str, value: Setting | None, *, explicit: bool) -> Plan:
    old: Setting | None = getattr(plan.after.in_v1alpha1, kind).get(key)
    new: Setting | None = getattr(plan.after.in_documents, kind).get(key)
    wanted_old, wanted_new = _placed(old, new, value, plan.layer, explicit=explicit)
    if (old, new) == (wanted_old, wanted_new):
        return plan
    spec = _KINDS[kind]
    config = plan.after
    if wanted_old != old:
        body = _yaml_text.DELETE if wanted_old is None else spec.write_v1alpha1(_fits_v1alpha1(wanted_old, key))
        config = config.with_v1alpha1(spec.path(key), body)
    if wanted_new != new:
        config = config.with_document(spec.document, key, None if wanted_new is None else spec.write(wanted_new))
    reason = f"{spec.label} of {key}: {_told(new or old, value, leftover=bool(old and new))}"
    return replace(plan, after=config, reasons=(*plan.reasons, reason))


def _placed(
    old: Setting | None, new: Setting | None, value: Setting | None, layer: str, *, explicit: bool
) -> tuple[Setting | None, Setting | None]:
    """(in v1alpha1, as a document): the value in one layer, nothing in the other."""
    if value is None:
        return None, None
    if not explicit and (new or old) == value:
        # Right as it is; what a document hides would come back with its removal.
        return (None, new) if new else (old, None)
    return (None, value) if layer == DOCUMENTS else (value, None)


def _fits_v1alpha1(value: Setting, key: str) -> Setting:
    if isinstance(value, Mirror) and len({endpoint.override_path for endpoint in value.endpoints}) > 1:
        cure = "Set it for all endpoints or for none, or use layer: documents"
        raise BadInput("machine.registries has one override_path for all endpoints", where=f"mirror {key}", cure=cure)
    return value


def _told(there: Setting | None, wanted: Setting | None, *, leftover: bool) -> str:
    if wanted is None:
        return "to be removed"
    if there is None:
        return f"missing, wanted {wanted}" if isinstance(wanted, Mirror) else "missing"
    if there == wanted:
        return "also in machine.registries, hidden by its document" if leftover else "in the other layer"
    if isinstance(wanted, Mirror):
        return f"{there}, wanted {wanted}"
    names = [name for name in vars(wanted) if getattr(wanted, name) != getattr(there, name)]
    return f"{', '.join(names)} differ" if len(names) > 1 else f"{names[0]} differs"


# --- Hosts ---

# As in the configuration, one item a place: what is to go keeps its place, without names.
HostList = list[tuple[str, tuple[str, ...]]]


def _with_hosts(plan: Plan, wishes: tuple[WantedHost, ...], *, explicit: bool) -> Plan:
    old, new = list(plan.after.in_v1alpha1.hosts), list(plan.after.in_documents.hosts)
    reasons: list[str] = []
    for wish in wishes:
        old, new = _moved(old, wish, reasons), _moved(new, wish, reasons)
        old, new = _granted(old, new, wish, reasons, layer=plan.hosts_layer, explicit=explicit)
    config = _with_static_hosts(_with_extra_hosts(plan.after, old), new)
    return replace(plan, after=config, reasons=(*plan.reasons, *reasons))


def _moved(hosts: HostList, wish: WantedHost, reasons: list[str]) -> HostList:
    """Without the wanted names at any other address."""
    result: HostList = []
    for ip, names in hosts:
        elsewhere = wish.present and not same_ip(ip, wish.ip)
        gone = [name for name in names if elsewhere and name in wish.names]
        reasons += [f"host {name}: at {ip}, wanted at {wish.ip}" for name in gone]
        result.append((ip, tuple(name for name in names if name not in gone)))
    return result


def _granted(
    old: HostList, new: HostList, wish: WantedHost, reasons: list[str], *, layer: str, explicit: bool
) -> tuple[HostList, HostList]:
    """Both layers with the wish's address as it is to be."""
    if not wish.present:
        addresses = [wish.ip] if wish.ip else list(dict.fromkeys(ip for ip, _ in [*old, *new]))
        for ip in addresses:
            old, new = _removed(old, new, ip, wish.names, reasons)
        return old, new
    here = [names for ip, names in [*old, *new] if same_ip(ip, wish.ip) and names]
    there = [name for names in here for name in names]
    holding = new if layer == DOCUMENTS else old
    in_layer = [names for ip, names in holding if same_ip(ip, wish.ip) and names] == here
    if sorted(there) == sorted(wish.names) and (in_layer or not explicit):
        return old, new
    reasons.append(f"host {wish.ip}: [{', '.join(there)}], wanted [{', '.join(wish.names)}]")
    old, new = _without(old, wish.ip, there), _without(new, wish.ip, there)
    return (old, _put(new, wish)) if layer == DOCUMENTS else (_put(old, wish), new)


def _removed(
    old: HostList, new: HostList, ip: str, names: tuple[str, ...], reasons: list[str]
) -> tuple[HostList, HostList]:
    """Both layers without these names at the address; without names, without the address."""
    there = [name for here, all_names in [*old, *new] if same_ip(here, ip) for name in all_names]
    gone = [name for name in there if name in names or not names]
    if gone:
        reasons.append(f"host {ip}: [{', '.join(gone)}] to be removed")
    return _without(old, ip, gone), _without(new, ip, gone)


def _without(hosts: HostList, ip: str, gone: list[str]) -> HostList:
    return [
        (here, tuple(name for name in names if name not in gone) if same_ip(here, ip) else names)
        for here, names in hosts
    ]


def _put(hosts: HostList, wish: WantedHost) -> HostList:
    """With the names at the address's first place, or at the end."""
    place = next((index for index, (ip, _) in enumerate(hosts) if same_ip(ip, wish.ip)), None)
    if place is None:
        return [*hosts, (wish.ip, wish.names)]
    return [*hosts[:place], (hosts[place][0], wish.names), *hosts[place + 1 :]]


def _with_extra_hosts(config: MachineConfig, hosts: HostList) -> MachineConfig:
    """``machine.network.extraHostEntries`` as given; entries that stay as they are keep their text."""
    before = config.in_v1alpha1.hosts
    for index, (ip, names) in enumerate(hosts):
        if index >= len(before):
            config = config.with_v1alpha1((*EXTRA_HOSTS, index), {"ip": ip, "aliases": list(names)})
        elif names != before[index][1] and names:
            config = config.with_v1alpha1((*EXTRA_HOSTS, index, "aliases"), list(names))
    for index in reversed(range(len(before))):
        if before[index][1] and not hosts[index][1]:
            config = config.with_v1alpha1((*EXTRA_HOSTS, index), _yaml_text.DELETE)
    return config


def _with_static_hosts(config: MachineConfig, hosts: HostList) -> MachineConfig:
    before = dict(config.in_documents.hosts)
    for ip, names in hosts:
        if before.get(ip) != names:
            config = config.with_document(HOST_KIND, ip, {"hostnames": list(names)} if names else None)
    return config


# --- Refusals and views ---


def _refuse_what_breaks(effective: Settings, wanted: Wanted) -> None:
    """Conflict where the rest of the configuration would keep what is wanted from working."""
    ours = [(kind, key) for kind, key, value in wanted.registries if value]
    if not ours:
        return
    for key in effective.mirrors:
        if "/" in key:
            cure = "Remove it: mirrors with this name and state: absent"
            raise Conflict("Talos writes no hosts files at all while this key exists", where=f"mirror {key}", cure=cure)
    if _names.ANY_REGISTRY in effective.tls:
        cure = "Remove it: tls with the name '*' and state: absent"
        raise Conflict("Talos stops writing hosts files while TLS settings for * exist", where="tls *", cure=cure)
    for registry, mirror in effective.mirrors.items():
        for endpoint in mirror.endpoints:
            host = _names.url_host(endpoint.url)
            mine = ("mirrors", registry) in ours or ("tls", host) in ours
            if mine and endpoint.url.startswith("http://") and host in effective.tls:
                problem = f"TLS settings exist for {host}, but {endpoint.url} is http: Talos's own pulls would fail"
                cure = f"Remove them (tls with the name {host} and state: absent), or use https"
                raise Conflict(problem, where=f"mirror {registry}", cure=cure)


def _entries(config: MachineConfig) -> dict[str, t.Any]:
    """Every entry that is ours to edit, under the name of its place."""
    entries: dict[str, t.Any] = {}
    for kind, spec in _KINDS.items():
        for key, value in getattr(config.in_v1alpha1, kind).items():
            entries[".".join(str(part) for part in spec.path(key))] = spec.write_v1alpha1(value)
        for key, value in getattr(config.in_documents, kind).items():
            entries[f"{spec.document}/{key}"] = spec.write(value)
    for ip, names in config.in_v1alpha1.hosts:
        label = f"{'.'.join(EXTRA_HOSTS)}/{ip}"
        entries[label] = [*entries.get(label, []), *names]
    entries.update({f"{HOST_KIND}/{ip}": list(names) for ip, names in config.in_documents.hosts})
    return entries


_SECRETS = frozenset({"password", "auth", "identityToken", "key"})


def _hidden(before: t.Any, after: t.Any) -> tuple[t.Any, t.Any]:
    """Both with secrets replaced, so that a changed secret still shows as a change."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return _all_hidden(before), _all_hidden(after)
    left, right = dict(before), dict(after)
    for key in before.keys() | after.keys():
        one, other = before.get(key), after.get(key)
        changed = one is not None and other is not None and one != other
        if key in _SECRETS:
            marks = (f"{HIDDEN} (old)", f"{HIDDEN} (new)") if changed else (HIDDEN, HIDDEN)
        else:
            marks = _hidden(one, other)
        if key in left:
            left[key] = marks[0]
        if key in right:
            right[key] = marks[1]
    return left, right


def _all_hidden(value: t.Any) -> t.Any:
    if not isinstance(value, dict):
        return value
    return {key: HIDDEN if key in _SECRETS else _all_hidden(item) for key, item in value.items()}
