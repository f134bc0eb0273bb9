"""The access log: an end that makes one line per finished exchange. It must not know the loop, nor what was served.

    exchange finished -> `end` (any thread) -> lines -> wake() -> … the loop, within FLUSH_DELAY -> `flush` -> one write
                                                     -> many of them already: written at once

`end` appends, and only *then* looks whether a flush is under way; `flush` first says that none is, and only then takes
the lines, by length: swapping or clearing the list would lose what other threads append meanwhile. With `at_once`
(development) each line is written where it was made. How bytes reach the file is `log_file.py`'s business.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from edgestack.http.messages import Exchange
from edgestack.http.variables import LineFormat, Scope, access_format, custom_format
from edgestack.phases.log_file import Lines, LogFile

__all__ = ["FLUSH_DELAY", "TOGETHER", "AccessLog", "Ending"]

FLUSH_DELAY = 0.2
"""Seconds after `wake` within which the loop calls `flush`: often enough to watch, rare enough to cost nothing."""
TOGETHER = 128
"""Lines that are written before that, while the processor's caches still hold them: a fifth of a second of a busy
server's are some megabytes."""

Clocks: TypeAlias = "tuple[Callable[[], float], Callable[[], float]]"
Form: TypeAlias = "tuple[str, Mapping[str, str] | None, Scope | None]"
"""The name of a form, the user's own forms, and what their variables see."""


class AccessLog:
    """Formats, collects and writes lines. `end` is called on any thread, up to 50,000 times a second."""

    __slots__ = ("_at_once", "_file", "_form", "_line", "_lock", "_wake", "armed", "clocks", "lines")

    def __init__(
        self,
        target: str,
        format_name: str = "combined",
        *,
        at_once: bool = False,
        formats: Mapping[str, str] | None = None,
        scope: Scope | None = None,
        file: Lines | None = None,
    ) -> None:
        """Open the log.

        :param target: a file's path, or "-" for standard output.
        :param format_name: one of `edgestack.http.variables.FORMATS`, or of `formats`.
        :param at_once: write each line when it is made.
        :param formats: forms of the user's own, by name.
        :param scope: what their variables may see (maps).
        :param file: what takes the lines instead of the target.
        :raises OSError: when the file cannot be opened.
        """
        self._file: Lines = file or LogFile(None if target == "-" else Path(target))
        self._form = (format_name, formats, scope)
        self._at_once = at_once
        self._lock = threading.Lock()
        self._wake: Callable[[], None] = _nobody
        self.clocks: Clocks = (time.monotonic, time.time)
        """The serving clock, and seconds since the epoch."""
        self._line = line_format(*self._form, self.clocks)
        self.lines: list[str] = []
        self.armed = False
        """Whether a flush is to come that will see every line appended so far."""

    @property
    def lost(self) -> int:
        """Lines dropped because they could not be written."""
        return self._file.lost

    def bind(self, clock: Callable[[], float], wake: Callable[[], None], wall: Callable[[], float] = time.time) -> None:
        """Take the serving clock, and the way to have `flush` called soon.

        :param clock: what `Exchange.started` was read from, in seconds; safe on any thread.
        :param wake: thread-safe and quick; called at most once between two flushes.
        :param wall: seconds since the epoch.
        """
        self.clocks = (clock, wall)
        self._line = line_format(*self._form, self.clocks)
        self._wake = wake

    def unbind(self) -> None:
        """The loop is about to end and must not be woken any more; the owner flushes, or closes, from now on."""
        self._wake = _nobody

    def end(self, exchange: Exchange) -> None:
        """Note a finished exchange: one of `Exchange.ends`."""
        self.lines.append(self._line(exchange))
        if not self.armed or len(self.lines) >= TOGETHER:
            self._see_to_it()

    def ending(self, name: str, formats: Mapping[str, str] | None = None, scope: Scope | None = None) -> Ending:
        """An end that writes to the same file in another form: a route's own. Parameters are those of the log.

        :raises ValueError: for a form that is not known.
        """
        return Ending(self, (name, formats, scope))

    def note(self, line: str) -> None:
        """Take in a line that was made elsewhere; on any thread."""
        self.lines.append(line)
        if not self.armed or len(self.lines) >= TOGETHER:
            self._see_to_it()

    def _see_to_it(self) -> None:
        """That a flush comes, or that many lines are written before it does."""
        if self.armed:
            self._write()
            return
        self.armed = True
        if self._at_once:
            self.flush()
        else:
            self._wake()

    def flush(self) -> None:
        """Write what there is. Never raises and never waits for a reader; what it still owes arms the next flush."""
        self.armed = False
        self._write()

    def _write(self) -> None:
        with self._lock:
            lines = self.lines
            count = len(lines)
            batch = lines[:count]
            del lines[:count]
            self._file.write("".join(batch).encode("latin-1"))
            owing = bool(self._file.owed)
        if owing and not self.armed:
            self.armed = True
            self._wake()

    def reopen(self) -> None:
        """Write what there is, then open the file anew by its name: it was moved away (SIGUSR1, logrotate)."""
        self.flush()
        with self._lock:
            self._file.reopen()

    def close(self) -> None:
        """Write what there is and close the file. Lines that come later are dropped."""
        self.unbind()
        self.flush()
        with self._lock:
            self._file.close()


class Ending:
    """An end with a form of its own, whose lines go to the log of the others."""

    __slots__ = ("_clocks", "_form", "_line", "_log")

    def __init__(self, log: AccessLog, form: Form) -> None:
        self._log = log
        self._form = form
        self._clocks = log.clocks
        self._line = line_format(*form, log.clocks)

    def __call__(self, exchange: Exchange) -> None:
        """Note a finished exchange."""
        if self._clocks is not self._log.clocks:  # it was made before serving began
            self._clocks = self._log.clocks
            self._line = line_format(*self._form, self._clocks)
        self._log.note(self._line(exchange))


def line_format(name: str, formats: Mapping[str, str] | None, scope: Scope | None, clocks: Clocks) -> LineFormat:
    """What makes the lines of a form.

    :raises ValueError: it is not known.
    """
    if not formats or name not in formats:
        return access_format(name, *clocks)
    seen = Scope(None, scope.maps if scope else None, scope.server_name if scope else "", *clocks)
    if scope is not None:
        seen.groups, seen.match = scope.groups, scope.match
    return custom_format(formats[name], seen)


def _nobody() -> None:
    """Before `bind` and after `unbind` there is no loop to wake: the owner flushes."""
