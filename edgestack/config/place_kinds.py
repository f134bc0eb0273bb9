"""Kinds of values that name something on this machine: folders, files, modules, addresses.

Relative paths are relative to the folder of the file that names them (of a flag: to the current folder). What must be
there is looked for when it is read, so that `check` tells it; nothing is opened for good, and no module is imported.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgestack.config.addresses import parse_address
from edgestack.config.kinds import Kind, NotHere
from edgestack.config.nested_kinds import OneOrMany
from edgestack.config.problems import nearest
from edgestack.errors import ConfigError

if TYPE_CHECKING:
    from edgestack.config.reading import Spot

__all__ = [
    "ADDRESS", "APPLICATION", "FILE", "FILES", "FOLDER", "NEW_FILE", "NEW_FOLDER", "PASSWORDS", "LogTarget",
    "find_module",
]  # fmt: skip


class FolderPath(Kind):
    """A folder that is there."""

    words = "a folder"

    def read(self, value: Any, spot: Spot) -> Path:
        """Its path."""
        path = resolved(value, spot)
        if path.is_dir():
            return path
        if path.exists():
            raise NotHere(f"{value} is a file, not a folder", hint=f"its folder is {Path(value).parent}")
        raise NotHere(f"the folder {value} does not exist", hint=closest(path, value, folders=True))


class FilePath(Kind):
    """A file that is there and can be read."""

    words = "a file"

    def read(self, value: Any, spot: Spot) -> Path:
        """Its path."""
        path = resolved(value, spot)
        if path.is_dir():
            raise NotHere(f"{value} is a folder, not a file")
        if not path.exists():
            raise NotHere(f"the file {value} does not exist", hint=closest(path, value))
        if not os.access(path, os.R_OK):
            raise NotHere(f"the file {value} cannot be read: permission denied")
        return path


class FilePaths(OneOrMany):
    """One such file, or several; in an environment variable they are separated as in PATH."""

    def plain(self, text: str) -> Any:
        """Several in one text."""
        return [path for path in text.split(os.pathsep) if path]


class Passwords(FilePath):
    """A password file: lines of `name:hash`."""

    words = "a password file"

    def read(self, value: Any, spot: Spot) -> Path:
        """Its path, when every line of it has a name and a hash."""
        path = super().read(value, spot)
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            user, colon, secret = line.partition(":")
            if line.strip() and not line.startswith("#") and not (user and colon and secret):
                hint = "one is made by `edgestack hash-password`, or by htpasswd"
                raise NotHere(f"line {number} of {value} is not `name:hash`", hint=hint)
        return path


class NewFile(Kind):
    """A file that will be written: its folder is there."""

    words = "a file"

    def read(self, value: Any, spot: Spot) -> Path:
        """Its path."""
        path = resolved(value, spot)
        if path.is_dir():
            raise NotHere(f"{value} is a folder, not a file")
        if not path.parent.is_dir():
            folder = os.path.dirname(value) or "."
            raise NotHere(f"the folder {folder} does not exist", hint=closest(path.parent, folder, folders=True))
        return path


class NewFolder(Kind):
    """A folder that is there, or will be made in one that is."""

    words = "a folder"

    def read(self, value: Any, spot: Spot) -> Path:
        """Its path."""
        path = resolved(value, spot)
        if path.exists() and not path.is_dir():
            raise NotHere(f"{value} is a file, not a folder")
        if not path.exists() and not path.parent.is_dir():
            parent = os.path.dirname(value.rstrip("/")) or "."
            raise NotHere(f"the folder {parent} does not exist", hint=closest(path.parent, parent, folders=True))
        return path


class LogTarget(NewFile):
    """A log: a file, or "-" for the standard stream, or "off"."""

    def __init__(self, *words: str) -> None:
        self.special = words
        self.words = " or ".join(["a file", *(f'"{word}"' for word in words)])

    def read(self, value: Any, spot: Spot) -> Any:
        """A word as it is, else the file's path as text."""
        return value if value in self.special else str(super().read(value, spot))


