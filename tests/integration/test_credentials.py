# SPDX-License-Identifier: GPL-3.0-or-later
"""Robot accounts and pull secrets on one cluster in the HTTP era: there, again, and the way back; and the probe.

Read back with kubectl and curl. What a secret is worth is shown by what its credentials open.
"""

from __future__ import annotations

import base64
import json
import typing as t

import pytest

from integration.module_call import inside_of
from sandbox.model import REGISTRY_NAME
from sandbox.recap import recap
from sandbox.workloads.era import ERAS, PULL, PUSH
from sandbox.workloads.harbor import ADMIN_PASSWORD

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration.module_call import Call, Json
    from sandbox.inside import Inside

pytestmark = pytest.mark.sandbox

CLUSTER, GATEWAY = "beta", "192.168.1.110"
OLD, NEW = "credentials-old", "credentials-new"
SECRET = "Sandbox1robot"
MANIFEST = "Accept: application/vnd.oci.image.manifest.v1+json"
OTHERS = {"auths": {ERAS[CLUSTER].mirror: {"auth": "b2xkOm9sZA==", "email": "me@example.com"}}}
SITE = {
    "registry_harbor_password": ADMIN_PASSWORD,
    "registry_robots": [
        {
            "name": "credentials",
            "secret": SECRET,
            "duration": 10,
            "permissions": [{"namespace": "library", "access": [{"resource": "repository", "action": "pull"}]}],
        }
    ],
    "registry_pull_secrets": [
        {
            "name": "harbor-pull",
            "namespaces": [OLD, NEW],
            "service_accounts": ["default"],
            "username": "robot$credentials",
            "password": SECRET,
            "config_json": True,
        }
    ],
}


@pytest.fixture(scope="module")
def module(sandbox: Inside) -> Iterator[Call]:
    with inside_of(sandbox) as call:
        yield call


