"""The processes that a supervisor starts, and what it hears of them: one `Child` for each worker, in one of its states.

    starting ──ready──> serving ──leave()──> leaving ──> dead
        └────────────────── it ends, whatever it was doing ──────^

    fresh(child, spec)       a new interpreter, on the words of `worker.py`
    Preloader.start(child)   a fork of a process that has loaded the application (`preloaders.py`)

A worker is dead when its process has ended and all that it said was heard. Its channel need not be at its end then:
what an application has forked may still hold the other one. Nothing here decides; a child tells its `Keeper`.
"""

from __future__ import annotations

import contextlib
import enum
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from edgestack.errors import ConfigError
from edgestack.process.channel import Channel, pair
from edgestack.process.control import Message
from edgestack.process.hooks import Worker
from edgestack.process.loop import Loop
from edgestack.process.spec import Spec

__all__ = ["Child", "Keeper", "Line", "State", "command", "fresh", "held_back", "reason"]

HELD_BACK = (
    signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
)  # fmt: skip
"""Signals that wait until a new process knows what to do at them."""


class State(enum.Enum):
    """What a worker is doing."""

    STARTING = "starting"
    SERVING = "serving"
    LEAVING = "leaving"
    DEAD = "dead"


class Keeper(Protocol):
    """Whoever has children."""

    def ready(self, child: Child) -> None:
        """It accepts."""

    def failed(self, child: Child, error: ConfigError) -> None:
        """It cannot begin, and ends."""

    def replace(self, child: Child, why: str) -> None:
        """It wants to be replaced."""

    def died(self, child: Child) -> None:
        """It has ended."""


class Line:
    """The supervisor's end of a channel, on its loop."""

    def __init__(self, loop: Loop, sock: socket.socket, heard: Callable[[Message], None], ended: Callable[[], None]):
        """:param ended: the other side has gone; called once."""
        self._loop = loop
        self._heard = heard
        self._ended = ended
        self._channel = Channel(sock)
        self.open = True
        loop.watch(sock, self._readable)

    def say(self, **message: Any) -> None:
        """Send; the other side may have gone, which will be heard."""
        if self.open:
            self._channel.send(**message)
            self._watch()

    def _watch(self) -> None:
        self._loop.watch(self._channel.sock, self._readable, self._writable if self._channel.owed else None)

    def _writable(self) -> None:
        self._channel.flush()
        self._watch()

    def _readable(self) -> None:
        messages = self._channel.receive()
        if messages is None:
            self.close()
            self._ended()
            return
        for message in messages:
            self._heard(message)

    def drain(self) -> None:
        """The other side has ended: hear the last that it said, and no more."""
        while self.open and (messages := self._channel.receive()):
            for message in messages:
                self._heard(message)
        self.close()

    def close(self) -> None:
        """Hear no more."""
        if self.open:
            self.open = False
            self._loop.forget(self._channel.sock)
            self._channel.close()


class Child(Worker):
    """One worker, as its supervisor has it; as `worker`, it is what hooks are given."""

    def __init__(self, age: int, cfg: Any, loop: Loop, keeper: Keeper) -> None:
        """:raises OSError: there are no descriptors for it."""
        super().__init__(age, cfg)
        self.row = -1
        """Its place on the board."""
        self.keeper = keeper
        self.state = State.STARTING
        self.born = self.since = time.monotonic()
        """When it was started, and when it took its state."""
        self.aborted = 0.0
        """When it was told to end for want of a sign of life."""
        self.left = False
        """It was told to leave."""
        self.worn = ""
        """Why it is to be replaced."""
        self.process: subprocess.Popen[bytes] | None = None
        self.successor: Child | None = None
        """Who will take its place, once that one is ready."""
        self.replaces: Child | None = None
        self.status: int | None = None
        """As `subprocess` has it."""
        self.answers: dict[int, Callable[[Message | None], None]] = {}
        """Who waits for the answers to orders; None where there is none to come."""
        self.orphan = False
        """Its parent, a preloader, is no more: nobody will tell how it ends."""
        self._ended = False
        ours, self.end = pair()
        self.line = Line(loop, ours, self._heard, self._line_ended)

    def __hash__(self) -> int:
        return self.age

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def is_dead(self) -> bool:
        """Whether it has ended."""
        return self.state is State.DEAD

    def started(self, pid: int) -> None:
        """Its process runs; one that was told to leave while it was being forked need not begin."""
        self.pid = pid
        self.end.close()
        if self.state is State.LEAVING:
            self.kill(signal.SIGTERM)

    def turn(self, state: State) -> None:
        """Another state."""
        self.state, self.since = state, time.monotonic()
        self.alive = state in (State.STARTING, State.SERVING)

    def leave(self, *, now: bool = False) -> None:
        """Let it drain, or not even that."""
        if self.state in (State.STARTING, State.SERVING):
            starting, self.left = self.state is State.STARTING, True
            self.turn(State.LEAVING)
            self.line.say(do="quit" if now else "leave")
            if starting:
                self.kill(signal.SIGTERM)  # it need not begin first

    def ask(self, number: int, request: Message, answered: Callable[[Message | None], None]) -> None:
        """Give it an order that wants an answer."""
        self.answers[number] = answered
        self.line.say(do="ask", id=number, request=request)

    def kill(self, number: signal.Signals) -> None:
        """Send a signal, where there is somebody to get it."""
        if self.pid and not self._ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def ended(self, status: int | None) -> None:
        """Its process is no more."""
        self._ended = True
        self.status = status
        self.line.drain()
        self._die()

    def _heard(self, message: Message) -> None:
        say = message["say"]
        if say == "ready" and self.state is State.STARTING:
            self.turn(State.SERVING)
            self.keeper.ready(self)
        elif say == "failed":
            self.keeper.failed(self, reason(message))
        elif say == "replace":
            self.keeper.replace(self, message["why"])
        elif say == "answer" and message["id"] in self.answers:
            self.answers.pop(message["id"])(message["answer"])

    def never_was(self) -> None:
        """It could not be started: nothing will be heard of it."""
        self.turn(State.DEAD)
        self.end.close()
        self.line.close()

    def orphaned(self) -> None:
        """The end of its channel will be all that is heard of its end."""
        self.orphan = True
        if not self.line.open:
            self._die()

    def _line_ended(self) -> None:
        if self.orphan:
            self._die()

    def _die(self) -> None:
        if not self.is_dead:
            self.turn(State.DEAD)
            for answered in self.answers.values():
                answered(None)
            self.keeper.died(self)


def reason(message: Message) -> ConfigError:
    """The error that another process tells of."""
    error = ConfigError(message["why"], hint=message["hint"], key=message["key"])
    error.traceback_text = message["traceback"]
    return error


def command(module: str, *words: object) -> list[str]:
    """The command line of another process of ours: this interpreter, with the options that it was given."""
    flags: Sequence[str] = getattr(subprocess, "_args_from_interpreter_flags", list)()
    return [sys.executable, *flags, "-m", module, *map(str, words)]


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """A process that is started within gets its signals once it asks for them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def fresh(child: Child, spec: Spec, spec_fd: int) -> None:
    """Start a worker as a new interpreter.

    :raises OSError: there cannot be another process.
    """
    channel = child.end.fileno()
    words = command("edgestack.process.worker", channel, spec_fd, child.row, child.age)
    with held_back():
        child.process = subprocess.Popen(
            words, pass_fds=(channel, spec_fd, *spec.descriptors()), stdin=subprocess.DEVNULL
        )
    child.started(child.process.pid)
