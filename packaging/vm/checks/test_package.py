# SPDX-License-Identifier: Apache-2.0
"""The life of the package on one machine, from its installation to its purge. The tests go on from one another.

Run as root in a machine that is thrown away afterwards, by packaging/vm/job.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

DEB, UPGRADE = Path("panorama.deb").resolve(), Path("upgrade.deb").resolve()
CONFIG = Path("/etc/panorama/panorama.yaml")
SYSLOG = Path("/var/log/syslog")
LINE = re.compile(r"panorama\[\d+\]: \S+ \S+ \d+ \d+ (.+)$", re.M)
MOST_EXPOSURE, MOST_ON_THE_NETWORK = 2.5, 3.0


def run(command: str) -> str:
    """What a shell command prints; it must not fail."""
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def until(holds: Callable[[], object], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}\n{journal()[-3000:]}"
        time.sleep(0.2)


def shown(name: str) -> str:
    return run(f"systemctl show --property={name} --value panorama.service").strip()


def journal(options: str = "") -> str:
    return run(f"journalctl --no-pager --unit=panorama.service {options}")


def lines(text: str) -> list[str]:
    """Lines of Panorama in a log, from the user on: `root touch create f:123`."""
    return LINE.findall(text)


def told(words: str) -> bool:
    """Whether syslog has this line of root's, with or without an inode behind it."""
    found = [line.removeprefix("root ") for line in lines(SYSLOG.read_text(errors="replace"))]
    return any(words in (line, re.sub(r":\d+$", "", line)) for line in found)


def test_it_installs_where_no_systemd_runs(tmp_path: Path) -> None:
    """As when the image of a machine is made: it is enabled there, and started nowhere."""
    root = tmp_path / "root"
    run(
        f"mount -t tmpfs none {tmp_path} && cd {tmp_path} && mkdir root upper work"
        " && mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work none root && mount -t proc none root/proc"
    )
    try:
        run(f"DEBIAN_FRONTEND=noninteractive chroot {root} apt-get install --yes --no-install-recommends {DEB}")
        assert (root / "etc/systemd/system/multi-user.target.wants/panorama.service").is_symlink()
        assert run(f"chroot {root} panorama --version").startswith("panorama ")
    finally:
        run(f"umount {root}/proc {root} {tmp_path}")
    assert shown("LoadState") == "not-found"


def test_it_installs_without_a_network_and_is_running_then() -> None:
    """Its dependencies are Debian's; systemd has heard from it that it watches."""
    run(f"DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends {DEB}")
    assert (shown("ActiveState"), shown("SubState"), shown("Type"), shown("NRestarts")) == (
        "active",
        "running",
        "notify",
        "0",
    )
    assert run("systemctl is-enabled panorama").strip() == "enabled"
    run("systemctl show --property=NeedDaemonReload --value panorama | grep --quiet no")


def test_it_may_do_little() -> None:
    assert exposure() <= MOST_EXPOSURE


def exposure() -> float:
    said = run("systemd-analyze --no-pager security panorama.service")
    found = re.search(r"Overall exposure level for panorama.service: ([\d.]+)", said)
    assert found, said
    return float(found[1])


def test_what_programs_do_is_in_syslog_and_in_the_journal(tmp_path: Path) -> None:
    run(f"cd {tmp_path} && touch f && gzip f && mv f.gz g && rm g")
    for words in ("touch create f", "gzip create f.gz", "mv rename f.gz -> g", "rm remove g"):
        until(lambda words=words: told(words), words)
        assert re.search(rf"root {words}(:\d+)?$", run("journalctl --no-pager -t panorama -o cat"), re.M), words


def test_both_ends_of_a_copy_over_ssh(tmp_path: Path) -> None:
    run(
        "mkdir -p -m 700 ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519"
        " && cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys && systemctl start ssh"
        f" && echo hello >{tmp_path}/sent"
        f" && scp -q -o StrictHostKeyChecking=no {tmp_path}/sent 127.0.0.1:{tmp_path}/received"
    )
    until(lambda: told("ssh connect 127.0.0.1:22"), "the connection")
    until(lambda: told("scp read sent"), "what scp read")
    until(lambda: re.search(r"sshd\S* accept 127\.0\.0\.1:\d+$", SYSLOG.read_text(errors="replace"), re.M), "sshd")
    until(lambda: re.search(r" create received:\d+$", SYSLOG.read_text(errors="replace"), re.M), "what came")


def test_it_tells_the_same_with_and_without_its_fences(tmp_path: Path) -> None:
    """The service beside one that root has started by hand: links in /tmp and in homes, names that others change."""
    plain = tmp_path / "plain"
    with subprocess.Popen(["panorama", "run", "--sink", f"file:{plain}"], stderr=subprocess.PIPE, text=True) as free:
        assert free.stderr
        until(lambda: "watching" in str(free.stderr.readline()), "the start")
        run(
            "useradd --create-home alice && cd ~alice && su alice -c 'mkdir -p d/e; ln -s d/e l; touch l/x;"
            " chmod 600 l/x; mv l/x d/y; rm l/../y; ln -s ~/d /tmp/alice; touch /tmp/alice/z; rm /tmp/alice/z'"
        )
        run("cd /tmp && mkdir -p a/b && ln -s /tmp/a/b c && touch c/f && chown alice c/f && mv c/f /root/f; rm /root/f")
        run(f"touch {tmp_path}/end")
        until(lambda: "touch create end" in plain.read_text(), "the last line")
        until(lambda: told("touch create end"), "the last line in syslog")
        free.terminate()
        free.communicate()
    pattern = re.compile(r"^\S+ \S+ \d+ \d+ (.+)$", re.M)
    wanted = [
        line
        for line in pattern.findall(plain.read_text())
        if re.match(r"\S+ (su|mkdir|ln|touch|chmod|mv|rm|chown) ", line)
    ]
    found = lines(SYSLOG.read_text(errors="replace"))
    assert len(wanted) > 10
    assert [line for line in wanted if line not in found] == []


