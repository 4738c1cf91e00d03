# SPDX-License-Identifier: Apache-2.0
"""Machines in dialogue: an event in, the lines out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from event_samples import SHELL, Dialogue, child_of, connection, eager, point, session

from panorama.event import Event, Held, Loss
from panorama.machines.compiler import compile_behaviors
from panorama.machines.engine import Engine
from panorama.machines.machine import MOST_EVENTS
from panorama.machines.model import DEPTH
from panorama.machines.spec import read_behaviors
from panorama.output.line import Part

FILE = (Path(__file__).parent.parent.parent / "behaviors" / "file.yaml").read_text()
CAT, GZIP, SSH = (child_of(SHELL, 200 + number, name) for number, name in enumerate(("cat", "gzip", "ssh")))

REMOVE = """
behavior: remove
summary: A name removed.
layer: operation
per: process
initial: idle
transitions:
- {trigger: [unlink, rmdir], source: idle, emit: remove}
"""
PACK = """
behavior: pack
summary: A file replaced by its compressed self.
layer: activity
match: {command: [gzip, pigz]}
per: process
attack: [T1560.001]
initial: idle
transitions:
- {trigger: read, source: idle, dest: reading, save: {plain: file}}
- {trigger: create, source: reading, dest: written, save: {packed: file}}
- {trigger: remove, source: written, conditions: {file: plain}, emit: "compress {plain} -> {packed}"}
"""


def behavior(name: str, transitions: str, **keys: str) -> dict[str, str]:
    """A behavior whose keys do not matter: operation, per process, from idle."""
    known = {
        "behavior": name,
        "summary": "A sample.",
        "layer": "operation",
        "per": "process",
        "initial": "idle",
        **keys,
    }
    top = "".join(f"{key}: {value}\n" for key, value in known.items())
    return {f"{name}.yaml": f"{top}transitions:\n{transitions}"}


@pytest.mark.parametrize(
    ("steps", "facts", "verb"),
    [
        ("open read close", {}, "read"),
        ("open write close", {}, "write"),
        ("open read write close", {}, "write"),
        ("open write read close", {}, "write"),
        ("open close", {"created": True}, "create"),
        ("open write read close", {"created": True}, "create"),
        ("open read write close", {"truncated": True}, "cover"),
        ("open write close", {"created": True, "truncated": True}, "create"),
    ],
)
def test_a_file_gives_one_line(steps: str, facts: dict[str, bool], verb: str) -> None:
    """Whatever else a process did with a file: creating it counts more than emptying, writing, reading it."""
    files = Dialogue({"file.yaml": FILE})
    assert files.say(session(CAT, steps, "/d/f", **facts)) == [f"cat {verb} f"]
    assert len(files.engine) == 0


def test_a_file_only_opened_gives_no_line_and_leaves_nothing() -> None:
    """So the sensor need not even report it."""
    files = Dialogue({"file.yaml": FILE})
    assert files.say(session(CAT, "open close", "/d/f")) == []
    assert len(files.engine) == 0
    assert not files.program.keeps_untouched
    assert files.engine.accounts.unexplained == {"open": 1, "close": 1}


def test_compression_is_three_lines_and_one_that_says_so() -> None:
    """An activity stands behind the line that completes it, with what the first ones saved."""
    talk = Dialogue({"file.yaml": FILE, "remove.yaml": REMOVE, "pack.yaml": PACK})
    assert talk.say(session(GZIP, "open read close", "/d/g", 1)) == ["gzip read g"]
    assert talk.say(session(GZIP, "open write close", "/d/g.gz", 2, created=True)) == ["gzip create g.gz"]
    assert talk.say(point(GZIP, "unlink", "/d/other", 3)) == ["gzip remove other"]
    assert talk.say(point(GZIP, "unlink", "/d/g", 4)) == ["gzip remove g", "gzip compress g -> g.gz"]
    line = talk.lines[-1]
    assert line.states == ("idle", "reading", "written")
    assert [event.triggers[-1] for event in line.events] == ["close", "close", "unlink"]
    assert (line.layer, line.severity, line.attack) == ("activity", "notice", ("T1560.001",))
    assert line.time == line.events[-1].time
    assert line.object[0] == Part("plain", line.events[0].file)


def test_other_processes_do_not_disturb() -> None:
    """Neither one that does not match, nor another of the same name, nor the same pid at another time."""
    talk = Dialogue({"file.yaml": FILE, "remove.yaml": REMOVE, "pack.yaml": PACK})
    talk.say(session(GZIP, "open read close", "/d/g"), session(GZIP, "open write close", "/d/g.gz", created=True))
    for other in (CAT, child_of(SHELL, 299, "gzip"), replace(GZIP, start=5)):
        assert talk.say(point(other, "unlink", "/d/g")) == [f"{other.command} remove g"]
    assert "gzip compress g -> g.gz" in talk.say(point(GZIP, "unlink", "/d/g"))


def test_exit_is_seen_and_then_the_machines_are_forgotten() -> None:
    """A process that comes back with the same pid and start would start anew."""
    talk = Dialogue({"file.yaml": FILE, "remove.yaml": REMOVE, "pack.yaml": PACK})
    talk.say(session(GZIP, "open read close", "/d/g"), session(GZIP, "open write close", "/d/g.gz", created=True))
    assert len(talk.engine) == 1
    assert talk.say(point(GZIP, "exit")) == []
    assert len(talk.engine) == 0


def test_the_first_transition_that_holds_is_taken() -> None:
    """In file order; an event that none takes leaves the machine as it is."""
    talk = Dialogue(
        behavior(
            "order",
            """
