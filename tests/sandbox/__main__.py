# SPDX-License-Identifier: GPL-3.0-or-later
"""Two Kubernetes clusters on Talos nodes on this machine, in namespaces of their own, and the demo on them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

from . import keeper
from .model import CLUSTERS, REGISTRY_NAME, STAGES
from .paths import paths
from .process import Failed
from .shell import in_toolbox, shell
from .start import start

NEXT = f"""Nothing of it can be reached from outside; run commands inside:
  .venv/bin/ansible-playbook -i inventories/sandbox site.yml     its modules run inside
  make sandbox-shell CMD='kubectl get pods -A'                   contexts alpha (current) and beta
  make sandbox-shell CMD='talosctl --context beta get members'   also alpha-reader, beta-reader
  make sandbox-shell CMD='curl -i https://{REGISTRY_NAME}/v2/'   from outside the clusters
End it with make sandbox-down."""


def main() -> int:
    options = _options()
    try:
        return int(options.act(options))
    except Failed as exc:
        print(f"sandbox: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sandbox: interrupted", file=sys.stderr)
        return 130


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sandbox", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="up|down|status|shell|demo|benchmark")
    up = verbs.add_parser("up", help="start it, or find it running")
    up.set_defaults(act=_up)
    up.add_argument("--foreground", action="store_true", help="stay, and take the sandbox along when ending")
    up.add_argument("--until", choices=STAGES, default=STAGES[-1], help="the last stage to start")
    up.add_argument("--no-build", action="store_true", help="take the programs that are there")
    lifetime = os.environ.get("SANDBOX_TTL", keeper.LIFETIME)
    up.add_argument("--lifetime", default=lifetime, help=f"it ends by itself after this time (now {lifetime})")
    verbs.add_parser("down", help="end it").set_defaults(act=_down)
    verbs.add_parser("status", help="what runs").set_defaults(act=_status)
    verbs.add_parser("demo", help="the migration, before and after").set_defaults(act=_demo)
    verbs.add_parser("benchmark", help="what a run without changes costs").set_defaults(act=_benchmark)
    enter = verbs.add_parser("shell", help="run a command inside")
    enter.set_defaults(act=_shell)
    enter.add_argument("--cluster", choices=[c.name for c in CLUSTERS], help="on that cluster's nodes; else on the LAN")
    enter.add_argument("--as-pod", action="store_true", help="in that cluster's toolbox pod, as any pod sees things")
    enter.add_argument("command", nargs=argparse.REMAINDER, help="the command (default: a shell)")
    return parser.parse_args()


def _up(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begin = time.monotonic()
    leash = start(until=options.until, lifetime=options.lifetime, built=not options.no_build)
    print(f"the sandbox {'is up' if leash else 'was up already'} {time.monotonic() - begin:6.1f} s", flush=True)
    print(NEXT, flush=True)
    if options.foreground:
        return _stay(leash is not None)
    if leash:
        leash.release()
    return 0


def _stay(ours: bool) -> int:
    """Wait until the sandbox ends; end it if it is ours and we are told to go."""
    try:
        keeper.wait(paths())
    finally:
        if ours:
            keeper.stop(paths())
    return 0


def _down(_: argparse.Namespace) -> int:
    print("the sandbox is down" if keeper.stop(paths()) else "no sandbox was running")
    return 0


def _status(_: argparse.Namespace) -> int:
    running = keeper.find(paths())
    state = keeper.state(paths())
    print(f"process 1: {running.init}; stage: {state.get('stage') or 'starting'}; ready: {state.get('ready', False)}")
    for name, part in state.get("parts", {}).items():
        print(f"  {name:<32} pid {part['pid']:>6}  restarts {part['restarts']}")
    return 0 if state.get("ready") else 1


def _demo(_: argparse.Namespace) -> int:
    from .demo import demo  # noqa: PLC0415 (up, down and shell need none of it)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return demo()


def _benchmark(_: argparse.Namespace) -> int:
    from .benchmark import benchmark  # noqa: PLC0415 (as above)

    return benchmark()


def _shell(options: argparse.Namespace) -> int:
    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    if options.as_pod:
        if not options.cluster:
            raise Failed("--as-pod needs --cluster: a pod is in one of them")
        words = in_toolbox(options.cluster, words or ["sh"], terminal=sys.stdin.isatty())
    shell(paths(), words or [os.environ.get("SHELL", "sh")], cluster=options.cluster)


if __name__ == "__main__":
    sys.exit(main())
