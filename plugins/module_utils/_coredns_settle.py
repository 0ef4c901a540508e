# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: wait until every CoreDNS pod answers by a new Corefile, or find out that CoreDNS does not take it.

CoreDNS that has the reload plugin keeps the old file where it cannot use the new one, and says so in its metrics and in
its log. A pod that starts with such a file ends at once. Either is noticed as soon as it happens.
"""

from __future__ import annotations

import datetime
import re
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import metric_values, ready_pods, summary
from ansible_collections.splithorizon.registry.plugins.module_utils._corefile import parse
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotReady, RegistryError
from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_wanted import dns_name

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ansible_collections.splithorizon.registry.plugins.module_utils._coredns import CoreDns, Replica
    from ansible_collections.splithorizon.registry.plugins.module_utils._dns import Answer
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite import RewritePlan
    from ansible_collections.splithorizon.registry.plugins.module_utils._rewrite_draft import Planned

__all__ = ["PodState", "Refused", "Watch", "control_name", "crashed", "log_reason", "metrics_port"]

POLL_SECONDS = 2.0
# Where the prometheus plugin listens if its line names no address.
METRICS_PORT = 9153
REASON_LENGTH = 300


class Refused(NotReady):
    """CoreDNS did not take the Corefile it was given, or answers other names by it than it should."""


@dataclass(frozen=True, kw_only=True)
class PodState:
    """What a pod says of itself: how often a reload failed, which version it runs, what the control name leads to.

    ``measured`` is whether the first two come from its metrics.
    """

    measured: bool = False
    failed: float = 0.0
    version: frozenset[str] = frozenset()
    control: Answer | None = None


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What every pod answers now, what is still missing, and what has changed that should not have."""

    replicas: list[Replica]
    missing: str = ""
    harm: str = ""


