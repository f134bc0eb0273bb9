"""The bytes that pass between clients and a test edge, in clear text, for reports and recordings.

    tap = Tap(); Stack(…, admitted=tap)     every connection is listened to from its first byte on
    tap.turns()                             Turn(connection, request bytes, answer bytes, …), the oldest first

A turn is what a client said, and all that was answered before it spoke again: one exchange, or a burst of them. It
stands between a connection and its socket, so that the edge itself goes the road that it goes in production. What it
does not see: files that the system sends by itself (sendfile, on plain HTTP alone), and what passes through a tunnel.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import trio

from edgestack.wire.connection import Connection
from edgestack.wire.portable_stream import PortableStream

__all__ = ["Tap", "Tapped", "Turn"]

MOST = 256 * 1024
"""Bytes of one direction of a turn that are kept for reports: enough for any page; a download is cut."""
LINE = 400
"""Bytes of a line that a report shows: more than any ordinary field has, and no report that a body floods."""
LAST = 64
"""Turns that are kept for reports."""


class Turn:
    """One request, or a burst, and its answer."""

    __slots__ = ("answer", "began", "cut", "ended", "number", "request", "wall")

    def __init__(self, number: int) -> None:
        """:param number: of the connection."""
        self.number = number
        self.request = bytearray()
        self.answer = bytearray()
        self.began = self.ended = time.perf_counter()
        """Seconds, of real time."""
        self.wall = time.time()
        """Seconds since 1970 at its beginning."""
        self.cut = False
        """Not all of it was kept."""

    def __str__(self) -> str:
        """Both, as they passed; a line of source for each line that has one."""
        told = [f"-- connection {self.number}{', not all of it' if self.cut else ''}"]
        for sign, data in ((">>", self.request), ("<<", self.answer)):
            told += [f"{sign} {_shown(line)}" for line in bytes(data).splitlines(keepends=True)]
        return "\n".join(told)


def _shown(line: bytes) -> str:
    left = len(line) - LINE
    return f"{line[:LINE]!r} and {left} bytes more" if left > 0 else repr(line)


class _Line:
    """One connection."""

    def __init__(self, tap: Tap, number: int) -> None:
        self._tap = tap
        self._number = number
        self._turn: Turn | None = None

    def asked(self, data: bytes) -> None:
        """The client said something."""
        if data:
            turn = self._turn
            if turn is None or turn.answer:
                turn = self._turn = self._tap.begin(self._number)
            self._keep(turn, turn.request, data)

    def answered(self, data: bytes) -> None:
        """The edge said something. On the loop, or on an application's thread."""
        turn = self._turn or self._tap.begin(self._number)
        self._turn = turn
        self._keep(turn, turn.answer, data)

    def _keep(self, turn: Turn, kept: bytearray, data: bytes) -> None:
        turn.ended = time.perf_counter()
        room = len(data) if self._tap.whole else max(0, MOST - len(kept))
        kept += data[:room]
        turn.cut = turn.cut or room < len(data)


class Tap:
    """Listens to every connection of an edge."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: deque[Turn] = deque(maxlen=LAST)
        self._connections = 0
        self.whole = False
        """Keep every byte: somebody records."""
        self._recordings: list[list[Turn]] = []

    def __call__(self, connection: Any) -> None:
        """Listen to a connection (`Stack(admitted=…)`)."""
        if isinstance(connection, Connection):
            self._tap_lot(connection)
        elif isinstance(connection, PortableStream):
            inner, transport = connection._stream, connection.transport
            connection._stream = Tapped(inner, self.line())
            if transport is inner:
                connection.transport = connection._stream

    def line(self) -> _Line:
        """For one connection."""
        with self._lock:
            self._connections += 1
            return _Line(self, self._connections)

    def _tap_lot(self, connection: Connection) -> None:
        line, receive, send = self.line(), connection.receive, connection.send

        def receiving(size: int) -> bytes:
            data = receive(size)
            line.asked(data)
            return data

        def sending(data: bytes | memoryview) -> int:
            sent = send(data)
            line.answered(bytes(data[:sent]))
            return sent

        connection.receive, connection.send = receiving, sending

    def begin(self, number: int) -> Turn:
        """A turn begins."""
        turn = Turn(number)
        with self._lock:
            self._turns.append(turn)
            for recording in self._recordings:
                recording.append(turn)
        return turn

    def turns(self) -> list[Turn]:
        """The last turns, the oldest first."""
        with self._lock:
            return list(self._turns)

    def recording(self) -> tuple[list[Turn], Callable[[], None]]:
        """A list that every turn from now on is appended to, and what ends that."""
        turns: list[Turn] = []
        with self._lock:
            self._recordings.append(turns)
            self.whole = True

        def end() -> None:
            with self._lock:
                if turns in self._recordings:
                    self._recordings = [one for one in self._recordings if one is not turns]
                    self.whole = bool(self._recordings)

        return turns, end


class Tapped(trio.abc.HalfCloseableStream):
    """A stream that is listened to."""

    def __init__(self, stream: trio.abc.Stream, line: _Line) -> None:
        self._stream = stream
        self._line = line

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Pass on."""
        await self._stream.send_all(data)
        self._line.answered(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        """Pass on."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Pass on."""
        data = bytes(await self._stream.receive_some(max_bytes))
        self._line.asked(data)
        return data

    async def send_eof(self) -> None:
        """Pass on, where the stream can."""
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()

    async def aclose(self) -> None:
        """Pass on."""
        await self._stream.aclose()
