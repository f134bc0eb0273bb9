"""The folder that holds the development certificates: where it is, one writer at a time, nothing half written.

Keys are made with mode 0600 from their first byte on; a file appears under its name only when it is whole (`rename`).
Two processes that start together meet at a lock (`flock`), and the second finds what the first has made.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["certificates_folder", "guard", "locked", "write_file"]

_IGNORE = """\
# Made by edgestack: the keys and certificates of this machine are nobody else's.
edgestack-ca.*
localhost.*
.lock
"""


def certificates_folder(cwd: Path, environ: Mapping[str, str]) -> Path:
    """`./certs` where there is one, else the user's data folder, which all projects share (XDG base directories).

    :param cwd: the folder that the server is started in.
    :param environ: XDG_DATA_HOME (ignored unless absolute, as its specification says) and HOME.
    """
    if (cwd / "certs").is_dir():
        return cwd / "certs"
    data = environ.get("XDG_DATA_HOME", "")
    home = environ.get("HOME", "")
    share = Path(data) if os.path.isabs(data) else (Path(home) if home else Path.home()) / ".local" / "share"
    return share / "edgestack"


def guard(folder: Path) -> None:
    """Make `folder`, for this user alone, or, if it was there, tell git to leave our files in it alone.

    :raises OSError: it cannot be made or written to.
    """
    if folder.is_dir():
        ignore = folder / ".gitignore"
        if folder.name == "certs" and not ignore.exists():
            write_file(ignore, _IGNORE.encode(), 0o644)
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; whoever comes second waits. A holder that dies lets go of it.

    :raises OSError: the folder cannot be written to, or its file system knows no locks.
    """
    fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def write_file(path: Path, data: bytes, mode: int) -> None:
    """Put `data` at `path`, whole or not at all, with exactly the permissions `mode`."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
