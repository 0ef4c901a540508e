# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from functools import partial

import pytest
from ansible_collections.splithorizon.registry.plugins.module_utils import _names
from ansible_collections.splithorizon.registry.plugins.module_utils._errors import BadInput

any_host = partial(_names.registry_host, any_registry=True)
base_url = partial(_names.http_url, path=False)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (_names.dns_name, "harbor.example.com"),
        (_names.dns_name, "localhost"),
        (_names.dns_name, "a" * 63 + ".example"),
        (_names.dns_name, "xn--bcher-kva.example"),
        (_names.ip_address, "10.43.7.9"),
        (_names.ip_address, "fd00::1"),
        (_names.registry_host, "harbor.example.com"),
        (_names.registry_host, "registry.local:5000"),
        (_names.registry_host, "192.168.1.105"),
        (_names.registry_host, "192.168.1.105:443"),
        (_names.registry_host, "[fd00::1]:5000"),
        (any_host, "*"),
        (_names.http_url, "http://harbor-core.default.svc.cluster.local:80"),
        (_names.http_url, "https://harbor.example.com/v2/proxy-docker.io"),
        (_names.http_url, "http://[fd00::1]:5000"),
        (base_url, "https://harbor.example.com"),
    ],
)
def test_good_values_come_back_as_they_are(check, value):
    assert check(value, where="here") == value


@pytest.mark.parametrize(
    ("check", "value", "said"),
    [
        (_names.dns_name, "", "not a DNS name"),
        (_names.dns_name, "harbor.example.com.", "ends with a dot"),
        (_names.dns_name, "harbor..example.com", "not a DNS name"),
        (_names.dns_name, "-harbor.example.com", "not a DNS name"),
        (_names.dns_name, "harbor-.example.com", "not a DNS name"),
        (_names.dns_name, "harbor_1.example.com", "not a DNS name"),
        (_names.dns_name, "harbor example", "not a DNS name"),
        (_names.dns_name, "a" * 64 + ".example", "not a DNS name"),
        (_names.dns_name, ".".join(["a" * 50] * 6), "not a DNS name"),
        (_names.dns_name, "10.0.0.1", "an IP address?"),
        (_names.dns_name, "harbor.example.com\n", "not a DNS name"),
        (_names.ip_address, "not-an-ip", "not an IP address"),
        (_names.ip_address, "10.0.0.256", "not an IP address"),
        (_names.ip_address, "10.0.0.0/24", "not an IP address"),
        (_names.ip_address, "fe80::1%eth0", "zone"),
        (_names.registry_host, "http://harbor.example.com", "without the scheme: harbor.example.com"),
        (_names.registry_host, "harbor.example.com/library", "not a registry host"),
        (_names.registry_host, "harbor.example.com:", "not a registry host"),
        (_names.registry_host, "harbor.example.com:0", "not a port"),
        (_names.registry_host, "harbor.example.com:65536", "not a port"),
        (_names.registry_host, "*", "cannot be used here"),
        (_names.registry_host, "fd00::1", "not a registry host"),
        (_names.registry_host, "300.1.1.1", "not an IP address"),
        (_names.registry_host, "", "not a registry host"),
        (any_host, "*.example.com", "not a DNS name"),
        (_names.http_url, "harbor.example.com", "has no scheme"),
        (_names.http_url, "ftp://harbor.example.com", "not http or https"),
        (_names.http_url, "https://", "not a registry host"),
        (_names.http_url, "https://user:pw@harbor.example.com", "holds a user"),
        (_names.http_url, "https://harbor.example.com?x=1", "query"),
        (_names.http_url, "https://harbor.example.com:99999", "not a port"),
        (_names.http_url, "https://harbor_1.example.com", "not a DNS name"),
        (base_url, "https://harbor.example.com/v2", "has a path"),
    ],
)
def test_bad_values_are_refused_with_their_place(check, value, said):
    with pytest.raises(BadInput) as caught:
        check(value, where="mirrors[0].name")
    assert said in str(caught.value)
    assert caught.value.where == "mirrors[0].name"
    assert "pw" not in str(caught.value)


def test_url_host_keeps_a_written_port():
    assert _names.url_host("https://harbor.internal:8443/v2") == "harbor.internal:8443"
    assert _names.url_host("https://harbor.internal") == "harbor.internal"
