# SPDX-License-Identifier: Apache-2.0
"""The commands that the first Panorama was tried with, round after round, every line checked.

That one's script had no expectations: a person read the log. Here each command has its lines, for the state that the
commands before it left; a round ends as it began, so that thirty give thirty times the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Told
from .test_programs import given

pytestmark = pytest.mark.live

ROUNDS = 30

# `.` stands for the command itself
SCRIPT = """
cat c                  | . read c
cat c z                | . read c, . read z
touch 1                | . create 1
rm 1                   | . remove 1
touch 1 2              | . create 1, . create 2
rm 1 2                 | . remove 1, . remove 2
mkdir 1d               | . mkdir 1d
rmdir 1d               | . rmdir 1d
mkdir 1d 2d            | . mkdir 1d, . mkdir 2d
rmdir 1d 2d            | . rmdir 1d, . rmdir 2d
gzip g                 | . read g, . create g.gz, . remove g
gzip -d g.gz           | . read g.gz, . create g, . remove g.gz
gzip g g2              | . read g, . create g.gz, . remove g, . read g2, . create g2.gz, . remove g2
gzip -d g.gz g2.gz     | . read g.gz, . create g, . remove g.gz, . read g2.gz, . create g2, . remove g2.gz
split s                | . read s, . create xaa
split -l 1 s           | . cover xaa, . create xab, . read s, . create xac
zip -q z.zip z         | . create z.zip, . remove z.zip, . read z, . create ziTEMP, . rename ziTEMP -> z.zip
zip -q z.zip z1        | . read z.zip, . read z1, . create ziTEMP, . read z.zip, . remove z.zip, . rename ziTEMP -> z.zip
zip -q z.zip z z1 z2   | . read z.zip, . read z, . read z1, . read z2, . create ziTEMP, . read z.zip, . remove z.zip, . rename ziTEMP -> z.zip
printf 'y\\nn\\nr\\nz3\\n' | unzip -q z.zip >/dev/null 2>&1 | unzip remove z, unzip create z, unzip create z3, unzip read z.zip
cp c c.bk              | . create c.bk, . read c
cp c c.bk              | . cover c.bk, . read c
rm c.bk                | . remove c.bk
cp c extra/            | . create c, . read c
cp c extra/            | . cover c, . read c
rm extra/*             | . remove c
cp c m extra/          | . create c, . read c, . create m, . read m
cp c m extra/          | . cover c, . read c, . cover m, . read m
rm extra/*             | . remove c, . remove m
mv c x                 | . rename c -> x
mv x c                 | . rename x -> c
mv c m extra/          | . rename c -> FOLDER/extra/c, . rename m -> FOLDER/extra/m
cp extra/* ./          | . create c, . read c, . create m, . read m
mv c m extra/          | . rename c -> FOLDER/extra/c, . rename m -> FOLDER/extra/m
mv extra/* ./          | . rename c -> FOLDER/c, . rename m -> FOLDER/m
rm xa* z.zip z3        | . remove xaa, . remove xab, . remove xac, . remove z.zip, . remove z3
""".strip()


def test_thirty_rounds(told: Callable[..., Told], tmp_path: Path) -> None:
    """Every line it should give and none it should not, thirty times."""
    given(
        tmp_path,
        "printf 'a\\nb\\n' > c; echo g > g; : > g2; echo m > m; printf '1\\n2\\n3\\n' > s; echo z > z; : > z1; echo 2 > z2; mkdir extra",
    )
    commands, wanted = [], []
    for row in SCRIPT.splitlines():
        command, _, lines = row.rpartition(" | ")
        commands.append(command.strip())
        word = command.split()[0]
        wanted += [re.sub(r"^\.", word, line.strip()).replace("FOLDER", str(tmp_path)) for line in lines.split(",")]
    run = told(f"for round in $(seq {ROUNDS}); do\n" + "\n".join(commands) + "\ndone; true")
    assert not run.losses
    found = [re.sub(r"\bzi[A-Za-z0-9]{6}\b", "ziTEMP", line) for line in run.words]
    for number in range(ROUNDS):
        assert found[number * len(wanted) : (number + 1) * len(wanted)] == wanted, f"round {number + 1}"
    assert len(found) == ROUNDS * len(wanted)
