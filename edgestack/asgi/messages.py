"""What an application sends, looked at before anything of it goes further (ASGI: HTTP & WebSocket message format 2.5).

Field names and values are bytes here and latin-1 text in the rest of the house. What an application may not say is
dropped where it would only be said twice (Date, Server, framing, Connection: the wire writes them), and refused where
it would break an answer: a `TypeError` or `ValueError` that is raised in the application, at its own `send`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from edgestack.http.fields import HOP_BY_HOP, is_field_value, is_token
from edgestack.http.messages import FieldPairs

__all__ = ["ClientLeft", "Head", "body_of", "read_fields", "read_head"]

OURS = HOP_BY_HOP | {"date", "server", "x-request-id", "content-length"}
"""Written by the wire, or about one connection only."""

MOST_DIGITS = 18
"""Of a Content-Length: more bytes than that are no number of anything."""


class ClientLeft(ConnectionResetError):
    """What `send` raises once nobody is there to hear it: an OSError, as the spec asks since 2.4."""

    def __init__(self) -> None:
        super().__init__("the client has left")


class Head(NamedTuple):
    """The head of an answer."""

    status: int
    fields: FieldPairs
    length: int | None
    """What Content-Length said, in bytes."""


def read_head(message: Mapping[str, Any]) -> Head:
    """What `http.response.start` says.

    :raises TypeError: something is missing, or of another type.
    :raises ValueError: a status or a field that cannot be sent.
    """
    status = message.get("status")
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(f"{message['type']} needs a status, an int; it has {status!r}")
    if not 200 <= status <= 999:
        raise ValueError(f"{message['type']} has the status {status}: 200 to 999 can be sent")
    pairs = _pairs(message.get("headers") or ())
    length = next((_number(value) for name, value in pairs if name.lower() == "content-length"), None)
    return Head(status, tuple(pair for pair in pairs if pair[0].lower() not in OURS), length)


def read_fields(headers: Iterable[Any] | None) -> FieldPairs:
    """The fields that `websocket.accept` adds.

    :raises TypeError, ValueError: as `read_head`.
    """
    pairs = _pairs(headers or ())
    return tuple(
        pair for pair in pairs if pair[0].lower() not in OURS and not pair[0].lower().startswith("sec-websocket-")
    )


def body_of(message: Mapping[str, Any]) -> bytes:
    """The piece that `http.response.body` brings.

    :raises TypeError: it is no bytes.
    """
    body = message.get("body", b"")
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(f"{message['type']} has a body that is {type(body).__name__}: bytes are asked for")
    return bytes(body)


def _pairs(headers: Iterable[Any]) -> list[tuple[str, str]]:
    return [_pair(pair) for pair in headers]


def _pair(pair: Any) -> tuple[str, str]:
    try:
        name, value = pair
        told = bytes(name).decode("latin-1"), bytes(value).decode("latin-1").strip(" \t")
    except (TypeError, ValueError):
        raise TypeError(f"a header is a pair of bytes, not {pair!r}") from None
    if not is_token(told[0]) or not is_field_value(told[1]):
        raise ValueError(f"the header {pair!r} cannot be sent")
    return told


def _number(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) <= MOST_DIGITS):
        raise ValueError(f"Content-Length is no number: {value!r}")
    return int(value)
