# SPDX-License-Identifier: Apache-2.0
"""Makes the folder importable: event_samples.py is shared by all tests. Declares the options of all tests."""

from __future__ import annotations

import os

import pytest

SKIPPED: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden", action="store_true", help="write traces/*.expected anew instead of comparing with them"
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        SKIPPED.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With CI set a skip fails the run: there everything that tests need is installed and allowed."""
    if SKIPPED and os.environ.get("CI") == "true" and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\nskipped, which CI does not accept: {', '.join(SKIPPED)}")
