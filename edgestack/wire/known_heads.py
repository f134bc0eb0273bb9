"""The shortest road: a head whose field lines came together before, but for the cookie.

    request line CRLF | block ... CRLF Cookie: | value | CRLF ... block | CRLF CRLF

One client's requests differ in the request line and at most in the cookie; all that stands around its value is looked
up whole, in one bounded table, instead of line by line (13 lookups and a dict made of them cost 2.3 µs of 4.2). The law
of `h1_head.py` holds here too: this road only says yes, where `read_ordinary` would say yes and read the same. A block
that holds a secret is never remembered, and a cookie is in no key and no value of the table (design: engine, rule 3).
"""

from __future__ import annotations

from edgestack.config.model import Limits
from edgestack.http.messages import Request
from edgestack.http.remembered import Remembered
from edgestack.wire.h1_head import FORGOTTEN, Block, read_block, read_request_line

__all__ = ["read_known"]

CRLF = b"\r\n"
END = b"\r\n\r\n"
COOKIE = b"\r\nCookie: "
"""As browsers write it; other spellings take the road by lines."""
CUT = COOKIE[2:]
"""What is left of its line in a block."""

BLOCKS_BUDGET = 1 << 19
"""Bytes of one generation of remembered blocks."""
LONGEST_BLOCK = 2048
"""Bytes of a block worth remembering; browsers' are 400 to 900."""
ENTRY = 33 + 112 + 48 + 640
"""Bytes that a block costs beyond its text: headers, the Block, its dict and list of a dozen pairs (CPython 3.11); the
pairs themselves belong to the table of lines."""


class _Blocks(Remembered[bytes, "Block | None"]):
    """Blocks, each beginning with the CRLF that ends the request line."""

    __slots__ = ()

    def make(self, key: bytes) -> Block | None:
        lines = key[2:].split(CRLF)
        if CUT not in lines:
            return read_block(lines)
        place = lines.index(CUT)
        del lines[place]
        block = read_block(lines)
        if block is None or "cookie" in block.fields:
            return None
        block.place = place
        return block

    def weigh(self, key: bytes, value: Block | None) -> int:
        if value is None or len(key) > LONGEST_BLOCK or not FORGOTTEN.isdisjoint(value.fields):
            return 0
        return ENTRY + len(key)


_blocks = _Blocks(BLOCKS_BUDGET)


def read_known(head: bytes, limits: Limits) -> Request | None:
    """The request, or None when the other roads have to decide.

    :param head: what was received, ending with CRLFCRLF. Is it more than one head, the answer is None.
    """
    end = head.find(CRLF)
    at = head.rfind(COOKIE, end) + len(COOKIE)
    if at < len(COOKIE):
        block = _blocks[head[end:-4]]
    else:
        stop = head.find(CRLF, at)
        block = _blocks[head[end:at] + head[stop:-4]]
    line = read_request_line(head[:end])
    if line is None or block is None or len(block.pairs) >= limits.fields:
        return None
    if end > limits.request_line or len(head) > limits.head:
        return None
    method, target, path, query = line
    fields = block.fields
    if block.place >= 0:
        cookie = head[at:stop].decode("latin-1")
        if not cookie.isprintable():
            return None
        fields = fields.copy()
        fields["cookie"] = cookie.strip(" ")
    return Request(
        method, target, "HTTP/1.1", block.pairs, fields, path, query, block.host, block.persistent, block.place,
        block.conditional, block,
    )  # fmt: skip
