"""Where a control socket is opened, by whoever has the loop for it: named, private, and for this user alone.

open_control(environ) -> (socket, path)      a server's own, called by its process id
is_ours(connection)                          whether the peer is this user, or root
read_request(line, verbs)                    what a peer wants, if it makes sense
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import struct
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from edgestack.errors import ConfigError
from edgestack.process.control import ENDING, LONGEST_PATH, Message, folders, is_private

__all__ = ["PEERS", "SILENCE", "is_ours", "open_control", "read_request"]

PEERS = 8
"""Connections at a time: commands that a person gives."""
SILENCE = 10.0
"""Seconds for which a peer may neither ask nor read; it would keep others from their turn."""

log = logging.getLogger("edgestack.error")


class Verbs(Iterable[str], Container[str], Protocol):
    """Names of what can be asked for."""


def open_control(environ: Mapping[str, str]) -> tuple[socket.socket, Path] | None:
    """Open it where that can be done; None, and a line in the log, where it cannot: one can serve without."""
    why = ""
    for folder in folders(environ):
        path = folder / f"{os.getpid()}{ENDING}"
        if len(os.fsencode(path)) > LONGEST_PATH:
            why = f"the path {path} is too long"
            continue
        try:
            _make_private(folder)
            _sweep(folder)
            return _listen(path), path
        except OSError as error:
            why = f"{folder}: {error.strerror}"
    log.warning("there is no control socket, `edgestack reload` needs --pid: %s", why)
    return None


def read_request(line: bytes, verbs: Verbs) -> Message:
    """What a line asks for.

    :raises ConfigError: nothing that there is.
    """
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
        raise ConfigError('a request is a JSON object with a "verb"')
    if request["verb"] not in verbs:
        raise ConfigError(f"there is no such verb; there are {', '.join(sorted(verbs))}")
    return request


class Connected(Protocol):
    """A connected socket, of trio's or the system's."""

    def getsockopt(self, level: int, name: int, size: int, /) -> bytes:
        """As `socket.socket` has it."""


def is_ours(connection: Connected) -> bool:
    """Whether the peer is this user, or root (unix(7): SO_PEERCRED; elsewhere the socket's mode has to do)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
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
