"""The workers of one generation: as many as are wanted, started, replaced, scaled, and let go.

    fill() ── starts who is missing ──> all ready: `begun()` once, whoever waits for this generation is told
    a worker dies             another one, after a pause that grows while they die young
    wants to be replaced      another one first; when that is ready, the old one leaves
    shows no sign of life     SIGABRT, which has its stacks written; a moment later SIGKILL
    leaves for too long       SIGKILL

It plays one generation through; which generation serves is the supervisor's business (`supervisor.py`).
"""

from __future__ import annotations

import logging
import signal
import time
from typing import Protocol

from edgestack.errors import ConfigError
from edgestack.process.children import Child, State, fresh
from edgestack.process.deaths import told
from edgestack.process.preloaders import Preloader
from edgestack.process.signals import INTERRUPTED
from edgestack.process.spec import Spec

__all__ = ["Crew", "Owner"]

YOUNG = 5.0
"""Seconds: a worker that dies sooner after it was ready may be one that cannot live. Our number."""
PAUSES = (0.1, 30.0)
"""Seconds until the next one after the first young death, twice as long after each further one; at most."""
DOUBLINGS = 10
"""Beyond which it is the longest anyway: no float holds a power that has grown all night."""
LAST_WORDS = 2.0
"""Seconds between SIGABRT and SIGKILL: some stacks are written in milliseconds."""
BOOT = 60.0
"""Seconds that a worker may take to begin, where `timeout` is shorter: importing is not answering."""
OVERTIME = 5.0
"""Seconds beyond its drain, in which a leaving worker calls its threads for the last time and writes its logs."""

AT_ONCE = (INTERRUPTED, -signal.SIGQUIT)
"""How those end that are told to leave at once."""

log = logging.getLogger("edgestack.error")


class Owner(Protocol):
    """Whoever has crews."""

    def child(self, crew: Crew) -> Child:
        """A new one, with a place on the board, not started."""

    def last_sign(self, child: Child) -> float:
        """When it was last seen alive, on CLOCK_MONOTONIC; 0 before it was."""

    def killed_for_memory(self) -> bool:
        """Whether the kernel has done that since it was asked last."""

    def begun(self, crew: Crew) -> None:
        """All of a crew were ready for the first time."""

    def broken(self, crew: Crew, error: ConfigError) -> None:
        """A crew that has not begun never will."""

    def gone(self, child: Child) -> None:
        """A worker has ended."""


