"""Which file a path names (criteria C7, C8, C15).

Nothing here knows a request; `static` does. Here is the only code that joins a path from the network to a folder.
`Folder.locate` decides in this order:

    refuses     by the path alone: backslash, NUL, dotfiles (but /.well-known), what a project's own folder hides
    stat        missing 404, unreadable 403, neither file nor folder 404 (a FIFO is never opened)
    inside      the real path lies inside the real root, unless symlinks may lead out           else 404
    private     not what the server itself opens: by device and inode, and by real path         else 404
    folder      no slash: redirect; an index; a listing; else 403

A symlink may be switched at any time (`current -> releases/7`), so the root too is resolved anew at each look.
Dotfiles are judged by the path that was asked for and not by the real one: Kubernetes shows a volume through `..data`
links. Names are bytes on this side, as they are on disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Literal, NamedTuple, TypeAlias

from edgestack.config.model import Config
from edgestack.errors import EdgeError

__all__ = [
    "EXHAUSTED",
    "FORBIDDEN",
    "GONE",
    "Folder",
    "Place",
    "PrivateFiles",
    "Signature",
    "hidden_names",
    "signature",
]

Signature: TypeAlias = "tuple[int, int, int, int, int]"

GONE = frozenset([errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG])
FORBIDDEN = frozenset([errno.EACCES, errno.EPERM])
EXHAUSTED = frozenset([errno.EMFILE, errno.ENFILE])
PROJECT_FILES = ("pyproject.toml", "edgestack.toml", "setup.py", "requirements.txt", "manage.py", ".venv")
PROJECT_HIDES = ("certs/", "src/", "*.toml", "*.py")
WELL_KNOWN = "/.well-known/"


class Place(NamedTuple):
    """What a path names. `probes` and `remains` say what must hold for a "no file here" to be still true."""

    kind: Literal["file", "listing", "slash", "nothing"]
    """Serve it, list it, redirect to the path with a slash, or answer with `status`."""
    filename: bytes = b""
    """The path as asked for, below the root; links in it are followed anew by each stat."""
    real: bytes = b""
    """The same without links, for opening."""
    stat: os.stat_result | None = None
    status: int = 200
    why: str = ""
    """For the log and for `explain`."""
    probes: tuple[bytes, ...] | None = None
    """No file is here as long as none of these exists; None: only a new look can tell."""
    remains: bytes = b""
    """And as long as this exists, when it is given."""

    @property
    def signature(self) -> Signature:
        """The state in which a file, or a folder, was seen."""
        assert self.stat is not None
        return signature(self.stat)

    @property
    def mtime(self) -> int:
        """When it was last modified, in nanoseconds since 1970."""
        assert self.stat is not None
        return self.stat.st_mtime_ns


OUTSIDE = Place("nothing", status=404, why="private, or outside the root")


class PrivateFiles:
    """What the server itself opens: keys, certificates, configuration, password files, logs, sockets, stores (C15).

    Known by device and inode, so that no link and no other name leads to them, and by real path, so that a file
    renewed under the same name is private at once. Of a folder, everything below it is private.
    """

    __slots__ = ("_inodes", "_paths", "_reals")

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._paths = list(paths)
        self.refresh()

    @classmethod
    def of(cls, config: Config) -> PrivateFiles:
        """Those of a configuration."""
        pairs = [path for pair in config.tls.certificates for path in pair]
        return cls([*pairs, *config.server.private_paths])

    def add(self, *paths: Path) -> None:
        """Make more files or folders private; they need not exist yet."""
        self._paths += paths
        self.refresh()

    def refresh(self) -> None:
        """Look at the paths again: after a renewal, a rotation, a reload. Served folders follow within a second."""
        self._inodes: set[tuple[int, int]] = set()
        self._reals = tuple(os.path.realpath(os.fsencode(path)) for path in self._paths)
        for real in self._reals:
            try:
                found = os.stat(real)
            except OSError:
                continue  # not there yet; its path is private already
            self._inodes.add((found.st_dev, found.st_ino))

    def covers(self, found: os.stat_result, real: bytes) -> bool:
        """Whether a file is private.

        :param real: its path without links.
        """
        if (found.st_dev, found.st_ino) in self._inodes:
            return True
        return any(real == private or real.startswith(private + b"/") for private in self._reals)


def hidden_names(root: Path) -> tuple[str, ...]:
    """What is hidden below `root` beyond dotfiles: nothing, unless it is a project's own folder (C15).

    :return: folders directly below the root as "name/", endings as "*.ending".
    """
    return PROJECT_HIDES if any((root / name).exists() for name in PROJECT_FILES) else ()


class Folder:
    """A folder that is served, and the rules of what may be seen of it."""

    __slots__ = ("_base", "_hidden_endings", "_hidden_folders", "_index", "_links_lead_out", "_listing", "_private")

    def __init__(
        self, root: Path, index: tuple[str, ...], listing: bool, follow_symlinks: bool, private: PrivateFiles
    ) -> None:
        """
        :param index: names tried in order where a path ends in a slash.
        :param listing: whether a folder without an index may be listed.
        :param follow_symlinks: whether links may lead out of the root.
        """
        self._base = os.fsencode(os.path.abspath(root)).rstrip(b"/")
        self._index = tuple(os.fsencode(name) for name in index)
        self._listing = listing
        self._links_lead_out = follow_symlinks
        self._private = private
        hidden = hidden_names(root)
        self._hidden_folders = tuple("/" + name for name in hidden if name.endswith("/"))
        self._hidden_endings = tuple(name[1:] for name in hidden if name.startswith("*"))

    def locate(self, path: str) -> Place:
        """What `path` names: only stat is called, nothing is opened.

        :param path: the normal path below the mount: "" for the mount itself without its slash, else "/…".
        :raises EdgeError: 500, for a disk that fails.
        """
        if self.refuses(path):
            return Place("nothing", status=404, why="hidden, or no name for a file", probes=())
        name = self._base + path.encode("utf-8", "surrogateescape")
        try:
            found = os.stat(name)
        except OSError as error:
            return unreachable(name, error)
        if S_ISREG(found.st_mode):
            return self._file(name, found)
        if not S_ISDIR(found.st_mode):
            return Place("nothing", name, status=404, why="neither a file nor a folder")
        real = self.admits(found, os.path.realpath(name), self.real())
        if not real:
            return OUTSIDE
        if not path.endswith("/"):
            return Place("slash", name, real, found, 301, "a folder", probes=(), remains=name + b"/.")
        return self._inner(name, real, found)

    def beside(self, place: Place, ending: bytes) -> Place | None:
        """The file that has `ending` after the name of `place`, where there is one and it may be served."""
        name = place.filename + ending
        try:
            found = os.stat(name)
        except OSError:
            return None
        beside = self._file(name, found) if S_ISREG(found.st_mode) else None
        return beside if beside is not None and beside.kind == "file" else None

    def refuses(self, path: str) -> bool:
        """Whether `path` is refused by its letters alone."""
        if "\\" in path or "\0" in path or path[:1] not in ("", "/"):
            return True
        if "/." in path:
            below = path[len(WELL_KNOWN) - 1 :] if (path + "/").startswith(WELL_KNOWN) else path
            if "/." in below:
                return True
        return bool(self._hidden_folders) and self._hides(path)

    def real(self) -> bytes:
        """The real path of the root, as it is now, without a slash at its end."""
        return os.path.realpath(self._base or b"/").rstrip(b"/")

    def admits(self, found: os.stat_result, real: bytes, base: bytes) -> bytes:
        """`real` again if it lies inside the root and is neither private nor hidden there, else b"".

        :param real: the real path of a file or folder.
        :param base: what `real()` says.
        """
        inside = real == base or real.startswith(base + b"/")
        if not inside and not self._links_lead_out:
            return b""
        if inside and self._hidden_folders and self._hides(os.fsdecode(real[len(base) :])):
            return b""
        return b"" if self._private.covers(found, real) else real

    def _hides(self, path: str) -> bool:
        path = path.casefold() + "/"  # folded, since some disks do not tell CERTS from certs
        return path.startswith(self._hidden_folders) or path.rstrip("/").endswith(self._hidden_endings)

    def _file(self, name: bytes, found: os.stat_result) -> Place:
        real = self.admits(found, os.path.realpath(name), self.real())
        return Place("file", name, real, found) if real else OUTSIDE

    def _inner(self, name: bytes, real: bytes, found: os.stat_result) -> Place:
        """A folder asked for with its slash: its index, its listing, or 403."""
        probes = tuple(name + index for index in self._index)
        for candidate in probes:
            try:
                inner = os.stat(candidate)
            except OSError as error:
                if error.errno in GONE:
                    continue
                return unreachable(candidate, error)
            if S_ISREG(inner.st_mode):
                return self._file(candidate, inner)
        if self._listing:
            return Place("listing", name, real, found, 200, "a folder without an index", probes)
        return Place("nothing", name, real, found, 403, "a folder without an index", probes)


def unreachable(name: bytes, error: OSError) -> Place:
    if error.errno in GONE:
        return Place("nothing", name, status=404, why="there is no such file", probes=(name,))
    if error.errno in FORBIDDEN:
        return Place("nothing", name, status=403, why=f"the server may not read {os.fsdecode(name)}", probes=(name,))
    raise EdgeError("The file could not be read.", 500, detail=str(error))


def signature(found: os.stat_result) -> Signature:
    """What tells one state of a file from the next; ctime too, which changes with its rights and cannot be set."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
