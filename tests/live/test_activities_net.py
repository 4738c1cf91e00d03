# SPDX-License-Identifier: Apache-2.0
"""Activities about the network, with real programs and a real sshd: what was transferred, who logged in, from where."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from panorama.event import Address

from .conftest import Told, words
from .sandbox import EXAMPLES, SSHD, examples_of, proves, sandboxed

pytestmark = pytest.mark.live

Tell = Callable[..., Told]

NAMES = ("download", "git-remote", "package", "packages", "upload")
OVER_SSH = ("download", "login", "remote-login", "transfer", "upload")
SERVER = "127.0.0.1:2222"
FILES = "cd /srv; mkdir a; cd a; echo 1 > f1; echo 2 > f2; echo 3 > f3; echo 4 > f4; chown -R games: /srv/a\n"


@pytest.mark.parametrize(("name", "number"), examples_of(NAMES))
def test_every_example_gives_its_lines(name: str, number: int, told: Tell) -> None:
    """The lines that a behavior's file promises, and none of those that it rules out."""
    example = EXAMPLES[name][number]
    proves(example, told(sandboxed(example.run), log="all"))


@pytest.fixture
def over_ssh(told: Tell) -> Tell:
    """Runs a script beside a real sshd, which `ssh h`, `scp f h:` and the like reach. None of it may be a warning."""

    def run(script: str, sftp: str = "", log: str = "all") -> Told:
        before = f"SFTP={sftp}\n" if sftp else ""
        found = told(sandboxed(f"{before}{SSHD}\n{FILES}\n{script}\nsleep 0.5; kill $sshd"), log=log)
        assert [(line.process.command, line.verb) for line in found.lines if line.severity == "warning"] == [
            ("sed", "account")
        ]
        return found

    return run


def said_by(run: Told, *commands: str) -> list[str]:
    """The lines of these activities by these commands; `A` and `B` for the first and the second login's address."""
    clients = dict(zip(map(str, origins(run)), "ABCDEF", strict=False))
    said = [words(line) for line in run.lines if line.behavior in OVER_SSH and line.process.command in commands]
    for address, name in clients.items():
        said = [line.replace(address, name) for line in said]
    return said


def origins(run: Told) -> list[Address]:
    """Where the logins came from, in their order: the ends of connections that sshd accepted."""
    found = [line.events[-1].remote for line in run.lines if line.verb == "accept"]
    return [address for address in found if address is not None][1:]  # the first only asks whether sshd is there


def test_scp_of_one_file_from_both_ends(over_ssh: Tell) -> None:
    """One line at the client, one at the server, which says where it came from; the login is around it."""
    run = over_ssh("scp f2 h:f2.txt; scp h:f2.txt got")
    assert said_by(run, "scp") == [f"scp upload f2 -> {SERVER}", f"scp download got <- {SERVER}"]
    assert said_by(run, "sshd", "sshd-session", "sftp-server") == [
        "sshd login games from A",
        "sftp-server write f2.txt from A",
        "sshd logout games from A",
        "sshd login games from B",
        "sftp-server read f2.txt to B",
        "sshd logout games from B",
    ]
    assert said_by(run, "ssh") == []


def test_scp_of_a_tree_is_one_line(over_ssh: Tell) -> None:
    """However many files; the folders that are made on the way belong to it."""
    run = over_ssh("scp -r /srv/a h:; scp -r h:a copy", log="activities")
    sent, got = (line.split() for line in said_by(run, "scp"))
    assert [sent[:2], sent[5:]] == [["scp", "upload"], ["and", "1", "more", "->", SERVER]]
    assert [got[:2], got[5:]] == [["scp", "download"], ["and", "1", "more", "<-", SERVER]]
    assert len({"f1", "f2", "f3", "f4"} & set(sent[2:5])) == len({"f1", "f2", "f3", "f4"} & set(got[2:5])) == 3
    written, read = (
        line for line in run.lines if line.process.command == "sftp-server" and line.behavior == "transfer"
    )
    assert [each.verb for each in written.operations] == ["exec", "mkdir", "create", "create", "create", "create"]
    assert [each.verb for each in read.operations] == ["exec", "read", "read", "read", "read"]


