"""The two streams in a WSGI environ: wsgi.input over a body that is here whole, and wsgi.errors into the error log.

The body was spooled before a thread was taken (F14), so reading never waits. The spool file itself is not handed out:
an application that closes it, or seeks in it, would leave what PEP 3333 allows and other servers offer. PEP 3333,
"Input and Error Streams"; criteria F4 and F13. Knows no socket and no exchange beyond its request id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from edgestack.http.messages import Exchange

__all__ = ["NO_INPUT", "ErrorStream", "Input", "NoInput"]

LONGEST_LINE = 8192
"""Characters of a line in one record, and that a begun line may hold back (a guess: four times what nginx's error log
takes in a line)."""

_log = logging.getLogger("edgestack.error")


class Input:
    """wsgi.input: `read`, `readline`, `readlines` and iteration, all of which end where the body ends."""

    __slots__ = ("read", "readline", "readlines")

    read: Callable[..., bytes]
    """`read(size=-1)`: up to `size` bytes, all that is left without one; b"" at the end, as often as asked."""
    readline: Callable[..., bytes]
    """`readline(size=-1)`: through the next newline, which is kept, and at most `size` bytes."""
    readlines: Callable[..., list[bytes]]
    """`readlines(hint=-1)`: the lines that are left, or enough of them to make up `hint` bytes."""

    def __init__(self, spool: IO[bytes]) -> None:
        """:param spool: the body, at its start. Its own methods are taken over: reading costs no call of ours."""
        self.read = spool.read
        self.readline = spool.readline
        self.readlines = spool.readlines

    def __iter__(self) -> Iterator[bytes]:
        """The lines that are left."""
        return iter(self.readline, b"")


class NoInput:
    """wsgi.input of a request without a body. It has no state: one serves all."""

    __slots__ = ()

    def read(self, size: int | None = -1, /) -> bytes:
        """b""."""
        return b""

    def readline(self, size: int | None = -1, /) -> bytes:
        """b""."""
        return b""

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """No lines."""
        return []

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


NO_INPUT = NoInput()


class ErrorStream:
    """wsgi.errors: text, written to the error log under the request's id, one record a line.

    A line that is begun waits for its end, whatever pieces it comes in, and for `end` at the latest, which `WsgiCall`
    calls when the application is done. `flush` has nothing to do: whole lines are in the log already.
    """

    __slots__ = ("_exchange", "begun")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.begun = ""
        """What was written of a line without its end."""

    def write(self, text: str) -> int:
        """Write `text`; whole lines go to the log at once, and so does what is longer than a line may be.

        :raises TypeError: for anything but text.
        """
        if not isinstance(text, str):
            raise TypeError(f"wsgi.errors takes str, not {type(text).__name__}")
        *lines, begun = (self.begun + text).split("\n")
        for line in lines:
            self._put(line)
        if len(begun) > LONGEST_LINE:
            cut = (len(begun) - 1) // LONGEST_LINE * LONGEST_LINE
            self._put(begun[:cut])
            begun = begun[cut:]
        self.begun = begun
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Whole lines are in the log already; a piece of one is not torn off for this."""

    def end(self) -> None:
        """Nothing more comes: a line that was only begun goes into the log too."""
        line, self.begun = self.begun, ""
        if line:
            self._put(line)

    def _put(self, line: str) -> None:
        """One record; a line that is too long becomes several."""
        for at in range(0, len(line) or 1, LONGEST_LINE):
            part = line[at : at + LONGEST_LINE]
            _log.error("%s: %s", self._exchange.request_id, part, extra={"request_id": self._exchange.request_id})
