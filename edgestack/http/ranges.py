"""Parts of a representation: the Range field, Content-Range, and multipart/byteranges (RFC 9110 §14).

Pure functions over numbers and text; who reads the bytes is not known here. `read_ranges` comes to one of three:

    None             there is no usable range: send the whole (200). Malformed, unknown unit, or abuse
    []               nothing of what was asked for exists (416 with `unsatisfied`)
    [(first, last)]  the parts to send, in the order asked for, both ends included (206)

Abuse (criterion C5, RFC 9110 §14.2, CVE-2011-3192): more ranges than `MOST_RANGES`, or ranges that together ask for
more bytes than there are, are answered as if Range were absent.
"""

from __future__ import annotations

import re
import secrets

from edgestack.http.bodies import Piece
from edgestack.http.messages import FieldPairs, Response

__all__ = ["MOST_RANGES", "content_range", "multipart", "partial_content", "read_ranges", "unsatisfied"]

MOST_RANGES = 32
"""Ranges in one request. Apache allows 200, but each of ours may need a descriptor; readers of PDF ask for a dozen."""

_RANGE = re.compile(r"[ \t]*(?:([0-9]*)-([0-9]*))?[ \t]*")
BEYOND = 1 << 62
"""Stands for any position of more than 18 digits: no file is that long."""


def read_ranges(value: str, size: int) -> list[tuple[int, int]] | None:
    """The satisfiable ranges of a Range field for a representation of `size` bytes; see above for None and [].

    :param value: the field's value, such as ``bytes=0-499, -500``.
    """
    unit, equals, listed = value.partition("=")
    if not equals or unit.strip(" \t").lower() != "bytes":
        return None
    members = listed.split(",", MOST_RANGES)
    if len(members) > MOST_RANGES:
        return None
    ranges, named = [], 0
    for member in members:
        found = _RANGE.fullmatch(member)
        if found is None:
            return None
        if found[1] is None:
            continue  # an empty list element (RFC 9110 §5.6.1.2)
        spec = _positions(found[1], found[2], size)
        if spec is None:
            return None
        named += 1
        if spec[0] < size and spec[0] <= spec[1]:
            ranges.append(spec)
    if not named or sum(last - first + 1 for first, last in ranges) > size:
        return None
    return ranges


def _positions(first: str, last: str, size: int) -> tuple[int, int] | None:
    """One range as (first, last), `last` clipped to the end; None where it is malformed.

    A suffix of an empty representation is satisfiable by §14.1.2 but cannot be written in Content-Range, so it too
    makes the field unusable.
    """
    if not first:
        if not last or (not size and _number(last)):
            return None
        length = _number(last)
        return (max(size - length, 0), size - 1) if length else (size, size)
    start = _number(first)
    if not last:
        return start, size - 1
    end = _number(last)
    return None if end < start else (start, min(end, size - 1))


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < 19 else BEYOND


def content_range(first: int, last: int, size: int) -> str:
    """The Content-Range of a part (RFC 9110 §14.4)."""
    return f"bytes {first}-{last}/{size}"


def unsatisfied(size: int) -> str:
    """The Content-Range of a 416 (RFC 9110 §15.5.17)."""
    return f"bytes */{size}"


def multipart(
    ranges: list[tuple[int, int]], size: int, content_type: str, boundary: str
) -> tuple[list[bytes], bytes, int]:
    """The framing of a multipart/byteranges body (RFC 9110 §14.6): what goes before each part, after the last, in all.

    :param boundary: must not occur in the representation; long and random is enough (RFC 2046 §5.1.1).
    :return: one head a range, the closing line, and the length in bytes of the whole body, parts included.
    """
    heads = [
        f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\n"
        f"Content-Range: {content_range(first, last, size)}\r\n\r\n".encode("latin-1")
        for first, last in ranges
    ]
    heads[0] = heads[0][2:]
    tail = f"\r\n--{boundary}--\r\n".encode("latin-1")
    return heads, tail, sum(map(len, heads)) + len(tail) + sum(last - first + 1 for first, last in ranges)


def partial_content(
    fields: FieldPairs, content_type: str, size: int, ranges: list[tuple[int, int]], pieces: list[Piece]
) -> Response:
    """The 206 for `ranges`: one as it is, several as multipart/byteranges (RFC 9110 §15.3.7).

    :param fields: of the whole representation.
    :param size: its length in bytes.
    :param pieces: the bytes of each range.
    """
    if len(ranges) == 1:
        first, last = ranges[0]
        return Response(
            206, (*fields, ("Content-Range", content_range(first, last, size))), pieces[0], last - first + 1
        )
    boundary = secrets.token_hex(16)
    heads, tail, length = multipart(ranges, size, content_type, boundary)
    body = [piece for pair in zip(heads, pieces, strict=True) for piece in pair]
    framed = tuple((name, value) for name, value in fields if name != "Content-Type")
    fields = (("Content-Type", f"multipart/byteranges; boundary={boundary}"), *framed)
    return Response(206, fields, (*body, tail), length)
