"""Which running server a command means, and what it says to an order (`control.py`).

of_pid(file)        the server that wrote a pid file
of_file(file)       the server that uses this file; without one that of ./edgestack.toml, else the only one
asked(path, …)      its answer, or a kind word about why there is none
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edgestack.config.load import FILE_NAME
from edgestack.errors import ConfigError
from edgestack.process.control import ENDING, Message, ask, sockets_here
from edgestack.process.markers import living

__all__ = ["asked", "of_file", "of_pid"]

LOOK = 2.0
"""Seconds to wait for a server to say who it is."""


def asked(path: Path, request: Message, patience: float) -> Message:
    """The answer of the server behind a control socket.

    :param patience: seconds to wait for it.
    :raises ConfigError: there is none.
    """
    try:
        return ask(path, request, patience)
    except TimeoutError:
        raise ConfigError(f"the server behind {path} does not answer", hint="its error log may know why") from None
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"nobody answers at {path}: {said}", hint="is the server running?") from None


def of_file(file: Path | None) -> Path:
    """The control socket of the server that uses a file; where none is named and none is used here, of the only one.

    :raises ConfigError: there is no such server, or there are several.
    """
    servers = _servers()
    wanted = file or Path(FILE_NAME)
    if file is not None and not file.exists():
        raise ConfigError(f"the file {file} does not exist")
    found = [path for path, status in servers if status["file"] is not None and _same(Path(status["file"]), wanted)]
    if file is None and not found:
        found = [path for path, _ in servers]
    if len(found) == 1:
        return found[0]
    if not found:
        what = f" that uses {file}" if file is not None else ""
        hint = "if it is another user's: --control PATH, or --pid FILE"
        raise ConfigError(f"no server of yours is running{what}", hint=hint)
    names = [
        f"process {status['pid']} ({status['file'] or 'no file'}, --control {path})"
        for path, status in servers if path in found
    ]  # fmt: skip
    raise ConfigError(f"there are {len(found)} servers: {', '.join(names)}", hint="name one with -c or --control")


def of_pid(file: Path) -> Path | None:
    """The control socket of the process that a pid file names; None when it has none.

    :raises ConfigError: no such process runs.
    """
    number = living(file)
    if not number:
        why = "does not exist" if not file.exists() else "names no process that runs"
        raise ConfigError(f"the pid file {file} {why}", hint="is the server running?")
    return next((path for path in sockets_here(os.environ) if path.name == f"{number}{ENDING}"), None)


def _servers() -> list[tuple[Path, dict[str, Any]]]:
    """The servers of this user that answer, and what they say of themselves."""
    servers = []
    for path in sockets_here(os.environ):
        try:
            status = ask(path, {"verb": "status"}, LOOK)
        except (OSError, ValueError):
            continue  # left over from a server that was killed, or busy with its end
        if status.get("ok") is True:
            servers.append((path, status))
    return servers


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one.absolute() == other.absolute()
