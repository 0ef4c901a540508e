# SPDX-License-Identifier: GPL-3.0-or-later
"""Coverage-guided fuzzing of the Corefile engine and the planner of rewrites: no crash, no lost character.

``make fuzz`` runs it for a bounded time; arguments go to libFuzzer, a file as argument is run once. Any error but the
planner's own, and any broken promise, is a finding. Bytes that are no UTF-8 are no Corefile: a ConfigMap has none.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["ansible_collections.splithorizon"]):
    from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import parse
    from ansible_collections.splithorizon.registry.plugins.module_utils._corefile_tokens import lex
    from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import plan_rewrites
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import rewrite

TARGET = "a.b.svc.cluster.local"
WANTED = [
    rewrite(name="harbor.example.com", target=TARGET),
    rewrite(name=".x.com", target=".b.svc.cluster.local", match="suffix", example="w.x.com"),
    rewrite(name=r"^(.*)\.y\.com\.$", target=TARGET, match="regex", example="w.y.com"),
]
GONE = [rewrite(name=each.name, target=each.target, match=each.match, present=False) for each in WANTED]


def check(data: bytes) -> None:
    """Everything that is promised of any text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    assert "".join(token.raw for token in lex(text)) == text
    try:
        parse(text)
        cleared = plan_rewrites(text=text, wanted=GONE).after
        plan_rewrites(text=text, wanted=WANTED[:1], exact=True)
        added = plan_rewrites(text=cleared, wanted=WANTED)
    except RegistryError:
        return
    assert not plan_rewrites(text=added.after, wanted=WANTED).changes
    assert plan_rewrites(text=added.after, wanted=GONE).after == cleared


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
