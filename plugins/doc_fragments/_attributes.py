# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection splithorizon.registry.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and predict what the run will do, by the server's own dry run.
    support: full
  diff_mode:
    description: Returns what is changed, or would be, with secrets replaced.
    support: full
  idempotent:
    description: A second run with the same input changes nothing.
    support: full
"""

    READ_ONLY = r"""
options: {}
attributes:
  check_mode:
    description: Only reads, in C(check_mode) too.
    support: full
  diff_mode:
    description: Shows what differs.
    support: full
  idempotent:
    description: Never changes anything.
    support: full
"""

    ACTIONGROUP_KUBERNETES = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/splithorizon.registry.kubernetes) in C(module_defaults) to set kubeconfig and context once.
    support: full
    membership:
      - splithorizon.registry.kubernetes
"""

    ACTIONGROUP_TALOS = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/splithorizon.registry.talos) in C(module_defaults) to set talosconfig and context once.
    support: full
    membership:
      - splithorizon.registry.talos
"""

    ACTIONGROUP_BOTH = r"""
options: {}
attributes:
  action_group:
    description:
      - Use C(group/splithorizon.registry.kubernetes) and C(group/splithorizon.registry.talos) in C(module_defaults) to
        set kubeconfig, talosconfig and contexts once.
    support: full
    membership:
      - splithorizon.registry.kubernetes
      - splithorizon.registry.talos
"""
