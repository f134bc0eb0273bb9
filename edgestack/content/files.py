"""Which file a path names, and what follows from that file alone (criteria C1, C7, C8, C10, C15).

Nothing here knows a request; `static` does. Here is the only code that joins a path from the network to a folder, and
the only one that opens what it found. `Folder.locate` decides in this order:

    refuses     by the path alone: backslash, NUL, dotfiles (but /.well-known), what a project's own folder hides
    stat        missing 404, unreadable 403, neither file nor folder 404 (a FIFO is never opened)
    inside      the real path lies inside the real root, unless symlinks may lead out           else 404
    private     not what the server itself opens: by device and inode, and by real path         else 404
    folder      no slash: redirect; an index; a listing; else 403

A symlink may be switched at any time (`current -> releases/7`), so the root too is resolved anew at each look.
Dotfiles are judged by the path that was asked for and not by the real one: Kubernetes shows a volume through `..data`
links. Names are bytes on this side, as they are on disk. A `Representation` (RFC 9110 §8) is a file as it was at one
stat, with its validators, fields and ready answers; `static` keeps it for as long as that stat holds.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Literal, NamedTuple, TypeAlias

from edgestack.errors import ClientError, EdgeError, Refused
from edgestack.http.conditional import validators
from edgestack.http.dates import http_date
from edgestack.http.media_types import UNKNOWN
from edgestack.http.messages import FieldPairs, Response

__all__ = [
    "Changed", "Folder", "Place", "PrivateFiles", "Representation", "Signature", "content", "digest", "hidden_names",
    "open_regular", "read", "signature",
]  # fmt: skip

Signature: TypeAlias = "tuple[int, int, int, int, int]"

SMALL = 256 * 1024
"""Bytes up to which a file is answered from memory. Reasoned, not measured: it is read on the loop, well within the
half millisecond that a turn may take, and 64 MiB hold some hundreds of that size."""
OVERHEAD = 2048
"""Bytes that an entry is taken to weigh beside its content: some objects, field texts, a head."""

GONE = frozenset([errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG])
FORBIDDEN = frozenset([errno.EACCES, errno.EPERM])
EXHAUSTED = frozenset([errno.EMFILE, errno.ENFILE])
OPENING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
"""Real paths only, and no waiting for the other end of a FIFO that took a file's place since the stat."""

PROJECT_FILES = ("pyproject.toml", "edgestack.toml")
PROJECT_HIDES = ("certs/", "src/", "*.toml", "*.py")
WELL_KNOWN = "/.well-known/"


class Changed(Exception):
    """The file is no longer the one that was looked at; look again."""


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


class Representation:
    """A file in one content coding, and what follows from it alone. Of the identity, also its neighbours in others."""

    __slots__ = (
        "codings", "content_type", "ctime", "data", "dev", "etag", "fields", "filename", "future", "ino", "modified",
        "mtime", "neighbours", "not_modified", "offered", "ready", "real", "size", "until", "weight", "whole",
    )  # fmt: skip

    def __init__(
        self, place: Place, data: bytes | None, digest: str, coding: str, media: str, shared: FieldPairs, now: int
    ) -> None:
        """
        :param data: its bytes; None when it is too large for memory.
        :param digest: hash of its bytes, where it has no usable date (C10); else "".
        :param coding: its content coding; "" for identity.
        :param media: its Content-Type.
        :param shared: fields that 200 and 304 both carry beside the validators.
        :param now: nanoseconds since 1970.
        """
        self.filename, self.real = place.filename, place.real
        self.dev, self.ino, self.size, self.mtime, self.ctime = place.signature
        self.future = self.mtime > now
        self.etag, self.modified = validators(self.mtime, self.size, now, digest, coding)
        dated = () if self.modified is None else (("Last-Modified", http_date(self.modified)),)
        validating: FieldPairs = (("ETag", self.etag), *dated, *shared)
        coded = (("Content-Encoding", coding),) if coding else ()
        guard = (("X-Content-Type-Options", "nosniff"),) if media == UNKNOWN else ()
        self.content_type = media
        self.fields: FieldPairs = (
            ("Content-Type", media), *coded, *validating, ("Accept-Ranges", "bytes"), *guard
        )  # fmt: skip
        self.data = data
        self.whole = Response(200, self.fields, data or b"", self.size)
        """All of it; without its body where that is not in memory."""
        self.not_modified = Response(304, validating)
        self.ready = self.whole if data is not None else None
        """What a request without conditions gets; None where more must be asked."""
        self.codings: dict[str, Representation] = {}
        self.offered: tuple[str, ...] = ()
        self.neighbours: dict[str, Signature] = {}
        self.weight = len(data or b"") + OVERHEAD
        self.until = 0.0
        """When links and neighbours are to be looked at again, on the serving clock."""

    @property
    def weak(self) -> bool:
        """Whether its ETag is weak, so that it should soon be made anew."""
        return self.etag.startswith("W/")

    @property
    def signature(self) -> Signature:
        """The state of the file that this was made from."""
        return (self.dev, self.ino, self.size, self.mtime, self.ctime)

    def join(self, codings: dict[str, Representation]) -> None:
        """Take in the same file in other codings, the server's favourite first; while this is made only."""
        self.codings, self.offered = codings, tuple(codings)
        self.neighbours = {coding: coded.signature for coding, coded in codings.items()}
        self.weight += sum(coded.weight for coded in codings.values())
        if codings:
            self.ready = None


def open_regular(real: bytes, expected: Signature) -> int:
    """Open a file that was looked at before, for reading; the caller closes it.

    :param real: its path without links.
    :raises Changed: it is not the same file any more.
    :raises ClientError: 403, the server may not read it.
    :raises Refused: 503, no descriptors are left.
    """
    try:
        fd = os.open(real, OPENING)
    except OSError as error:
        if error.errno in FORBIDDEN:
            raise ClientError("This file is not open to readers.", 403, detail=str(error)) from None
        if error.errno in EXHAUSTED:
            raise Refused("Too many files are open.", 503, retry_after=1, detail=str(error)) from None
        if error.errno in GONE or error.errno == errno.ENXIO:
            raise Changed from None
        raise EdgeError("The file could not be read.", 500, detail=str(error)) from error
    found = os.fstat(fd)
    if signature(found) == expected and S_ISREG(found.st_mode):
        return fd
    os.close(fd)
    raise Changed


def read(fd: int, offset: int, length: int) -> bytes:
    """Exactly `length` bytes of an open file from `offset` on.

    :raises Changed: it has become shorter.
    """
    pieces = []
    while length:
        piece = os.pread(fd, length, offset)
        if not piece:
            raise Changed
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def content(place: Place) -> bytes | None:
    """The bytes of a small file, surely of one state; None for a large one, opened only to see that it may be read.

    :raises Changed: it changed meanwhile, so that what was read may be torn.
    """
    fd = open_regular(place.real, place.signature)
    try:
        size = os.fstat(fd).st_size
        if size > SMALL:
            return None
        data = read(fd, 0, size)
        if signature(os.fstat(fd)) != place.signature:
            raise Changed
        return data
    finally:
        os.close(fd)


def digest(real: bytes, state: Signature) -> str:
    """The hash of a file's bytes, for an ETag. Reads all of it: for a thread. Raises `Changed` if it did meanwhile."""
    fd = open_regular(real, state)
    hashed = blake2b(digest_size=16)
    try:
        while piece := os.read(fd, 1 << 20):
            hashed.update(piece)
        if signature(os.fstat(fd)) != state:
            raise Changed
        return hashed.hexdigest()
    finally:
        os.close(fd)
