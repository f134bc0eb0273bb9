"""What an application told start_response, checked once and remembered: status and fields (PEP 3333, F9 and F10).

    read_head(status, headers)  ->  AppHead      a table hit for heads that were seen before, which most were

Refused with an AppError, and so with a 500 and a line in the log: a status that is not `NNN reason` or is 1xx,
hop-by-hop fields, CR, LF, NUL and other control characters, text that is no latin-1, bytes where str is due, a
Content-Length that is no number or comes twice. Dropped: Date, Server and X-Request-Id, since the wire writes exactly
one of each and its own are right. Content-Length becomes `length`: framing is the wire's.

An AppHead holds a finished Response that exchanges share, so that the wire encodes a repeated head once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from edgestack.errors import AppError
from edgestack.http.fields import HOP_BY_HOP, is_field_value, is_token
from edgestack.http.messages import FieldPairs, Response
from edgestack.http.remembered import Remembered

__all__ = ["AppHead", "read_head", "refuse"]

HEADS_KEPT = 256 * 1024
"""Characters of heads remembered in one generation; there are two. Our number: some thousand ordinary heads."""
LONGEST_KEPT = 2048
"""Characters; a longer head is checked each time."""

OURS = frozenset(("date", "server", "x-request-id"))
OFFLOADING = frozenset(("x-sendfile", "x-accel-redirect"))
BARE = frozenset((204, 304))
"""Statuses whose answers have no body and whose length is therefore not made up (RFC 9112 §6.3)."""

Key: TypeAlias = "tuple[str, FieldPairs]"

_status = re.compile(r"([2-9][0-9][0-9]) (.*)", re.DOTALL)
_length = re.compile(r"[0-9]{1,18}")


def refuse(detail: str) -> AppError:
    """The error for an application that broke PEP 3333. `detail` goes to the log, never to the client."""
    return AppError("The application gave an invalid answer.", detail=detail)


class AppHead:
    """A head that may be sent. Never changed once made, but for the answer that it last sized."""

    __slots__ = ("bare", "length", "offload", "plain", "response", "sized")

    def __init__(self, status: int, reason: str, fields: FieldPairs, length: int | None) -> None:
        """
        :param fields: as they may be sent, without Content-Length.
        :param length: what Content-Length said, in bytes.
        """
        self.length = length
        self.bare = status in BARE
        self.offload = tuple((name.lower(), value) for name, value in fields if name.lower() in OFFLOADING)
        self.plain = not self.bare and not self.offload
        """Nothing about it is special: a body that is here whole can leave at once."""
        self.response = Response(status, fields, (), length, reason)
        self.sized = self.response

    def with_length(self, length: int) -> Response:
        """The answer with `length` bytes of body; the last one asked for is kept, since pages repeat."""
        response = self.sized
        if response.length != length:
            self.sized = response = self.response.with_(length=length)
        return response


class _Heads(Remembered[Key, AppHead]):
    __slots__ = ()

    def make(self, key: Key) -> AppHead:
        return _check(*key)

    def weigh(self, key: Key, value: AppHead) -> int:
        """Cookies are each client's own: remembering them gains nothing."""
        size = 64
        for name, text in key[1]:
            size += len(name) + len(text)
            if name.lower() == "set-cookie":
                return 0
        return size if size <= LONGEST_KEPT else 0


_heads = _Heads(HEADS_KEPT)


def read_head(status: str, headers: Iterable[tuple[str, str]]) -> AppHead:
    """The head that an application announces.

    :param headers: PEP 3333 asks for a list of tuples; any iterable of pairs is taken.
    :raises AppError: it breaks PEP 3333 or RFC 9110; `str()` of it says how.
    """
    try:
        pairs = tuple(headers)
    except TypeError:
        raise refuse("start_response was called with headers that are no list of (name, value) tuples") from None
    try:
        return _heads[status, pairs]
    except TypeError:  # pairs that are lists: no key of a table
        return _check(status, tuple(tuple(pair) if isinstance(pair, list) else pair for pair in pairs))


def _check(status: str, headers: FieldPairs) -> AppHead:
    match = _status.fullmatch(status) if isinstance(status, str) else None
    if match is None:
        raise refuse(f"start_response was called with the status {status!r}: 'NNN reason' is asked for, from 200 on")
    if not is_field_value(match[2]):
        raise refuse(f"start_response was called with a reason phrase that cannot be sent: {match[2]!r}")
    fields: list[tuple[str, str]] = []
    length: int | None = None
    for pair in headers:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise refuse(f"start_response was called with a header that is no (name, value) tuple: {pair!r}")
        name, value = _text(pair[0], pair), _text(pair[1], pair)
        low = name.lower()
        if low == "content-length":
            if length is not None:
                raise refuse("start_response was called with Content-Length twice")
            length = _number(value)
        elif low not in OURS:
            _check_field(name, low, value)
            fields.append((name, value.strip(" \t")))  # not part of the value (RFC 9110 §5.5)
    return AppHead(int(match[1]), match[2], tuple(fields), length)


def _text(text: object, pair: object) -> str:
    """`text` as plain str; subclasses (Django's SafeString) may carry state, and are kept in a table."""
    if not isinstance(text, str):
        raise refuse(f"start_response was called with a header that is not str twice: {pair!r}")
    return str.__str__(text)


def _number(value: str) -> int:
    if _length.fullmatch(value.strip()) is None:
        raise refuse(f"start_response was called with a Content-Length that is no number: {value!r}")
    return int(value)


def _check_field(name: str, low: str, value: str) -> None:
    if not is_token(name):
        raise refuse(f"start_response was called with a field name that cannot be sent: {name!r}")
    if low in HOP_BY_HOP:
        raise refuse(f"start_response was called with {name}, which is between this server and its client (hop by hop)")
    if not is_field_value(value):
        raise refuse(f"start_response was called with a value of {name} that cannot be sent: {value!r}")
