# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Report: ``changed`` and ``diff`` come from one recorded difference, so they cannot disagree."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._client_words import CLIENTS_SAY
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible.module_utils.basic import AnsibleModule

__all__ = ["Change", "fail", "report"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What was there and what will be there: text, or data that is shown as YAML. Neither may hold a secret."""

    what: str
    before: t.Any
    after: t.Any

    @property
    def changed(self) -> bool:
        return bool(self.before != self.after)

    @property
    def diff(self) -> dict[str, str]:
        return {
            "before_header": self.what,
            "after_header": self.what,
            "before": _as_text(self.before),
            "after": _as_text(self.after),
        }


def _as_text(value: t.Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def fail(module: AnsibleModule, error: RegistryError) -> t.NoReturn:
    """Leave the module with its one error."""
    named = {"kind": error.kind, "clients_say": CLIENTS_SAY[error.kind]} if error.kind else {}
    module.fail_json(msg=str(error), problem=error.problem, where=error.where, cure=error.cure, **named)
    raise AssertionError  # fail_json does not return, which its types do not say


def report(module: AnsibleModule, step: Callable[[AnsibleModule], tuple[list[Change], dict[str, t.Any]]]) -> t.NoReturn:
    """Run ``step`` and leave the module with its changes and results, or with its one error.

    ``differs`` repeats ``changed`` under a name that a task's ``changed_when`` leaves alone.
    """
    try:
        changes, results = step(module)
    except RegistryError as error:
        fail(module, error)
    real = [change for change in changes if change.changed]
    if module._diff:
        results["diff"] = [change.diff for change in real]
    module.exit_json(changed=bool(real), differs=bool(real), **results)
    raise AssertionError  # exit_json does not return, which its types do not say