def test_the_old_protocol_of_scp(over_ssh: Tell) -> None:
    """There scp itself is at the other end."""
    run = over_ssh("scp -O f1 f2 h:; scp -O h:f1 got")
    assert sorted(said_by(run, "scp")) == [
        f"scp download got <- {SERVER}",
        "scp read f1 to B",
        f"scp upload f1 f2 -> {SERVER}",
        "scp write f1 f2 from A",
    ]


def test_sftp_both_ways_at_once(over_ssh: Tell) -> None:
    """The client has one line for what it got and one for what it put; the list of commands is neither."""
    run = over_ssh("printf 'put f1\nput f2\nget f1 got\n' > batch; sftp -b batch h >> log")
    assert said_by(run, "sftp") == [f"sftp download got <- {SERVER}", f"sftp upload f1 f2 -> {SERVER}"]
    assert said_by(run, "sftp-server") == ["sftp-server write f1 f2 and read f1 from A"]


def test_sshd_that_serves_sftp_itself(over_ssh: Tell) -> None:
    """No program is started; the login is there when sshd has become the user and uses a file."""
    run = over_ssh("scp f1 h:f1.txt", sftp="internal-sftp")
    assert said_by(run, "scp") == [f"scp upload f1 -> {SERVER}"]
    daemon = said_by(run, "sshd", "sshd-session")
    assert sorted(daemon) == ["sshd login games from A", "sshd logout games from A", "sshd write f1.txt from A"]


def test_rsync_both_ways(over_ssh: Tell) -> None:
    """Files have the names that they end up with; the old file that is compared is not sent anywhere."""
    run = over_ssh(
        "rsync -a /srv/a/ h:b; echo longer >> f1; rsync -a /srv/a/ h:b; rsync -a h:b/ c; echo >> c/f1; rsync -a h:b/ c;"
        " rm -r c; touch -d yesterday f?; mkdir new; rsync -a /srv/a/ h:b"
    )
    mine = [line for line in said_by(run, "rsync") if line.endswith(SERVER)]
    there = [line for line in said_by(run, "rsync") if not line.endswith(SERVER)]
    assert mine == [
        f"rsync upload f1 f2 f3 and 1 more -> {SERVER}",
        f"rsync upload f1 -> {SERVER}",
        f"rsync download f1 f2 f3 and 1 more <- {SERVER}",
        f"rsync download f1 <- {SERVER}",
        f"rsync upload f1 f2 f3 and 1 more -> {SERVER}",
    ]
    assert there == [
        "rsync write f1 f2 f3 and 1 more from A",
        "rsync write f1 from B",
        "rsync read f1 f2 f3 and 1 more to C",
        "rsync read f1 to D",
        "rsync write f1 f2 f3 and 1 more from E",
    ]


def test_programs_under_another_name(over_ssh: Tell) -> None:
    """A copy of scp is seen for what it does: its own ssh connects, and it reads or makes files."""
    run = over_ssh(
        "cp /usr/bin/scp mine; ./mine -q -F /srv/ssh/ssh f1 h:f1.txt; ./mine -q -F /srv/ssh/ssh h:f1.txt got"
    )
    assert said_by(run, "mine") == [f"mine upload f1 -> {SERVER}", f"mine download got <- {SERVER}"]


def test_a_copy_within_a_login_is_no_transfer(over_ssh: Tell) -> None:
    """rsync from folder to folder, started by a shell or by sshd itself, and programs that use files."""
    run = over_ssh(
        "ssh h 'mkdir one; echo 1 > one/f; rsync -a one/ two; cat two/f'; ssh h 'for n in $(seq 30); do echo > one/$n; done; rsync -a one/ three'; ssh h 'rsync -a one/ four'"
    )
    assert said_by(run, "rsync", "cat", "bash", "sftp-server") == []
    assert said_by(run, "ssh") == [f"ssh remote-login {SERVER}"] * 3