class Address(Kind):
    """Where to listen: a Listener, whose `tls` is decided later."""

    words = "an address"

    def read(self, value: Any, spot: Spot) -> str:
        """The text, when it is an address; the default port depends on TLS."""
        parse_address(value)
        return str(value)


class Application(Kind):
    """A WSGI application by name: `module:name`."""

    words = "an application"

    def read(self, value: Any, spot: Spot) -> Any:
        """The text and the folder that comes first on sys.path, when the module is there."""
        module, colon, name = value.partition(":")
        if os.sep in module or module.endswith(".py"):
            dotted = module.removesuffix(".py").strip("./").replace(os.sep, ".")
            raise ConfigError(f"{value!r} names a file, not a module", hint=f'did you mean "{dotted}{colon}{name}"?')
        if not all(part.isidentifier() for part in module.split(".")) or (colon and not name.strip()):
            dash = "Python imports no name with a dash: rename the file" if "-" in module else 'write "module:name"'
            raise ConfigError(f"{value!r} does not name an application", hint=dash)
        source = spot.mark.source
        folder = source.folder
        missing = find_module(module, [str(folder), os.getcwd(), *sys.path])
        if missing:
            hint = _closest_module(missing, folder, value)
            if not hint:
                first = "beside this file first, then " if source.text else ""
                hint = f"it is looked for {first}in the current folder, then on sys.path"
            raise NotHere(f"there is no module `{missing}`", hint=hint)
        return value, folder.absolute()


def find_module(name: str, path: list[str]) -> str:
    """Look for a module without importing anything: "" when it is there, else the first part that is not.

    :param name: dotted; one that was imported is there.
    :param path: the folders in which a top-level module may be, in order.
    """
    parts = name.split(".")
    if name in sys.modules or parts[0] in sys.builtin_module_names:
        return ""
    places: list[str] | None = path
    for count in range(1, len(parts) + 1):
        dotted = ".".join(parts[:count])
        found = PathFinder.find_spec(dotted, places) if places is not None else None
        if found is None:
            return dotted
        places = None if found.submodule_search_locations is None else list(found.submodule_search_locations)
    return ""


def _closest_module(missing: str, folder: Path, said: str) -> str:
    """The module that was probably meant, among those beside the missing one; "" when none is close."""
    parent, _, last = missing.rpartition(".")
    if parent and not folder.joinpath(*parent.split(".")).is_dir():
        return f"`{parent}` is a module, not a package"
    beside = folder.joinpath(*parent.split(".")) if parent else folder
    try:
        names = [one.name.removesuffix(".py") for one in beside.iterdir() if one.suffix == ".py" or one.is_dir()]
    except OSError:
        return ""
    meant = nearest(last, [name for name in names if name.isidentifier()])
    if not meant:
        return ""
    return f'did you mean "{said.replace(missing, f"{parent}.{meant}" if parent else meant, 1)}"?'


def resolved(value: str, spot: Spot) -> Path:
    """A path of the file, from where it stands.

    :raises ConfigError: it is empty, or has a NUL.
    """
    if not value or "\0" in value:
        raise ConfigError("this is no path")
    return spot.mark.source.folder / os.path.expanduser(value)


def closest(path: Path, said: str, *, folders: bool = False) -> str:
    """ "did you mean …?" with the most similar name beside the missing `path`, written as `said` was."""
    try:
        names = [one.name for one in path.parent.iterdir() if one.is_dir() or not folders]
    except OSError:
        return f"the folder {os.path.dirname(said.rstrip('/'))} does not exist either" if "/" in said.strip("/") else ""
    name = nearest(path.name, names)
    if not name:
        return ""
    shown = os.path.join(os.path.dirname(said.rstrip("/")), name)
    return f'did you mean "{shown}{"/" if said.endswith("/") else ""}"?'


FOLDER = FolderPath()
FILE = FilePath()
FILES = FilePaths(FILE)
NEW_FILE = NewFile()
NEW_FOLDER = NewFolder()
PASSWORDS = Passwords()
ADDRESS = Address()
APPLICATION = Application()
