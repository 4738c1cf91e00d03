# SPDX-License-Identifier: Apache-2.0
"""Runs a Program: events in, lines out. No clock, no files, no kernel: time is what the events say; it never goes back.

How events reach machines (to which of them: routing.py):

- A session's triggers are steps, taken in order. Machines of files and connections see all of them when the session is
  reported; machines of processes saw them already, one by one, as eager events, and see only the close.
- A line of an operation is an event of the activity layer; it goes there at once. So for one event the lines are in the
  order of its steps, then of the behaviors' names, each line followed by the activities that it completes; those that
  follow from a process's exec or exit come last.
- When a process renames a file, its machines for that file have seen it and go on under the new name; those of the
  file that had the new name before are forgotten. Machines per path go on whoever renames it.
- When a process exits, its machines are forgotten after they have seen it.
"""

from __future__ import annotations

from ..event import Event, Held, Loss, Member, Process
from ..output.line import Line
from ..vocabulary import LIFE
from .accounts import Accounts
from .activities import Activities
from .compiler import Program
from .doubts import EVERY_TABLE
from .holding import MOST_HELD
from .machine import ANYONE
from .operations import Operations
from .runner import Runner, Scene, Watcher

__all__ = ["MOST_MACHINES", "Engine"]

MOST_MACHINES = 16384  # of each layer, of about 1 KiB each


class Engine:
    """All machines of one program. `accounts` tells where every event went, `evicted` how many machines had to go.

    With `hold` lines of operations that activities take are held back until it is known what becomes of them. Without
    `plans`, or with a watcher, it takes every step by itself, which gives the same lines more slowly.
    """

    def __init__(
        self,
        program: Program,
        most_machines: int = MOST_MACHINES,
        plans: bool = True,
        hold: bool = False,
        watcher: Watcher | None = None,
        most_held: int = MOST_HELD,
    ) -> None:
        self.program = program
        self.accounts = Accounts()
        self._scene = scene = Scene(watcher, program.asks_for_ancestors)
        self._activities = Activities(program.activities, scene, self.accounts, most_machines, hold, most_held)
        self._operations = Operations(
            program.operations, scene, self.accounts, most_machines, self._activities, plans and watcher is None
        )
        self.holding = self._activities.holding
        self._runners: tuple[Runner, ...] = (self._operations, self._activities)
        self._following = program.follows_children or bool(program.activities.tables)
        verbs = {move.transition.emit.verb for move in program.operations.moves() if move.transition.emit}
        self._silent = frozenset(LIFE) - verbs  # lives that no operation tells of

    @property
    def evicted(self) -> int:
        """Machines that were forgotten only because there were too many."""
        return sum(runner.machines.evicted for runner in self._runners)

    @property
    def next_due(self) -> int:
        """No timeout runs out before that (ns since 1970)."""
        return min(runner.machines.next_due for runner in self._runners)

    def __len__(self) -> int:
        return sum(len(runner.machines) for runner in self._runners)

    def feed(self, event: Event) -> list[Line]:
        """The lines that this event completes, after those of the timeouts that ran out before it."""
        time, triggers, scene, operations = event.time, event.triggers, self._scene, self._operations
        if time >= operations.machines.next_due or time >= self._activities.machines.next_due:
            self._run_out(time)
        elif time > scene.now:
            scene.now = time
        node = scene.lineage.see(event) if self._following else None
        operations.feed(event)
        told, takers = operations.in_line, operations.takers
        if triggers[0] in LIFE and triggers[0] in self._silent:
            passed = self._activities.life(triggers[0], event)
            told = told or passed.told
            takers = [*takers, *passed.takers]
        if takers and not told:
            self.accounts.receive(event.calls, told, [machine for machine in takers if machine.alive])
        else:
            self.accounts.receive(event.calls, told)
        if "exit" in triggers:
            self._ended(event.process)
            if node is not None:
                scene.lineage.end(node)
        elif event.to and event.file and "rename" in triggers:
            for runner in self._runners:
                runner.renamed(event.process.key, event.file.path, event.to.path)
        return self._written()

    def admit(self, member: Member) -> None:
        """A process belongs to a login that nobody has seen."""
        self._scene.lineage.admit(member.process, member.login)

    def advance(self, time: int) -> list[Line]:
        """The lines of the timeouts that have run out by then."""
        self._run_out(time)
        return self._written()

    def finish(self) -> list[Line]:
        """The end of the input: every machine is forgotten, the accounts are final."""
        for runner in reversed(self._runners):
            runner.machines.forget_all()
        return self._written()

    def taint(self, missing: Loss | Held) -> None:
        """Records are missing: lines are partial of all machines that they could have moved, see doubts.py."""
        doubts = self._scene.doubts
        doubts.epoch += 1
        if not (isinstance(missing, Held) and missing.process):
            doubts.all(missing.since_boot)
            self._scene.lineage.forget_offers()
            return
        node = self._scene.lineage.get(missing.process.key)
        process = node.process if node else missing.process
        self._scene.lineage.forget_offers(process.key)
        doubts.one(process.key, EVERY_TABLE)
        doubts.one(ANYONE, EVERY_TABLE)
        for runner in self._runners:
            for owner, tables in runner.router.above(process):
                for number in tables:
                    doubts.one(owner.key, number)

    def _ended(self, process: Process) -> None:
        for runner in self._runners:
            runner.machines.forget_process(process.key)
        self._scene.doubts.forget(process.key)

    def _written(self) -> list[Line]:
        scene = self._scene
        lines, scene.lines = scene.lines, []
        return lines

    def _run_out(self, time: int) -> None:
        scene = self._scene
        while (due := self.next_due) <= time:
            runner = next(runner for runner in self._runners if runner.machines.next_due == due)
            if found := runner.machines.due(due):
                scene.now = max(scene.now, found[0])
                runner.run_out(found[1], found[0])
        scene.now = max(scene.now, time)
