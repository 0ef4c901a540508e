# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, datetime

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils._node_readings import (
    Pull,
    Service,
    failed_pulls,
    ingest_ages,
    parse_containerd_starts,
    parse_etc_hosts,
    parse_files,
    seconds_of,
    service_of,
    slow_pulls,
    to_service,
)

NOW = datetime(2026, 11, 21, 12, 31, 1, tzinfo=UTC)
# As talosctl 1.13 prints it of two nodes, with a label, a file older than half a year and one of a year ago.
LISTED = """\
NODE       MODE         UID   GID   SIZE(B)   LASTMOD             LABEL                               NAME
10.5.0.3   drwxr-xr-x   0     0     4096      Nov 21 12:28:01                                         .
10.5.0.2   drwxr-xr-x   0     0     4096      Nov 21 12:20:01     system_u:object_r:var_lib_t:s0      .
10.5.0.2   drwxr-xr-x   0     0     4096      Nov 21 12:20:01                                         a1b2
10.5.0.2   -rw-r--r--   0     0     1048576   Nov 21 12:26:01                                         a1b2/data
10.5.0.2   -rw-r--r--   0     0     71        Nov  1 12:26:01                                         a1b2/ref
10.5.0.2   -rw-r--r--   0     0     71        Jan 25 2026 18:16                                       c3d4/data
10.5.0.2   -rw-r--r--   0     0     71        Dec 31 23:59:59     system_u:object_r:var_lib_t:s0      e5f6/data
10.5.0.2   dtrwxrwxrwx  0     0     71        Nov 21 12:31:04                                         g7h8
"""


def test_files_of_many_nodes():
    found = parse_files(LISTED, now=NOW)
    assert {node: len(files) for node, files in found.items()} == {"10.5.0.3": 1, "10.5.0.2": 7}
    assert found["10.5.0.2"]["a1b2/data"] == datetime(2026, 11, 21, 12, 26, 1, tzinfo=UTC)
    assert found["10.5.0.2"]["a1b2/ref"] == datetime(2026, 11, 1, 12, 26, 1, tzinfo=UTC)
    assert found["10.5.0.2"]["c3d4/data"] == datetime(2026, 1, 25, 18, 16, tzinfo=UTC)
    assert found["10.5.0.2"]["e5f6/data"] == datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_a_download_lives_as_long_as_bytes_come():
    files = parse_files(LISTED, now=NOW)
    assert ingest_ages(files["10.5.0.3"], now=NOW) == {}
    ages = ingest_ages(files["10.5.0.2"], now=NOW)
    assert ages["a1b2"] == 300
    assert ages["c3d4"] > 86400 * 299
    assert ages["g7h8"] == 0  # the node's clock is ahead


def test_a_day_that_this_year_has_not():
    line = "n   -rw-r--r--   0     0     71        Feb 29 12:00:00                                         x\n"
    assert parse_files(line, now=NOW) == {"n": {"x": NOW}}


def test_files_as_a_real_node_lists_them(recorded):
    found = parse_files(recorded["ls-long"]["stdout"], now=NOW)
    assert found["10.5.0.2"]["cri.toml"] == datetime(2026, 11, 21, 12, 29, 33, tzinfo=UTC)
    assert sorted(found["10.5.0.2"]) == sorted(
        [".", "00-base.part", "01-registries.part", "20-customization.part", "base-spec.json", "cri.toml", "hosts"]
    )
    assert ingest_ages(parse_files(recorded["ls-ingest"]["stdout"], now=NOW)["10.5.0.2"], now=NOW) == {}
    assert parse_files(recorded["ls-missing"]["stdout"], now=NOW) == {}


def test_when_containerd_started_on_a_real_node(recorded):
    found = parse_containerd_starts(recorded["service-cri"]["stdout"], now=NOW)
    assert found == {"10.5.0.2": datetime(2026, 11, 21, 12, 6, 50, tzinfo=UTC)}


def test_the_newest_start_counts():
    event = '         [Running]: Process Process(["/bin/containerd"]) started with PID {} ({} ago)\n'
    text = "NODE     a\nID       cri\n" + event.format(30, "5s") + event.format(23, "24h10m11s")
    text += "NODE     b\nID       cri\n" + event.format(23, "24h10m11s")
    found = parse_containerd_starts(text, now=NOW)
    assert [(NOW - found[node]).total_seconds() for node in "ab"] == [5, 24 * 3600 + 611]


