# SPDX-License-Identifier: Apache-2.0
"""What real programs do with files, and what is to be told of it: tables for test_activities_files.py.

Expected lines are patterns (fnmatch), because some names are random and folders have no order.
"""

from __future__ import annotations

__all__ = ["HARMLESS", "INSERT", "OTHERS", "RENAMED", "WHOLE", "typed"]


def typed(command: str, *keys: str) -> str:
    """Somebody at a terminal starts the command and types, with pauses."""
    pauses = "; ".join(f"printf '{key}'; sleep .5" for key in keys)
    return f"{{ sleep .5; {pauses}; }} | script -qec '{command}' /dev/null"


INSERT = ("Omore\\033", ":wq\\r")

# what is there before, what is done, all lines: operations, and behind them the activity they come to
WHOLE = {
    "gzip": (
        "echo g > g",
        "gzip g",
        ["gzip read g", "gzip create g.gz", "gzip remove g", "gzip compress g -> g.gz"],
    ),
    "gzip -d": (
        "echo g > g; gzip g",
        "gzip -d g.gz",
        ["gzip read g.gz", "gzip create g", "gzip remove g.gz", "gzip decompress g.gz -> g"],
    ),
    "bzip2": (
        "echo g > g",
        "bzip2 g",
        ["bzip2 create g.bz2", "bzip2 read g", "bzip2 remove g", "bzip2 compress g -> g.bz2"],
    ),
    "xz": ("echo g > g", "xz -k g", ["xz create g.xz", "xz read g", "xz compress g -> g.xz"]),
    "unxz": (
        "echo g > g; xz g",
        "unxz g.xz",
        ["unxz create g", "unxz read g.xz", "unxz remove g.xz", "unxz decompress g.xz -> g"],
    ),
    "zstd": ("echo g > g", "zstd -q g", ["zstd create g.zst", "zstd read g", "zstd compress g -> g.zst"]),
    "unzstd": (
        "echo g > g; zstd -q --rm g",
        "unzstd -q g.zst",
        ["unzstd create g", "unzstd read g.zst", "unzstd decompress g.zst -> g"],
    ),
    "cp": ("echo a > a", "cp a b", ["cp create b", "cp read a", "cp copy a -> b"]),
    "cp over a file": ("echo a > a; echo b > b", "cp a b", ["cp cover b", "cp read a", "cp copy a -> b"]),
    "cp of nothing": (": > a", "cp a b", ["cp create b", "cp read a", "cp copy a -> b"]),
    "cp -r": (
        "mkdir d; echo 1 > d/1; ln -s 1 d/l",
        "cp -r d e",
        ["cp mkdir e", "cp create 1", "cp read 1", "cp link 1 -> l", "cp copy 1 -> 1"],
    ),
    "cat": ("echo a > a", "cat a > b", ["cat read a", "cat create b", "cat copy a -> b"]),
    "cat of two": (
        "echo a > a; echo b > b",
        "cat a b > c",
        ["cat read a", "cat read b", "cat create c", "cat join a b -> c"],
    ),
    "dd": ("echo a > a", "dd if=a of=b status=none", ["dd read a", "dd create b", "dd copy a -> b"]),
    "mv to another file system": (
        "echo a > a; rm -rf /dev/shm/far; mkdir /dev/shm/far",
        "mv a /dev/shm/far/b",
        ["mv create b", "mv read a", "mv remove a", "mv move a -> b"],
    ),
    "mv": ("echo a > a", "mv a b", ["mv rename a -> b"]),
    "rm -r": (
        "mkdir -p d/e; touch d/e/f d/g",
        "rm -r d/e d",
        ["rm remove f", "rm rmdir e", "rm remove g", "rm rmdir d", "rm delete d (4 names)"],
    ),
    "rm of one": ("touch a", "rm a", ["rm remove a"]),
    "touch": ("", "touch a b", ["touch create a", "touch create b", "touch create a b"]),
    "touch of one": ("", "touch a", ["touch create a"]),
    "cat to somebody": ("echo a > a", "cat a", ["cat read a", "cat view a"]),
    "split": (
        "seq 9 > s",
        "split -l 5 s",
        ["split create xaa", "split read s", "split create xab", "split split s -> xaa xab"],
    ),
    "sed -i": (
        "echo 1 > s; echo 1 > t",
        "sed -i s/1/2/ s t",
        [
            "sed read s",
            "sed create sed??????",
            "sed rename sed?????? -> s",
            "sed read t",
            "sed create sed??????",
            "sed rename sed?????? -> t",
            "sed edit s t",
        ],
    ),
    "sed -i.bak": (
        "echo 1 > s",
        "sed -i.bak s/1/2/ s",
        ["sed read s", "sed create sed??????", "sed rename s -> s.bak", "sed rename sed?????? -> s", "sed edit s"],
    ),
    "perl -i": (
        "echo 1 > s",
        "perl -i -pe s/1/2/ s",
        ["perl create XX??????", "perl rename XX?????? -> s", "perl read s", "perl edit s"],
    ),
    "ed": (
        "echo 1 > s",
        "printf 's/1/2/\\nw\\nq\\n' | ed -s s; true",
        ["ed read s", "ed cover s", "ed create #*", "ed edit s"],
    ),
    "tar c": (
        "echo 1 > 1; echo 2 > 2",
        "tar cf t.tar 1 2",
        ["tar read 1", "tar read 2", "tar create t.tar", "tar archive 1 2 -> t.tar"],
    ),
    "tar cz": (
        "echo 1 > 1; echo 2 > 2",
        "tar czf t.tgz 1 2",
        ["tar read 1", "tar read 2", "gzip write t.tgz", "tar create t.tgz", "tar archive 1 2 -> t.tgz"],
    ),
    "tar r": (
        "echo 1 > 1; echo 2 > 2; tar cf t.tar 1",
        "tar rf t.tar 2",
        ["tar read 2", "tar write t.tar", "tar archive 2 -> t.tar"],
    ),
    "tar x": (
        "mkdir d; echo 1 > d/1; tar cf t.tar d; rm -r d",
        "tar xf t.tar",
        ["tar mkdir d", "tar create 1", "tar read t.tar", "tar extract d (2 names) <- t.tar"],
    ),
    "tar x of one": (
        "echo 1 > 1; tar cf t.tar 1; rm 1",
        "tar xf t.tar",
        ["tar create 1", "tar read t.tar", "tar extract 1 <- t.tar"],
    ),
    "zip": (
        "echo 1 > 1",
        "zip -q z.zip 1",
        [
            "zip create z.zip",
            "zip remove z.zip",
            "zip read 1",
            "zip create zi??????",
            "zip rename zi?????? -> z.zip",
            "zip archive 1 -> z.zip",
        ],
    ),
    "zip again": (
        "echo 1 > 1; echo 2 > 2; zip -q z.zip 1",
        "zip -q z.zip 2",
        [
            "zip read z.zip",
            "zip read 2",
            "zip create zi??????",
            "zip read z.zip",
            "zip remove z.zip",
            "zip rename zi?????? -> z.zip",
            "zip archive 2 -> z.zip",
        ],
    ),
    "unzip": (
        "echo 1 > 1; zip -q z.zip 1; rm 1",
        "unzip -q z.zip",
        ["unzip create 1", "unzip read z.zip", "unzip extract 1 <- z.zip"],
    ),
}


