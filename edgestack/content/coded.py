"""A file in a content coding that is made here, once for each state of the file (criteria D3 and D5).

    up to 16 KiB at a quick level     when it is first asked for, on the loop
    larger                            on a thread; those who ask meanwhile wait for the one that is under way
    above LARGEST                     never: it is sent as it is (`edgestack precompress` makes a neighbour of it)

A `Form` stands beside its Representation, is counted with it, and goes with it. It has no ranges (C5).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from edgestack.codecs import AT_ONCE, Codec, Coder
from edgestack.content.files import signature
from edgestack.content.representation import Changed, Form, Representation, read
from edgestack.http.fields import tokens
from edgestack.http.messages import FieldPairs, Request
from edgestack.http.negotiation import choose_coding

__all__ = ["Uncoded", "choose", "codable", "make", "merged"]

LARGEST = 16 << 20
"""Bytes of a file that is coded: a quarter of a second's work at quick levels."""


ACCEPTED = 16
"""Values of Accept-Encoding remembered for one file: browsers send a handful."""
LONGEST = 256
"""Characters of one of them."""

Take = Callable[[Representation, str, "Form | None", str], None]


class Uncoded(Exception):
    """The answer needs a form that is not made yet, and takes a thread."""

    def __init__(self, known: Representation, codec: Codec) -> None:
        self.known = known
        self.codec = codec


def codable(coder: Coder | None, media: str, size: int, shared: FieldPairs) -> tuple[str, ...]:
    """The codings that a file is offered in; none where that is not wanted, or gains nothing."""
    if coder is None or not coder.policy.least <= size <= LARGEST or not size or not coder.policy.fits(media):
        return ()
    untouched = any(name == "Cache-Control" and "no-transform" in tokens(value) for name, value in shared)
    return () if untouched else coder.policy.offered


def merged(neighbours: Sequence[str], made: Sequence[str]) -> tuple[str, ...]:
    """All codings, those of neighbours first: they win (C13)."""
    return (*neighbours, *(coding for coding in made if coding not in neighbours))


def form_now(known: Representation, codec: Codec) -> Form | None:
    """The form, where it may be made on the loop; None where it gains nothing.

    :raises Uncoded: it takes a thread.
    """
    if known.data is None or known.size > AT_ONCE or not codec.quick:
        raise Uncoded(known, codec)
    data = make(known, codec)
    return Form(known, codec.coding, data) if data else None


def make(known: Representation, codec: Codec) -> bytes:
    """The coded bytes; b"" where they are no fewer. Reads a large file: for a thread.

    :raises Changed: it is not the same file any more.
    """
    data = known.data
    if data is None:
        file = known.opened()
        data = read(file.fd, 0, known.size)
        if signature(os.fstat(file.fd)) != known.signature:
            raise Changed
    made = codec.whole(data)
    return made if len(made) < len(data) else b""


def choose(known: Representation, request: Request, coder: Coder | None, take: Take) -> Representation | Form:
    """The file in the coding that a request gets (D4).

    :param take: keeps a form that was made for it.
    :raises Changed: of a neighbour.
    :raises Uncoded: it must be made on a thread first.
    """
    accepted = request.fields.get("accept-encoding", "")
    coding = choose_coding(accepted, known.offered)
    if coding is not None and coding in known.codings:
        return unchanged(known.codings[coding])
    chosen: Representation | Form = known
    if coding is not None:
        if "range" in request.fields:  # parts are of the file as it is (C5)
            return known
        assert coder is not None
        if coding not in known.made:
            take(known, coding, form_now(known, coder.codecs[coding]), request.path.normal)
        chosen = known.made[coding] or known
    whole = chosen.whole
    if whole is not None and type(whole.body) is bytes and len(accepted) <= LONGEST:
        if len(known.forms) >= ACCEPTED:
            known.forms.clear()
        known.forms[accepted] = whole
    return chosen


def unchanged(coded: Representation) -> Representation:
    """`coded`, after a stat has shown that this neighbour too is what it was.

    :raises Changed: it is not.
    """
    try:
        now = os.stat(coded.filename)
    except OSError:
        raise Changed from None
    if signature(now) != coded.signature:
        raise Changed
    return coded
