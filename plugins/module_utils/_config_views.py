# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Report: what differs between two machine configurations, entry by entry, with secrets replaced."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import (
    EXTRA_HOSTS,
    HOST_KIND,
    KINDS,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._registry_settings import without_password

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._config_documents import MachineConfig
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry_layers import Json

__all__ = ["views"]

HIDDEN: t.Final = "VALUE_HIDDEN"


def views(before: MachineConfig, after: MachineConfig) -> tuple[Json, Json]:
    """(place → entry before, place → entry after) of every registry setting and host that differs."""
    old, new = _entries(before), _entries(after)
    keys = [key for key in [*old, *new] if old.get(key) != new.get(key)]
    pairs = {key: _hidden(old.get(key), new.get(key)) for key in keys}
    return (
        {key: pair[0] for key, pair in pairs.items() if key in old},
        {key: pair[1] for key, pair in pairs.items() if key in new},
    )


def _entries(config: MachineConfig) -> dict[str, t.Any]:
    """Every entry that is ours to edit, under the name of its place."""
    entries: dict[str, t.Any] = {}
    for kind, spec in KINDS.items():
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
    if isinstance(value, dict):
        return {key: HIDDEN if key in _SECRETS else _all_hidden(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_all_hidden(item) for item in value]
    return without_password(value) if isinstance(value, str) else value