class Crew:
    """A `Keeper` of children."""

    def __init__(self, owner: Owner, spec: Spec, spec_fd: int, wanted: int, preloader: Preloader | None) -> None:
        """:param preloader: forks the workers; without one they are fresh interpreters."""
        self.owner = owner
        self.spec = spec
        self.spec_fd = spec_fd
        self.wanted = wanted
        self.preloader = preloader
        self.members: list[Child] = []
        """Those that are not dead, the oldest first."""
        self.has_begun = False
        self.over = False
        """It is to be no more: nobody is started."""
        self._hurried = False
        self._failures = 0
        """Young deaths, and workers that could not even be started, one after the other."""
        self._not_before = 0.0

    # -- numbers -------------------------------------------------------------------------------------------------------

    def serving(self) -> list[Child]:
        """Those that accept."""
        return [child for child in self.members if child.state is State.SERVING]

    def fill(self) -> None:
        """Start as many as are missing, unless a pause is due; and let those go that are too many."""
        if self.over:
            return
        present = [one for one in self.members if one.alive and one.replaces is None]
        for _ in range(self.wanted - len(present)):
            self._start()
        for child in present[: max(0, len(present) - self.wanted)]:
            self._let_go(child)

    def _start(self, replaces: Child | None = None) -> None:
        """One more, unless a pause is due."""
        if self.over or time.monotonic() < self._not_before:
            return
        try:
            child = self.owner.child(self)
        except OSError as error:
            self._cannot_start(error)
            return
        self.members.append(child)
        try:
            if self.preloader is not None:
                self.preloader.start(child)
            else:
                fresh(child, self.spec, self.spec_fd)
        except OSError as error:
            self.members.remove(child)
            child.never_was()
            self.owner.gone(child)
            self._cannot_start(error)
            return
        child.replaces = replaces
        if replaces is not None:
            replaces.successor = child

    def _cannot_start(self, error: OSError) -> None:
        """The system has not enough of something; the others go on, and there will be another try."""
        why = f"a worker cannot be started: {error.strerror}"
        if self.has_begun:
            log.error("%s; another try in %g s", why, self._pause())
        else:
            self.owner.broken(self, ConfigError(why))

    def scale(self, wanted: int) -> None:
        """Another number."""
        self.wanted = wanted
        self.fill()

    def retire(self, *, now: bool = False) -> None:
        """All leave, at once or when they have drained."""
        self._end()
        self._hurried = self._hurried or now
        for child in list(self.members):
            child.leave(now=now)

    def kill(self, number: signal.Signals) -> None:
        """Send all of them a signal; nobody is started any more."""
        self._end()
        for child in self.members:
            child.kill(number)

    def _end(self) -> None:
        self.over = True
        if self.preloader is not None:
            self.preloader.give_up()

    def _let_go(self, child: Child) -> None:
        child.leave()
        if child.successor is not None:  # it was to be replaced, and there is one too many anyway
            child.successor.replaces = None
            child.successor.leave()

    # -- what children say ---------------------------------------------------------------------------------------------

    def ready(self, child: Child) -> None:
        """It accepts."""
        before, child.replaces = child.replaces, None
        if before is not None:
            before.successor = None
            before.leave()
        if not self.has_begun and len(self.serving()) >= self.wanted:
            self.has_begun = True
            self.owner.begun(self)

    def failed(self, child: Child, error: ConfigError) -> None:
        """It cannot begin: nor could the others, as long as none has."""
        if not self.has_begun:
            self.owner.broken(self, error)
        else:
            log.error("worker %d cannot begin: %s%s", child.age, error, _traceback(error))

    def replace(self, child: Child, why: str) -> None:
        """It wants to be replaced."""
        if self.over or child.state is not State.SERVING or child.worn:
            return
        log.info("worker %d is replaced: %s", child.age, why)
        child.worn = why
        self._start(replaces=child)

    def died(self, child: Child) -> None:
        """It has ended: as it should, or not."""
        self.members.remove(child)
        lived = time.monotonic() - child.born
        why = told(child.status, child.status == -signal.SIGKILL and self.owner.killed_for_memory())
        self.owner.gone(child)
        if child.left and (child.status in (0, None) or (self._hurried and child.status in AT_ONCE)):
            return
        if not self.has_begun:  # one message is enough for all of them
            if not self.over:
                self.owner.broken(self, ConfigError(f"a worker {why} before it was ready"))
            return
        log.error("worker %d (pid %d) %s%s", child.age, child.pid, why, " while it left" if child.left else "")
        if child.left or self.over:
            return
        self._mourn(child, lived)

    def _mourn(self, child: Child, lived: float) -> None:
        if lived < YOUNG:
            self._pause()
        else:
            self._failures = 0
        if child.successor is not None:
            child.successor.replaces = None
        if child.replaces is not None:
            child.replaces.successor = None  # `look` tries again

    def _pause(self) -> float:
        """Nobody is started for so many seconds."""
        self._failures += 1
        pause = float(min(PAUSES[1], PAUSES[0] * 2 ** min(self._failures - 1, DOUBLINGS)))
        self._not_before = time.monotonic() + pause
        return pause

    # -- time ----------------------------------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """See who hangs, who leaves for too long, and who is missing."""
        processes, grace = self.spec.config.server.processes, self.spec.config.server.timeouts.graceful
        for child in self.members:
            if child.aborted:
                if now - child.aborted > LAST_WORDS:
                    child.kill(signal.SIGKILL)
            elif child.state is State.LEAVING:
                if now - child.since > grace + OVERTIME:
                    child.kill(signal.SIGKILL)
            else:
                starting = child.state is State.STARTING
                patience = max(BOOT, processes.patience) if starting else processes.patience
                if now - max(child.since, self.owner.last_sign(child)) > patience:
                    log.error("worker %d (pid %d) gave no sign of life for %g s", child.age, child.pid, patience)
                    child.aborted = now
                    child.kill(signal.SIGABRT)
        self.fill()
        for child in self.serving():
            if child.worn and child.successor is None:
                self._start(replaces=child)

    def next_start(self) -> float:
        """When the pause is over, on CLOCK_MONOTONIC."""
        return self._not_before


def _traceback(error: ConfigError) -> str:
    return f"\n{error.traceback_text.rstrip()}" if error.traceback_text else ""
