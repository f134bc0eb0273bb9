"""How answers begin to leave on the lot: framed, and written at once as far as the socket takes them.

    begin(response)   frame it, send what goes at once, let a Sender do the rest (`sender.py`)
    begin_file        the short road for a run of a file on a connection that goes on (on TLS: begin_file_on_tls)

Head and body leave in one call when both are in memory. A head before a file is sent on its own, without MSG_MORE: held
back, it costs sendfile the whole transmission (16 µs for 100 KiB against 6 where the head was on its way already; nginx
does the same unless told `tcp_nopush`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgestack.errors import ClientError
from edgestack.http.bodies import FileSegment, Piece
from edgestack.http.messages import Exchange, Response
from edgestack.wire.connection import Connection
from edgestack.wire.h1_answer import Tail, frame
from edgestack.wire.mover import DEEP
from edgestack.wire.outbox import Outbox
from edgestack.wire.sender import Sender

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot

__all__ = ["AT_HAND", "begin", "begin_file", "begin_file_on_tls", "given", "pieces_of", "unread"]

AT_HAND = (bytes, tuple, FileSegment)
"""Bodies that need nobody to make them."""

RECORD = 16 * 1024
"""Bytes of content in one TLS record, at most (RFC 8446 §5.1)."""

_tail = Tail()


def unread(connection: Connection) -> bool:
    """Whether bytes of the request's body are still to come; what is here already is dropped."""
    framing = connection.h1.framing
    if framing is None or framing.complete:
        return False
    try:
        while framing.read():
            pass
    except ClientError:
        return True
    return not framing.complete


def begin(lot: Lot, connection: Connection, exchange: Exchange, response: Response) -> bool:
    """Send any answer. On the loop; one whose body is not at hand is left to a task.

    :returns: True when all of it left and the connection is on the lot; False when somebody holds it, or it closes.
    """
    if type(response.body) not in AT_HAND:
        lot.wait(connection, exchange, given(response))
        return False
    keep = lot.lasting and not unread(connection)
    framed = frame(exchange, response, keep)
    exchange.status = response.status
    pieces = pieces_of(response) if not framed.bare else []
    head = framed.head + _tail.of(exchange)
    first = pieces[0] if pieces else None
    if isinstance(first, bytes):
        head += first
        del pieces[0]
    exchange.bytes_out = response.length or 0 if not framed.bare else 0
    return Sender(lot, connection, exchange, Outbox(head, *pieces), framed.keep).run()


async def given(response: Response) -> Response:
    """An answer, for whoever awaits one."""
    return response


def begin_file(lot: Lot, connection: Connection, exchange: Exchange, response: Response, head: bytes) -> bool:
    """Send a run of a file on a plain connection that goes on afterwards. On the loop; returns as `begin` does.

    :param head: all of it, framed already.
    """
    segment = response.body
    assert isinstance(segment, FileSegment)
    exchange.status = response.status
    exchange.bytes_out = size = segment.length
    sent = moved = 0
    turn = min(size, Sender.PLAIN_TURN)
    try:
        sent = connection.send(head)
        if sent == len(head):
            moved = os.sendfile(connection.fd, segment.fd, segment.offset, turn)
            if moved == size:
                connection.deadline = lot.now + lot.timeouts.keepalive
                exchange.finish()
                return True
    except OSError:
        pass  # full, or broken: the Sender's first write tells which
    rest = segment.after(moved)
    owed = (head[sent:], rest) if sent < len(head) else (rest,)
    deep = DEEP <= moved < turn
    return Sender(lot, connection, exchange, Outbox(*owed), keep=True, begun=sent > 0, deep=deep).run()


def begin_file_on_tls(lot: Lot, connection: Connection, exchange: Exchange, response: Response, head: bytes) -> bool:
    """The same on TLS: the head shares its record with the beginning of the file, and a small one needs no Sender."""
    segment = response.body
    assert isinstance(segment, FileSegment)
    exchange.status = response.status
    exchange.bytes_out = size = segment.length
    piece: bytes | memoryview = head + segment.read(0, max(0, RECORD - len(head)))
    read = len(piece) - len(head)
    begun, offered = False, 0
    try:
        while piece and read <= Sender.TLS_TURN:
            offered = len(piece)
            sent = connection.send(piece)
            begun, offered = True, 0
            if sent < len(piece):
                piece = piece[sent:]
                break
            piece = segment.read(read, Sender.TLS_PIECE)
            read += len(piece)
        else:
            if read == size and not piece:
                connection.deadline = lot.now + lot.timeouts.keepalive
                exchange.finish()
                return True
    except OSError:
        pass  # full, or broken: the Sender's first write tells which
    owed = (bytes(piece), segment.after(read)) if read < size else (bytes(piece),)
    return Sender(lot, connection, exchange, Outbox(*owed), keep=True, begun=begun, offered=offered).run()


def pieces_of(response: Response) -> list[Piece]:
    """A body that is at hand, as a list; empty pieces left out."""
    body = response.body
    if type(body) is bytes:
        return [body] if body else []
    if type(body) is tuple:
        return list(body)
    assert isinstance(body, FileSegment)
    return [body]
