# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's modules without Ansible around them: options in, what the module exits with out.

As a program it takes one call a line (JSON: ``module``, ``check``, options) and answers each on a line of its own, so
that modules can be run inside the sandbox's network. Every call is a process of its own, forked from this one, which
has loaded the Kubernetes client before: to load it takes longer than most calls.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

from ansible.module_utils.testing import patch_module_args

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.inside import Inside

__all__ = ["Call", "Json", "call", "inside_of"]

Json = dict[str, t.Any]
ROOT = Path(__file__).resolve().parents[2]
MODULES = "ansible_collections.splithorizon.registry.plugins.modules"


class Call(t.Protocol):
    """A way to run a module; the result is without ``invocation``."""

    def __call__(self, module: str, *, check: bool = False, **options: t.Any) -> Json: ...


def call(module: str, *, check: bool = False, **options: t.Any) -> Json:
    """Run a module in this process, always with ``--diff``."""
    loaded = importlib.import_module(f"{MODULES}.{module}")
    printed = io.StringIO()
    arguments = {**options, "_ansible_check_mode": check, "_ansible_diff": True}
    with patch_module_args(arguments), contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        loaded.main()
    result: Json = json.loads(printed.getvalue().splitlines()[-1])
    result.pop("invocation", None)
    return result


@contextlib.contextmanager
def inside_of(inside: Inside) -> Iterator[Call]:
    """Modules inside the sandbox, on its LAN, where an operator's machine stands."""
    pipe = subprocess.PIPE
    server = subprocess.Popen(
        inside.argv([sys.executable, __file__]), env=inside.environment(), stdin=pipe, stdout=pipe, text=True
    )
    assert server.stdin and server.stdout

    def send(module: str, *, check: bool = False, **options: t.Any) -> Json:
        assert server.stdin and server.stdout
        server.stdin.write(json.dumps({"module": module, "check": check, **options}) + "\n")
        server.stdin.flush()
        answer: Json = json.loads(server.stdout.readline() or '{"msg": "the modules\' server is gone"}')
        return answer

    try:
        yield send
    finally:
        server.stdin.close()
        server.wait(10)


def _serve() -> None:
    sys.path.insert(0, str(ROOT / ".cache" / "collections"))
    importlib.import_module("ansible_collections.kubernetes.core.plugins.module_utils.k8s.client")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            print(json.dumps(call(**json.loads(line))), flush=True)
            os._exit(0)
        if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            print(json.dumps({"failed": True, "msg": f"the module ended with {code}"}), flush=True)


if __name__ == "__main__":
    _serve()
