# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: one Kubernetes cluster, through kubernetes.core's client and its connection options.

Every call is bounded in time. Writes go to the server in check mode too, as its own dry run
(``dryRun=All``), so that admission answers in both modes.
"""

from __future__ import annotations

import functools
import json
import re
import time
import typing as t
from contextlib import contextmanager

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import (
    BadInput,
    Conflict,
    NotPermitted,
    NotReady,
    RegistryError,
    Unreachable,
)

if t.TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

__all__ = ["KUBERNETES_SPEC", "Cluster", "Json", "object_path"]

Json = dict[str, t.Any]

# Kept in step with the doc fragment kubernetes.core.k8s_auth_options.
KUBERNETES_SPEC: Json = dict(AUTH_ARG_SPEC)

CALL_SECONDS = 20
POLL_SECONDS = 1.0
REASON_LENGTH = 300
MERGE_PATCH = "application/merge-patch+json"
REVIEW_VERSION = "authorization.k8s.io/v1"


def object_path(api_version: str, kind: str, namespace: str | None = None, name: str | None = None) -> str:
    """The REST path of an object, or of a collection without ``name``: ``/api/v1/namespaces/a/configmaps/b``."""
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{scope}/{_plural(kind.lower())}" + (f"/{name}" if name else "")


def _plural(kind: str) -> str:
    """``networkpolicy`` → ``networkpolicies``, ``gateway`` → ``gateways``, ``ingress`` → ``ingresses``."""
    if re.search("[^aeiou]y$", kind):
        return f"{kind[:-1]}ies"
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"


class Cluster:
    """Reads and writes objects of one cluster. ``dry_run`` makes every write a server-side dry run.

    ``seconds``: what one request may take.
    """

    def __init__(self, auth: Mapping[str, t.Any], *, dry_run: bool = False, seconds: float = CALL_SECONDS) -> None:
        self.dry_run = dry_run
        self.seconds = seconds
        self._client = _connect({key: auth.get(key) for key in AUTH_ARG_SPEC})

    def get(self, api_version: str, kind: str, namespace: str | None, name: str) -> Json | None:
        """The object, or None where there is none."""
        return self._request("get", object_path(api_version, kind, namespace, name), missing_ok=True)

    def list(
        self, api_version: str, kind: str, namespace: str | None, *, selector: str = "", fields: str = ""
    ) -> list[Json]:
        """The objects of a namespace (of all, with None) that match a label and a field selector (``a=b,c=d``)."""
        pairs = (("labelSelector", selector), ("fieldSelector", fields))
        query = [(key, value) for key, value in pairs if value]
        found = self._request("get", object_path(api_version, kind, namespace), query=query, missing_ok=True)
        return list(found["items"]) if found else []

    def served(self, group: str) -> dict[str, str]:
        """Kind → API version of what a group of the API serves, the newest that the server prefers."""
        found = self._request("get", f"/apis/{group}", missing_ok=True) or {}
        versions = [each["groupVersion"] for each in found.get("versions", [])]
        kinds: dict[str, str] = {}
        for version in versions:
            resources = self._request("get", f"/apis/{version}", missing_ok=True) or {}
            for each in resources.get("resources", []):
                if "/" not in each["name"]:
                    kinds.setdefault(each["kind"], version)
        return kinds

    def merge(self, api_version: str, kind: str, namespace: str | None, name: str, body: Json) -> Json:
        """Send a JSON merge patch. With ``metadata.resourceVersion`` in it, a concurrent edit is a Conflict."""
        answer = self._request(
            "patch", object_path(api_version, kind, namespace, name), body=body, content_type=MERGE_PATCH, write=True
        )
        return t.cast("Json", answer)

    def create(self, body: Json) -> Json:
        """Make an object; Conflict where there is one already, BadInput where the server does not know a field."""
        metadata = body["metadata"]
        path = object_path(body["apiVersion"], body["kind"], metadata.get("namespace"))
        strict = [("fieldValidation", "Strict")]
        return t.cast("Json", self._request("post", path, body=body, query=strict, write=True))

    def replace(self, body: Json) -> Json:
        """Put an object in place of the one whose ``metadata.resourceVersion`` it has; Conflict where that is gone."""
        metadata = body["metadata"]
        path = object_path(body["apiVersion"], body["kind"], metadata.get("namespace"), metadata["name"])
        return t.cast("Json", self._request("put", path, body=body, write=True))

    def delete(self, api_version: str, kind: str, namespace: str | None, name: str, *, uid: str) -> None:
        """Delete this very object; one that is gone already is fine, one made anew under its name is a Conflict."""
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        if self.dry_run:
            body["dryRun"] = ["All"]  # the server does not look at the query where there is a body
        path = object_path(api_version, kind, namespace, name)
        self._request("delete", path, body=body, write=True, missing_ok=True)

    def may(self, verb: str, resource: str, namespace: str, name: str = "") -> bool:
        """Whether the account may do this (``deployments.apps``, ``services/proxy``); to ask changes nothing."""
        resource, _slash, subresource = resource.partition("/")
        resource, _dot, group = resource.partition(".")
        asked = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
        spec = {"resourceAttributes": {**asked, "namespace": namespace, "name": name}}
        review = {"apiVersion": REVIEW_VERSION, "kind": "SelfSubjectAccessReview", "spec": spec}
        answer = self._request("post", object_path(REVIEW_VERSION, "SelfSubjectAccessReview"), body=review)
        return bool(answer and answer["status"]["allowed"])

    def proxy_get(self, namespace: str, service_and_port: str, path: str) -> Json | None:
        """GET a JSON document from a Service through the API server's proxy; None where nothing healthy answers."""
        base = object_path("v1", "Service", namespace, service_and_port)
        try:
            return self._request("get", f"{base}/proxy{path}", missing_ok=True)
        except (Unreachable, NotReady):
            return None

    def pod_log(self, namespace: str, pod: str, how: Mapping[str, str]) -> str | None:
        """What a pod logged, by the query options of the API (``tailLines``, …); None where it may not be read."""
        query = [(key, value) for key, value in how.items() if value]
        try:
            answer = self._call("get", f"{object_path('v1', 'Pod', namespace, pod)}/log", query=query, accept="*/*")
        except RegistryError:
            return None
        return None if answer is None else answer.decode(errors="replace")

    @contextmanager
    def forward(self, namespace: str, pod: str, port: int) -> Iterator[socket.socket]:
        """A socket to ``port`` of ``pod`` through the API server; what the pod sees comes from its own loopback."""
        from kubernetes.stream import ws_client  # noqa: PLC0415

        query = [("ports", str(port))]
        what = f"port-forward to pod {namespace}/{pod}:{port}"
        tunnel = self._websocket(ws_client.portforward_call, namespace, pod, "portforward", query=query, what=what)
        connection = tunnel.socket(port)
        connection.settimeout(CALL_SECONDS)
        try:
            yield connection
        finally:
            connection.close()
            tunnel.close()

    def execute(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        container: str,
        stdin: str = "",
        seconds: float = CALL_SECONDS,
    ) -> tuple[int, str, str]:
        """Exit code, standard output and errors of a command in a container; NotReady where it takes too long.

        The end of ``stdin`` cannot be told: the command has to know how much it reads.
        """
        from kubernetes.stream import ws_client  # noqa: PLC0415

        streams = {"stdin": bool(stdin), "stdout": True, "stderr": True}
        query = [("container", container), *((name, "true") for name, wanted in streams.items() if wanted)]
        query += [("command", word) for word in argv]
        what = f"exec in pod {namespace}/{pod}"
        call = functools.partial(ws_client.websocket_call, _preload_content=False)
        client = self._websocket(call, namespace, pod, "exec", query=query, what=what)
        try:
            if stdin:
                client.write_stdin(stdin)
            client.run_forever(timeout=seconds)
            if client.is_open():
                raise NotReady(f"{argv[0]} did not end within {seconds:g} s", where=what)
            output, errors = client.read_stdout(timeout=0), client.read_stderr(timeout=0)
            return _exit_code(client), output, errors
        finally:
            client.close()

    def _websocket(self, call: t.Any, namespace: str, pod: str, part: str, *, query: t.Any, what: str) -> t.Any:
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415

        # Not stream() with CoreV1Api: to load that class takes three times as long as all that is done here.
        configuration = self._client.client.configuration
        marks = configuration.auth_settings().values()
        try:
            return call(
                configuration,
                "GET",
                f"{configuration.host}{object_path('v1', 'Pod', namespace, pod)}/{part}",
                query_params=query,
                headers={mark["key"]: mark["value"] for mark in marks if mark["in"] == "header"},
            )
        except ApiException as error:
            raise Unreachable(f"refused: {_reason(error)}", where=what) from error

    def restart(self, kind: str, namespace: str, name: str, *, stamp: str) -> Json:
        """What ``kubectl rollout restart`` does: an annotation on the pod template. ``stamp`` is a time, RFC 3339."""
        annotations = {"kubectl.kubernetes.io/restartedAt": stamp}
        body = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        return self.merge("apps/v1", kind, namespace, name, body)

    def wait_rolled_out(self, kind: str, namespace: str, name: str, *, seconds: float) -> None:
        """Wait until every replica of a Deployment or DaemonSet is of the newest template and ready."""

        def rolled_out() -> bool:
            found = self.get("apps/v1", kind, namespace, name)
            return found is not None and is_rolled_out(found)

        wait_until(rolled_out, seconds=seconds, what=f"{kind} {namespace}/{name} to roll out")

    def _request(self, method: str, path: str, **how: t.Any) -> Json | None:
        answer = self._call(method, path, **how)
        return None if answer is None else t.cast("Json", json.loads(answer))

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        body: Json | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        write: bool = False,
        missing_ok: bool = False,
    ) -> bytes | None:
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        dry_run = [("dryRun", "All")] if write and self.dry_run else []
        try:
            answer = self._client.request(
                method,
                path,
                body=body,
                query_params=[*query, *dry_run],
                header_params={"Accept": accept},
                content_type=content_type,
                serialize=False,
                _request_timeout=self.seconds,
            )
        except ApiException as error:
            if error.status == 404 and missing_ok:  # noqa: PLR2004
                return None
            raise _translated(error, path) from error
        except HTTPError as error:
            raise Unreachable(
                f"no answer: {error}", where=path, cure="Check kubeconfig, context and network"
            ) from error
        return t.cast("bytes", answer.data)


