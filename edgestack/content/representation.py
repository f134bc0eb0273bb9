"""What follows from one file alone: its validators, its fields, its bytes, its ready answers (C1, C10, C14).

A `Representation` (RFC 9110 §8) is a file as it was at one stat; `static` keeps it for as long as that stat holds. Here
is the only code that opens what `files.Folder` found: never through a link, never a FIFO or a device, and surely the
file that was looked at.

    up to SMALL    the bytes leave with the head, in one call
    up to KEPT     by sendfile on plain connections; the bytes are kept for TLS, which needs them
    beyond         by sendfile, or read in large pieces on TLS
"""

from __future__ import annotations

import errno
import os
from hashlib import blake2b
from stat import S_ISREG
from weakref import WeakSet

from edgestack.content.files import EXHAUSTED, FORBIDDEN, GONE, Place, Signature, signature
from edgestack.errors import ClientError, EdgeError, Refused
from edgestack.http.bodies import FileSegment, OpenFile
from edgestack.http.conditional import validators
from edgestack.http.content_coding import coded_fields
from edgestack.http.dates import http_date
from edgestack.http.media_types import UNKNOWN
from edgestack.http.messages import FieldPairs, Response

__all__ = ["KEPT", "SMALL", "Changed", "Form", "Representation", "content", "digest", "open_regular", "read"]

SMALL = 32 * 1024
"""Bytes up to which a copy into the socket is cheaper than sendfile; measured on loopback: 16 KiB 3.2 µs against 4.1,
32 KiB 8.2 against 5.8, 100 KiB 24 against 19."""
KEPT = 256 * 1024
"""Bytes up to which a file is kept in memory: it is read on the loop, well within the half millisecond that a turn may
take, and 64 MiB hold some hundreds of that size."""
HELD = 256
"""Files kept open for sendfile: a small share of the usual 1,024 descriptors; opening anew costs 3 µs."""
OVERHEAD = 2048
"""Bytes that an entry is taken to weigh beside its content: some objects, field texts, a head."""
OPENING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
"""Real paths only, and no waiting for the other end of a FIFO that took a file's place since the stat."""


class Changed(Exception):
    """The file is no longer the one that was looked at; look again."""


class Representation:
    """A file in one content coding, and what follows from it alone. Of the identity, also its neighbours in others."""

    __slots__ = (
        "__weakref__", "bare", "codings", "content_type", "ctime", "data", "dev", "etag", "fields", "file", "filename",
        "forms", "future", "ino", "made", "modified", "mtime", "neighbours", "not_modified", "offered", "ready", "real",
        "size", "until", "weight", "whole",
    )  # fmt: skip

    def __init__(
        self,
        place: Place,
        file: OpenFile,
        data: bytes | None,
        digest: str,
        coding: str,
        media: str,
        shared: FieldPairs,
        now: int,
    ) -> None:
        """
        :param file: the file, open.
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
        self.file = file if self.size > SMALL and len(_held) < HELD else None
        """Kept open for sendfile, where the file is large enough to gain by it."""
        if self.file is not None:
            _held.add(self)
        self.whole = self._whole()
        """All of it; None where the file must be opened anew for each answer."""
        self.bare = Response(200, self.fields, b"", self.size)
        """All but its body, for HEAD."""
        self.not_modified = Response(304, validating)
        self.ready = self.whole
        """What a request without conditions gets; None where more must be asked."""
        self.codings: dict[str, Representation] = {}
        self.offered: tuple[str, ...] = ()
        self.neighbours: dict[str, Signature] = {}
        self.made: dict[str, Form | None] = {}
        """In codings that were made here; None where that gains nothing."""
        self.forms: dict[str, Response] = {}
        """What a request without conditions gets, by its Accept-Encoding, where that is known and asks for no look."""
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

    def join(self, codings: dict[str, Representation], offered: tuple[str, ...]) -> None:
        """Take in the same file in other codings; while this is made only.

        :param offered: these, and those that can be made, the server's favourite first.
        """
        self.codings, self.offered = codings, offered
        self.neighbours = {coding: coded.signature for coding, coded in codings.items()}
        self.weight += sum(coded.weight for coded in codings.values())
        if offered:
            self.ready = None

    def take(self, coding: str, form: Form | None) -> None:
        """Take in a form that was made here; None where that gains nothing."""
        self.made[coding] = form
        self.weight += form.weight if form is not None else 0

    def _whole(self) -> Response | None:
        if self.file is not None:
            return Response(200, self.fields, FileSegment(self.file, 0, self.size, self.data), self.size)
        if self.data is not None and self.size <= SMALL:
            return Response(200, self.fields, self.data, self.size)
        return None

    def opened(self) -> OpenFile:
        """The file, as it was. Raises as `open_regular` does."""
        return self.file or open_regular(self.real, self.signature)


class Form:
    """The same file in a coding that was made here (`coded.py`), and what follows from it."""

    __slots__ = ("bare", "etag", "modified", "not_modified", "weight", "whole")

    def __init__(self, known: Representation, coding: str, data: bytes) -> None:
        fields = coded_fields(known.fields, coding)
        self.etag = next(value for name, value in fields if name == "ETag")
        self.modified = known.modified
        self.whole = Response(200, fields, data, len(data))
        self.bare = Response(200, fields, b"", len(data))
        self.not_modified = Response(
            304, tuple((name, self.etag if name == "ETag" else value) for name, value in known.not_modified.fields)
        )
        self.weight = len(data)


_held: WeakSet[Representation] = WeakSet()


def open_regular(real: bytes, expected: Signature) -> OpenFile:
    """Open a file that was looked at before, for reading.

    :param real: its path without links.
    :raises Changed: it is not the same file any more.
    :raises ClientError: 403, the server may not read it.
    :raises Refused: 503, no descriptors are left.
    """
    try:
        file = OpenFile(os.open(real, OPENING))
    except OSError as error:
        if error.errno in FORBIDDEN:
            raise ClientError("This file is not open to readers.", 403, detail=str(error)) from None
        if error.errno in EXHAUSTED:
            raise Refused("Too many files are open.", 503, retry_after=1, detail=str(error)) from None
        if error.errno in GONE or error.errno == errno.ENXIO:
            raise Changed from None
        raise EdgeError("The file could not be read.", 500, detail=str(error)) from error
    found = os.fstat(file.fd)
    if signature(found) == expected and S_ISREG(found.st_mode):
        return file
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


def content(place: Place) -> tuple[OpenFile, bytes | None]:
    """The file, and its bytes, surely of one state; None for a large one's.

    :raises Changed: it changed meanwhile, so that what was read may be torn.
    """
    file = open_regular(place.real, place.signature)
    size = os.fstat(file.fd).st_size
    if size > KEPT:
        return file, None
    data = read(file.fd, 0, size)
    if signature(os.fstat(file.fd)) != place.signature:
        raise Changed
    return file, data


def digest(real: bytes, state: Signature) -> str:
    """The hash of a file's bytes, for an ETag. Reads all of it: for a thread. Raises `Changed` if it did meanwhile."""
    fd = (file := open_regular(real, state)).fd
    hashed = blake2b(digest_size=16)
    while piece := os.read(fd, 1 << 20):
        hashed.update(piece)
    if signature(os.fstat(file.fd)) != state:
        raise Changed
    return hashed.hexdigest()
