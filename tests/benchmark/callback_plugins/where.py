# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A callback that notes when each task begins and how many hosts ran it; for ``make benchmark`` alone."""

from __future__ import annotations

import json
import os
import time
import typing as t
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: where
type: aggregate
short_description: Where the time of a run goes
description:
  - Writes play, task, action, hosts and the monotonic time of each beginning, as JSON, to the file that the
    environment variable E(BENCHMARK_TASKS) names.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "where"

    def __init__(self) -> None:
        super().__init__()
        self._tasks: list[dict[str, t.Any]] = []
        self._play = ""

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        self._play = play.get_name()
        self._begin("", "")

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        del is_conditional
        self._begin(task.action, task.get_name())

    def v2_runner_on_ok(self, result: t.Any) -> None:
        del result
        self._tasks[-1]["hosts"] += 1

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        del stats
        self._begin("", "")
        Path(os.environ["BENCHMARK_TASKS"]).write_text(json.dumps(self._tasks), encoding="utf-8")

    def _begin(self, action: str, name: str) -> None:
        begin = {"play": self._play, "action": action, "name": name, "hosts": 0, "begin": time.monotonic()}
        self._tasks.append(begin)
