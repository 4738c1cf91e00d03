# SPDX-License-Identifier: Apache-2.0
"""What rules leave alone; what they leave out is shown by the sums of replays and of real programs."""

from __future__ import annotations

from event_samples import SHELL, point

from panorama.ignore import IgnoreRules, Rule


def test_a_rule_about_files_leaves_no_program_s_start_out() -> None:
    """What a program does counts for its children and its login, wherever its file lies."""
    rules = IgnoreRules([Rule("noise", "Noise.", paths=("/opt/noise/",))])
    assert not rules.keep(point(SHELL, "chmod", "/opt/noise/run"))
    assert rules.keep(point(SHELL, "exec", "/opt/noise/run"))
    assert rules.ignored == {"noise": {"chmod": 1}}
