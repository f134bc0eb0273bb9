"""How processes of one server speak: objects of JSON, one a line, over a pair of connected sockets that never block.

    supervisor -> worker      {"do": "leave"} {"do": "quit"} {"do": "reopen"} {"do": "ask", "id": 7, "request": {…}}
    worker -> supervisor      {"say": "ready"} {"say": "failed", …} {"say": "replace", "why": "…"}
                              {"say": "answer", "id": 7, "answer": {…}}
    supervisor -> preloader   {"do": "fork", …} with the new worker's end of its own channel
    preloader -> supervisor   {"say": "ready"} {"say": "forked", "age": 3, "pid": 77} {"say": "died", "pid": 77, …}

The end of a stream means that the other process has gone. What it does not take at once waits here, bounded: a process
that reads nothing of its orders is hung, and whoever keeps it will see that by other signs.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from edgestack.process.control import Message

__all__ = ["Channel", "pair"]

MOST = 4 * 1024 * 1024
"""Bytes that wait for the other side: some of the longest answers (`control.ANSWER`)."""
PIECE = 65536


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


class Channel:
    """One end."""

    __slots__ = ("_received", "owed", "sock")

    def __init__(self, sock: socket.socket) -> None:
        """:param sock: connected; owned from now on."""
        sock.setblocking(False)
        self.sock = sock
        self.owed = b""
        """What the other side has not taken yet."""
        self._received = b""

    def send(self, **message: Any) -> bool:
        """Send, or keep what does not leave at once. False: the other side has gone, or reads nothing."""
        self.owed += json.dumps(message).encode() + b"\n"
        return self.flush() and len(self.owed) <= MOST

    def flush(self) -> bool:
        """Send what waits, as far as it leaves. False: the other side has gone."""
        try:
            while self.owed:
                self.owed = self.owed[self.sock.send(self.owed) :]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def receive(self) -> list[Message] | None:
        """What has come, whole lines only; None at the end of the stream."""
        try:
            data = self.sock.recv(PIECE)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            return None
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """The other side reads the end."""
        self.sock.close()
