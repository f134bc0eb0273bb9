"""The server's side of the control socket (`control.py`): opened, answered, removed.

    Control({"reload": …, "status": …})     a table of verbs: what they do is their owners' business
      open ─ run: a connection ─ the peer's user? ─ line by line: verb(request) -> answer ─ close

A ConfigError is told to whoever asked; any other error is logged, and costs that answer only. A child that an
application forks lets go of the socket and of its connections: it would take orders that are not for it.
"""

from __future__ import annotations

import logging
import os
import socket
import weakref
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import trio

from edgestack.errors import ConfigError
from edgestack.process.control import REQUEST, Message, line_of
from edgestack.process.control_place import PEERS, SILENCE, is_ours, open_control, read_request
from edgestack.process.telling import refused

__all__ = ["Control", "Verbs"]

Verbs: TypeAlias = "Mapping[str, Callable[[Message], Awaitable[Message]]]"
"""By name, what is done with a request; it gives the answer."""


log = logging.getLogger("edgestack.error")


class Control:
    """The server's side."""

    def __init__(self, verbs: Verbs) -> None:
        """Nothing is opened yet."""
        self._verbs = verbs
        self._sock: socket.socket | None = None
        self._peers = trio.CapacityLimiter(PEERS)
        self._streams: set[trio.SocketStream] = set()
        self.path: Path | None = None
        """Where it is; None while it is not open."""

    def open(self, environ: Mapping[str, str]) -> None:
        """Open it where that can be done; a server without one serves all the same, and the log says so."""
        opened = open_control(environ)
        if opened is not None:
            self._sock, self.path = opened
            _open.add(self)

    def close(self) -> None:
        """Close and remove it."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None

    def close_in_child(self) -> None:
        """After a fork: let go of everything; the path is the parent's."""
        for sock in (self._sock, *(stream.socket for stream in self._streams)):
            if sock is not None and sock.fileno() >= 0:
                os.close(sock.detach())
        self.path = None

    async def run(self) -> None:
        """Answer until cancelled."""
        if self._sock is None:
            return
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._sock))
        await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One peer, and the boundary for what goes wrong with it."""
        self._streams.add(stream)
        try:
            async with stream, self._peers:
                if is_ours(stream.socket):
                    await self._talk(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            return  # it left before it was answered, or only stands there
        except Exception:
            log.exception("a connection to the control socket failed")
        finally:
            self._streams.discard(stream)

    async def _talk(self, stream: trio.SocketStream) -> None:
        buffer = b""
        while True:
            line, newline, rest = buffer.partition(b"\n")
            if newline:
                buffer = rest
                answer = await self._answer(line)
                with trio.fail_after(SILENCE):
                    await stream.send_all(answer)
                continue
            if len(buffer) >= REQUEST:
                await stream.send_all(line_of({"ok": False, "errors": ["the request is too long"]}))
                return
            with trio.fail_after(SILENCE):
                data = await stream.receive_some(REQUEST - len(buffer))
            if not data:
                return
            buffer += data

    async def _answer(self, line: bytes) -> bytes:
        try:
            request = read_request(line, self._verbs)
            return line_of({"ok": True, **await self._verbs[request["verb"]](request)})
        except ConfigError as error:
            return line_of(refused(error))
        except Exception as error:
            log.exception("the order %r failed", line)
            return line_of({"ok": False, "errors": [f"the server failed: {error}"]})


_open: weakref.WeakSet[Control] = weakref.WeakSet()


def _after_fork() -> None:
    for control in list(_open):
        control.close_in_child()


os.register_at_fork(after_in_child=_after_fork)