# the same programs in other ways, and what they all do: only the activities
OTHERS = {
    "several files": (
        "seq 9 > g; seq 8 > h",
        "gzip g h; gunzip g.gz h.gz; bzip2 g h; bunzip2 g.bz2 h.bz2; xz g h; unxz g.xz h.xz; zstd -q --rm g h",
        [
            "gzip compress g h",
            "gzip decompress g.gz h.gz",
            "bzip2 compress g h",
            "bunzip2 decompress g.bz2 h.bz2",
            "xz compress g h",
            "unxz decompress g.xz h.xz",
            "zstd compress g h",
        ],
    ),
    "to and from standard streams": (
        "seq 9 > g",
        "gzip -c g > a.gz; gzip < g > b.gz; gzip -dc a.gz > c; zcat b.gz > d; xz -c g > e.xz; xz -dc e.xz > f",
        [
            "gzip compress g -> a.gz",
            "gzip compress g -> b.gz",
            "gzip decompress a.gz -> c",
            "gzip decompress b.gz -> d",
            "xz compress g -> e.xz",
            "xz decompress e.xz -> f",
        ],
    ),
    "pigz": ("seq 9 > g", "pigz g; pigz -d g.gz", ["pigz compress g -> g.gz", "pigz decompress g.gz -> g"]),
    "gzip over an archive": ("seq 9 > g; : > g.gz", "gzip -f g", ["gzip compress g -> g.gz"]),
    "copies": (
        "echo 1 > a; echo 22 > b; : > z; mkdir d d/e; echo 3 > d/3; echo 44 > d/e/4",
        "cp a b z d; cp -a d f; install -m 600 a b f; install a a2; head -c 3 b > k",
        ["cp copy a b z -> d", "cp copy * and 2 more -> f", "install copy a b -> f", "install copy a -> a2"],
    ),
    "a big copy": ("head -c 30000000 /dev/zero > a", "cp a b; cat b > c", ["cp copy a -> b", "cat copy b -> c"]),
    "moves": (
        "rm -rf /dev/shm/far; mkdir /dev/shm/far; echo 1 > a; echo 22 > b; echo o > /dev/shm/far/a; mkdir -p d/e;"
        "echo 3 > d/3; echo 44 > d/e/4",
        "mv a b /dev/shm/far; mv d /dev/shm/far; mv /dev/shm/far/d g",
        ["mv move a b -> far", "mv move d -> d (2 files)", "mv move d -> g (2 files)"],
    ),
    "deletions": (
        "mkdir -p d/e f; touch 1 2 d/3 d/e/4 f/5 g-{1..5}",
        "rm 1 2; rm -r d f; find . -name 'g-*' -delete; mkdir 1 2; rmdir 1 2",
        [
            "rm delete 1 2",
            "rm delete d f (6 names)",
            "find delete g-? g-? g-? and 2 more",
            "mkdir create 1 2",
            "rmdir delete 1 2 (2 names)",
        ],
    ),
    "a tree removed by python": (
        "mkdir -p d/e; touch d/1 d/e/2",
        "python3 -ISc 'import shutil; shutil.rmtree(\"d\")'",
        ["python3 delete d (4 names)"],
    ),
    "pagers": (
        "seq 1000 > f",
        "head -1 f; tail -1 f; less f; more f; printf q | script -qec 'less f' /dev/null; printf ':q\\r' | script -qec 'view f' x",
        ["head view f", "tail view f", "less view f", "more view f", "less view f", "view view f"],
    ),
    "vim": ("echo 1 > f", typed("vim f", *INSERT), ["vim edit f"]),
    "vim on a new file": ("", typed("vim f", *INSERT), ["vim edit f"]),
    "vim without a swap file": ("echo 1 > f", typed("vim -n f", *INSERT), ["vim edit f"]),
    "vim with a backup": ("echo 1 > f", typed('vim -c "set backup bex=~ bsk=" f', *INSERT), ["vim edit f"]),
    "vim on two": (
        "echo 1 > f; echo 2 > g",
        typed("vim f g", "Omore\\033", ":wn\\r", "Omore\\033", ":wq\\r"),
        ["vim edit f g"],
    ),
    "vim, left without a change": (
        "echo 1 > f",
        typed("vim f", "Omore\\033", ":q!\\r"),
        ["vim view f"],
    ),
    "nano": (
        "echo 1 > f",
        typed("nano -B f", "more", "\\017", "\\r", "\\030"),
        ["nano edit f"],
    ),
    "perl -i.bak": ("echo 1 > f; echo 1 > g", "perl -i.bak -pe s/1/2/ f g", ["perl edit f g"]),
    "tar": (
        "mkdir d; echo 1 > d/1; ln -s 1 d/l; echo m > m",
        "tar cJf a.txz d m; tar --zstd -cf a.tzst m d; tar c d m | gzip > a.tgz; tar cf named d m; rm -r d m; tar xJf a.txz;"
        "tar xJf a.txz; gzip -dc a.tgz | tar x; tar xf named m",
        [
            "tar archive 1 m -> a.txz",
            "tar archive m 1 -> a.tzst",
            "tar archive 1 m",
            "tar archive 1 m -> named",
            "rm delete d m (4 names)",
            "tar extract d m (4 names) <- a.txz",
            "tar extract * (3 names) <- a.txz",
            "tar extract * (3 names)",
            "tar extract m <- named",
        ],
    ),
    "cpio": (
        "mkdir d; echo 1 > d/1; echo 2 > d/2",
        "find d | cpio -o --quiet > d.cpio; rm -r d; cpio -id --quiet < d.cpio",
        ["cpio archive ? ? -> d.cpio", "rm delete d (3 names)", "cpio extract d (3 names) <- d.cpio"],
    ),
    "zip": (
        "mkdir d; echo 1 > d/1; echo 2 > d/2; echo m > m",
        "zip -qr d.zip d m; zip -qm n.zip m; zip -q - d/1 > o.zip; unzip -qo d.zip; unzip -q d.zip -d t",
        [
            "zip archive ? ? m -> d.zip",
            "zip archive m -> n.zip",
            "zip archive 1 -> o.zip",
            "unzip extract * <- d.zip",
            "unzip extract t (5 names) <- d.zip",
        ],
    ),
    "python's tarfile": (
        "mkdir d; echo 1 > d/1; echo 2 > d/2; tar cf t.tar d; rm -r d",
        "python3 -Im tarfile -e t.tar",
        ["python3 extract d (3 names) <- t.tar"],
    ),
    "split": (
        "seq 100 > s",
        "split -b 100 s y; split -n 3 s z; split s w; seq 9 | split -l 5 - p; csplit -s s 10 20; cat y* > back",
        [
            "split split s -> yaa yab yac",
            "split split s -> zaa zab zac",
            "split split s -> waa",
            "split split paa pab",
            "csplit split s -> xx00 xx01 xx02",
            "cat join yaa yab yac -> back",
        ],
    ),
    "scans": (
        "mkdir d; seq 9 > d/1; seq 8 > d/2; seq 7 > d/3",
        "grep -rc 5 d; wc d/1 d/2; sha256sum d/* > sums; diff d/1 d/2; find d -type f | xargs grep -c 9",
        ["grep scan ? ? ?", "wc scan 1 2", "sha256sum scan 1 2 3 -> sums", "diff scan 1 2", "grep scan ? ? ?"],
    ),
    "make": (
        "echo 'int f(void) { return 1; }' > f.c; echo 'int f(void); int main(void) { return f() - 1; }' > m.c;"
        "printf 'm: f.o m.o\\n\\tgcc -o $@ $^\\nclean:\\n\\trm -f m *.o\\n' > Makefile",
        "make -s; make -s clean; gcc -c f.c m.c; gcc -o n f.o m.o",
        [
            "make build f.o m.o m",
            "rm delete m f.o m.o",
            "make run Makefile",
            "gcc compile f.c m.c -> f.o m.o",
            "gcc compile f.o m.o -> n",
        ],
    ),
    "git": (
        "git init -q r; cd r; git config user.name a; git config user.email a@b; echo 1 > f; echo 2 > g",
        "cd r; git add .; git commit -qm one; git status; rm f; git checkout -q f; git checkout -qb other; git log",
        [
            "git inspect f g",
            "git inspect *",
            "git record master",
            "git inspect f g",
            "git update f",
            "git record HEAD",
            "git inspect *",
        ],
    ),
}


