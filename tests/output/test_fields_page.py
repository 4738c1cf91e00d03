# SPDX-License-Identifier: Apache-2.0
"""The manual page of fields is made from the table: nobody edited it, and nothing is missing in it.

`pytest tests/output/test_fields_page.py --golden` writes it anew.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from panorama.output.formats import FORMATS
from panorama.output.table import SECTIONS

MANUAL = Path(__file__).parents[2] / "packaging" / "man"
PAGE = MANUAL / "panorama-fields.7.scd"


def script() -> ModuleType:
    found = importlib.util.spec_from_file_location("manual_fields", MANUAL / "fields.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules[module.__name__] = module
    found.loader.exec_module(module)
    return module


def test_the_page_is_what_the_table_gives(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--golden"):
        PAGE.write_text(script().page())
    assert PAGE.read_text() == script().page()


def test_the_page_has_every_format_and_every_key() -> None:
    text = PAGE.read_text().replace("\\", "")
    words = set(re.findall(r"[@\w.]+", text))
    assert set(FORMATS) <= words
    keys = {
        key
        for section in SECTIONS
        for row in section.fields
        for column in ("json", "ecs", "cef", "ocsf")
        for key in row.column(column)
    }
    assert keys <= words
    assert not re.search(r"@[A-Z]+@", text)
