# SPDX-License-Identifier: Apache-2.0
"""What everyday programs do, line by line: every line they should give and none more.

Expected lines are patterns (fnmatch), because some names are random.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from .conftest import Told

pytestmark = pytest.mark.live

Tell = Callable[..., Told]


def given(folder: Path, script: str) -> None:
    """Makes the files that the program finds, outside the watch."""
    subprocess.run(["/bin/bash", "--norc", "-e", "-c", script], cwd=folder, check=True, capture_output=True)


def check(found: Sequence[str], wanted: Sequence[str]) -> None:
    """The lines, in order."""
    fits = len(found) == len(wanted) and all(map(fnmatchcase, found, wanted))
    assert fits, "\n".join(["told:", *found, "", "wanted:", *wanted])


CASES = {
    "cat": ("printf 'a\\n' > c; : > z", "cat c z", ["cat read c", "cat read z"]),
    "cat to a file": ("echo a > a", "cat a > b", ["cat read a", "cat create b"]),
    "cat over a file": ("echo a > a; echo b > b", "cat a > b", ["cat read a", "cat cover b"]),
    "cat behind a file": ("echo a > a; echo b > b", "cat a >> b", ["cat read a", "cat write b"]),
    "redirected input": ("echo a > a", "cat < a", ["cat read a"]),
    "a group's output": (
        "echo a > a",
        "{ cat a; echo x; } > b; true",
        ["cat read a", "cat write b", "bash create b"],
    ),
    "touch": ("", "touch 1 2; touch 1", ["touch create 1", "touch create 2"]),
    "rm": ("touch 1 2", "rm 1 2", ["rm remove 1", "rm remove 2"]),
    "rm of a tree": (
        "mkdir -p d/e; touch d/f d/e/g",
        "rm -r d/e d",
        ["rm remove g", "rm rmdir e", "rm remove f", "rm rmdir d"],
    ),
    "split": ("printf '1\\n2\\n3\\n' > s", "split s", ["split read s", "split create xaa"]),
    "split by lines": (
        "printf '1\\n2\\n3\\n' > s",
        "split -l 1 s",
        ["split create xaa", "split create xab", "split read s", "split create xac"],
    ),
    "gzip": (
        "echo g > g; : > g2",
        "gzip g g2",
        ["gzip read g", "gzip create g.gz", "gzip remove g", "gzip read g2", "gzip create g2.gz", "gzip remove g2"],
    ),
    "gunzip": (
        "echo g > g; gzip g",
        "gunzip g.gz",
        ["gunzip read gunzip", "gzip read g.gz", "gzip create g", "gzip remove g.gz"],
    ),
    "gzip -d": ("echo g > g; gzip g", "gzip -d g.gz", ["gzip read g.gz", "gzip create g", "gzip remove g.gz"]),
    "zip": (
        "echo z > z",
        "zip -q z.zip z",
        ["zip create z.zip", "zip remove z.zip", "zip read z", "zip create zi??????", "zip rename zi?????? -> z.zip"],
    ),
    "zip again": (
        "echo z > z; : > z1; zip -q z.zip z",
        "zip -q z.zip z1",
        [
            "zip read z.zip",
            "zip read z1",
            "zip create zi??????",
            "zip read z.zip",
            "zip remove z.zip",
            "zip rename zi?????? -> z.zip",
        ],
    ),
    "unzip": ("echo z > z; zip -q z.zip z; rm z", "unzip -q z.zip", ["unzip create z", "unzip read z.zip"]),
    "cp": ("echo c > c", "cp c c.bk; cp c c.bk", ["cp create c.bk", "cp read c", "cp cover c.bk", "cp read c"]),
    "cp of several": (
        "echo c > c; echo m > m; mkdir extra",
        "cp c m extra/",
        ["cp create c", "cp read c", "cp create m", "cp read m"],
    ),
    "cp -p": ("echo c > c; chmod 640 c", "cp -p c d", ["cp create d", "cp read c"]),
    "cp -p over a file": ("echo c > c; chmod 640 c; touch d", "cp -p c d", ["cp cover d", "cp read c"]),
    "mv": ("echo c > c", "mv c x; mv x c", ["mv rename c -> x", "mv rename x -> c"]),
    "mv of several": (
        "touch c m; mkdir extra",
        "mv c m extra/",
        ["mv rename c -> */extra/c", "mv rename m -> */extra/m"],
    ),
    "mkdir and rmdir": (
        "",
        "mkdir 1d 2d; rmdir 1d 2d",
        ["mkdir mkdir 1d", "mkdir mkdir 2d", "rmdir rmdir 1d", "rmdir rmdir 2d"],
    ),
    "mkdir -p -m": ("", "mkdir -m 700 -p a/b", ["mkdir mkdir a", "mkdir mkdir b"]),
    "ln": ("echo a > a", "ln a b; ln -s a c", ["ln link a -> b", "ln link a -> c"]),
    "chmod": ("touch f", "chmod 4755 f", ["chmod chmod f 4755"]),
    "chown": ("touch f", "chown 1:2 f; chgrp 3 f", ["chown chown f 1:2", "chgrp chown f -:3"]),
    "tar c": ("echo c > c; echo m > m", "tar cf t.tar c m", ["tar read c", "tar read m", "tar create t.tar"]),
    "tar x": (
        "mkdir d; echo c > d/c; chmod 640 d/c; tar cf t.tar d; rm -r d",
        "tar xf t.tar",
        ["tar mkdir d", "tar create c", "tar read t.tar"],
    ),
    "dd": ("echo s > s", "dd if=s of=s2 status=none", ["dd read s", "dd create s2"]),
    "tee": ("echo s > s", "tee s3 < s", ["tee create s3", "tee read s"]),
    "sed -i": (
        "echo s > s",
        "sed -i s/1/2/ s",
        ["sed read s", "sed create sed??????", "sed rename sed?????? -> s"],
    ),
    "install": ("echo s > s", "install -m 755 s t", ["install create t", "install read s"]),
    "install over a file": (
        "echo s > s; touch t",
        "install -m 755 s t",
        ["install remove t", "install create t", "install read s"],
    ),
    "truncate": (
        "echo s > s",
        "truncate -s 100 s; truncate -s 0 s; truncate -s 5 n",
        ["truncate write s", "truncate cover s", "truncate create n"],
    ),
    "calls that fail": (
        "mkdir d",
        "cat nowhere; rm nowhere; mv nowhere x; rmdir nowhere; mkdir d; ln nowhere y; chmod 600 nowhere; true",
        [],
    ),
    "still open at exit": (
        "echo a > a",
        "exec 3< a 4> b; read x <&3; echo y >&4",
        ["bash read a", "bash create b"],
    ),
    "a program under another name": ("echo a > a; cp /usr/bin/cat ./mine", "./mine a", ["mine read a"]),
}


@pytest.mark.parametrize("name", CASES)
def test_everyday_program(name: str, told: Tell, tmp_path: Path) -> None:
    """Every line it should give, and none more."""
    before, script, wanted = CASES[name]
    given(tmp_path, before)
    check(told(script).words, wanted)


def test_vim_opens_saves_and_quits(told: Tell, tmp_path: Path) -> None:
    """A session at a terminal: swap files are true operations and stay; the mode it sets anew is part of saving."""
    given(tmp_path, "echo old > notes")
    keys = r"printf 'Onew\033:w\r'; sleep 0.5; printf ':q\r'; sleep 0.5"
    run = told(f"({keys}) | script -qec 'vim -u NONE -i NONE notes' /dev/null > /dev/null; true")
    assert (tmp_path / "notes").read_text() == "new\nold\n"
    check(
        run.of("vim"),
        [
            "vim create .notes.sw*x",
            "vim remove .notes.sw*x",
            "vim create .notes.swp",
            "vim remove .notes.swp",
            "vim read notes",
            "vim cover notes",
            "vim create .notes.swp",
            "vim remove .notes.swp",
        ],
    )


def test_perl_does_the_same_things_by_other_calls(told: Tell, tmp_path: Path) -> None:
    """open without openat's flags, rename, link, truncate, chmod and unlink as perl calls them."""
    given(tmp_path, "echo a > a")
    code = (
        'open F, "<", "a"; $x = <F>; close F; open G, ">", "b"; print G $x; close G; chmod 0600, "b", "a"; '
        'rename "b", "c"; link "c", "d"; truncate "c", 0; unlink "c", "d"; mkdir "e"; rmdir "e"'
    )
    wanted = ["read a", "create b", "chmod a 0600", "rename b -> c", "link c -> d", "cover c", "remove c", "remove d"]
    run = told(f"perl -e '{code}'; true")
    check(run.words, [f"perl {line}" for line in [*wanted, "mkdir e", "rmdir e"]])


def test_a_descriptor_named_by_proc_is_its_file(told: Tell, tmp_path: Path) -> None:
    """Where libraries write /proc/self/fd/N, the file is meant that N is open on at that moment."""
    given(tmp_path, "mkdir d; touch f d/g h")
    script = (
        "import os; keep = [os.dup(0) for _ in range(120)]\n"
        "os.chmod('/proc/self/fd/%d' % os.open('f', os.O_PATH), 0o640)\n"
        "os.chown('/proc/self/fd/%d' % os.open('d/g', os.O_PATH), 1, 2)\n"
        "os.truncate('/proc/self/fd/%d' % os.open('h', os.O_RDONLY), 5)\n"
        "os.chmod('/proc/self/fd/%d' % os.open('d', os.O_PATH), 0o700)\n"
    )
    (tmp_path / "script.py").write_text(script)
    found = told("exec python3 -I -S script.py")
    changes = {line.verb + " " + line.events[-1].file.path for line in found.lines if line.events[-1].file}
    assert {f"chmod {tmp_path}/f", f"chown {tmp_path}/d/g", f"chmod {tmp_path}/d"} <= changes
    assert "python3 write h" in found.words