- {trigger: unlink, source: idle, conditions: {name: "*.log"}, emit: "log"}
- {trigger: unlink, source: idle, conditions: {file: /tmp/}, dest: seen, emit: "first"}
- {trigger: unlink, source: "*", conditions: {file: [/tmp/, /var/tmp/]}, emit: "second"}
""",
        )
    )
    assert talk.say(point(CAT, "unlink", "/tmp/x.log")) == ["cat log x.log"]
    assert talk.say(point(CAT, "unlink", "/home/x")) == []
    assert talk.say(point(CAT, "unlink", "/tmp/x")) == ["cat first x"]
    assert talk.say(point(CAT, "unlink", "/home/x")) == []
    assert talk.say(point(CAT, "unlink", "/tmp/x")) == ["cat second x"]
    assert talk.say(point(CAT, "unlink", "/tmp/x")) == ["cat first x"]


def test_machines_do_not_hide_events_from_one_another() -> None:
    """Two behaviors that the same event completes both say so, in the order of their names."""
    texts = behavior("b", "- {trigger: unlink, source: idle, emit: two}")
    texts |= behavior("a", "- {trigger: unlink, source: idle, emit: one}")
    assert Dialogue(texts).say(point(CAT, "unlink", "/x")) == ["cat one x", "cat two x"]


def test_timeouts_run_by_the_time_of_events() -> None:
    """From the last transition into the state; before the event that shows that time has passed."""
    talk = Dialogue(
        behavior(
            "quiet",
            """
- {trigger: unlink, source: [idle, busy], dest: busy, emit: remove}
- {trigger: timeout, source: busy, emit: "rest {file}"}
""",
            states="{busy: {timeout: 10s}}",
        )
    )
    assert talk.say(point(CAT, "unlink", "/a", 0)) == ["cat remove a"]
    assert talk.say(point(CAT, "unlink", "/b", 9)) == ["cat remove b"]
    assert talk.wait(18.9) == []
    assert talk.say(point(SHELL, "unlink", "/c", 19)) == ["cat rest b", "bash remove c"]
    assert talk.lines[0].time == talk.lines[1].time
    assert [event.triggers for event in talk.lines[0].events] == [("unlink",), ("unlink",)]
    assert talk.say(point(SHELL, "unlink", "/d", 3)) == ["bash remove d"]  # late: the clock does not go back
    assert talk.wait(28.9) == []
    assert talk.wait(29) == ["bash rest d"]
    assert talk.wait(1000) == []


def test_a_process_machine_sees_steps_at_once_and_a_file_machine_with_the_session() -> None:
    """Nobody sees one twice."""
    texts = behavior(
        "single",
        """
