# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Plan: options of the modules for credentials, apart from their code, which the survey loads only where asked."""

from __future__ import annotations

import typing as t

__all__ = ["ACCOUNTS_SPEC", "HARBOR_SPEC", "ROBOT_SPEC", "SECRET_SPEC"]

Json = dict[str, t.Any]

STATE: Json = {"type": "str", "choices": ["present", "absent"], "default": "present"}
# Kept in step with doc_fragments/_harbor.py.
HARBOR_SPEC: Json = {
    "url": {"type": "str", "required": True},
    "address": {"type": "str"},
    "ca": {"type": "str"},
    "username": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "timeout": {"type": "int", "default": 10},
}

ACCESS: Json = {"resource": {"type": "str", "required": True}, "action": {"type": "str", "required": True}}
PERMISSION: Json = {
    "kind": {"type": "str", "choices": ["project", "system"], "default": "project"},
    "namespace": {"type": "str", "required": True},
    "access": {"type": "list", "elements": "dict", "required": True, "options": ACCESS},
}
ROBOT_SPEC: Json = {
    "name": {"type": "str", "required": True},
    "project": {"type": "str"},
    "secret": {"type": "str", "no_log": True},
    "permissions": {"type": "list", "elements": "dict", "options": PERMISSION},
    "duration": {"type": "int"},
    "disable": {"type": "bool"},
    "description": {"type": "str"},
    "state": STATE,
}

NAMESPACES: Json = {"type": "list", "elements": "str", "required": True}
REGISTRY: Json = {
    "name": {"type": "str", "required": True},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "state": STATE,
}
SECRET_SPEC: Json = {
    "namespaces": NAMESPACES,
    "name": {"type": "str", "required": True},
    "registries": {"type": "list", "elements": "dict", "required": True, "options": REGISTRY},
    "config_json": {"type": "bool"},
    "added_only": {"type": "bool", "default": False},
}
ACCOUNTS_SPEC: Json = {
    "namespaces": NAMESPACES,
    "names": {"type": "list", "elements": "str", "default": ["default"]},
    "secret": {"type": "str", "required": True, "no_log": False},
    "list": {"type": "str", "choices": ["imagePullSecrets", "secrets"], "default": "imagePullSecrets"},
    "state": STATE,
}
