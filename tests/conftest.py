# SPDX-License-Identifier: Apache-2.0
"""Makes the folder importable: event_samples.py is shared by all tests. Declares the options of all tests."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden", action="store_true", help="write traces/*.expected anew instead of comparing with them"
    )