- {trigger: [open, read, write], source: "*", emit: "now {file}"}
- {trigger: close, source: "*", emit: "end {file}"}
""",
    )
    texts |= behavior("whole", '- {trigger: [open, read, close], source: "*", emit: "step {file}"}', per="file")
    talk = Dialogue(texts)
    assert talk.program.eager == {"open", "read", "write"}
    assert talk.say(eager(CAT, "open", "/f")) == ["cat now f"]
    assert talk.say(eager(CAT, "read", "/f")) == ["cat now f"]
    assert talk.say(session(CAT, "open read close", "/f")) == ["cat step f", "cat step f", "cat end f", "cat step f"]
    talk.engine.finish()
    assert talk.engine.accounts.received == {"open": 1, "read": 1, "close": 1}


def test_a_child_is_followed() -> None:
    """The line is the parent's; what it says is the child's."""
    talk = Dialogue(
        behavior(
            "copy",
            """
- {trigger: child.exec, source: idle, conditions: {command: ssh}, dest: calling}
- {trigger: child.connect, source: calling, dest: called, save: {whom: remote}}
- {trigger: child.exit, source: called, emit: "upload {whom}"}
""",
            match="{command: scp}",
        )
    )
    scp = child_of(SHELL, 300, "scp")
    wrapper, ssh = child_of(scp, 301, "sh"), child_of(scp, 302, "ssh")
    grandchild = child_of(wrapper, 303, "ssh")
    assert "fork" in talk.program.triggers
    assert talk.program.triggers == {"exec", "connect", "exit", "fork"}
    for caller in (ssh, grandchild):
        talk.say(point(scp, "fork", child=301), point(wrapper, "exec"))
        assert talk.say(point(caller, "exec"), connection(caller, "connect", "10.0.0.1:22")) == []
        assert talk.say(point(caller, "exit")) == ["scp upload 10.0.0.1:22"]
        assert talk.lines[0].process == scp


def test_the_nearest_matching_ancestor_gets_it_and_no_other() -> None:
    """A behavior for every process follows its own children only."""
    texts = behavior("any", '- {trigger: child.exec, source: idle, emit: "run {exe}"}')
    texts |= behavior("shells", '- {trigger: child.exec, source: idle, emit: "spawn {exe}"}', match="{command: bash}")
    talk = Dialogue(texts)
    inner = child_of(SHELL, 400, "bash")
    make = child_of(inner, 401, "make")
    talk.say(point(SHELL, "exec"), point(inner, "exec"), point(make, "exec"))
    assert talk.say(point(child_of(make, 402, "cc"), "exec")) == ["make run /usr/bin/cc", "bash spawn /usr/bin/cc"]
    assert [line.process.pid for line in talk.lines] == [401, 400]
    chain = [make]
    for number in range(DEPTH):
        chain.append(child_of(chain[-1], 500 + number, "nest"))
        talk.say(point(chain[-1], "exec"))
    assert talk.say(point(child_of(chain[-1], 600, "deep"), "exec")) == ["nest run /usr/bin/deep"]


def test_a_parent_never_seen_is_known_by_its_pid() -> None:
    """It matches only behaviors that match every process."""
    texts = behavior("any", "- {trigger: child.exec, source: idle, emit: run}")
    texts |= behavior("some", "- {trigger: child.exec, source: idle, emit: spawn}", match="{command: bash}")
    talk = Dialogue(texts)
    talk.say(point(CAT, "exec"))
    assert [(line.process.pid, line.process.start) for line in talk.lines] == [(SHELL.pid, SHELL.start)]


def test_connections_have_machines_of_their_own() -> None:
    """By socket, however many a process has."""
    transitions = """
