"""Just enough of WebSocket for a scripted upstream: the handshake's answer, and messages that fit one frame (RFC 6455).

    accepted(request) -> bytes       101, with the key's answer (§4.2.2)
    frame(payload) -> bytes          one message, unmasked, as servers send (§5.1)
    Frames().feed(data)              messages out of masked frames; fragments are put together (§5.4)

It speaks to the edge, which passes bytes on and knows no frame: what is tested is the tunnel, and not this file.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from typing import NamedTuple

from edgestack.testing.messages import SeenRequest

__all__ = ["BINARY", "CLOSE", "PING", "TEXT", "Frame", "Frames", "accepted", "frame"]

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 §1.3."""
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Frame(NamedTuple):
    """A message, or a control frame."""

    opcode: int
    payload: bytes


def accepted(request: SeenRequest) -> bytes:
    """The answer to a handshake."""
    key = (request.get("sec-websocket-key") or "").encode()
    answer = b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest()).decode()
    head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    return "\r\n".join([*head, f"Sec-WebSocket-Accept: {answer}", "", ""]).encode()


def frame(payload: str | bytes, opcode: int | None = None) -> bytes:
    """A whole message as one frame."""
    kind = (TEXT if isinstance(payload, str) else BINARY) if opcode is None else opcode
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data)
    if size < 126:
        length = bytes([size])
    elif size < 1 << 16:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes([0x80 | kind]) + length + data


class Frames:
    """Takes frames apart."""

    def __init__(self) -> None:
        self._buffer = b""
        self._parts: list[Frame] = []

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The messages and control frames that are complete now."""
        self._buffer += data
        while (found := self._one()) is not None:
            final, one = found
            if one.opcode >= CLOSE:
                yield one
                continue
            self._parts.append(one)
            if final:
                whole = Frame(self._parts[0].opcode, b"".join(part.payload for part in self._parts))
                self._parts.clear()
                yield whole

    def _one(self) -> tuple[bool, Frame] | None:
        """The next frame, and whether it ends its message."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, at = buffer[1] & 0x7F, 2
        if size >= 126:
            at += 2 if size == 126 else 8
            size = int.from_bytes(buffer[2:at], "big")
        masked = bool(buffer[1] & 0x80)
        start = at + 4 * masked
        if len(buffer) < start + size:
            return None
        payload = buffer[start : start + size]
        if masked:
            mask = buffer[at:start] * (size // 4 + 1)
            payload = bytes(one ^ other for one, other in zip(payload, mask, strict=False))
        self._buffer = buffer[start + size :]
        return bool(buffer[0] & 0x80), Frame(buffer[0] & 0x0F, payload)
