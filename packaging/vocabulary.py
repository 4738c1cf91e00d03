#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints panorama-behavior.7.scd with its lists of triggers and fields, which are those of panorama/vocabulary.py."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

_TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_TOP))

from panorama.vocabulary import FIELDS, TRIGGERS, Trigger  # noqa: E402

_PAGE = _TOP / "packaging/man/panorama-behavior.7.scd"


def page() -> str:
    """The page, for scdoc(1)."""
    fields = {name: f"{field.summary} ({field.kind})" for name, field in FIELDS.items()}
    triggers = {name: _called(trigger) for name, trigger in TRIGGERS.items()}
    return _PAGE.read_text().replace("@TRIGGERS@", _listed(triggers)).replace("@FIELDS@", _listed(fields))


def _called(trigger: Trigger) -> str:
    names = sorted(trigger.syscalls)
    return trigger.summary + (f" ({', '.join(names)})" if names else "")


def _listed(entries: Mapping[str, str]) -> str:
    return "\n\n".join(f"*{_plain(name)}*\n\t{_plain(text[:1].upper() + text[1:])}." for name, text in entries.items())


def _plain(text: str) -> str:
    return text.replace("\\", "\\\\").replace("_", "\\_").replace("*", "\\*")


if __name__ == "__main__":
    print(page(), end="")
