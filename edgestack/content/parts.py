"""Parts of a file: what Range asks for (RFC 9110 §14; criteria C4 and C5)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from edgestack.content.representation import SMALL, Representation, read
from edgestack.errors import ClientError
from edgestack.http.bodies import FileSegment, Piece
from edgestack.http.conditional import range_applies
from edgestack.http.messages import Response
from edgestack.http.ranges import partial_content, read_ranges, unsatisfied

__all__ = ["in_part"]


def in_part(known: Representation, fields: Mapping[str, str]) -> Response | None:
    """The parts that Range asks for (206); None where the whole is to be sent.

    :raises ClientError: 416.
    """
    if not range_applies(fields, known.etag, known.modified, int(time.time())):
        return None
    ranges = read_ranges(fields["range"], known.size)
    if ranges is None:
        return None
    if not ranges:
        raise ClientError("", 416, fields=(("Content-Range", unsatisfied(known.size)),))
    return partial_content(known.fields, known.content_type, known.size, ranges, pieces(known, ranges))


def pieces(known: Representation, ranges: list[tuple[int, int]]) -> list[Piece]:
    """The bytes of each range: from memory, read at once where they are few, else to be sent from the file."""
    if known.data is not None:
        return [known.data[first : last + 1] for first, last in ranges]
    if len(ranges) == 1:
        first, last = ranges[0]
        return [FileSegment(known.opened(), first, last - first + 1)]
    file = known.opened()
    if sum(last - first + 1 for first, last in ranges) <= SMALL:
        return [read(file.fd, first, last - first + 1) for first, last in ranges]
    return [FileSegment(file, first, last - first + 1) for first, last in ranges]