# programs under another name, in a folder that users can write to
RENAMED = {
    "gzip": (
        "seq 9 > g",
        "tool g; tool -d g.gz; tool -k g",
        ["compress g -> g.gz", "decompress g.gz -> g", "compress g -> g.gz"],
    ),
    "bzip2": ("seq 9 > g", "tool g; tool -d g.bz2", ["compress g -> g.bz2", "decompress g.bz2 -> g"]),
    "xz": ("seq 9 > g; seq 8 > h", "tool g h; tool -d g.xz h.xz", ["compress g h", "decompress g.xz h.xz"]),
    "zstd": ("seq 9 > g", "tool -q g; tool -qdf g.zst", ["compress g -> g.zst", "decompress g.zst -> g"]),
    "cp": ("echo 1 > a; mkdir d; echo 2 > d/2", "tool a b; tool -r d e", ["copy a -> b", "copy 2 -> 2"]),
    "mv": (
        "rm -rf /dev/shm/far; mkdir /dev/shm/far; echo 1 > a; mkdir d; echo 1 > d/1; echo 22 > d/2",
        "tool a /dev/shm/far/b; tool d /dev/shm/far",
        ["move a -> b", "move d -> d (2 files)", "delete d (3 names)"],
    ),
    "rm": ("mkdir d; touch d/1 d/2", "tool -r d", ["delete d (3 names)"]),
    "touch": ("", "tool a b c", ["create a b c"]),
    "sed": ("echo 1 > f", "tool -i s/1/2/ f", ["edit f"]),
    "vim.basic": ("echo 1 > f", typed("./tool f", *INSERT), ["edit f"]),
    "tar": (
        "mkdir d; echo 1 > d/1; echo 2 > d/2",
        "tool cf t.tar d; tool czf t.tgz d; mkdir e; cd e; ../tool xf ../t.tar; ../tool xzf ../t.tgz",
        [
            "archive ? ? -> t.tar",
            "archive ? ? -> t.tgz",
            "extract d (3 names) <- t.tar",
            "extract ? ? (2 names) <- t.tgz",
        ],
    ),
    "zip": ("echo 1 > 1", "tool -q z.zip 1; tool -q z.zip tool", ["archive 1 -> z.zip", "archive tool -> z.zip"]),
    "unzip": ("echo 1 > 1; echo 2 > 2; zip -q z.zip 1 2; rm 1 2", "tool -q z.zip", ["extract 1 2 (2 names) <- z.zip"]),
}


