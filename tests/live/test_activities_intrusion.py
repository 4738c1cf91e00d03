# SPDX-License-Identifier: Apache-2.0
"""Activities of intruders, done for real in namespaces of their own, and harmless ones that must not be taken for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import Told, words
from .sandbox import EXAMPLES, examples_of, proves, sandboxed

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
    mine = [words(line) for line in run.lines if line.process.command in ("dpkg", "dpkg-split", "rm")]
    assert mine == ["dpkg install tiny", "dpkg remove tiny"], run.output
