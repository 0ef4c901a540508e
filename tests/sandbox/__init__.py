# SPDX-License-Identifier: GPL-3.0-or-later
"""Two small Kubernetes clusters on Talos nodes, in namespaces of their own; see ``python -m sandbox --help``."""
