"""Compressed messages, as wsproto has its frames pass through them: permessage-deflate (RFC 7692 §7.2).

    inbound    header: RSV1 says that a message is compressed; payload: inflated piece by piece, within the limit
    outbound   long enough: deflated, RSV1 set; shorter, and control frames: as they are

wsproto's own extension inflates without a limit, deflates the shortest message, and is at a loss when a deflate stream
ends within a connection (§7.2.3.5); the rest of it, frames and RSV bits, is its business here too. Sans-I/O. Only what
needs wsproto imports this.
"""

from __future__ import annotations

import zlib
from typing import Any

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, RsvBits

from edgestack.asgi.extensions import NAME, Terms

__all__ = ["LEAST", "Deflate"]

LEAST = 64
"""Bytes from which a message is deflated: a shorter one is lost in the packet that carries it. A guess."""
LEVEL = 1
"""Of zlib's nine: the loop waits for it (criterion D5: fast levels)."""
MEMORY = 5
"""zlib's memLevel. With a window of 12 bits that is 32 KiB a connection; websockets' choice too."""
NARROWEST = 9
"""zlib's smallest window; one of 8 bits is read with it."""
TAIL = b"\x00\x00\xff\xff"
"""What each message is without: the end of an empty stored block (§7.2.1)."""
ENDS = 16
"""Deflate streams that may end within one message. One is enough for the RFC; without a bound, two bytes make one."""


class Deflate(Extension):
    """See the top of this file."""

    name = NAME

    def __init__(self, terms: Terms, most: int) -> None:
        """:param most: bytes of one message, inflated."""
        self._terms = terms
        self._most = most
        self._inflater: Any = None
        self._deflater: Any = None
        self._compressed = False
        """The message that comes is."""
        self._control = False
        """The frame that comes is one."""
        self._size = 0
        self._ends = 0

    def enabled(self) -> bool:
        """It was agreed on."""
        return True

    def offer(self) -> str:
        """What was agreed on."""
        return self._terms.said()

    # -- what comes ----------------------------------------------------------------------------------------------------

    def frame_inbound_header(self, proto: Any, opcode: Any, rsv: RsvBits, payload_length: int) -> RsvBits:
        """The RSV bits that may be set: the first, on the first frame of a message (§6.1)."""
        self._control = opcode.iscontrol()
        first = not self._control and opcode.name != "CONTINUATION"
        if first:
            self._compressed, self._size, self._ends = rsv.rsv1, 0, 0
        return RsvBits(first, False, False)

    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> bytes | CloseReason:
        """What a piece of a frame says."""
        return self._inflate(data) if self._compressed and not self._control else data

    def frame_inbound_complete(self, proto: Any, fin: bool) -> bytes | CloseReason | None:
        """What the end of a frame adds."""
        if not (fin and self._compressed) or self._control:
            return None
        rest = self._inflate(TAIL)
        self._compressed = False
        if self._terms.client_forgets:
            self._inflater = None
        return rest

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        made = []
        try:
            while data:
                if self._inflater is None:
                    self._inflater = zlib.decompressobj(-max(self._terms.client_bits, NARROWEST))
                piece = self._inflater.decompress(data, self._most + 1 - self._size)
                made.append(piece)
                self._size += len(piece)
                if self._size > self._most:
                    return CloseReason.MESSAGE_TOO_BIG
                data = b""
                if self._inflater.eof:
                    data, self._inflater = self._inflater.unused_data, None
                    self._ends += 1
                    if self._ends > ENDS:
                        return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        return b"".join(made)

    # -- what is sent --------------------------------------------------------------------------------------------------

    def frame_outbound(self, proto: Any, opcode: Any, rsv: RsvBits, data: bytes, fin: bool) -> tuple[RsvBits, bytes]:
        """A whole message, deflated where that is worth it."""
        if opcode.iscontrol() or len(data) < LEAST:
            return rsv, data
        if self._deflater is None:
            self._deflater = zlib.compressobj(LEVEL, zlib.DEFLATED, -self._terms.server_bits, MEMORY)
        made = self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        if self._terms.server_forgets:
            self._deflater = None
        return RsvBits(True, rsv.rsv2, rsv.rsv3), made.removesuffix(TAIL)
