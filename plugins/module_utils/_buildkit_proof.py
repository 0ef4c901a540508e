# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection splithorizon.registry.
"""Talk: a build FROM scratch by a buildkitd of the cluster, pushed with its cache, and built once more from that."""

from __future__ import annotations

import base64
import json
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_errors import recognise
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import NotReady
from ansible_collections.splithorizon.registry.plugins.module_utils._registry import PROOF

if t.TYPE_CHECKING:
    from ansible_collections.splithorizon.registry.plugins.module_utils._buildkit_find import Workload
    from ansible_collections.splithorizon.registry.plugins.module_utils._kubernetes import Cluster

__all__ = ["Account", "Proof", "prove_build"]

# The daemon's own container has buildctl and a shell. Credentials come by standard input: a command line is logged.
_SCRIPT = """
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/context"
head -c "$1" > "$work/config.json"
printf 'FROM scratch\\nCOPY proof /proof\\n' > "$work/context/Dockerfile"
printf '%s\\n' "$2" > "$work/context/proof"
shift 2
DOCKER_CONFIG="$work" buildctl "$@" --local=context="$work/context" --local=dockerfile="$work/context" 2>&1
"""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Credentials of the registry ``host``; ``ca``: a file in the container that the client trusts for it."""

    host: str
    username: str
    password: str
    ca: str = ""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Seconds of the first build with its push, and of the second from the cache."""

    pushed: float
    rebuilt: float


def prove_build(
    cluster: Cluster, workload: Workload, *, image: str, account: Account, content: str, seconds: float
) -> Proof:
    """NotReady that says what is wrong and what helps where a build fails, is not pushed, or not cached."""
    pod = _ready_pod(cluster, workload)
    where = f"build in pod {workload.namespace}/{pod}"
    auth = base64.b64encode(f"{account.username}:{account.password}".encode()).decode()
    config = json.dumps({"auths": {account.host: {"auth": auth}}})
    prefix = ["timeout", str(seconds), "sh", "-c", _SCRIPT, "sh", str(len(config)), content]

    def build(flag: str) -> tuple[float, str]:
        begin = time.monotonic()
        argv = [*prefix, *_command(workload, image, account), flag]
        code, output, errors = cluster.execute(
            workload.namespace, pod, argv, container=workload.container, stdin=config, seconds=seconds + 5
        )
        if code:
            failure = recognise(output + errors)
            raise NotReady(f"{failure.problem} ({failure.words})", where=where, cure=failure.cure)
        return round(time.monotonic() - begin, 1), output

    pushed, _output = build("--export-cache=type=inline")
    rebuilt, output = build(f"--import-cache=type=registry,ref={image}")
    if "CACHED" not in output:
        raise NotReady("the second build did not use the cache", where=where)
    return Proof(pushed=pushed, rebuilt=rebuilt)


def _ready_pod(cluster: Cluster, workload: Workload) -> str:
    for pod in cluster.list("v1", "Pod", workload.namespace, selector=workload.selector):
        conditions = (pod.get("status") or {}).get("conditions") or []
        if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
            return str(pod["metadata"]["name"])
    where = f"{workload.namespace}/{workload.where}"
    raise NotReady("no buildkitd pod is ready", where=where, cure="See why, in its pods' logs and events")


def _command(workload: Workload, image: str, account: Account) -> list[str]:
    address = ["--addr", workload.address] if workload.address else []
    output = f"--output=type=image,name={image},push=true,annotation.{PROOF}=true"
    trust = [f"--registry-auth-tlscontext=host={account.host},ca={account.ca}"] if account.ca else []
    return [*address, "build", "--progress=plain", "--frontend=dockerfile.v0", output, *trust]
