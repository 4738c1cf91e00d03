# SPDX-License-Identifier: Apache-2.0
"""What is done with files, in one line for each thing done: the real programs, under their names and under others."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from panorama.machines.model import Example
from panorama.machines.spec import load_behaviors
from panorama.output.line import Line
from panorama.paths import BEHAVIORS

from .conftest import Told, words
from .scenes_of_files import HARMLESS, INSERT, OTHERS, RENAMED, WHOLE, typed
from .test_programs import check, given

pytestmark = pytest.mark.live

Tell = Callable[..., Told]

FILES = [
    "archive",
    "build",
    "compile",
    "compress",
    "copy",
    "create",
    "decompress",
    "delete",
    "edit",
    "extract",
    "git",
    "scan",
    "split",
    "view",
]


def of_activities(told: Told) -> list[str]:
    return [words(line) for line in told.lines if line.layer == "activity"]


@pytest.mark.parametrize("case", WHOLE)
def test_an_activity_comes_after_its_operations(case: str, told: Tell, tmp_path: Path) -> None:
    """Each program with every line it gives, and none more."""
    before, script, lines = WHOLE[case]
    given(tmp_path, before or "true")
    check(told(script, log="all").words, lines)


@pytest.mark.parametrize("case", OTHERS)
def test_each_program_gives_one_line(case: str, told: Tell, tmp_path: Path) -> None:
    before, script, lines = OTHERS[case]
    given(tmp_path, before or "true")
    check(of_activities(told(f"{script}; true", log="all")), lines)


@pytest.mark.parametrize("program", RENAMED)
def test_a_program_under_another_name_is_seen_for_what_it_does(program: str, told: Tell, tmp_path: Path) -> None:
    before, script, lines = RENAMED[program]
    given(tmp_path, f"cp $(command -v {program}) tool; {before or 'true'}")
    run = told(f"PATH=.:$PATH; {script}; true", log="all")
    found = [words(line) for line in run.lines if line.layer == "activity" and line.process.command == "tool"]
    check(found, [f"tool {line}" for line in lines])


@pytest.mark.parametrize("case", HARMLESS)
def test_what_only_looks_alike_is_not_told(case: str, told: Tell, tmp_path: Path) -> None:
    before, script, pattern = HARMLESS[case]
    given(tmp_path, before or "true")
    run = told(f"{script}; true", log="all")
    assert run.words
    assert [line for line in of_activities(run) if fnmatchcase(line, pattern)] == []


def test_the_operations_are_the_evidence(told: Tell, tmp_path: Path) -> None:
    """Of an activity, in their order; each of them is a line of its own under `all`."""
    given(tmp_path, "echo g > g")
    run = told("gzip g", log="all")
    *operations, activity = run.lines
    assert activity.operations == operations
    assert activity.operation_count == 3
    assert activity.severity == "notice"
    assert activity.attack == ("T1560.001",)


def test_only_the_activity_is_written(told: Tell, tmp_path: Path) -> None:
    """Under `activities`; what belongs to none is written at once, what turned out to belong to none later."""
    given(tmp_path, "echo g > g; echo h > h; mkdir d; touch d/1 d/2")
    run = told("gzip g; mv h k; gzip -l g.gz; cp k l; rm -r d; touch one; true", log="activities")
    check(
        run.words,
        [
            "gzip compress g -> g.gz",
            "mv rename h -> k",
            "gzip read g.gz",
            "cp copy k -> l",
            "rm delete d (3 names)",
            "touch create one",
        ],
    )
    assert [line.layer for line in run.lines].count("activity") == 3


def test_several_at_once_in_one_shell(told: Tell, tmp_path: Path) -> None:
    """Every program has its own machines: what others do meanwhile is not mixed in."""
    given(tmp_path, "for i in 1 2 3 4 5 6; do seq 5000 > g$i; mkdir d$i; echo 1 > d$i/1; echo 2 > d$i/2; done")
    script = (
        "for i in 1 2 3 4 5 6; do gzip g$i & cp -r d$i e$i & tar cf $i.tar d$i & done; wait; rm -r d1 & rm -r d2 & wait"
    )
    lines = [f"gzip compress g{i} -> g{i}.gz" for i in range(1, 7)]
    lines += [f"cp copy ? ? -> e{i}" for i in range(1, 7)] + [f"tar archive ? ? -> {i}.tar" for i in range(1, 7)]
    lines += ["rm delete d1 (3 names)", "rm delete d2 (3 names)"]
    found = of_activities(told(script, log="all"))
    assert len(found) == len(lines), found
    for line in lines:
        assert [each for each in found if fnmatchcase(each, line)], line


def test_a_subshell_that_becomes_another_program_is_two(told: Tell, tmp_path: Path) -> None:
    """bash executes the last command of a subshell in its own process: what it did before is not that program's."""
    given(tmp_path, "echo 1 > f")
    run = told("(echo 1 > a; echo 2 > b; exec cat f); (echo 1 > c; exec cp f g)", log="all")
    check(of_activities(run), ["bash create a b", "cat view f", "cp copy f -> g"])


