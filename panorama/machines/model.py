# SPDX-License-Identifier: Apache-2.0
"""Behaviors as plain immutable data: what spec.py reads, what compiler.py and oracle.py each make run.

Everything is resolved and checked by the time it is in here; a value's meaning never depends on how it was spelled.
Knows no YAML and no events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..vocabulary import FIELDS, SESSION_TRIGGERS, TRIGGERS

__all__ = [
    "DEPTH",
    "GATHERED",
    "Behavior",
    "BehaviorSet",
    "Condition",
    "Emit",
    "Example",
    "Template",
    "Test",
    "Transition",
    "default_object",
]

DEPTH = 8  # how far below a process the children are whose events it takes, unless a behavior says it
GATHERED = "list"  # the kind of a gathered value

Template = tuple[str | tuple[str], ...]  # literal text as str; (name,) is a field or a saved value


@dataclass(frozen=True, slots=True)
class Test:
    """One way for a condition to hold. `how` says what `value` is:

    equal    the field is it; an address as (host, port), port -1 where any will do
    glob     the field matches it: * ? [...]; in paths only ** crosses a /
    prefix   the path is below it; it ends in /
    network  the address is in it, as CIDR
    compare  the number compares with it by `operator`: < <= > >= !=
    saved    the field equals what was saved under this name
    field    the field equals this other field
    """

    __test__ = False  # it is no test of pytest's

    how: str
    value: str | int | bool | tuple[str, int]
    operator: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds if any of the tests does; never if the event does not have the field.

    `field` may be the name of a saved value; `kind` is then that value's, else the field's. Of what was gathered the
    count is compared.
    """

    field: str
    tests: tuple[Test, ...]
    kind: str


@dataclass(frozen=True, slots=True)
class Emit:
    """A line to write. `object` is None for the default of the trigger that led to it."""

    verb: str
    object: Template | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """`dest` None ends the machine: back to initial, which is to say forgotten. `sources` has "*" spelled out.

    With `anew` the machine gives up what it had, and begins with this event. `login` is the field with the address
    that the login of the process came from; "" for no login.
    """

    triggers: tuple[str, ...]
    sources: tuple[str, ...]
    dest: str | None = None
    conditions: tuple[Condition, ...] = ()
    saves: tuple[tuple[str, str], ...] = ()  # name, field
    gathers: tuple[tuple[str, str], ...] = ()
    anew: bool = False
    login: str = ""
    emit: Emit | None = None
    line: int = field(default=1, compare=False)
    column: int = field(default=1, compare=False)

    @property
    def fields(self) -> tuple[str, ...]:
        """All names it asks for or says: fields, saved and gathered values."""
        asked = [condition.field for condition in self.conditions]
        asked += [str(test.value) for each in self.conditions for test in each.tests if test.how in ("field", "saved")]
        kept = [source for _, source in (*self.saves, *self.gathers)]
        said = (self.emit.object if self.emit else None) or ()
        return (*asked, *kept, *(piece[0] for piece in said if not isinstance(piece, str)))


@dataclass(frozen=True, slots=True)
class Example:
    """Commands to run in an empty folder, the lines they must give, and lines that they must not."""

    run: str
    lines: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Behavior:
    """One finite state machine, for each process, file, connection or path (`per`); `match` is of its process."""

    name: str
    summary: str
    layer: str
    per: str
    initial: str
    transitions: tuple[Transition, ...]
    match: tuple[Condition, ...] = ()
    depth: int = DEPTH
    holds: bool = True
    enabled: bool = True
    attack: tuple[str, ...] = ()
    severity: str = "info"
    timeouts: tuple[tuple[str, int], ...] = ()  # state, ns
    declared: tuple[str, ...] = ()  # states named under `states`
    examples: tuple[Example, ...] = ()
    path: str = field(default="", compare=False)
    line: int = field(default=1, compare=False)

    @property
    def states(self) -> tuple[str, ...]:
        """All states, the initial one first, then in the order in which they are first named."""
        found = [self.initial]
        for transition in self.transitions:
            found += [*transition.sources, *([transition.dest] if transition.dest else [])]
        return tuple(dict.fromkeys([*found, *self.declared]))

    @property
    def lasting(self) -> bool:
        """Whether what a machine does depends on more than the event: on earlier ones, or on who descends from whom.

        A machine of files that only takes the steps of sessions begins and ends with each of them.
        """
        if any(trigger.startswith("child.") for trigger in self.triggers):
            return True
        if any(FIELDS[name].remembered for each in self.transitions for name in each.fields if name in FIELDS):
            return True
        if not any(transition.dest for transition in self.transitions):
            return False
        return not (self.layer == "operation" and self.per == "file" and set(self.triggers) <= set(SESSION_TRIGGERS))

    @property
    def triggers(self) -> tuple[str, ...]:
        """All triggers its transitions name, `child.` included, sorted."""
        return tuple(sorted({trigger for transition in self.transitions for trigger in transition.triggers}))


@dataclass(frozen=True, slots=True)
class BehaviorSet:
    """Behaviors that were checked together; sorted by name, so that nothing depends on how files were found."""

    behaviors: tuple[Behavior, ...] = ()

    def __iter__(self) -> Iterator[Behavior]:
        return iter(self.behaviors)

    def __len__(self) -> int:
        return len(self.behaviors)

    def enabled(self, layer: str) -> tuple[Behavior, ...]:
        """The behaviors of one layer that are switched on."""
        return tuple(behavior for behavior in self.behaviors if behavior.enabled and behavior.layer == layer)

    def verbs(self) -> dict[str, tuple[str, ...]]:
        """The verbs of the operations that are switched on, each with the syscall triggers that emit it."""
        found: dict[str, set[str]] = {}
        for behavior in self.enabled("operation"):
            for transition in behavior.transitions:
                if transition.emit:
                    found.setdefault(transition.emit.verb, set()).update(transition.triggers)
        return {verb: tuple(sorted(triggers)) for verb, triggers in sorted(found.items())}


# which field an event of a trigger is about, where it is no file
_OBJECTS = {"connect": "remote", "accept": "remote", "send": "remote", "recv": "remote"}
_OBJECTS |= {"bind": "local", "listen": "local", "exec": "exe"}


def default_object(triggers: Iterable[str], per: str) -> Template:
    """The object of a bare verb: {file}, {remote}, {local} or {exe}, whichever the syscall triggers are about.

    In the activity layer `triggers` are those that emit the verb. A machine for each connection has {remote} where
    the trigger says nothing else; one for each file always has {file}.
    """
    if per in ("file", "path"):
        return (("file",),)
    for trigger in triggers:
        word = trigger.removeprefix("child.")
        if word in _OBJECTS:
            return ((_OBJECTS[word],),)
        if word in TRIGGERS and TRIGGERS[word].file and not (per == "connection" and TRIGGERS[word].connection):
            return (("file",),)
    return (("remote",),) if per == "connection" else ()