def is_rolled_out(workload: Json) -> bool:
    """Whether a Deployment's or DaemonSet's status says that all its pods are new and ready."""
    status = workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return False
    if workload["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        return bool(status.get("updatedNumberScheduled", 0) == wanted and status.get("numberAvailable", 0) == wanted)
    wanted = workload["spec"].get("replicas", 1)
    counts = [status.get(key, 0) for key in ("updatedReplicas", "availableReplicas", "replicas")]
    return all(count == wanted for count in counts)


def wait_until(
    condition: Callable[[], bool],
    *,
    seconds: float,
    what: str,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Ask until ``condition`` holds, at most ``seconds``; then NotReady."""
    end = clock() + seconds
    while not condition():
        if clock() >= end:
            raise NotReady(f"waited {seconds:g} s for {what}", cure="Look at its pods and events, then run again")
        sleep(POLL_SECONDS)


def _connect(auth: Json) -> t.Any:
    """A client with kubernetes.core's options, which asks the server nothing before its first request.

    The collection's own ``get_api_client`` lists the server's kinds first, in every process.
    """
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as core  # noqa: PLC0415
    from kubernetes.client import ApiClient  # noqa: PLC0415
    from kubernetes.config import ConfigException  # noqa: PLC0415
    from kubernetes.dynamic import DynamicClient  # noqa: PLC0415

    kubeconfig, context = auth.get("kubeconfig"), auth.get("context")
    where = f"kubeconfig {kubeconfig or 'of the environment'}" + (f", context {context}" if context else "")
    given = {key: value for key, value in auth.items() if value is not None}
    try:
        client = ApiClient(core._create_configuration(core._create_auth_spec(**given)))
    except ConfigException as error:
        raise BadInput(
            str(error), where=where, cure="Give a kubeconfig file that exists and a context it holds"
        ) from error
    except OSError as error:
        raise BadInput(f"{error.strerror}: {error.filename}", where=where, cure="Give files that exist") from error
    for header, value in core._create_headers(**given).items():
        core._set_header(client, header, value)
    return DynamicClient(client, discoverer=lambda _client, _cache_file: None)


def _exit_code(client: t.Any) -> int:
    """Where the command cannot be started, the API server sends a reason without a code."""
    try:
        return int(client.returncode)
    except (KeyError, TypeError, ValueError):
        return 127


def _reason(error: t.Any) -> str:
    try:
        return str(json.loads(error.body)["message"])[:REASON_LENGTH]  # it may quote the object
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def _translated(error: t.Any, path: str) -> RegistryError:
    reason = _reason(error)
    match error.status:
        case 401 | 403:
            return NotPermitted(reason, where=path, cure="Use credentials whose role allows it")
        case 409:
            return Conflict(reason, where=path, cure="Somebody else changed it at the same time: run again")
        case 400 | 415 | 422:
            return BadInput(reason, where=path)
        case 502 | 503 | 504:
            return NotReady(reason, where=path)
        case _:
            return RegistryError(f"{error.status} {reason}", where=path)
