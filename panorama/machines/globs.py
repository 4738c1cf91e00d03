# SPDX-License-Identifier: Apache-2.0
"""Globs as compiled patterns that never look back: the time to match grows with the text, not with its powers.

In text, `*` is any run of characters, `?` any one, `[a-z]` one of these, `[!a-z]` one of the others. In paths none of
them is a slash, and `**` stands for any number of whole components, at the end for at least one: `/home/**/.ssh/*`.
"""

from __future__ import annotations

import re
from re import Pattern

__all__ = ["path_glob", "text_glob"]

_END = r"\Z"


def text_glob(*globs: str) -> Pattern[str]:
    """For fullmatch with any text, by any of the globs."""
    return re.compile("|".join(f"(?:{_run(glob, any_one='.', end=_END)})" for glob in globs), re.DOTALL)


def path_glob(*globs: str) -> Pattern[str]:
    """For fullmatch with an absolute path, by any of the globs."""
    return re.compile("|".join(f"(?:{_path(glob)})" for glob in globs), re.DOTALL)


def _path(glob: str) -> str:
    runs: list[list[str]] = [[]]  # what stands between **
    for component in glob.removeprefix("/").split("/"):
        if component == "**":
            runs.append([])
        else:
            runs[-1].append(_run(component, any_one="[^/]", end="(?=/|\\Z)"))
    first, *rest = ["/".join(run) for run in runs]
    if not rest:
        return f"/{first}"
    pattern = f"/{first}/" if first else "/"
    for run in rest[:-1]:
        # the first place where a run fits is as good as any later one, so there is no way back into (?>...)
        pattern += f"(?>(?:[^/]+/)*?{run}/)" if run else ""
    last = rest[-1]
    pattern += f"(?:[^/]+/)*{last}" if last else ".+"
    return pattern


def _run(glob: str, any_one: str, end: str) -> str:
    first, *rest = _pieces(glob, any_one)
    if not rest:
        return first
    middle = "".join(f"(?>{any_one}*?{piece})" for piece in rest[:-1] if piece)
    return f"{first}{middle}(?>{any_one}*{rest[-1]}{end})" if rest[-1] else f"{first}{middle}{any_one}*"


def _pieces(glob: str, any_one: str) -> list[str]:
    """The patterns between the stars."""
    pieces, at = [""], 0
    while at < len(glob):
        character = glob[at]
        at += 1
        if character == "*":
            pieces.append("")
        elif character == "?":
            pieces[-1] += any_one
        elif character == "[" and (close := _close(glob, at)):
            pieces[-1] += _class(glob[at:close], any_one)
            at = close + 1
        else:
            pieces[-1] += re.escape(character)
    return pieces


def _close(glob: str, at: int) -> int:
    """Where the bracket ends, as in fnmatch(3): a ] that comes first is a member. 0: a bracket without end is text."""
    first = at + 1 if glob[at : at + 1] in ("!", "^") else at
    return max(glob.find("]", first + 1), 0)


def _class(members: str, any_one: str) -> str:
    inverted = members[0] in "!^" and len(members) > 1
    members = members[1:] if inverted else members
    choices, at = [], 0
    while at < len(members):
        low = high = members[at]
        at += 1
        if members[at : at + 1] == "-" and at + 1 < len(members):
            high = members[at + 1]
            at += 2
        if low <= high:
            choices.append(f"{re.escape(low)}-{re.escape(high)}")
    inside = "".join(choices)
    not_slash = "(?!/)" if any_one != "." else ""
    if not inside:
        return f"{not_slash}." if inverted else "(?!)"
    return f"{not_slash}[{'^' if inverted else ''}{inside}]"
