# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection splithorizon.registry.

from __future__ import annotations


class ModuleDocFragment:
    # Kept in step with TALOS_SPEC of module_utils/_talosctl.py.
    DOCUMENTATION = r"""
options:
  talosconfig:
    description:
      - Path to the talosctl client configuration.
      - Without it, talosctl looks where it always does (E(TALOSCONFIG), C(~/.talos/config)).
    type: path
  talos_context:
    description: Name of the context in the client configuration; its current one by default.
    type: str
  talos_endpoints:
    description: Addresses to send the requests through; those of the context by default.
    type: list
    elements: str
    default: []
  talosctl:
    description: The talosctl program, a path or a name on E(PATH). Its minor version should be that of the nodes.
    type: str
    default: talosctl
  talos_timeout:
    description: Seconds that one request may take.
    type: int
    default: 30
requirements:
  - talosctl, of the nodes' minor version
"""
