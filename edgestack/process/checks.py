"""Looking at what the user named before anything is opened: folders that must exist, files that must be writable.

Each check raises `ConfigError` with one sentence and, where one suggests itself, the thing that was probably meant.
What only using it can tell (a key that does not match, a module that is missing) is told by whoever uses it.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from edgestack.config.model import Config
from edgestack.errors import ConfigError
from edgestack.process.identity import identity_of
from edgestack.process.options import Options

__all__ = ["check", "closest", "static_root", "writable"]


def check(config: Config, options: Options) -> None:
    """Check every folder and file that is named.

    :raises ConfigError: at the first that cannot be used.
    """
    roots = [route.static.root for site in config.all_sites() for route in site.routes if route.static is not None]
    for root in dict.fromkeys(roots):
        static_root(root)
    if config.server.log.access not in ("-", "off"):
        writable(Path(config.server.log.access), "access-log")
    if config.server.log.error != "-":
        writable(Path(config.server.log.error), "error-log")
    identity_of(config.server.processes)
    if options.ready_file is not None:
        replaceable(options.ready_file, "ready-file")
    if options.pid_file is not None:
        replaceable(options.pid_file, "pid")


def static_root(root: Path) -> None:
    """A folder to serve: it is there, it is a folder, and this process may read it."""
    try:
        os.listdir(root)
    except FileNotFoundError:
        raise ConfigError(f"the folder {root} does not exist", hint=closest(root), key="static") from None
    except NotADirectoryError:
        hint = f"serve its folder: {root.parent}" if root.exists() else ""
        raise ConfigError(f"{root} is a file, not a folder", hint=hint, key="static") from None
    except OSError as error:
        raise ConfigError(f"the folder {root} cannot be read: {error.strerror}", key="static") from None


def writable(path: Path, key: str) -> None:
    """A file that will be appended to: it, or its folder, can be written."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder, not a file", key=key)
    if path.exists():
        if not os.access(path, os.W_OK):
            raise ConfigError(f"{path} cannot be written: permission denied", key=key)
        return
    _folder(path.parent, key)


def replaceable(path: Path, key: str) -> None:
    """A file that will be replaced: its folder can be written, and no device, pipe or folder bears its name."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder, not a file", key=key)
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is not a regular file", key=key)
    _folder(path.parent, key)


def _folder(folder: Path, key: str) -> None:
    if not folder.is_dir():
        raise ConfigError(f"the folder {folder} does not exist", hint=closest(folder), key=key)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"the folder {folder} cannot be written: permission denied", key=key)


def closest(path: Path) -> str:
    """ "did you mean …?" with the most similar folder beside the missing `path`, or ""."""
    try:
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    except OSError:
        return ""
    near = get_close_matches(path.name, beside, n=1)
    return f"did you mean {path.parent / near[0]}?" if near else ""
