# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.splithorizon.registry.plugins.module_utils import _endpoints
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import RegistryError

DATA = Path(__file__).parent / "data" / "endpoints"


def load(kind):
    return [
        pytest.param(yaml.safe_load(path.read_text()), id=path.stem) for path in sorted((DATA / kind).glob("*.yaml"))
    ]


@pytest.mark.parametrize("case", load("valid"))
def test_ready_pods(case):
    found = _endpoints.ready_pods(service=case["service"], slices=case["slices"], port=case["port"])
    assert [(one.namespace, one.pod, one.port) for one in found] == [tuple(one) for one in case["expected"]]


@pytest.mark.parametrize("case", load("invalid"))
def test_no_ready_pod(case):
    with pytest.raises(RegistryError) as error:
        _endpoints.ready_pods(service=case["service"], slices=case["slices"], port=case["port"])
    assert type(error.value).__name__ == case["error"]
    assert case["said"] in str(error.value)


def test_the_service_is_used_for_its_own_host_only():
    asked = []

    def otherwise(host, port):
        asked.append((host, port))
        raise RuntimeError("went the other way")

    way = _endpoints.through_service(None, namespace="a", name="b", of="harbor.example.com", otherwise=otherwise)
    with pytest.raises(RuntimeError, match="other way"), way("auth.example.com", 443):
        pass
    assert asked == [("auth.example.com", 443)]
