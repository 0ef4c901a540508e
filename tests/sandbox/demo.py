# SPDX-License-Identifier: GPL-3.0-or-later
"""``make demo``: the HTTP era, the migration, what clients see before and after, a second run that changes nothing."""

from __future__ import annotations

import json
import time
import typing as t
from contextlib import contextmanager

from . import keeper
from .builds import SHORT
from .inside import Inside
from .model import CLUSTERS, REGISTRY_NAME
from .observe import observe
from .paths import paths
from .process import Failed
from .recap import changed, recap
from .start import start

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from .observe import ClusterView

__all__ = ["demo"]

WIDTH = 44
FORMS = {"bare": "bare name", "expanded": "name with the search domain"}


def demo() -> int:
    """0 only if all that the table promises holds."""
    begin = time.monotonic()
    leash = start()
    if leash is None:
        raise Failed("a sandbox runs already, in whatever state; end it with `make sandbox-down` and try again")
    try:
        report = _migrate(Inside(paths()))
    finally:
        with _step("sandbox: end"):
            keeper.stop(paths())
    report["seconds"] = round(time.monotonic() - begin, 1)
    (paths().home / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    for line in report["broken"]:
        _say(f"NOT AS PROMISED: {line}")
    verdict = "it does not hold" if report["broken"] else "it all holds"
    _say(f"{verdict}; {report['seconds']} s in all; report: {paths().home / 'report.json'}")
    return 1 if report["broken"] else 0


def _migrate(inside: Inside) -> dict[str, t.Any]:
    with _step("look at the HTTP era"):
        before = observe(inside, tag="before")
    with _step("ansible-playbook site.yml"):
        first = inside.playbook("site.yml")
    if first.returncode:
        raise Failed(f"site.yml failed:\n{first.stdout[-6000:]}\n{first.stderr[-2000:]}")
    with _step("look at the HTTPS state"):
        after = observe(inside, tag="after")
    with _step("ansible-playbook site.yml, again"):
        second = inside.playbook("site.yml")
    _table(before, after)
    _, _, summary = second.stdout.rpartition("PLAY RECAP")
    _say(f"\nThe second run:\n{summary.lstrip(' *').strip()}\n")
    return {
        "before": {name: view.as_json() for name, view in before.items()},
        "after": {name: view.as_json() for name, view in after.items()},
        "first_run": recap(first.stdout),
        "second_run": recap(second.stdout),
        "broken": [*_broken(inside, before, after), *_not_idempotent(second.returncode, second.stdout)],
    }


def _broken(inside: Inside, before: dict[str, ClusterView], after: dict[str, ClusterView]) -> Iterator[str]:
    for cluster in CLUSTERS:
        old, new = before[cluster.name], after[cluster.name]
        alias = _alias_address(inside, cluster.name)
        if not old.https_from_pod.startswith("fails"):
            yield f"{cluster.name}: HTTPS by the public name worked from a pod before the migration"
        if not new.https_from_pod.startswith("401"):
            yield f"{cluster.name}: HTTPS by the public name from a pod: {new.https_from_pod}"
        if new.realm != "https://harbor.example.com/service/token":
            yield f"{cluster.name}: the realm is {new.realm}"
        yield from _broken_builds(cluster.name, old, new)
        for pod, answers in new.dns.items():
            if answers["bare"] != [alias]:
                yield f"{cluster.name}: {pod} answers {answers['bare']}, not the alias Service's {alias}"
            if alias not in answers["expanded"] and answers["expanded"]:
                yield f"{cluster.name}: {pod} answers the search-expanded name with {answers['expanded']}"
        for name, node in new.nodes.items():
            if f"({cluster.gateway_address})" not in node.pull:
                yield f"{name}: {node.pull}"


def _broken_builds(name: str, old: ClusterView, new: ClusterView) -> Iterator[str]:
    for host, came_of in old.builds.items():
        wanted = "fails: failed to fetch oauth token: " if host == SHORT else "pushed"
        if not came_of.startswith(wanted):
            yield f"{name}: before the migration, a build pushed to {host}: {came_of}"
    if new.builds and not new.builds[REGISTRY_NAME].startswith("pushed"):
        yield f"{name}: a build pushed to {REGISTRY_NAME}: {new.builds[REGISTRY_NAME]}"


def _alias_address(inside: Inside, cluster: str) -> str:
    service = ("service", "-n", "envoy-gateway-system", "envoy-proxy")
    return inside.kubectl(cluster, "get", *service, "-o", "jsonpath={.spec.clusterIP}")


def _not_idempotent(code: int, output: str) -> Iterator[str]:
    if code or changed(output):
        yield f"the second run ended with {code} and {changed(output)} changes"


def _table(before: dict[str, ClusterView], after: dict[str, ClusterView]) -> None:
    for name, old in before.items():
        _say(f"\n{name}")
        for what, was, now in _rows(old, after[name]):
            _say(f"  {what}\n    before  {was or '-'}\n    after   {now or '-'}")


def _rows(old: ClusterView, new: ClusterView) -> Iterator[tuple[str, str, str]]:
    for pod in sorted(new.dns):
        for form in ("bare", "expanded"):
            was = old.dns.get(pod, {}).get(form, ["(new replica)"])
            yield f"{pod} answers a pod, {FORMS[form]}", ", ".join(was), ", ".join(new.dns[pod][form])
    yield "https by the public name, from a pod", old.https_from_pod, new.https_from_pod
    yield "realm, from a pod", old.realm, new.realm
    for host in dict.fromkeys([*old.builds, *new.builds]):
        yield f"a build, pushed to {host}", old.builds.get(host, ""), new.builds.get(host, "")
    for node, view in new.nodes.items():
        for registry in sorted({*old.nodes[node].hosts, *view.hosts}):
            was, now = (" ".join(hosts.get(registry, [])) for hosts in (old.nodes[node].hosts, view.hosts))
            if was != now:
                yield f"{node}, hosts for {registry}", was, now
        yield f"{node}, a pull", old.nodes[node].pull, view.pull


def _say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def _step(what: str) -> Iterator[None]:
    begin = time.monotonic()
    yield
    _say(f"{what:<{WIDTH}} {time.monotonic() - begin:6.1f} s")
