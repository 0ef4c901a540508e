# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes that Talos writes on a node, proved against what a real node wrote (test__node_files.py)."""

from __future__ import annotations

from ansible_collections.splithorizon.registry.plugins.module_utils import _node_files


def hosts_toml(file):
    """One hosts.toml."""
    blocks = []
    if file.server:
        blocks.append(f"server = '{file.server.url}'\n{_options(file.server, '')}")
    if file.hosts:
        blocks.append("[host]\n")
    blocks += [f"  [host.'{host.url}']\n{_options(host, '    ')}" for host in file.hosts]
    return "".join(blocks)


def etc_hosts(lines, own):
    """Lines of /etc/hosts: the node's own, (address, names), and then ours, in one column."""
    lines = [*own, *lines]
    width = max(len(line[0]) for line in lines) + 1
    return [f"{ip:{width}}{' '.join(names)}" for ip, names in lines]


def everything(settings):
    """Path → content of all that settings make on a node; credentials as the file's meaning."""
    files = _node_files.node_files(settings)
    return {
        **{files.path(registry): hosts_toml(file) for registry, file in files.hosts.items()},
        **files.others,
        "/etc/hosts": etc_hosts(_node_files.host_lines(settings.hosts), [("127.0.0.1", ("localhost",))]),
        "01-registries.part": dict(settings.auth),
    }


def _options(host, indent):
    pairs = ", ".join(f"['{cert}', '{key}']" for cert, key in host.client)
    capabilities = ", ".join(f"'{one}'" for one in host.capabilities)
    options = {
        "capabilities": f"[{capabilities}]" if host.capabilities else "",
        "override_path": "true" if host.override_path else "",
        "ca": f"'{host.ca}'" if host.ca else "",
        "client": f"[{pairs}]" if pairs else "",
        "skip_verify": "true" if host.skip_verify else "",
    }
    return "".join(f"{indent}{key} = {value}\n" for key, value in options.items() if value)
