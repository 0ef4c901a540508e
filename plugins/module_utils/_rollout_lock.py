# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Who may change a cluster's nodes: one run at a time, by a Lease of Kubernetes (coordination.k8s.io/v1).

A holder is one process: its host, that host's boot, its process namespace, its number and when it started. So a run
that was killed is known to be dead on the machine it ran on; elsewhere it holds until its lease has run out.
Expiry compares the holder's clock with this one.
"""

from __future__ import annotations

import typing as t
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Json

__all__ = ["Held", "Holder", "held_by", "new_lease", "renewed", "taken_over"]

API = "coordination.k8s.io/v1"
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True)
class Holder:
    """One run of ansible-playbook. ``started`` is in the words of the host's kernel; empty: cannot be known."""

    host: str
    boot: str
    namespace: str
    pid: int
    started: str

    def __str__(self) -> str:
        return "/".join(str(part) for part in astuple(self))

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """None where the text is no identity of ours."""
        parts = text.split("/")
        if len(parts) != 5 or not parts[3].isdigit():  # noqa: PLR2004
            return None
        return cls(parts[0], parts[1], parts[2], int(parts[3]), parts[4])

    def is_of_the_same_machine_as(self, other: Holder) -> bool:
        """Whether the process numbers of both mean the same."""
        return (self.host, self.boot, self.namespace) == (other.host, other.boot, other.namespace)


@dataclass(frozen=True, kw_only=True)
class Held:
    """A lease that somebody has. ``since`` and ``until`` are times, UTC."""

    holder: str
    since: datetime
    until: datetime

    def is_over(self, now: datetime) -> bool:
        return now > self.until


def held_by(lease: Json) -> Held | None:
    """Who has the lease; None where nobody does."""
    spec = lease.get("spec") or {}
    if not spec.get("holderIdentity"):
        return None
    renewed_at = _time(spec.get("renewTime") or spec.get("acquireTime"))
    since = _time(spec.get("acquireTime")) if spec.get("acquireTime") else renewed_at
    until = renewed_at + timedelta(seconds=spec.get("leaseDurationSeconds") or 0)
    return Held(holder=spec["holderIdentity"], since=since, until=until)


def new_lease(namespace: str, name: str, *, holder: str, seconds: int, now: datetime) -> Json:
    """A lease that nobody had before."""
    spec = {"holderIdentity": holder, "acquireTime": now.strftime(TIME), "leaseTransitions": 0}
    empty = {"apiVersion": API, "kind": "Lease", "metadata": {"namespace": namespace, "name": name}, "spec": spec}
    return renewed(empty, seconds=seconds, now=now)


def renewed(lease: Json, *, seconds: int, now: datetime) -> Json:
    """The lease for the same holder, from now on."""
    times = {"renewTime": now.strftime(TIME), "leaseDurationSeconds": seconds}
    return {**lease, "spec": {**lease["spec"], **times}}


def taken_over(lease: Json, *, holder: str, seconds: int, now: datetime) -> Json:
    """The lease for another holder."""
    spec = lease.get("spec") or {}
    transitions = int(spec.get("leaseTransitions") or 0) + 1
    own = {"holderIdentity": holder, "acquireTime": now.strftime(TIME), "leaseTransitions": transitions}
    return renewed({**lease, "spec": {**spec, **own}}, seconds=seconds, now=now)


def _time(text: str | None) -> datetime:
    """RFC 3339, in UTC as Kubernetes writes it; what cannot be read is long ago."""
    for form in (TIME, "%Y-%m-%dT%H:%M:%SZ"):
        try:
            return datetime.strptime(text or "", form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return datetime.fromtimestamp(0, UTC)
