# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: pull one image's manifest and its largest blob as a client does, with the time each took; nothing is kept."""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput, NotReady
from ansible_collections.splithorizon.registry.plugins.module_utils._http import parse_url

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._http import Answer, Client
    from ansible_collections.splithorizon.registry.plugins.module_utils._registry import Registry

__all__ = ["Pulled", "pull"]

REDIRECTS = (301, 302, 303, 307, 308)
Json = dict[str, t.Any]


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """``source`` is the host that gave the blob, another than the registry's where it keeps blobs elsewhere."""

    digest: str
    manifest_seconds: float
    blob: str
    size: int
    blob_seconds: float
    source: str

    def as_result(self) -> Json:
        return {
            "digest": self.digest,
            "manifest_seconds": round(self.manifest_seconds, 3),
            "blob": self.blob,
            "size": self.size,
            "blob_seconds": round(self.blob_seconds, 3),
            "source": self.source,
        }


def pull(registry: Registry, client: Client, repository: str, tag: str, *, max_blob: int) -> Pulled:
    """The image's manifest (of an index, its first) and the largest blob of at most ``max_blob`` bytes."""
    answer, manifest = _manifest(registry, repository, tag)
    seconds = _seconds(answer)
    if isinstance(manifest.get("manifests"), list) and manifest["manifests"]:
        answer, manifest = _manifest(registry, repository, manifest["manifests"][0]["digest"])
        seconds += _seconds(answer)
    blob = _largest(manifest, max_blob, where=f"{repository}:{tag}")
    found = hashlib.sha256()
    last, source = _blob(registry, client, repository, blob["digest"], found)
    if (digest := f"sha256:{found.hexdigest()}") != blob["digest"]:
        cure = "See whether a proxy in between changes or cuts bodies"
        where = f"{repository}@{blob['digest']}"
        raise NotReady(f"its bytes have digest {digest}", where=where, cure=cure, kind="corrupt")
    return Pulled(
        digest=answer.header("docker-content-digest"),
        manifest_seconds=seconds,
        blob=blob["digest"],
        size=blob["size"],
        blob_seconds=last,
        source=source,
    )


def _manifest(registry: Registry, repository: str, reference: str) -> tuple[Answer, Json]:
    answer = registry.call("GET", repository, f"manifests/{reference}", actions="pull", accept=(200, 404))
    where = f"{registry.origin}/{repository}:{reference}"
    if answer.status == 404:  # noqa: PLR2004
        raise BadInput("there is no such image", where=where, cure="Give one of its tags", kind="not_found")
    manifest = answer.json()
    if not isinstance(manifest, dict):
        raise NotReady("its manifest is no JSON", where=where, kind="no_registry")
    return answer, manifest


def _largest(manifest: Json, max_blob: int, *, where: str) -> Json:
    blobs = [one for one in [manifest.get("config"), *manifest.get("layers", [])] if isinstance(one, dict)]
    fitting = [one for one in blobs if one.get("size", 0) <= max_blob]
    if not fitting:
        raise BadInput(f"no blob of at most {max_blob} bytes", where=where, cure="Allow larger ones with max_blob")
    return max(fitting, key=lambda one: int(one["size"]))


def _blob(registry: Registry, client: Client, repository: str, digest: str, found: t.Any) -> tuple[float, str]:
    """Seconds and the host it came from. A registry that keeps its blobs in an object store may send there."""
    answer = registry.call(
        "GET", repository, f"blobs/{digest}", actions="pull", accept=(200, *REDIRECTS), into=found.update
    )
    if answer.status not in REDIRECTS:
        return _seconds(answer), registry.origin.host
    parts = urlsplit(urljoin(f"{registry.origin}/", answer.header("location")))
    target = parse_url(f"{parts.scheme}://{parts.netloc}", where=f"where {registry.origin} keeps its blobs")
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    stored = client.send("GET", target, path, into=found.update)  # its credentials are in the URL
    if stored.status != 200:  # noqa: PLR2004
        problem = f"the store that the blob was sent to answers with status {stored.status}"
        raise NotReady(problem, where=str(target), cure="See whether clients can reach the registry's object store")
    return _seconds(answer) + _seconds(stored), target.host


def _seconds(answer: Answer) -> float:
    timing = answer.timing
    return timing.connect + timing.tls + timing.answer