def test_reload_keeps_the_process() -> None:
    before = shown("MainPID")
    run("systemctl reload panorama")
    time.sleep(2)
    assert (shown("MainPID"), shown("ActiveState")) == (before, "active")
    run("touch /tmp/reloaded")
    until(lambda: told("touch create reloaded"), "a line after the reload")


@pytest.mark.parametrize(("signal", "seconds"), [("KILL", 60), ("STOP", 120)])
def test_it_comes_back(signal: str, seconds: float) -> None:
    """Killed, and stuck: the watchdog finds out."""
    before, count = shown("MainPID"), int(shown("NRestarts"))
    run(f"kill -{signal} {before}")
    until(lambda: shown("ActiveState") == "active" and shown("MainPID") not in (before, "0"), "the restart", seconds)
    assert int(shown("NRestarts")) == count + 1
    run(f"touch /tmp/back-from-{signal}")
    until(lambda: told(f"touch create back-from-{signal}"), "a line after the restart")


def test_a_sink_on_the_network_opens_it() -> None:
    """After a daemon-reload, and still within bounds; without such a sink it is closed again."""
    kept = CONFIG.read_text()
    sink = "  siem: {type: remote-syslog, address: '127.0.0.1:5514', transport: udp}"
    assert (shown("PrivateNetwork"), sorted(shown("IPAddressDeny").split())) == ("yes", ["0.0.0.0/0", "::/0"])
    try:
        CONFIG.write_text(f"{kept}\n{sink}\n")
        run("systemctl daemon-reload")
        assert (shown("PrivateNetwork"), shown("IPAddressDeny")) == ("no", "")
        assert exposure() <= MOST_ON_THE_NETWORK
        CONFIG.write_text(
            kept + "\n# sinks: {siem: {type: remote-syslog, address: '127.0.0.1:5514', transport: udp}}\n"
        )
        run("systemctl daemon-reload")
        assert shown("PrivateNetwork") == "yes"
    finally:
        CONFIG.write_text(kept)
        run("systemctl daemon-reload")


def test_an_upgrade_loses_no_line(tmp_path: Path) -> None:
    """Files are made one after the other: but for one gap, while nobody watched, there is a line for each."""
    before = run("dpkg-query --show --showformat='${Version}' panorama")
    work = f"cd {tmp_path} && for ((i = 0; ; i++)); do touch n$i; done"
    with subprocess.Popen(["bash", "-c", work]) as worker:
        time.sleep(5)
        said = run(f"DEBIAN_FRONTEND=noninteractive apt-get install --yes {UPGRADE} 2>&1")
        time.sleep(5)
        worker.kill()
    run(f"touch {tmp_path}/last")
    until(lambda: told("touch create last"), "the last line")
    assert "conf" not in re.findall(r"Configuration file.*", said)
    assert run("dpkg-query --show --showformat='${Version}' panorama") > before
    assert (shown("ActiveState"), run("systemctl show -P NeedDaemonReload panorama").strip()) == ("active", "no")
    made = len(list(tmp_path.glob("n*")))
    logged = SYSLOG.read_text(errors="replace")
    seen = sorted({int(number) for number in re.findall(r"touch create n(\d+):\d+$", logged, re.M)})
    holes = [(a, b) for a, b in pairwise(seen) if b != a + 1]
    assert seen[0] == 0, "the first"
    assert seen[-1] >= made - 2, "the last"
    unseen = [number for a, b in holes for number in range(a + 1, b)]
    elsewhere = re.findall(rf".* n(?:{'|'.join(map(str, unseen))})\b.*", journal())
    assert len(holes) == 1, f"{holes} of {made}; the journal has of them {elsewhere}"
    print(f"{made} files, {holes[0][1] - holes[0][0] - 1} while nobody watched")


def test_removed_it_leaves_settings_and_data() -> None:
    run("DEBIAN_FRONTEND=noninteractive apt-get remove --yes panorama")
    assert subprocess.run(["systemctl", "is-active", "panorama"], capture_output=True, check=False).returncode != 0
    assert not Path("/usr/bin/panorama").exists()
    assert not Path("/usr/share/panorama").exists()
    assert not Path("/usr/lib/python3/dist-packages/panorama").exists()
    assert CONFIG.exists()


def test_purged_it_leaves_nothing() -> None:
    run("touch /var/log/panorama.log /var/log/panorama.log.1.gz")
    run("DEBIAN_FRONTEND=noninteractive apt-get purge --yes panorama")
    run("systemctl daemon-reload; systemctl reset-failed")
    left = run("find / -xdev -path /job -prune -o -path /proc -prune -o -iname '*panorama*' -print").split()
    mine = re.compile(r"/tmp/pytest-|/var/log/journal/|/etc/hostname")
    assert [path for path in left if not mine.search(path)] == []
    assert "panorama" not in run("systemctl list-units --all --no-legend; systemctl list-unit-files --no-legend")
