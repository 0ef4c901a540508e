# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: a registry's API (OCI distribution), with the token that its realm gives, as containerd and Docker do it.

Harbor gives a token to anybody, for a wrong password too (then without rights): credentials are
proven by what their token opens.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import tarfile
import typing as t
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin, urlsplit

from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    Conflict,
    NotPermitted,
    NotReady,
    RegistryError,
    Unreachable,
)
from ansible_collections.splithorizon.registry.plugins.module_utils._http import Answer, Client, Origin, parse_url

__all__ = [
    "PROOF",
    "Challenge",
    "Image",
    "Registry",
    "check_reference",
    "check_repository",
    "check_tag",
    "fresh_image",
    "is_proof_image",
    "parse_challenge",
]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
# An image is deleted only where its manifest says that it was made for a proof.
PROOF = "splithorizon.registry.proof"
MAX_REDIRECTS = 3

_REPOSITORY = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PARAMETER = re.compile(r'([A-Za-z]+)=(?:"([^"]*)"|([^",\s]+))')


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """What a WWW-Authenticate header asks for. ``realm`` is the token server's URL for Bearer, a word for Basic."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


@dataclass(frozen=True, kw_only=True)
class Image:
    """A complete image in memory; blobs by their digest."""

    manifest: bytes
    blobs: dict[str, bytes]

    @property
    def digest(self) -> str:
        return _digest(self.manifest)


def check_repository(name: str, *, where: str) -> None:
    """BadInput unless ``name`` is a repository's name of the OCI distribution specification, project first."""
    if not _REPOSITORY.fullmatch(name):
        raise BadInput(f"{name!r} is no repository name", where=where, cure="Write it in lower case, as library/app")


def check_tag(tag: str, *, where: str) -> None:
    """BadInput unless ``tag`` is a tag of the OCI distribution specification."""
    if not _TAG.fullmatch(tag):
        raise BadInput(f"{tag!r} is no tag", where=where, cure="Use letters, digits, '.', '_' and '-', at most 128")


def check_reference(reference: str, *, where: str) -> None:
    """BadInput unless ``reference`` is a tag or a digest."""
    if not _DIGEST.fullmatch(reference):
        check_tag(reference, where=where)


def parse_challenge(header: str) -> Challenge | None:
    """Read a WWW-Authenticate header; None where it is empty."""
    scheme, _space, rest = header.strip().partition(" ")
    if not scheme:
        return None
    found = {key.lower(): quoted or bare for key, quoted, bare in _PARAMETER.findall(rest)}
    known = {key: found[key] for key in ("realm", "service", "scope") if key in found}
    return Challenge(scheme=scheme.capitalize(), **known)


