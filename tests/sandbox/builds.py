# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds FROM scratch by a cluster's buildkitd, asked for from another pod, as a pipeline does.

The client's pod trusts the sandbox's authority and has the robot's credentials for every name of the registry.
"""

from __future__ import annotations

import base64
import json
import typing as t

from .model import REGISTRY_NAME
from .workloads.era import ERAS, PUSH

if t.TYPE_CHECKING:
    from subprocess import CompletedProcess

    from .inside import Inside

__all__ = ["DAEMON", "SHORT", "build", "docker_config"]

DAEMON = "tcp://buildkitd.buildkit.svc.cluster.local:1234"
# Harbor's Service in alpha, by a name that CORE_URL does not have.
SHORT = "harbor-core.default"
SECONDS = 60
# Credentials come by standard input: a command line is for all to see.
SCRIPT = """
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/context"
cat > "$work/config.json"
printf '%s\\n' "$1" > "$work/context/Dockerfile"
printf '%s\\n' "$2" > "$work/context/file"
shift 2
export DOCKER_CONFIG="$work"
buildctl --addr "$BUILDKITD" build --progress=plain --frontend=dockerfile.v0 \\
  --local=context="$work/context" --local=dockerfile="$work/context" "$@"
"""


def build(
    inside: Inside,
    cluster: str,
    image: str,
    *flags: str,
    base: str = "scratch",
    content: str = "built",
    output: str = "",
) -> CompletedProcess[str]:
    """Push ``image``, a file on top of ``base``. ``flags`` are more of buildctl's, ``output`` is more of --output.

    The exit code is the caller's to judge.
    """
    words = ("exec", "-i", "-n", "toolbox", "toolbox", "--", "env", f"BUILDKITD={DAEMON}", "sh", "-c", SCRIPT, "sh")
    told = (
        f"FROM {base}\nCOPY file /{content}",
        content,
        f"--output=type=image,name={image},push=true{output}",
        *flags,
    )
    config = docker_config(REGISTRY_NAME, ERAS[cluster].internal, SHORT)
    return inside.run("kubectl", f"--context={cluster}", *words, *told, stdin=config, seconds=SECONDS)


def docker_config(*hosts: str) -> str:
    """What Docker's clients find credentials in."""
    auth = base64.b64encode(f"{PUSH.name}:{PUSH.secret}".encode()).decode()
    return json.dumps({"auths": {host: {"auth": auth} for host in hosts}})
