"""The server's side of the control socket (`control.py`): opened, answered, removed.

    Control({"reload": …, "status": …})     a table of verbs: what they do is their owners' business
      open ─ run: a connection ─ the peer's user? ─ line by line: verb(request) -> answer ─ close

A ConfigError is told to whoever asked; any other error is logged, and costs that answer only. A child that an
application forks lets go of the socket and of its connections: it would take orders that are not for it.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import struct
import weakref
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import trio

from edgestack.errors import ConfigError
from edgestack.process.control import ENDING, LONGEST_PATH, REQUEST, Message, folders, is_private, line_of

__all__ = ["Control", "Verbs"]

Verbs: TypeAlias = "Mapping[str, Callable[[Message], Awaitable[Message]]]"
"""By name, what is done with a request; it gives the answer."""

ERRORS = 100
"""Errors told in one answer; nobody reads more."""
PEERS = 8
"""Connections at a time: commands that a person gives."""
SILENCE = 10.0
"""Seconds for which a peer may neither ask nor read; it would keep others from their turn."""

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
        why = ""
        for folder in folders(environ):
            path = folder / f"{os.getpid()}{ENDING}"
            if len(os.fsencode(path)) > LONGEST_PATH:
                why = f"the path {path} is too long"
                continue
            try:
                _make_private(folder)
                _sweep(folder)
                self._sock = _listen(path)
            except OSError as error:
                why = f"{folder}: {error.strerror}"
                continue
            self.path = path
            _open.add(self)
            return
        log.warning("there is no control socket, `edgestack reload` needs --pid: %s", why)

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
                if _is_ours(stream):
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
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
            return line_of({"ok": False, "errors": ['a request is a JSON object with a "verb"']})
        verb = self._verbs.get(request["verb"])
        if verb is None:
            known = ", ".join(sorted(self._verbs))
            return line_of({"ok": False, "errors": [f"there is no such verb; there are {known}"]})
        try:
            return line_of({"ok": True, **await verb(request)})
        except ConfigError as error:
            return line_of({"ok": False, "errors": told(error)})
        except Exception as error:
            log.exception("the order %r failed", request["verb"])
            return line_of({"ok": False, "errors": [f"the server failed: {error}"]})


def told(error: ConfigError) -> list[str]:
    """An error, or each of several, as text."""
    each = getattr(error, "errors", (error,))
    lines = [one.shown() if hasattr(one, "shown") else str(one) for one in each[:ERRORS]]
    return [*lines, f"and {len(each) - ERRORS} more"] if len(each) > ERRORS else lines


def _is_ours(stream: trio.SocketStream) -> bool:
    """Whether the peer is this user, or root (unix(7): SO_PEERCRED; elsewhere the socket's mode has to do)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    if uid in (0, os.geteuid()):
        return True
    log.warning("user %d was turned away from the control socket", uid)
    return False


def _make_private(folder: Path) -> None:
    """:raises OSError: it cannot be made, or it is not this user's alone."""
    folder.mkdir(mode=0o700, parents=False, exist_ok=True)
    if not is_private(folder):
        raise PermissionError(errno.EACCES, "it is not this user's alone")


def _sweep(folder: Path) -> None:
    """Remove what servers left behind that were killed, one under our own number included."""
    for path in folder.glob(f"*{ENDING}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)  # a unix socket connects at once or says why not
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue  # a full backlog: somebody is there


def _listen(path: Path) -> socket.socket:
    """It gets its name once it listens: another server that starts now would sweep away what does not answer."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    unnamed = path.with_suffix(".new")
    try:
        unnamed.unlink(missing_ok=True)
        sock.bind(str(unnamed))
        unnamed.chmod(0o600)  # before anybody can connect
        sock.listen(PEERS)
        sock.setblocking(False)
        unnamed.rename(path)
    except BaseException:
        sock.close()
        raise
    return sock


_open: weakref.WeakSet[Control] = weakref.WeakSet()


def _after_fork() -> None:
    for control in list(_open):
        control.close_in_child()


os.register_at_fork(after_in_child=_after_fork)
