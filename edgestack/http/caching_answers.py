"""Answers made from what is stored: the whole, its head, a part of it, or that it is still so (RFC 9111 §4.3.2, §5.1).

    stored_answer    200 (or what was stored)   with Age
                     304                        If-None-Match, If-Modified-Since      RFC 9110 §13
                     206, 416                   Range, If-Range, of a stored 200      RFC 9110 §14

If-Match and If-Unmodified-Since are for origins, and pass over a cache (RFC 9111 §4.3.2). Whether the stored response
may answer was said before (`decide`). Date is the wire's to add; Age is counted from the origin's. Pure.
"""

from __future__ import annotations

from edgestack.http.bodies import FileSegment, Piece
from edgestack.http.caching import StoredHead
from edgestack.http.conditional import evaluate, range_applies
from edgestack.http.messages import FieldPairs, Request, Response
from edgestack.http.ranges import partial_content, read_ranges, unsatisfied

__all__ = ["stored_answer"]

IN_304 = frozenset(
    ["cache-control", "cdn-cache-control", "content-location", "etag", "expires", "last-modified", "vary"]
)  # fmt: skip
"""What a 304 carries of its 200 (criterion C3, RFC 9110 §15.4.5)."""
OF_CACHES = ("if-none-match", "if-modified-since")


def stored_answer(request: Request, head: StoredHead, body: Piece, now: float) -> Response:
    """The answer to `request` that `head` and `body` make.

    :param body: the whole body that was stored, in memory or in a file.
    :param now: seconds since 1970.
    :return: to HEAD with the body, which is not sent (E5): whoever codes it must see what GET would get (D1).
    """
    size = len(body) if isinstance(body, bytes) else body.length
    age = ("Age", str(max(0, int(now - head.born))))
    fields = (*head.fields, age)
    if request.conditional and head.status == 200:
        if _still_so(request, head):
            return Response(304, (*(pair for pair in head.fields if pair[0].lower() in IN_304), age))
        if request.method == "GET" and "range" in request.fields:
            part = _part(request, head, body, size, fields, now)
            if part is not None:
                return part
    if head.status == 204:
        return Response(204, fields)
    return Response(head.status, fields, body, size)


def _still_so(request: Request, head: StoredHead) -> bool:
    asked = {name: request.fields[name] for name in OF_CACHES if name in request.fields}
    return bool(asked) and evaluate(request.method, asked, head.etag, head.modified) == 304


def _part(
    request: Request, head: StoredHead, body: Piece, size: int, fields: FieldPairs, now: float
) -> Response | None:
    """What Range asks for; None for the whole."""
    if not range_applies(request.fields, head.etag, head.modified, int(now)) or _refuses_ranges(fields):
        return None
    ranges = read_ranges(request.fields["range"], size)
    if ranges is None:
        return None
    if not ranges:
        return Response(416, (("Content-Range", unsatisfied(size)), fields[-1]))
    kind = next((value for name, value in fields if name.lower() == "content-type"), "application/octet-stream")
    framed = tuple(
        ("Content-Type", value) if name.lower() == "content-type" else (name, value) for name, value in fields
    )
    return partial_content(framed, kind, size, ranges, [_slice(body, first, last) for first, last in ranges])


def _refuses_ranges(fields: FieldPairs) -> bool:
    """Whether the origin has said that it wants none (RFC 9110 §14.3)."""
    return any(name.lower() == "accept-ranges" and value.strip().lower() == "none" for name, value in fields)


def _slice(body: Piece, first: int, last: int) -> Piece:
    if isinstance(body, FileSegment):
        return FileSegment(body.file, body.offset + first, last - first + 1, body.data)
    return body[first : last + 1]
