"""How the commands of this program speak to a running server: where its control socket is, and what is said there.

    -> {"verb": "reload"}                           one object a line, at most REQUEST bytes
    <- {"ok": true, "warnings": []}                 one answer for each, in order, at most ANSWER bytes
    <- {"ok": false, "errors": ["edgestack.toml:3:1: …"]}

Each server has its own, called by its process id, in a folder that only its user may enter:
`$XDG_RUNTIME_DIR/edgestack`, `/run/edgestack` for root, else one below the folder for temporary files. The socket's
mode is 0600, and whoever connects must be the same user, or root (unix(7): SO_PEERCRED). It is removed at the end; what
a server left that was killed is removed by the next one. The server's side is `control_server.py`; this one must not
import an event loop, for which every command would wait.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["ENDING", "LONGEST_PATH", "REQUEST", "Message", "ask", "folders", "is_private", "line_of", "sockets_here"]

Message: TypeAlias = "dict[str, Any]"
"""One request or answer: what JSON has."""
REQUEST = 64 * 1024
ANSWER = 1024 * 1024
"""Bytes of one line, its newline included; far more than any verb needs, and what a peer can make us hold."""
LONGEST_PATH = 107
"""Bytes of a unix socket's path (unix(7): sun_path, 108 with its end)."""
ENDING = ".sock"


def folders(environ: Mapping[str, str]) -> list[Path]:
    """Where control sockets of this user may be, the place for a new one first."""
    found = []
    if environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(environ["XDG_RUNTIME_DIR"]) / "edgestack")
    if os.geteuid() == 0:
        found.append(Path("/run/edgestack"))
    found.append(Path(tempfile.gettempdir()) / f"edgestack-{os.geteuid()}")
    return found


def sockets_here(environ: Mapping[str, str]) -> list[Path]:
    """The control sockets of this user's servers; some may be left over from servers that were killed."""
    found: list[Path] = []
    for folder in folders(environ):
        if is_private(folder):
            found += sorted(folder.glob(f"*{ENDING}"))
    return found


def ask(path: Path, request: Message, patience: float) -> Message:
    """The client's side: one request, one answer.

    :param patience: seconds to wait for each piece of the answer.
    :raises OSError: nobody is there, or does not answer.
    :raises ValueError: what answers is no control socket.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(patience)
        sock.connect(str(path))
        sock.sendall(line_of(request))
        buffer = b""
        while not buffer.endswith(b"\n"):
            data = sock.recv(65536)
            if not data or len(buffer) > ANSWER:
                raise ConnectionResetError(errno.ECONNRESET, "it broke off")
            buffer += data
    answer = json.loads(buffer)
    if not isinstance(answer, dict):
        raise ValueError("the answer is no object")
    return answer


def line_of(message: Message) -> bytes:
    """A message as it is sent."""
    line = json.dumps(message).encode() + b"\n"
    if len(line) > ANSWER:
        line = json.dumps({"ok": False, "errors": ["the answer is too long"]}).encode() + b"\n"
    return line


def is_private(folder: Path) -> bool:
    """Whether it is a folder that only this user may enter."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