def test_etc_hosts_of_many_nodes():
    resource = {"metadata": {"id": "hosts"}, "spec": {"contents": "127.0.0.1 localhost\n", "mode": 420}}
    text = "---\n".join(yaml.safe_dump({"node": node, **resource}) for node in ("10.5.0.2", "10.5.0.3"))
    assert parse_etc_hosts(text) == {"10.5.0.2": "127.0.0.1 localhost\n", "10.5.0.3": "127.0.0.1 localhost\n"}
    assert parse_etc_hosts("node: a\nspec: {contents: [1") == {}


@pytest.mark.parametrize(("text", "seconds"), [("542ms", 0.542), ("1m2.5s", 62.5), ("1h0m1s", 3601), ("870µs", 870e-6)])
def test_durations(text, seconds):
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("harbor.apps.svc.cluster.local", ("apps", "harbor")),
        ("harbor.apps.svc.cluster.local.", ("apps", "harbor")),
        ("harbor.apps.svc", ("apps", "harbor")),
        ("harbor.apps.svc.home.arpa", None),
        ("pod.harbor.apps.svc.cluster.local", None),
        ("harbor.example.com", None),
    ],
)
def test_names_of_services(host, place):
    assert service_of(host, "cluster.local") == place


@pytest.mark.parametrize(
    ("spec", "status", "cluster_ips", "other_ips"),
    [
        ({"clusterIP": "10.43.1.1"}, {}, ("10.43.1.1",), ()),
        ({"clusterIP": "10.43.1.1", "clusterIPs": ["10.43.1.1", "fd00::1"]}, {}, ("10.43.1.1", "fd00::1"), ()),
        ({"clusterIP": "None", "clusterIPs": ["None"]}, {}, (), ()),
        (
            {"clusterIP": "10.43.1.1", "externalIPs": ["203.0.113.9"]},
            {"loadBalancer": {"ingress": [{"ip": "192.168.1.105"}, {"hostname": "lb.example.com"}]}},
            ("10.43.1.1",),
            ("203.0.113.9", "192.168.1.105"),
        ),
        ({"type": "ExternalName", "externalName": "h.example.com"}, {"loadBalancer": {}}, (), ()),
    ],
)
def test_addresses_of_services(spec, status, cluster_ips, other_ips):
    found = to_service({"metadata": {"namespace": "a", "name": "b"}, "spec": spec, "status": status})
    assert found == Service(name="a/b", cluster_ips=cluster_ips, other_ips=other_ips)


def test_failed_pulls():
    def container(image, reason, message=""):
        return {"image": image, "state": {"waiting": {"reason": reason, "message": message}}}

    pods = [
        {
            "spec": {"nodeName": "one"},
            "status": {
                "initContainerStatuses": [container("r/a:1", "ErrImagePull", "Get https://u:hunter2@r/v2/: 401\n x")],
                "containerStatuses": [container("r/b:1", "PodInitializing"), {"state": {"running": {}}}],
            },
        },
        {"spec": {}, "status": {}},
        {
            "spec": {"nodeName": "one"},
            "status": {"containerStatuses": [container("r/c:1", "ImagePullBackOff", "x" * 900)]},
        },
    ]
    found = failed_pulls(pods)
    assert list(found) == ["one"]
    assert found["one"][0] == Pull(image="r/a:1", error="Get https://r/v2/: 401 x")
    assert len(found["one"][1].error) == 300


def test_slow_pulls():
    def event(image, took, size, **of):
        return {"message": f'Successfully pulled image "{image}" in {took} ({took} including waiting).{size}', **of}

    host = {"source": {"component": "kubelet", "host": "one"}}
    events = [
        event("r/a:1", "31s", " Image size: 37000000 bytes.", **host),
        event("r/b:1", "542ms", " Image size: 37000000 bytes.", **host),
        event("r/large:1", "2m1s", " Image size: 900000000 bytes.", **host),
        {"message": 'Successfully pulled image "r/old:1" in 1m30.25s', "reportingInstance": "two"},
        {"message": 'Container image "r/a:1" already present on machine', **host},
        {"message": None},
    ]
    assert slow_pulls(events, seconds=30, small=100_000_000) == {
        "one": [Pull(image="r/a:1", seconds=31, size=37000000)],
        "two": [Pull(image="r/old:1", seconds=90.25)],
    }


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("192.168.1.105/library/a:1", "192.168.1.105"),
        ("registry:5000/a", "registry:5000"),
        ("localhost/a", "localhost"),
        ("library/a", "docker.io"),
        ("busybox", "docker.io"),
    ],
)
def test_registry_of_an_image(image, registry):
    assert Pull(image=image).registry == registry