def fresh_image(*, size: int, random: t.Callable[[int], bytes] = os.urandom) -> Image:
    """An image nobody has yet: one layer, a tar with one file of ``size`` random bytes. It can be pulled, not run."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("proof")
        entry.size = size
        tar.addfile(entry, io.BytesIO(random(size)))
    layer = packed.getvalue()
    rootfs = {"type": "layers", "diff_ids": [_digest(layer)]}
    config = _json({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs})
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(CONFIG, config),
        "layers": [_descriptor(LAYER, layer)],
        "annotations": {PROOF: "true"},
    }
    return Image(manifest=_json(manifest), blobs={_digest(blob): blob for blob in (layer, config)})


def is_proof_image(manifest: t.Any) -> bool:
    """Whether a manifest is one of ``fresh_image``."""
    annotations = manifest.get("annotations") if isinstance(manifest, dict) else None
    return isinstance(annotations, dict) and annotations.get(PROOF) == "true"


class Registry:
    """One registry, as one user (or anonymously). Tokens are asked for once per scope."""

    def __init__(
        self, *, origin: Origin, client: Client, username: str | None = None, password: str | None = None
    ) -> None:
        self.origin = origin
        self._client = client
        self._basic = _basic(username, password or "") if username else None
        self._challenged: Answer | None = None
        self._authorizations: dict[str, dict[str, str]] = {}

    def ask(self) -> tuple[Answer, Challenge | None]:
        """GET /v2/ without credentials: with them Harbor answers Basic in place of the realm."""
        if self._challenged is None:
            self._challenged = self._client.send("GET", self.origin, "/v2/")
        answer = self._challenged
        header = answer.header("www-authenticate")
        if answer.status not in (200, 401) or (answer.status == 401 and not header):  # noqa: PLR2004
            cure = "Check that the URL leads to the registry, through every proxy in between"
            problem = f"no registry answers at /v2/: status {answer.status}"
            raise NotReady(problem, where=self._where(answer), cure=cure, kind="no_registry")
        return answer, parse_challenge(header)

    @property
    def realm_in_clear(self) -> str:
        """The realm's URL where it would take credentials from HTTPS to plain HTTP, else empty."""
        challenge = self.ask()[1]
        realm = challenge.realm if challenge and challenge.scheme == "Bearer" else ""
        return realm if self.origin.scheme == "https" and realm.startswith("http://") else ""

    def refusal(self, repository: str | None) -> str:
        """Why the credentials open nothing, or empty. ``repository`` need not exist yet, its project must."""
        return self.opened(repository)[0]

    def opened(self, repository: str | None) -> tuple[str, list[str]]:
        """Why the credentials open nothing, or empty; and the first tags of ``repository``."""
        scope = f"repository:{repository}:pull" if repository else ""
        try:
            authorization = self._authorize(scope)
        except NotPermitted as error:
            return str(error), []
        base = self._client.send("GET", self.origin, "/v2/", headers=authorization)
        if base.status != 200:  # noqa: PLR2004
            problem = f"the token given does not open /v2/ ({base.status} {_reason(base)})"
            return f"username or password is wrong: {problem}", []
        if not repository:
            return "", []
        tags = self._client.send("GET", self.origin, f"/v2/{repository}/tags/list", headers=authorization)
        if tags.status in (200, 404):
            found = tags.json() if tags.status == 200 else None  # noqa: PLR2004
            return "", list((found.get("tags") if isinstance(found, dict) else None) or [])
        return f"the credentials may not pull from {repository} ({tags.status} {_reason(tags)})", []

    def find(self, repository: str, tag: str) -> tuple[str, t.Any] | None:
        """Digest and manifest of an image; None where there is none."""
        answer = self.call("GET", repository, f"manifests/{tag}", actions="pull", accept=(200, 404))
        if answer.status == 404:  # noqa: PLR2004
            return None
        return answer.header("docker-content-digest") or _digest(answer.body), answer.json()

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository; none where it does not exist."""
        answer = self.call("GET", repository, "tags/list", actions="pull", accept=(200, 404))
        found = answer.json() if answer.status == 200 else None  # noqa: PLR2004
        return list((found.get("tags") if isinstance(found, dict) else None) or [])

    def push(self, repository: str, tag: str, image: Image) -> None:
        """Upload what an image consists of, its manifest last."""
        for digest, blob in image.blobs.items():
            start = self.call("POST", repository, "blobs/uploads/", actions="pull,push", accept=(202,))
            path = self._upload_path(start)
            query = ("&" if "?" in path else "?") + urlencode({"digest": digest})
            self.call(
                "PUT", repository, path + query, actions="pull,push", accept=(201,),
                body=blob, content_type="application/octet-stream",
            )  # fmt: skip
        path = f"manifests/{tag}"
        self.call(
            "PUT", repository, path, actions="pull,push", accept=(201,), body=image.manifest, content_type=MANIFEST
        )

    def delete(self, repository: str, digest: str) -> None:
        """Delete an image with all its tags; one that is gone already is fine."""
        self.call("DELETE", repository, f"manifests/{digest}", actions="pull,delete", accept=(200, 202, 404))

    def _upload_path(self, answer: Answer) -> str:
        """The Location of an upload, which must lead where the request came from, or every push fails."""
        location = urljoin(f"{self.origin}/", answer.header("location"))
        parts = urlsplit(location)
        target = parse_url(f"{parts.scheme}://{parts.netloc}", where="Location")
        if target != self.origin:
            cure = "The proxy in front must pass Host and X-Forwarded-Proto, or the registry use relative URLs"
            where = self._where(answer)
            raise NotReady(f"sends uploads to {target}", where=where, cure=cure, kind="upload_elsewhere")
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    def call(
        self,
        method: str,
        repository: str,
        path: str,
        *,
        actions: str,
        accept: tuple[int, ...],
        body: bytes | None = None,
        content_type: str = "",
        into: t.Callable[[bytes], object] | None = None,
    ) -> Answer:
        """One request as the user, or the error that its status says. ``path`` is in the repository unless absolute."""
        headers = {
            "Accept": f"{MANIFEST}, {INDEX}, {DOCKER}, {DOCKER_LIST}, application/json, */*",
            **self._authorize(f"repository:{repository}:{actions}"),
        }
        if content_type:
            headers["Content-Type"] = content_type
        full = path if path.startswith("/") else f"/v2/{repository}/{path}"
        answer = self._client.send(method, self.origin, full, headers=headers, body=body, into=into)
        if answer.status in accept:
            return answer
        where = f"{method} {self.origin}{full.partition('?')[0]}"
        problem = f"status {answer.status}: {_reason(answer)}"
        match answer.status:
            case 401 | 403:
                cure = f"Use credentials that may {actions} in {repository}"
                raise NotPermitted(problem, where=where, cure=cure, kind="access_denied")
            case 404:
                raise BadInput(problem, where=where, cure="Create the project first", kind="not_found")
            case 412:
                cure = "See the project's policy in Harbor: it holds back what is vulnerable, not scanned or not signed"
                raise Conflict(problem, where=where, cure=cure, kind="blocked")
            case 405:
                raise Conflict(problem, where=where, cure="Allow it in the registry (storage.delete.enabled)")
            case _:
                raise RegistryError(problem, where=where)

    def _authorize(self, scope: str) -> dict[str, str]:
        if scope not in self._authorizations:
            self._authorizations[scope] = self._authorization(scope)
        return self._authorizations[scope]

    def _authorization(self, scope: str) -> dict[str, str]:
        challenge = self.ask()[1]
        basic = {"Authorization": self._basic} if self._basic else {}
        if challenge is None or challenge.scheme != "Bearer":
            return basic if challenge else {}
        query = {"service": challenge.service, "scope": scope}
        return {"Authorization": f"Bearer {self._token(challenge.realm, query, basic)}"}

    def _token(self, realm: str, query: dict[str, str], basic: dict[str, str]) -> str:
        asked = urlencode({key: value for key, value in query.items() if value})
        url = realm + ("&" if "?" in realm else "?") + asked
        for _hop in range(MAX_REDIRECTS):
            parts = urlsplit(url)
            target = parse_url(f"{parts.scheme}://{parts.netloc}", where=f"realm of {self.origin}")
            answer = self._ask_realm(target, f"{parts.path}?{parts.query}", basic)
            if answer.status not in (301, 302, 303, 307, 308):
                break
            url = urljoin(url, answer.header("location"))
            if urlsplit(url).hostname != target.host:
                basic = {}
        found = answer.json() if answer.status == 200 else None  # noqa: PLR2004
        token = (found.get("token") or found.get("access_token")) if isinstance(found, dict) else None
        if isinstance(token, str) and token:
            return token
        problem = f"gives no token: status {answer.status} {_reason(answer)}"
        if answer.status in (401, 403):
            raise NotPermitted(problem, where=realm, cure="Check username and password", kind="access_denied")
        cure = "Check that the realm leads to the registry's token service"
        raise NotReady(problem, where=realm, cure=cure, kind="no_token")

    def _ask_realm(self, target: Origin, path: str, basic: dict[str, str]) -> Answer:
        """The realm may lead where this machine, or the client, cannot follow: then clients get no token."""
        try:
            return self._client.send("GET", target, path, headers=basic)
        except (NotReady, Unreachable) as error:
            problem = f"its realm does not answer: {error.where}: {error.problem}"
            cure = error.cure or "Check that the realm leads to the registry's token service"
            raise type(error)(problem, where=str(self.origin), cure=cure, kind="no_token") from error

    def _where(self, answer: Answer) -> str:
        return f"{self.origin} ({answer.peer})"


def _reason(answer: Answer) -> str:
    found = answer.json()
    errors = found.get("errors") if isinstance(found, dict) else None
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return str(errors[0].get("message") or errors[0].get("code") or "")
    return answer.body[:120].decode(errors="replace").strip().partition("\n")[0]


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _descriptor(media_type: str, content: bytes) -> dict[str, t.Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _json(data: t.Any) -> bytes:
    return json.dumps(data, separators=(",", ":"), sort_keys=True).encode()