class Watch:
    """The CoreDNS pods as they are before a change, and the wait for what comes of it.

    ``corefile`` is the file as it is before: it tells where the metrics are. ``control`` is a name that the change must
    not touch. ``clock`` gives seconds.
    """

    def __init__(
        self,
        coredns: CoreDns,
        *,
        corefile: str,
        control: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._coredns = coredns
        self._control = control
        self._clock, self._sleep = clock, sleep
        self._port = metrics_port(corefile)
        self._before = {_name(pod): self._state(pod) for pod in coredns.pods()}
        self._broken = crashed(coredns.all_pods())
        self._start = clock()

    def settle(self, plan: RewritePlan, *, seconds: float) -> list[Replica]:
        """Wait until every pod answers by the new Corefile. Refused where CoreDNS does not take it."""
        end = self._clock() + seconds
        if not plan.reloads:
            self._restart(end)
        while True:
            look = self._look(plan)
            if not look.missing and not look.harm:
                return look.replicas
            if self._clock() >= end:
                raise _out_of_time(look, seconds)
            self._sleep(POLL_SECONDS)

    def restart_again(self, plan: RewritePlan) -> None:
        """After the old Corefile was put back: new pods, as those that read the new one may wait minutes to retry."""
        if not plan.reloads:
            self._roll()

    def _look(self, plan: RewritePlan) -> _Look:
        pods = self._coredns.all_pods()
        self._raise_if_crashed(pods)
        ready = ready_pods(pods)
        if not ready or len(ready) < len(self._before):
            return _Look(replicas=[], missing=f"{len(ready)} of {len(self._before) or len(pods)} pods are ready")
        now = {_name(pod): self._state(pod) for pod in ready}
        if plan.reloads:
            for pod in ready:
                self._raise_if_refused(pod, now[_name(pod)])
        try:
            replicas, missing = self._answers(plan, now)
        except NotReady as error:
            return _Look(replicas=[], missing=str(error))
        return _Look(replicas=replicas, missing=missing, harm=self._harm(now))

    def _answers(self, plan: RewritePlan, now: Mapping[str, PodState]) -> tuple[list[Replica], str]:
        """What every pod answers, and what is still missing of what is planned."""
        replicas: list[Replica] = []
        late: list[Replica] = []
        for each in plan.each:
            if each.question is None:
                continue
            name, target = each.question
            found = self._coredns.ask(name=name, target=target or None, domain=each.cluster_domain)
            late += [replica for replica in found if not self._is_settled(replica, each, now)]
            replicas += found
        unproven = plan.removed and not any(each.question and each.removed for each in plan.each)
        if not late and unproven and plan.reloads and self._run_the_old(now):
            return replicas, "its metrics speak of the old one"
        return replicas, summary(late)

    def _state(self, pod: Json) -> PodState:
        metrics = self._coredns.metrics(pod, self._port) if self._port else None
        text = metrics or ""
        return PodState(
            measured=metrics is not None,
            failed=sum(metric_values(text, "coredns_reload_failed_total").values()),
            version=frozenset(metric_values(text, "coredns_reload_version_info")),
            control=self._coredns.answer(pod, self._control),
        )

    def _raise_if_refused(self, pod: Json, now: PodState) -> None:
        before = self._before.get(_name(pod), PodState())
        if now.measured and now.failed <= before.failed:
            return
        reason = log_reason(self._coredns.log(pod, seconds=self._clock() - self._start))
        if now.measured or reason:
            why = reason or "its log says why (coredns_reload_failed_total went up)"
            raise Refused(f"CoreDNS does not take the new Corefile: {why}", where=f"pod {_name(pod)}")

    def _raise_if_crashed(self, pods: list[Json]) -> None:
        down = crashed(pods) - self._broken
        for pod in pods:
            if _name(pod) in down:
                reason = log_reason(self._coredns.log(pod), ended=True) or "its log says why"
                raise Refused(f"CoreDNS does not start with the new Corefile: {reason}", where=f"pod {_name(pod)}")

    def _run_the_old(self, now: Mapping[str, PodState]) -> bool:
        return any(
            state.version and now.get(pod, PodState()).version == state.version for pod, state in self._before.items()
        )

    def _is_settled(self, replica: Replica, plan: Planned, now: Mapping[str, PodState]) -> bool:
        if replica.problem:
            return False
        if plan.rules:
            expanded = replica.expanded == replica.target or not plan.autopath
            led = bool(replica.target) and replica.bare == replica.target
            return led and expanded and not replica.six_problem
        # Another resolver may know the name by the same address, or nobody the target: then only the version tells.
        version = now.get(replica.pod, PodState()).version
        known = plan.question is not None and plan.question[1]
        old = self._before.get(replica.pod, PodState()).version
        return bool(known and replica.bare != replica.target) or version != old

    def _harm(self, now: Mapping[str, PodState]) -> str:
        """Which pod answers the control name otherwise than before, in a sentence."""
        known = {state.control for state in self._before.values() if state.control}
        for pod, state in now.items():
            expected = self._before[pod].control if pod in self._before else None
            if state.control is None and known:
                return f"{pod} does not answer {self._control}, as it did before"
            if known and state.control not in ({expected} if expected else known):
                return f"{pod} answers {self._control}, which is not rewritten, otherwise than before"
        return ""

    def _restart(self, end: float) -> None:
        """Without the reload plugin a Corefile is read at start only."""
        rolling = self._roll()
        while not all(self._coredns.rolled_out(kind, name) for kind, name in rolling):
            self._raise_if_crashed(self._coredns.all_pods())
            if self._clock() >= end:
                raise Refused("its pods do not come up", where=", ".join(f"{kind} {name}" for kind, name in rolling))
            self._sleep(POLL_SECONDS)

    def _roll(self) -> list[tuple[str, str]]:
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        owners = self._coredns.owners()
        for kind, name in owners:
            self._coredns.restart(kind, name, stamp=stamp)
        return owners


def control_name(asked: str | None, plan: RewritePlan) -> str:
    """The name that the change must not touch; BadInput for one that it is to touch."""
    name = dns_name(asked, option="control_name") if asked else f"kubernetes.default.svc.{plan.cluster_domain}"
    for each in plan.each:
        if each.rewrite.rule.catches(f"{name}."):
            raise BadInput(
                f"{name} is rewritten itself, so it cannot show that other names are not touched",
                where="option control_name",
                cure="Give another name of the cluster or outside, whose addresses are steady",
            )
    return name


def _name(pod: Json) -> str:
    return str(pod["metadata"]["name"])


def _out_of_time(look: _Look, seconds: float) -> RegistryError:
    if look.harm and not look.missing:
        return Refused(f"after {seconds:g} s, {look.harm}")
    return NotReady(
        f"after {seconds:g} s not every CoreDNS pod answers by the new Corefile: {look.missing}",
        cure="See the logs of those pods, then run again",
    )


def crashed(pods: list[Json]) -> set[str]:
    """The pods one of whose containers ended with an error and is not running since."""
    return {_name(pod) for pod in pods if any(map(_is_down, pod.get("status", {}).get("containerStatuses") or []))}


def _is_down(container: Json) -> bool:
    state = container.get("state") or {}
    ended = state.get("terminated") or {}
    return (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff" or bool(ended.get("exitCode"))


def log_reason(log: str, *, ended: bool = False) -> str:
    """Why CoreDNS refused a Corefile, by its log; where it ``ended``, its last words. Empty where it says nothing."""
    found = re.findall(r"reload failed: (.+)", log)
    if not found and ended:
        found = [line for line in map(str.strip, log.splitlines()) if line]
    return str(found[-1])[:REASON_LENGTH] if found else ""


def metrics_port(corefile: str) -> int | None:
    """The port of the prometheus plugin by the Corefile; None without the plugin, its usual port where nobody knows."""
    try:
        blocks = parse(corefile).blocks
    except BadInput:
        return METRICS_PORT
    lines = [line for block in blocks for line in block.named("prometheus")]
    if not lines:
        # Every Corefile with a rewrite of ours has that plugin: else it is what one imports, or a chart's values.
        return None if any(block.named("kubernetes") for block in blocks) else METRICS_PORT
    address = lines[0].args[0] if lines[0].args else ""
    port = address.rpartition(":")[2]
    return int(port) if port.isdigit() else METRICS_PORT
