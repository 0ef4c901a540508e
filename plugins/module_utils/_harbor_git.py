# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: Harbor's settings in files of a Git repository: read them, write those that change."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.splithorizon.registry.plugins.module_utils._change import Change
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import NEWEST_RULE, realm_table
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_files import Asked, plan_file, referred
from ansible_collections.splithorizon.registry.plugins.module_utils._harbor_release import path_hosts
from ansible_collections.splithorizon.registry.plugins.module_utils._text_files import TextFile, read_text, write_bytes

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ansible_collections.splithorizon.registry.plugins.module_utils._harbor import Version
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = ["change_files"]


def change_files(
    path: str,
    asked: Asked,
    *,
    hosts: Sequence[str],
    namespace: str | None,
    domain: str,
    version: Version | None,
    check_mode: bool,
    warn: Callable[[str], None],
) -> tuple[list[Change], Json]:
    """What the file and its patches become, written unless in check mode: the changes, and the results."""
    if not Path(path).is_file():
        raise BadInput("there is no such file", where=path)
    first = read_text(Path(path))
    others = {one: read_text(Path(one)) for one in referred(path, first.text, asked) if Path(one).is_file()}
    read = {path: first, **others}
    plan = plan_file(path, {one: file.text for one, file in read.items()}, asked)
    if not check_mode:
        for one, text in plan.after.items():
            write_bytes(Path(one), None if text is None else (read.get(one) or TextFile(text="")).encoded(text))
    if plan.after and not plan.rolls:
        warn("A patch of ConfigMaps restarts nothing: once it is applied, run this module without path")
    core = f"{plan.fullname}-core"
    before, then = plan.before[core], plan.then[core]
    rule = version or plan.version or NEWEST_RULE
    all_hosts = path_hosts(
        fullname=plan.fullname,
        namespace=namespace or plan.namespace,
        domain=domain,
        urls=[*before.values(), *then.values()],
        given=hosts,
    )
    results = {
        "kind": plan.kind,
        "fullname": plan.fullname,
        "before": plan.before,
        "after": plan.then,
        "files": sorted(plan.after),
        "realms": realm_table(all_hosts, before=before, after=then, version=rule),
        "restarted": [],
        "version": ".".join(map(str, rule)),
    }
    changes = [
        Change(what=one, before=read[one].text if one in read else "", after=text or "")
        for one, text in plan.after.items()
    ]
    return changes, results