# what must not be taken for an activity: what is done, patterns of activities that there must be none of
HARMLESS = {
    "a copy is no compression": ("echo 1 > g; gzip -k g", "cp g.gz h.gz; gzip -t g.gz; cat g.gz", "* *compress *"),
    "tests and lists extract nothing": ("echo 1 > f; tar cf t.tar f; zip -q z.zip f", "tar tf t.tar; unzip -l z.zip; unzip -p z.zip", "* extract *"),
    "a copied archive is no extraction": ("touch 1 2; tar cf t.tar 1 2; zip -q z.zip 1 2; mkdir d", "cp t.tar z.zip d; cp t.tar u", "* extract *"),
    "a compressed archive is no extraction": ("touch 1; tar cf t.tar 1; cp t.tar u.tar", "gzip t.tar; xz u.tar", "* extract *"),
    "an archive of archives is no extraction": (
        "touch 1; tar cf t.tar 1; zip -q z.zip 1",
        "tar cf a.tar t.tar z.zip; tar cf named z.zip t.tar; zip -q a.zip t.tar z.zip",
        "* extract *",
    ),
    "what is extracted is not archived": ("echo 1 > 1; tar cf t.tar 1; zip -q z.zip 1", "tar xf t.tar; unzip -qo z.zip; cp t.tar u.tar", "* archive *"),
    "a rename is no copy": ("echo 1 > a", "mv a b; ln b c; cp -l b d; cp -s b e", "* copy *"),
    "other contents are no copy": ("echo 1 > a; echo 2 > b", "cat a b > c; sort a b > d; tr 1 2 < a > e; head -c1 a > f", "* copy *"),
    "a file of its own is no copy": ("", "echo 1 > a; (read x < a; echo 22 > b; read x < b)", "* copy *"),
    "temporary files are not deleted": ("echo 'int main(void) { return 0; }' > m.c", "gcc m.c; gcc -flto m.c; sort -S1k m.c m.c", "* delete *"),
    "a stream is not edited": ("echo 1 > f", "sed s/1/2/ f > g; perl -pe s/1/2/ f > h; sed -n 1p f", "* edit *"),
    "a copy is not shown": ("echo 1 > f; echo 2 > g", "cat f > h; cat f >> h; cat f | cat > k", "* view [gh]"),
    "a copy is no creation": ("mkdir d; touch d/1 d/2 d/3", "cp -r d e; tar cf t.tar d; gzip d/1 d/2", "* create *"),
    "nothing to make is nothing made": ("echo all: > Makefile", "make -s", "* build*"),
}  # fmt: skip
