# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: pull secrets and the ServiceAccounts that list them, in several namespaces; all planned before one is sent."""

from __future__ import annotations

import typing as t

from ansible_collections.splithorizon.registry.plugins.module_utils._docker_config import check_credentials
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotPermitted
from ansible_collections.splithorizon.registry.plugins.module_utils._object_owner import owner_of
from ansible_collections.splithorizon.registry.plugins.module_utils._pull_secret import (
    MADE_HERE,
    Step,
    Wanted,
    plan_account,
    plan_secret,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster, Json

__all__ = [
    "change_accounts",
    "change_secrets",
    "differ",
    "plan_accounts",
    "plan_secrets",
]

Steps = dict[str, Step]


def plan_secrets(cluster: Cluster, asked: Json, *, warn: Callable[[str], None]) -> Steps:
    """For each namespace, the step of its Secret, by the options of SECRET_SPEC."""
    wanted = Wanted(
        name=asked["name"],
        credentials=tuple(check_credentials(one, where="registries") for one in asked["registries"]),
        config_json=asked["config_json"],
        added_only=asked["added_only"],
    )
    steps = {}
    for namespace in dict.fromkeys(asked["namespaces"]):
        found = cluster.get("v1", "Secret", namespace, wanted.name)
        steps[namespace] = planned = plan_secret(namespace=namespace, found=found, wanted=wanted)
        if planned.method == "create":
            _check_namespace(cluster, namespace)
        owner = owner_of(found["metadata"]).title if found and planned.method else ""
        if owner and owner not in MADE_HERE.values():
            warn(f"{planned.change.what} is managed by {owner}, which may take the change back: make it there too")
    return steps


def change_secrets(cluster: Cluster, asked: Json, *, warn: Callable[[str], None]) -> Steps:
    """Plan all, then send each."""
    steps = plan_secrets(cluster, asked, warn=warn)
    for namespace, planned in steps.items():
        match planned.method:
            case "create":
                cluster.create(planned.body)
            case "merge":
                cluster.merge("v1", "Secret", namespace, asked["name"], planned.body)
            case "delete":
                cluster.delete("v1", "Secret", namespace, asked["name"], uid=planned.body["uid"])
    return steps


def plan_accounts(cluster: Cluster, asked: Json) -> dict[tuple[str, str], Step]:
    """For each namespace and name, the step of that ServiceAccount, by the options of ACCOUNTS_SPEC."""
    return {
        (namespace, name): plan_account(
            namespace=namespace,
            name=name,
            found=cluster.get("v1", "ServiceAccount", namespace, name),
            secret=asked["secret"],
            present=asked["state"] == "present",
            key=asked["list"],
        )
        for namespace in dict.fromkeys(asked["namespaces"])
        for name in dict.fromkeys(asked["names"])
    }


def change_accounts(cluster: Cluster, asked: Json) -> list[Step]:
    """Plan all, then send each."""
    steps = plan_accounts(cluster, asked)
    for (namespace, name), planned in steps.items():
        if planned.method:
            cluster.merge("v1", "ServiceAccount", namespace, name, planned.body)
    return list(steps.values())


def differ(cluster: Cluster, asked: Json) -> bool:
    """Whether the Secrets, or the ServiceAccounts that list them where they are there, are not as wanted."""
    steps = plan_secrets(cluster, asked, warn=lambda _text: None)
    if any(step.method for step in steps.values()):
        return True
    return any(
        account.method
        for namespace, step in steps.items()
        for account in plan_accounts(cluster, _listing(asked, namespace, step)).values()
    )


def _listing(asked: Json, namespace: str, secret: Step) -> Json:
    state = "present" if secret.present else "absent"
    which = {"namespaces": [namespace], "names": asked["service_accounts"], "list": asked["list"]}
    return {**which, "secret": asked["name"], "state": state}


def _check_namespace(cluster: Cluster, namespace: str) -> None:
    try:
        missing = cluster.get("v1", "Namespace", None, namespace) is None
    except NotPermitted:
        return  # some may write Secrets and not read namespaces; the API server says then what is missing
    if missing:
        raise BadInput("does not exist", where=f"namespace {namespace}", cure="Create it first, or correct namespaces")