COUNTED = """
mkdir d; for i in $(seq 40); do mkdir d/$i; done; for i in $(seq 800); do echo $i > d/$((i % 40 + 1))/f$i; done
"""


def test_however_many_there_are_it_is_one_line(told: Tell, tmp_path: Path) -> None:
    """Of trees with hundreds of files: each program has one line, under `activities` that one alone, with the counts."""
    given(tmp_path, COUNTED)
    run = told(
        "tar cf d.tar d; cp -r d e; cat d/*/* > all; find e -type f | xargs -n 1000 grep -c 5 > /dev/null;"
        "gzip -r e; rm -r d; tar xf d.tar; zip -qr d.zip d; rm -r d; unzip -q d.zip; true",
        log="activities",
    )
    check(
        run.words,
        [
            "tar archive * and 797 more -> d.tar",
            "cp copy * and 797 more -> e",
            "cat join * and 797 more -> all",
            "grep scan * and 797 more",
            "gzip compress * and 797 more",
            "rm delete d (841 names)",
            "tar extract d (841 names) <- d.tar",
            "zip archive * and 797 more -> d.zip",
            "rm delete d (841 names)",
            "unzip extract d (841 names) <- d.zip",
        ],
    )
    assert run.lines[0].operation_count > 800


PROJECT = r"""
mkdir project; cd project
for i in $(seq 20); do printf '#include <stdio.h>\n#include <string.h>\nint f%s(void) { return %s; }\n' $i $i > f$i.c; done
printf 'all.so: $(patsubst %%.c,%%.o,$(wildcard *.c))\n\tgcc -shared -o $@ $^\n%%.o: %%.c\n\tgcc -fPIC -c -o $@ $<\n' > Makefile
git init -q; git config user.name a; git config user.email a@b; echo notes > notes; echo 1 > README; cp -r /etc/default conf
git add .; git commit -qm one
"""

SESSION = f"""
cd project; ls -l; cat README; {typed("vim notes", *INSERT)}; make -s; git status; git commit -qam two
git log; grep -r return .; mkdir backup; cp -r conf *.c backup; tar czf backup.tgz backup; rm -r backup
sed -i s/1/2/ README; mv notes old; head -2 old; diff f1.c f2.c; tar xzf backup.tgz; gcc -shared -fPIC -o one.so f1.c
gzip old; rm -r backup backup.tgz; true
"""


@pytest.mark.parametrize("script", ["cd project; make -s", SESSION], ids=["a build", "an hour's work"])
def test_activities_are_a_tenth_of_the_operations(script: str, told: Tell, tmp_path: Path) -> None:
    given(tmp_path, PROJECT)
    whole = told(script, log="operations")
    given(tmp_path, f"rm -rf project; {PROJECT}")
    short = told(script, log="activities")
    assert len(short.lines) <= len(whole.lines) / 10, short.words


def _examples() -> list[tuple[str, Example]]:
    found = {behavior.name: behavior for behavior in load_behaviors([BEHAVIORS])}
    return [(name, example) for name in FILES for example in found[name].examples]


@pytest.mark.parametrize(("name", "example"), _examples(), ids=lambda value: value if isinstance(value, str) else "")
def test_what_a_behavior_shows_as_its_example_is_so(name: str, example: Example, told: Tell) -> None:
    """Its lines are these and no others; no activity's line is one that it must not be."""
    run = told(example.run, log="all")
    own: list[Line] = [line for line in run.lines if line.behavior == name]
    if example.lines:
        check([words(line) for line in own], example.lines)
    assert [line for line in of_activities(run) for pattern in example.without if fnmatchcase(line, pattern)] == []
