"""All access logs of a running edge: those of the plan, and those that exchanges begun before a reload still write to.

    adopt(logs, busy)   these from now on; the others go on until the connections that were busy have come to rest
    flush()             write what there is, and close what nobody writes to any more

A log that a plan brought along is closed when the last exchange of that plan is done. Nothing counts exchanges for it:
it is looked for at a flush, and a flush comes with each line. It must not know the loop, nor what a connection is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

__all__ = ["AccessLogs", "Log"]


class Log(Protocol):
    """An access log, as far as it is asked for here (`access_log.py`)."""

    def bind(self, clock: Callable[[], float], wake: Callable[[], None]) -> None:
        """Take the serving clock, and the way to have `flush` called soon."""

    def unbind(self) -> None:
        """Wake nobody any more."""

    def flush(self) -> None:
        """Write what there is."""

    def reopen(self) -> None:
        """Open the file anew by its name."""

    def close(self) -> None:
        """Write what there is and close the file."""


class AccessLogs:
    """On the loop only."""

    __slots__ = ("_bind", "_busy", "_leaving", "_logs")

    def __init__(self, logs: Iterable[Log] = ()) -> None:
        self._logs: list[Log] = list(logs)
        self._leaving: list[tuple[Log, set[Any]]] = []
        self._bind: Callable[[Log], None] = _not_yet
        self._busy: Callable[[], set[Any]] = set

    def __bool__(self) -> bool:
        return bool(self._logs or self._leaving)

    def bind(self, clock: Callable[[], float], wake: Callable[[], None], busy: Callable[[], set[Any]]) -> None:
        """Serving begins.

        :param busy: the connections that are in the midst of an exchange now.
        """
        self._bind = lambda log: log.bind(clock, wake)
        self._busy = busy
        for log in self._logs:
            self._bind(log)

    def adopt(self, logs: Iterable[Log]) -> None:
        """New exchanges write to these; those in flight, to the ones before."""
        before, self._logs = self._logs, list(logs)
        for log in self._logs:
            if log not in before:
                self._leaving = [entry for entry in self._leaving if entry[0] is not log]
                self._bind(log)
        busy = self._busy()
        self._leaving += [(log, busy) for log in before if log not in self._logs]
        self._let_go()

    def flush(self) -> None:
        """Write what there is."""
        for log in self._all():
            log.flush()
        self._let_go()

    def reopen(self) -> None:
        """Open the files anew by their names: they were moved away (SIGUSR1, logrotate)."""
        for log in self._all():
            log.reopen()

    def unbind(self) -> None:
        """The loop is about to end."""
        for log in self._all():
            log.unbind()

    def close(self) -> None:
        """Write what there is, and close those that are only waited for; the others are their owner's."""
        self._busy = set
        self.flush()

    def _all(self) -> list[Log]:
        return [*self._logs, *(log for log, _ in self._leaving)]

    def _let_go(self) -> None:
        """Close the logs of which no connection that was busy then has been busy ever since."""
        if not self._leaving:
            return
        busy = self._busy()
        leaving = [(log, held & busy) for log, held in self._leaving]
        self._leaving = [entry for entry in leaving if entry[1]]
        for log, held in leaving:
            if not held:
                log.close()


def _not_yet(log: Log) -> None:
    """Before serving begins there is no clock."""
