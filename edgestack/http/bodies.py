"""What a message carries: the types of bodies, and the two parties that application code may see of a connection.

Nothing here moves a byte: `wire/receiving.py` and `wire/sending.py` are the only movers. A body that goes out is one of

    bytes                     all of it, in memory
    FileSegment               a run of bytes of an open file (sendfile, or pread on TLS)
    tuple of those            written one after the other (multipart/byteranges)
    AsyncIterable[bytes]      a stream made on the loop
    Relay                     such a stream from another server, which a driver can move without a task (wire/relay.py)
    Tunnel                    after 101: bytes both ways until both sides have ended (wire/tunnel.py)
    Conversation              after 101: what another protocol says is said in this process (wire/conversation.py)

and an application thread writes through an `Outlet` instead of giving back a body.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator
from typing import IO, TYPE_CHECKING, Protocol, TypeAlias

from edgestack.errors import ClientError

if TYPE_CHECKING:
    from edgestack.http.messages import Response

__all__ = [
    "Body", "Conversation", "FileSegment", "OpenFile", "Outlet", "Piece", "Relay", "RequestBody", "Transform", "Tunnel",
    "WrappedBody", "within",
]  # fmt: skip


class OpenFile:
    """An open descriptor, shared by the table of a folder and by every answer that sends from it.

    It closes when the last of them lets go: a table forgets entries without a word, and no answer knows of the others.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        """Take over the descriptor."""
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class FileSegment:
    """`length` bytes of an open file, from `offset` on. A value: whoever sends it keeps the position to himself."""

    __slots__ = ("data", "fd", "file", "length", "offset")

    def __init__(self, file: OpenFile, offset: int, length: int, data: bytes | None = None) -> None:
        """
        :param offset: the first byte to send, from the start of the file.
        :param length: how many bytes to send; never more are sent, and fewer (a file that shrank) break the connection.
        :param data: the whole file, where it is in memory anyway: TLS needs bytes and is spared the reading.
        """
        self.file = file
        self.fd = file.fd
        self.offset = offset
        self.length = length
        self.data = data

    def after(self, done: int) -> FileSegment:
        """What is left of it behind the first `done` bytes."""
        return FileSegment(self.file, self.offset + done, self.length - done, self.data)

    def read(self, done: int, most: int) -> bytes | memoryview:
        """Up to `most` bytes behind the first `done`; none at the end, or where the file has become shorter."""
        size = min(most, self.length - done)
        if self.data is not None:
            return memoryview(self.data)[self.offset + done : self.offset + done + size]
        return os.pread(self.fd, size, self.offset + done)


class Relay(Protocol):
    """What another server sends, while it sends it. Iterating gives the decoded body, and raises `UpstreamError` when
    it is broken off. Whoever takes it iterates it to its end, or closes it."""

    buffering: bool
    """Whether it may be read ahead of a slow client, so that the other server is soon rid of it."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, piece by piece."""

    def close(self) -> None:
        """Give it up; harmless where it has ended. On the loop."""


class Tunnel(Protocol):
    """A connection to another server that speaks another protocol from here on (RFC 9110 §7.8)."""

    def close(self) -> None:
        """Give it up. On the loop."""


class Conversation(Protocol):
    """Whoever speaks another protocol over the client's connection from here on (RFC 9110 §7.8)."""

    def gone(self) -> None:
        """It is not going to be spoken, or no longer. On the loop."""


class Transform(Protocol):
    """What happens to the pieces of one body on their way; whoever moves them puts each through it. On any thread.

    Nothing is withheld: what `feed` gives for a piece is enough to make that piece again (criterion D6).
    """

    plain: Response
    """The answer that it was put upon: with the fields and the length of the pieces as they come."""

    def feed(self, piece: bytes) -> bytes:
        """What leaves for a piece."""

    def finish(self, piece: bytes = b"") -> bytes:
        """What leaves for the last piece, and the end. Not called where the body is broken off."""


Piece: TypeAlias = "bytes | FileSegment"
Body: TypeAlias = "bytes | FileSegment | tuple[Piece, ...] | AsyncIterable[bytes] | Tunnel | Conversation"


class RequestBody(Protocol):
    """The body of a request. It is not begun until it is asked for; asking sends 100-continue where that is due (E6).

    Both ways of reading raise `ClientError` 413 past the limit, 408 when the client is too slow, 400 on bad framing,
    and `Disconnected` when it leaves.
    """

    length: int | None
    """What Content-Length says, in bytes; None for a chunked body."""
    gap: float
    """Seconds that the client may pause."""

    def spooled_nowait(self, limit: int) -> IO[bytes] | None:
        """The whole body as a file at its start if every byte of it is here already, else None."""

    async def spooled(self, limit: int) -> IO[bytes]:
        """The whole body as a file at its start: 64 KiB in memory, beyond that a temporary file.

        :param limit: the largest size accepted, in bytes.
        """

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body piece by piece, as it arrives."""


class WrappedBody:
    """What a body that stands in front of another has in common with it."""

    __slots__ = ("_body",)

    def __init__(self, body: RequestBody) -> None:
        self._body = body

    @property
    def gap(self) -> float:
        """Seconds that the client may pause."""
        return self._body.gap

    @gap.setter
    def gap(self, seconds: float) -> None:
        self._body.gap = seconds


def within(size: int, limit: int) -> None:
    """:raises ClientError: 413, a body of `size` bytes is larger than `limit`."""
    if size > limit:
        raise ClientError(f"The request's body is larger than the {limit} bytes that are accepted.", 413)


class Outlet(Protocol):
    """Where an application thread writes its answer. Every method is called on that thread, and none reads a socket.

    The order is `head`, any number of `piece`, then `finish` or `broken`, exactly once. Nothing leaves before the first
    piece or `finish`. `Disconnected` is raised by `piece` once nobody is there to read (the client left, the answer was
    given by somebody else, or the server is stopping); then the caller closes its iterable and calls `broken`.
    """

    def head(self, response: Response) -> None:
        """Set status and fields; may be called again until the first byte has left. `response.body` is sent first."""

    @property
    def begun(self) -> bool:
        """Whether a byte of the answer has left: then the status can no longer be changed."""

    def piece(self, data: bytes) -> None:
        """Send `data`; waits, bounded by the send timeout, while a slow client's spool is full. b"" is ignored."""

    def file(self, segment: FileSegment) -> None:
        """Send a run of an open file by the road static files take."""

    def whole(self, response: Response, data: bytes) -> None:
        """`head`, `piece` and `finish` in one: the usual answer, on the shortest road. `data` is not empty."""

    def finish(self) -> None:
        """The answer is whole. Sends what is still held back (an empty answer's head, the last chunk)."""

    def broken(self, why: str = "") -> None:
        """The answer cannot be completed: break the connection so that the client sees the truncation (F11)."""

    def left(self) -> bool:
        """Whether the client is known to have gone."""