- {trigger: connect, source: idle, dest: open, save: {whom: remote}}
- {trigger: close, source: open, conditions: {bytes_written: ">1000", remote: 10.0.0.0/8}, emit: "send {whom}"}
- {trigger: close, source: open}
"""
    talk = Dialogue(behavior("upload", transitions, per="connection"))
    assert talk.program.connections
    talk.say(connection(SSH, "connect", "10.0.0.1:22", number=1), connection(SSH, "connect", "8.8.8.8:53", number=2))
    assert talk.say(connection(SSH, "send close", "8.8.8.8:53", number=2, bytes_written=2000)) == []
    assert talk.say(connection(SSH, "send close", "10.0.0.1:22", number=1, bytes_written=2000)) == [
        "ssh send 10.0.0.1:22"
    ]
    assert len(talk.engine) == 0


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (point(CAT, "unlink", "/x"), "cat did x"),
        (connection(SSH, "connect", "10.0.0.1:22"), "ssh did 10.0.0.1:22"),
        (point(CAT, "exec"), "cat did /usr/bin/cat"),
        (point(CAT, "fork"), "cat did"),
    ],
)
def test_a_bare_verb_names_what_the_trigger_is_about(event: Event, text: str) -> None:
    """The file, the other end, or the program."""
    talk = Dialogue(behavior("did", "- {trigger: [unlink, connect, exec, fork], source: idle, emit: did}"))
    assert talk.say(event) == [text]


def test_a_loss_leaves_its_mark_on_what_was_under_way() -> None:
    """And on what is made of it; not on what starts afterwards."""
    talk = Dialogue({"file.yaml": FILE, "remove.yaml": REMOVE, "pack.yaml": PACK})
    talk.say(session(GZIP, "open read close", "/d/g"))
    talk.engine.taint(Loss(0, 0, 0, 1))
    talk.say(session(GZIP, "open write close", "/d/g.gz", created=True))
    assert [line.certainty for line in talk.lines] == ["certain"]
    talk.say(point(GZIP, "unlink", "/d/g"))
    assert [line.certainty for line in talk.lines] == ["certain", "partial"]


def test_doubt_is_handed_on() -> None:
    """An activity that began after the loss is in doubt if an operation it rests on is."""
    late = behavior(
        "late", "- {trigger: chmod, source: idle, dest: seen}\n- {trigger: unlink, source: seen, emit: end}"
    )
    after = "- {trigger: end, source: idle, dest: over}\n- {trigger: end, source: over, emit: twice}"
    talk = Dialogue(late | behavior("after", after, layer="activity"))
    talk.say(point(CAT, "chmod", "/x"))
    talk.engine.taint(Loss(0, 0, 0, 1, since_boot=CAT.start))
    talk.say(point(CAT, "unlink", "/x"), point(CAT, "chmod", "/x"))
    assert talk.say(point(CAT, "unlink", "/x")) == ["cat end x", "cat twice x"]
    assert [line.certainty for line in talk.lines] == ["certain", "partial"]


def test_a_loss_may_have_moved_a_machine_that_nobody_has_seen() -> None:
    """No machine means "this process did not make the file"; after a loss that is not known of an older process."""
    made = "- {trigger: mkdir, source: idle, dest: made}\n- {trigger: chmod, source: idle, emit: changed}"
    ends = made + "\n- {trigger: rmdir, source: made}"
    talk = Dialogue(behavior("changes", ends) | behavior("removes", "- {trigger: unlink, source: idle, emit: removed}"))
    talk.engine.taint(Loss(0, 0, 0, 1, since_boot=CAT.start + 1))
    young = replace(CAT, pid=CAT.pid + 1, start=CAT.start + 2)
    talk.say(point(CAT, "chmod", "/x"), point(young, "chmod", "/x"), point(CAT, "unlink", "/x"))
    assert [(line.verb, line.certainty) for line in talk.lines] == [
        ("changed", "partial"),
        ("changed", "certain"),
        ("removed", "certain"),
    ]


MADE = """- {trigger: mkdir, source: idle, dest: made}
- {trigger: rmdir, source: made, emit: pair}
- {trigger: chmod, source: idle, emit: changed}"""


def test_what_is_held_back_of_a_process_is_its_own_doubt() -> None:
    """Its machines, those it has and those it will have, and nobody else's; until it ends."""
    talk = Dialogue(behavior("pairs", MADE))
    talk.say(point(CAT, "mkdir", "/x"), point(SSH, "mkdir", "/x"))
    talk.engine.taint(Held(0, 7, 100, CAT))
    talk.say(point(CAT, "rmdir", "/x"), point(SSH, "rmdir", "/x"), point(CAT, "chmod", "/x"), point(SSH, "chmod", "/x"))
    assert [(line.process.command, line.verb, line.certainty) for line in talk.lines] == [
        ("cat", "pair", "partial"),
        ("ssh", "pair", "certain"),
        ("cat", "changed", "partial"),
        ("ssh", "changed", "certain"),
    ]
    talk.say(point(CAT, "exit"), point(CAT, "chmod", "/x"))
    assert [line.certainty for line in talk.lines] == ["certain"]