def test_two_logins_at_once_are_told_apart(over_ssh: Tell) -> None:
    """Everything done in a login has where it came from and whose it is, by whichever process, in whatever order."""
    slow, quick = "sleep 1; echo > slow; (cat slow > slow2); mv slow2 slow3", "echo > quick; cat quick | cat > quick2"
    run = over_ssh(f"ssh h '{slow}' & sleep 0.4; ssh h '{quick}'; wait %2")
    first, second = origins(run)
    assert sorted(said_by(run, "sshd", "sshd-session")) == [
        "sshd login games from A",
        "sshd login games from B",
        "sshd logout games from A",
        "sshd logout games from B",
    ]
    done: dict[str, set[tuple[object, ...]]] = {"slow": set(), "quick": set()}
    for line in run.lines:
        file = line.events[-1].file if line.layer == "operation" else None
        for name, found in done.items():
            if file and file.name.startswith(name):
                found.add((line.verb, line.login.remote, line.login.user) if line.login else (line.verb,))
    assert done["slow"] == {(verb, first, "games") for verb in ("create", "read", "rename")}
    assert done["quick"] == {(verb, second, "games") for verb in ("create", "read")}


def test_a_login_goes_on_under_another_user(over_ssh: Tell) -> None:
    """As after sudo: the line's user is who acts, the login's is who came in."""
    run = over_ssh(
        "ssh -l root h 'setpriv --reuid games --regid games --clear-groups sh -c \"echo > /home/games/made\"'"
    )
    (made,) = (line for line in run.lines if words(line) == "sh create made")
    assert made.process.user == "games"
    assert made.login is not None
    assert (made.login.user, made.login.remote) == ("root", origins(run)[0])
    assert said_by(run, "sshd", "sshd-session") == ["sshd login root from A", "sshd logout root from A"]


def test_a_session_at_a_terminal(over_ssh: Tell) -> None:
    """The client's line comes when it is over."""
    script = "(sleep 1; echo 'echo > typed'; sleep 0.5; echo exit; sleep 0.5) | script -qec 'ssh -F /srv/ssh/ssh h' typescript"
    run = over_ssh(f"{script} >> log")
    assert said_by(run, "sshd", "sshd-session") == ["sshd login games from A", "sshd logout games from A"]
    assert said_by(run, "ssh") == [f"ssh remote-login {SERVER}"]
    assert [line.login is not None for line in run.lines if words(line) == "bash create typed"] == [True]


def test_who_is_not_let_in_has_not_logged_in(over_ssh: Tell) -> None:
    """Neither at the server nor at the client."""
    key = "ssh-keygen -q -t ed25519 -N '' -f other"
    run = over_ssh(
        f"{key}; command ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -i other -p 2222 127.0.0.1 true; true"
    )
    assert origins(run)
    assert said_by(run, "sshd", "sshd-session", "ssh") == []


def test_under_activities_nothing_of_a_transfer_is_left_over(over_ssh: Tell) -> None:
    """What ssh and sshd read on the way is evidence of the transfer and of the login, however many files there are."""
    run = over_ssh(
        "mkdir b; for n in $(seq 600); do echo > b/$n; done; scp -r b h:; scp -r h:b c; rsync -a b/ h:d",
        log="activities",
    )
    ours = ("ssh", "scp", "rsync", "sftp-server", "sshd", "sshd-session")
    left = [words(line) for line in run.lines if line.process.command in ours and line.layer == "operation"]
    assert [line for line in left if not line.startswith(("sshd read", "sshd listen", "sshd accept"))] == []
    counts = [
        line.operation_count
        for line in run.lines
        if line.verb in ("upload", "download", "write") and line.layer == "activity"
    ]
    assert len(counts) == 5
    assert min(counts) > 600
    login = next(line for line in run.lines if line.verb == "login")
    assert {each.verb for each in login.operations} >= {"read"}
