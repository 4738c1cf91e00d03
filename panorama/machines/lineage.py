# SPDX-License-Identifier: Apache-2.0
"""Who descends from whom: the processes seen so far, and what a process has from the one that made it.

A process's parent is the one that made it, also when that has ended since and the kernel gave it another. What a
daemon takes a login for is not itself but the processes that it makes from then on; they and all below them belong to
that login. Its user is the one under whom the first other program is started there. Bounded: of those that ended the
latest are known, of the living the ones seen first have to go when there are too many; a chain of parents ends where
one is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..event import Address, Event, Login, Process, ProcessKey

__all__ = ["Lineage", "Node"]

_MOST_LIVING = 16384
_MOST_ENDED = 1024
_MOST_ABOVE = 32
_HIGHEST = 4096  # generations, of which most have ended by then
_MOST_BORN = 4096  # children of which nothing was seen but that they were made


class Node:
    """One process as it was seen last; `known` is for what follows from it and its ancestors, until one changes."""

    __slots__ = (
        *("children", "daemon", "height", "key", "known", "living", "login", "offers", "parent", "peer", "process"),
        "unseen",
    )

    def __init__(self, process: Process, parent: Node | None = None) -> None:
        self.process = process
        self.key = process.key
        self.parent = parent
        self.children: dict[Node, None] = {}
        self.height: int = parent.height + 1 if parent else 0
        self.login: Login | None = None
        self.offers: Login | None = None  # what its children belong to, if that is another
        self.daemon = ""  # the name of the program that took the login
        self.peer: Address | None = None
        self.living = True
        self.unseen = False  # known only as somebody's parent
        self.known: dict[Any, Any] = {}

    def above(self) -> tuple[tuple[int, Node], ...]:
        """The ancestors that live, nearest first, with how many generations up they are."""
        found: tuple[tuple[int, Node], ...] | None = self.known.get("above")
        if found is None:
            nodes = enumerate(self._line(), 1)
            found = self.known["above"] = tuple((generation, node) for generation, node in nodes if node.living)
        return found

    def exes(self) -> tuple[str, ...]:
        """What the ancestors run, nearest first, also those that have ended."""
        found: tuple[str, ...] | None = self.known.get("exes")
        if found is None:
            found = self.known["exes"] = tuple(node.process.exe for node in self._line())
        return found

    def _line(self) -> Iterator[Node]:
        node = self.parent
        for _ in range(_MOST_ABOVE):
            if node is None:
                return
            yield node
            node = node.parent

    def changed(self) -> None:
        """What was known of it, and of all below it, has to be found out again."""
        nodes = [self]
        for node in nodes:
            node.known = {}
            nodes += node.children


class Lineage:
    """Give it every event with `see` before the machines get it.

    With `ancestors` events are told what their process's ancestors run.
    """

    def __init__(self, ancestors: bool = False) -> None:
        self._ancestors = ancestors
        self._nodes: dict[ProcessKey, Node] = {}
        self._ended: dict[ProcessKey, None] = {}
        self._born: dict[tuple[ProcessKey, int], tuple[Login | None, str]] = {}  # by parent and the child's pid

    def see(self, event: Event) -> Node:
        """The event's process, and with it what the event then says of logins and connections."""
        process = event.process
        node = self._nodes.get(process.key)
        if node is None or node.unseen:
            node = self._add(process)
        elif node.process is not process:
            self._changed(node, process)
        triggers = event.triggers
        if "fork" in triggers:
            self._bear(node, event.child)
        elif event.remote is not None and "connect" in triggers and event.remote.family != "unix":
            node.peer = event.remote
        event.login, event.peer = node.login, node.peer
        if self._ancestors:
            event.ancestors = node.exes()
        return node

    def get(self, key: ProcessKey) -> Node | None:
        return self._nodes.get(key)

    def log_in(self, event: Event, remote: Address) -> None:
        """The event's process, a daemon, takes a login over the network; executed for that, it belongs to it."""
        node = self._nodes.get(event.process.key) or self._add(event.process)
        node.daemon = _name(event.process)
        if "exec" in event.triggers:
            node.login, node.offers = Login(remote), None
            event.login = node.login
        else:
            node.offers = Login(remote)

    def admit(self, process: Process, login: Login) -> None:
        """The process belonged to a login before anything was seen of it."""
        node = self._nodes.get(process.key) or self._add(process)
        node.login = login

    def forget_offers(self, process: ProcessKey | None = None) -> None:
        """Something is missing that may have been a login: what came before it is not handed on any more."""
        for node in self._nodes.values() if process is None else filter(None, [self._nodes.get(process)]):
            node.offers = None
        born = self._born
        self._born = {key: found for key, found in born.items() if process is not None and key[0] != process}

    def end(self, node: Node) -> None:
        """The process has ended; its children go on."""
        node.living = False
        node.changed()
        if node.parent and not node.children:
            node.parent.children.pop(node, None)
        self._ended[node.process.key] = None
        if len(self._ended) > _MOST_ENDED:
            self._forget(next(iter(self._ended)))

    def _add(self, process: Process) -> Node:
        above, parent = None, (process.ppid, process.parent_start)
        if process.ppid > 0:
            above = self._nodes.get(parent) or self._guess(parent)
        guessed = self._nodes.get(process.key)
        if guessed:
            node = guessed
            node.process, node.unseen, node.parent = process, False, above
            node.height = above.height + 1 if above else 0
            node.changed()
        else:
            node = self._nodes[process.key] = Node(process, above if above and above.height < _HIGHEST else None)
        if above:
            above.children[node] = None
            node.login, node.daemon = self._born.pop((parent, process.pid), (above.offers or above.login, above.daemon))
            _name_user(node)
        if len(self._nodes) > _MOST_LIVING + _MOST_ENDED:
            self._forget(next(iter(self._nodes)))
        return node

    def _changed(self, node: Node, process: Process) -> None:
        before, node.process = node.process, process
        node.changed()
        if node.login and not node.login.user and (process.exe, process.uid) != (before.exe, before.uid):
            _name_user(node)

    def _guess(self, key: ProcessKey) -> Node:
        """The parent of a process, of which nothing but that is known."""
        node = self._nodes[key] = Node(Process(*key))
        node.unseen = True
        return node

    def _bear(self, node: Node, child: int) -> None:
        self._born[node.process.key, child] = (node.offers or node.login, node.daemon)
        if len(self._born) > _MOST_BORN:
            del self._born[next(iter(self._born))]

    def _forget(self, key: ProcessKey) -> None:
        node = self._nodes.pop(key, None)
        self._ended.pop(key, None)
        if node and node.parent and not node.children:
            node.parent.children.pop(node, None)


def _name(process: Process) -> str:
    return process.exe.rpartition("/")[2] or process.command


def _name_user(node: Node) -> None:
    """The daemon's own parts (sshd-session ...) are not whom the login is for, unless they are that user already."""
    process = node.process
    if node.login and not node.login.user:
        own = node.daemon and _name(process).startswith(node.daemon)
        if not own or (process.login_uid >= 0 and process.login_uid == process.uid):
            node.login = replace(node.login, user=process.user)
