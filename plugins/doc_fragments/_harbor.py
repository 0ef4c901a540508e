# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection splithorizon.registry.

from __future__ import annotations


class ModuleDocFragment:
    # Kept in step with HARBOR_SPEC of module_utils/_credentials_spec.py.
    DOCUMENTATION = r"""
options:
  url:
    description: Scheme, host and port of Harbor.
    type: str
    required: true
  address:
    description:
      - IP address, or C(ip:port), to connect to in place of what DNS says of the host.
      - So Harbor can be asked before DNS leads to it. Server name, C(Host) and the judgement of the certificate stay
        those of O(url).
    type: str
  ca:
    description: Certificates to trust, PEM text. By default those the system trusts.
    type: str
  username:
    description: Account that may do this in Harbor, such as V(admin).
    type: str
    required: true
  password:
    description: Its password, from a vault or the environment.
    type: str
    required: true
  timeout:
    description: Seconds that one request may take.
    type: int
    default: 10
"""
