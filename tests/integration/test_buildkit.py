# SPDX-License-Identifier: GPL-3.0-or-later
"""The pushes that buildctl 0.30 made to a real Harbor come out the same on the sandbox, to their words.

The states of Harbor that they were recorded in are those of the two clusters in the HTTP era, and one setting more.
"""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest
import yaml

from sandbox.builds import docker_config
from sandbox.model import REGISTRY_NAME
from sandbox.workloads.era import ERAS
from sandbox.workloads.gateway import PROXY, SYSTEM

if t.TYPE_CHECKING:
    from integration.buildkit_runs import Answer, Run
    from sandbox.inside import Inside

pytestmark = [pytest.mark.sandbox, pytest.mark.captures]

INTERNAL = ERAS["alpha"].internal
CA = "/etc/sandbox/ca.crt"
CHART = "http://harbor-core:80"

Recorded = dict[str, t.Any]
Outcomes = dict[str, "Answer"]


@pytest.fixture(scope="module")
def recorded(captures: Path) -> list[Recorded]:
    return t.cast("list[Recorded]", yaml.safe_load((captures / "buildkit-0.30" / "recorded.yaml").read_text()))


@pytest.fixture(scope="module")
def outcomes(sandbox: Inside, http_era_afterwards: None, recorded: list[Recorded]) -> Outcomes:
    """Every run in its state of Harbor: the guides' HTTP eras, and then alpha with the chart's own CORE_URL."""
    found: Outcomes = {}
    in_beta = [run for run in recorded if "ext_endpoint" in run]
    by_chart = [run for run in recorded if run["core_url"] == CHART and run not in in_beta]
    found |= replay(sandbox, "beta", in_beta)
    found |= replay(sandbox, "alpha", [run for run in recorded if run["core_url"] != CHART])
    harbor = ("-n", "default")
    patch = json.dumps({"data": {"CORE_URL": CHART}})
    sandbox.kubectl("alpha", *harbor, "patch", "configmap", "harbor-core", "--type=merge", "-p", patch)
    sandbox.kubectl("alpha", *harbor, "rollout", "restart", "deployment/harbor-core")
    sandbox.kubectl("alpha", *harbor, "rollout", "status", "deployment/harbor-core", "--timeout=60s", seconds=65)
    return found | replay(sandbox, "alpha", by_chart)


def replay(inside: Inside, cluster: str, recorded: list[Recorded]) -> Outcomes:
    address = inside.kubectl(
        cluster, "get", "service", "-n", SYSTEM, "-l", SERVICE, "-o", "jsonpath={.items[0].spec.clusterIP}"
    )
    told = {"hosts": {REGISTRY_NAME: address}, "ca": CA, "runs": [as_run(run) for run in recorded]}
    script = Path(__file__).with_name("buildkit_runs.py").read_text()
    words = ("exec", "-i", "-n", "toolbox", "toolbox", "--", "python3", "-c", script)
    answered = json.loads(inside.kubectl(cluster, *words, stdin=json.dumps(told), seconds=240))
    return {run["name"]: answer for run, answer in zip(recorded, answered, strict=True)}


SERVICE = PROXY.partition(",")[2]


def as_run(recorded: Recorded) -> Run:
    name = recorded["name"]
    host, _slash, rest = recorded["output"].partition("name=")[2].partition("/")
    known = {"the other host": [REGISTRY_NAME], "the internal name": [INTERNAL]}
    hosts = next((hosts for words, hosts in known.items() if name.endswith(words)), [REGISTRY_NAME, INTERNAL])
    trust = {"daemon": "by the system" in name, "client": "client does not trust" not in name}
    repository = f"{host}/library/{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}"
    return {
        "name": name,
        "toml": recorded["buildkitd_toml"].replace("<ca.crt>", CA),
        "trust": [one for one, trusts in trust.items() if trusts],
        "image": f"{repository}:1",
        "flags": rest.partition("push=true")[2],
        "cache": f"{repository}:cache" if recorded["cache"] else "",
        "auth": {one: entry["auth"] for one, entry in json.loads(docker_config(*hosts))["auths"].items()},
        "environment": {"BUILDKIT_NO_CLIENT_TOKEN": "1"} if "BUILDKIT_NO_CLIENT_TOKEN=1" in name else {},
    }


def in_common(error: str) -> str:
    """Without what differs from run to run: digests, the names of images, addresses."""
    error = re.sub(r"sha256:[0-9a-f]{64}", "sha256:…", " ".join(error.split()))
    error = re.sub(r"/(?:apps|library)/[a-z0-9-]+(?=[:/])", "/IMAGE", error)
    return re.sub(r"IMAGE:t?\d+", "IMAGE:TAG", re.sub(r"dial tcp [0-9.]+:", "dial tcp …:", error))


def test_they_come_out_the_same(recorded: list[Recorded], outcomes: Outcomes) -> None:
    def error(answer: Answer) -> str:
        said = [line for line in answer["output"].splitlines() if line.startswith("error: ")]
        return in_common(said[-1] if said else "")

    theirs = {run["name"]: (run["rc"], in_common(run["error"])) for run in recorded}
    ours = {name: (answer["rc"], error(answer)) for name, answer in outcomes.items()}
    assert ours == theirs
    assert len(ours) == 30


def test_the_http_era_fails_as_guide_1_says(outcomes: Outcomes) -> None:
    """The daemon speaks http, and the client is sent to https for the token."""
    run = outcomes["http era: CORE_URL short, buildkitd http+insecure, flag yes"]
    assert f'failed to fetch oauth token: Post "https://{INTERNAL}/service/token"' in run["output"]


def test_what_was_pushed_is_there_for_another_reader(
    sandbox: Inside, recorded: list[Recorded], outcomes: Outcomes
) -> None:
    images = {run["name"]: as_run(run)["image"].partition("/")[2].rpartition(":")[0] for run in recorded}
    del images["https while EXT_ENDPOINT is still http"]  # the other cluster's Harbor has it
    urls = [f"http://{INTERNAL}/v2/{image}/tags/list" for image in images.values()]
    script = 'config=$(cat); shift; for url; do curl -s -o /dev/null -w "%{http_code}\\n" -H "$config" "$url"; done'
    auth = json.loads(docker_config("x"))["auths"]["x"]["auth"]
    words = ("exec", "-i", "-n", "toolbox", "toolbox", "--", "sh", "-c", script, "sh", "x", *urls)
    answers = sandbox.kubectl("alpha", *words, stdin=f"Authorization: Basic {auth}").split()
    there = {name: status == "200" for name, status in zip(images, answers, strict=True)}
    assert there == {run["name"]: run["rc"] == 0 for run in recorded if run["name"] in images}