def test_a_parent_that_listens_shares_the_doubt() -> None:
    """Only in the behavior that listens to children: what the parent does itself has not been held back."""
    made = MADE.replace("trigger: mkdir", "trigger: child.mkdir")
    talk = Dialogue(behavior("mine", MADE) | behavior("theirs", made))
    talk.say(point(SHELL, "unlink", "/x"), point(CAT, "mkdir", "/x"))
    talk.engine.taint(Held(0, 7, 100, CAT))
    talk.say(point(SHELL, "chmod", "/x"), point(SHELL, "rmdir", "/x"))
    assert [(line.behavior, line.verb, line.certainty) for line in talk.lines] == [
        ("mine", "changed", "certain"),
        ("theirs", "pair", "partial"),
    ]


def test_held_back_of_nobody_known_is_everybody_s_doubt() -> None:
    """As after a loss: of all that had begun by then."""
    talk = Dialogue(behavior("pairs", MADE))
    talk.engine.taint(Held(0, 7, 100, since_boot=CAT.start + 1))
    young = replace(CAT, pid=CAT.pid + 1, start=CAT.start + 2)
    talk.say(point(CAT, "chmod", "/x"), point(young, "chmod", "/x"))
    assert [line.certainty for line in talk.lines] == ["partial", "certain"]


def test_doubts_are_bounded() -> None:
    """Where too many processes are in doubt, so are all that began before the last of them."""
    talk = Dialogue(behavior("pairs", MADE))
    for number in range(16385):
        talk.engine.taint(Held(0, 1, 100, replace(CAT, pid=number + 1, start=5000 + number)))
    talk.say(point(CAT, "chmod", "/x"), point(replace(CAT, start=5000 + 16385), "chmod", "/x"))
    assert [line.certainty for line in talk.lines] == ["partial", "certain"]


def test_lines_of_a_process_and_its_parent_are_in_the_order_of_names() -> None:
    """Whoever they are about."""
    texts = behavior("a", '- {trigger: child.exec, source: idle, emit: "run {exe}"}')
    texts |= behavior("b", '- {trigger: [exec, child.exec], source: idle, emit: "start {exe}"}')
    talk = Dialogue(texts)
    talk.say(point(SHELL, "exec"))
    assert talk.say(point(CAT, "exec")) == [
        "bash run /usr/bin/cat",
        "cat start /usr/bin/cat",
        "bash start /usr/bin/cat",
    ]


def test_a_childs_reads_come_at_once_and_are_not_the_parents_own() -> None:
    """Only the machine of the parent moves, only by what the child did."""
    talk = Dialogue(
        behavior("feed", '- {trigger: child.read, source: idle, emit: "feed {file}"}', match="{command: bash}")
    )
    assert talk.program.eager == {"read"}
    assert talk.say(point(SHELL, "exec"), eager(SHELL, "read", "/own")) == []
    assert talk.say(eager(CAT, "read", "/f")) == ["bash feed f"]
    assert talk.say(session(CAT, "open read close", "/f")) == []