@pytest.fixture(scope="module", autouse=True)
def namespaces(sandbox: Inside, module: Call) -> Iterator[None]:
    """Two, the first with a pull secret of somebody else's."""
    data = {".dockerconfigjson": base64.b64encode(json.dumps(OTHERS).encode()).decode()}
    metadata = {"namespace": OLD, "name": "harbor-pull"}
    kind = "kubernetes.io/dockerconfigjson"
    objects: list[Json] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OLD}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NEW}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": data},
    ]
    sandbox.kubectl(CLUSTER, "apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))
    for namespace in (OLD, NEW):
        sandbox.kubectl(CLUSTER, "-n", namespace, "wait", "--for=create", "serviceaccount/default", "--timeout=20s")
    yield
    sandbox.kubectl(CLUSTER, "delete", "namespace", OLD, NEW, "--wait=false")
    module("harbor_robot", **harbor(sandbox), name="credentials", state="absent")


@pytest.fixture
def play(sandbox: Inside, tmp_path: Path) -> t.Callable[..., tuple[int, str, int]]:
    """Return code, output at -vvv, number of changes; never a secret in it."""
    site = tmp_path / "site.json"
    site.write_text(json.dumps(SITE))

    def run(playbook: str, *words: str) -> tuple[int, str, int]:
        done = sandbox.playbook(f"playbooks/{playbook}", "--limit", f"{CLUSTER}_cluster", "-e", f"@{site}", *words)
        assert not [secret for secret in (SECRET, ADMIN_PASSWORD) if secret in done.stdout + done.stderr]
        counters = recap(done.stdout).get(CLUSTER, {})
        return done.returncode, done.stdout + done.stderr, counters.get("changed", 0)

    return run


def ca(sandbox: Inside) -> str:
    return (sandbox.places.home / "ca.crt").read_text()


def harbor(sandbox: Inside) -> Json:
    account = {"username": "admin", "password": ADMIN_PASSWORD}
    return {"url": f"https://{REGISTRY_NAME}", "address": GATEWAY, "ca": ca(sandbox), **account}


def configs(sandbox: Inside, namespace: str) -> dict[str, Json]:
    """Key of the Secret → what it holds, and what kubectl says where there is none."""
    words = ("-n", namespace, "get", "secret", "harbor-pull", "--ignore-not-found", "-o", "json")
    found = sandbox.kubectl(CLUSTER, *words)
    data = json.loads(found)["data"] if found else {}
    return {key: json.loads(base64.b64decode(value)) for key, value in data.items()}


def listed(sandbox: Inside, namespace: str) -> list[str]:
    words = ("-n", namespace, "get", "serviceaccount", "default", "-o", "jsonpath={.imagePullSecrets[*].name}")
    return sandbox.kubectl(CLUSTER, *words).split()


def curl(sandbox: Inside, path: str, *words: str, stdin: str = "") -> str:
    """Over the gateway, trusting the sandbox's authority. Credentials come by standard input, not as an argument."""
    place = ["--cacert", str(sandbox.places.home / "ca.crt"), "--resolve", f"{REGISTRY_NAME}:443:{GATEWAY}"]
    done = sandbox.run(
        "curl", "-sS", "-m", "10", "-K", "-", *place, *words, f"https://{REGISTRY_NAME}{path}", stdin=stdin
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def opens(sandbox: Inside, entry: Json) -> str:
    """Status of an image's manifest for who has this entry of a Docker configuration."""
    user = base64.b64decode(entry["auth"]).decode()
    scope = "service=harbor-registry&scope=repository:library/app:pull"
    token = json.loads(curl(sandbox, f"/service/token?{scope}", stdin=f'user = "{user}"'))["token"]
    status = ("-o", "/dev/null", "-w", "%{http_code}", "-H", MANIFEST)
    return curl(sandbox, "/v2/library/app/manifests/1", *status, stdin=f'header = "Authorization: Bearer {token}"')


def test_credentials_there_again_and_back(
    sandbox: Inside, module: Call, play: t.Callable[..., tuple[int, str, int]]
) -> None:
    code, planned, predicted = play("credentials.yml", "--check", "--diff", "-vvv")
    assert code == 0, planned
    assert configs(sandbox, NEW) == {}
    assert configs(sandbox, OLD) == {".dockerconfigjson": OTHERS}

    code, output, changes = play("credentials.yml", "--diff", "-vvv")
    assert code == 0, output
    assert changes == predicted == 3  # robots, secrets, service accounts
    entry = configs(sandbox, NEW)[".dockerconfigjson"]["auths"][REGISTRY_NAME]
    assert opens(sandbox, entry) == "200"
    assert opens(sandbox, {"auth": base64.b64encode(b"robot$credentials:wrong").decode()}) == "401"
    there = configs(sandbox, OLD)
    assert there[".dockerconfigjson"] == there["config.json"] == {"auths": {**OTHERS["auths"], REGISTRY_NAME: entry}}
    assert [listed(sandbox, namespace) for namespace in (OLD, NEW)] == [["harbor-pull"], ["harbor-pull"]]
    assert play("credentials.yml")[::2] == (0, 0)

    assert play("credentials.yml", "-e", "registry_transport=http")[::2] == (0, 2)
    assert configs(sandbox, NEW) == {}
    assert configs(sandbox, OLD) == {".dockerconfigjson": OTHERS}
    assert [listed(sandbox, namespace) for namespace in (OLD, NEW)] == [["harbor-pull"], []]


def test_what_cannot_be_is_one_error(sandbox: Inside, module: Call) -> None:
    sandbox.kubectl(CLUSTER, "-n", NEW, "create", "secret", "generic", "opaque", "--from-literal=config.json={}")
    entry = {"name": REGISTRY_NAME, "username": PULL.name, "password": PULL.secret}
    asked = {"context": CLUSTER, "kubeconfig": str(sandbox.places.home / "kubeconfig"), "registries": [entry]}
    wrong = module("docker_config_secret", **asked, namespaces=[OLD, NEW], name="opaque")
    assert "is of type Opaque, not kubernetes.io/dockerconfigjson" in wrong["msg"]
    missing = module("docker_config_secret", **asked, namespaces=[OLD, "nowhere"], name="fresh")
    assert "namespace nowhere: does not exist" in missing["msg"]
    assert sandbox.kubectl(CLUSTER, "-n", OLD, "get", "secret", "opaque", "fresh", "--ignore-not-found") == ""
    token = sandbox.kubectl(CLUSTER, "-n", NEW, "create", "token", "default").strip()
    nobody = {"host": "https://192.168.1.98:6443", "api_key": token, "validate_certs": False}
    refused = module("docker_config_secret", **nobody, registries=[entry], namespaces=[NEW], name="fresh")
    assert 'cannot get resource "secrets"' in refused["msg"], refused
    denied = module("harbor_robot", **{**harbor(sandbox), "username": PULL.name, "password": PULL.secret}, name="any")
    assert "status 403: forbidden. Use an account that may" in denied["msg"]


def test_the_probe_reads_what_curl_reads(sandbox: Inside, module: Call) -> None:
    login = {"username": PULL.name, "password": PULL.secret, "repository": "library/app", "tag": "1"}
    place = {"url": f"https://{REGISTRY_NAME}", "address": GATEWAY, "ca": ca(sandbox)}
    found = module("registry_probe", **place, **login, plain_http=True)
    header = curl(sandbox, "/v2/", "-D", "-", "-o", "/dev/null")
    assert found["realm_header"] in header
    assert (found["service"], found["token"], "1" in found["tags"]) == ("harbor-registry", True, True)
    assert (found["http"]["answer"], found["http"]["realm"]) == ("registry", f"http://{REGISTRY_NAME}/service/token")
    credentials = f'user = "{PULL.name}:{PULL.secret}"'
    head = curl(sandbox, "/v2/library/app/manifests/1", "-I", "-H", MANIFEST, stdin=credentials)
    assert found["pull"]["digest"] in head
    assert found["pull"]["size"] > 0


def test_a_layer_of_100_megabytes_passes_the_gateway_both_ways(sandbox: Inside, module: Call) -> None:
    size = 100 * 1024**2
    place = {"url": f"https://{REGISTRY_NAME}", "address": GATEWAY, "ca": ca(sandbox), "timeout": 60}
    image = {"username": PUSH.name, "password": PUSH.secret, "repository": "library/large", "tag": "proof"}
    pushed = module("registry_proof_image", **place, **image, size=size)
    try:
        pulled = module("registry_probe", **place, **image)["pull"]
        assert (pulled["digest"], pulled["size"] > size, pulled["blob_seconds"] > 0) == (pushed["digest"], True, True)
    finally:
        assert module("registry_proof_image", **place, **image, state="absent")["changed"]
    gone = module("registry_probe", **place, **image)
    assert (gone["kind"], gone["clients_say"]) == ("not_found", "not found, or manifest unknown")