def test_leaving_a_state_stops_its_timeout() -> None:
    """Even where the next state would know what to do with one."""
    transitions = """
- {trigger: chmod, source: idle, dest: waiting}
- {trigger: chown, source: waiting, dest: calm}
- {trigger: [timeout, unlink], source: "*", emit: "over {file}"}
"""
    talk = Dialogue(behavior("calm", transitions, states="{waiting: {timeout: 5s}, calm: {}}"))
    talk.say(point(CAT, "chmod", "/x", 0), point(CAT, "chown", "/x", 1))
    assert talk.wait(100) == []
    assert talk.say(point(CAT, "unlink", "/x", 101)) == ["cat over x"]
    talk.say(point(CAT, "chmod", "/x", 102))
    assert talk.wait(107) == ["cat over x"]


def test_machines_are_bounded() -> None:
    """The one longest untouched has to go; that is counted, and its events are unexplained."""
    program = compile_behaviors(read_behaviors(behavior("wait", WAITING, per="file")))
    engine = Engine(program, most_machines=2)
    for path in ("/a", "/b", "/a", "/c"):
        assert engine.feed(point(CAT, "chmod", path)) == []
    assert (len(engine), engine.evicted) == (2, 1)
    assert engine.accounts.unexplained == {"chmod": 1}
    assert engine.feed(point(CAT, "unlink", "/b")) == []
    assert len(engine.feed(point(CAT, "unlink", "/a"))) == 1
    assert engine.accounts.in_lines == {"chmod": 2, "unlink": 1}


WAITING = """
- {trigger: chmod, source: [idle, seen], dest: seen}
- {trigger: unlink, source: seen, emit: remove}
"""


def test_a_long_life_keeps_its_latest_events_and_all_its_sums() -> None:
    """The evidence of a line is bounded, the accounts are exact."""
    talk = Dialogue(behavior("wait", WAITING))
    changes = [point(CAT, "chmod", "/x", number) for number in range(MOST_EVENTS + 44)]
    assert talk.say(*changes) == []
    assert talk.engine.accounts.held() == {"chmod": MOST_EVENTS + 44}
    assert talk.say(point(CAT, "unlink", "/x", 999)) == ["cat remove x"]
    assert len(talk.lines[0].events) == MOST_EVENTS
    assert talk.lines[0].events[0] is changes[45]
    assert talk.lines[0].states == ("idle", "seen")
    assert talk.engine.accounts.in_lines == {"chmod": MOST_EVENTS + 44, "unlink": 1}


def test_an_event_of_two_machines_is_counted_once() -> None:
    """It is in a line if either writes one, and unexplained only when both are forgotten."""
    texts = behavior("a", WAITING) | behavior("b", WAITING.replace("unlink", "rename"))
    talk = Dialogue(texts)
    accounts = talk.engine.accounts
    talk.say(point(CAT, "chmod", "/x"))
    assert accounts.held() == {"chmod": 1}
    talk.say(point(CAT, "unlink", "/x"))
    assert accounts.in_lines == {"chmod": 1, "unlink": 1}
    talk.say(point(CAT, "rename", "/x", to="/y"), point(CAT, "chmod", "/x"), point(CAT, "exit"))
    assert accounts.in_lines == {"chmod": 1, "unlink": 1, "rename": 1}
    assert accounts.unexplained == {"chmod": 1, "exit": 1}
    assert accounts.received == {"chmod": 2, "unlink": 1, "rename": 1, "exit": 1}


def test_a_behavior_that_is_off_costs_nothing() -> None:
    """Its triggers are not even sensed."""
    texts = {"remove.yaml": REMOVE} | behavior("off", "- {trigger: exec, source: idle, emit: run}", enabled="false")
    talk = Dialogue(texts)
    assert talk.program.triggers == {"unlink", "rmdir"}
    assert talk.say(point(CAT, "exec")) == []
