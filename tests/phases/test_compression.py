"""The filter of coded answers (criteria D1, D2, D5): what is at hand, what lasts, what stands behind rules."""

from __future__ import annotations

import gzip
import random

import trio
from phases_kit import coming

from edgestack.codecs import coder
from edgestack.http.messages import Response
from edgestack.phases.compression import Apart, Compression, Forms, VaryKept

CODER = coder(("gzip",))
assert CODER is not None
HTML = (("Content-Type", "text/html"),)
SMALL, LARGE = b"little by little " * 200, b"more and more " * 5000


async def sent(body: object) -> bytes:
    assert isinstance(body, Apart)
    return b"".join([piece async for piece in body])


def test_d1_bytes_are_coded_at_once() -> None:
    made = Compression(CODER, Forms())(coming(accept_encoding="gzip"), Response(200, HTML, SMALL))
    assert isinstance(made.body, bytes)
    assert (gzip.decompress(made.body), made.length) == (SMALL, len(made.body))


async def test_d5_much_is_coded_on_a_thread_and_once_where_it_lasts() -> None:
    """The second answer has the form at hand; what does not last is made anew."""
    act = Compression(CODER, Forms())
    for lasting in (True, False):
        response = Response(200, HTML, LARGE)
        if lasting:
            response.lasting = "stored 1"
        first = act(coming(accept_encoding="gzip"), response)
        assert first.length is None
        assert gzip.decompress(await sent(first.body)) == LARGE
        second = act(coming(accept_encoding="gzip"), response)
        assert (type(second.body) is bytes) is lasting


def test_d5_forms_are_bounded() -> None:
    """Two generations, within their bytes."""
    forms = Forms(100_000)
    for at in range(1000):
        forms.keep((at, "gzip", 2), bytes(1000))
    held = sum(len(form or b"") for form in (*forms.values(), *forms.old.values()))
    assert 0 < held <= 100_000


async def test_on_a_thread_nothing_waits() -> None:
    """D5: off the loop there is nothing to hold up."""
    act = Compression(CODER, Forms())
    made = await trio.to_thread.run_sync(act, coming(accept_encoding="gzip"), Response(200, HTML, LARGE))
    assert isinstance(made.body, bytes)


def test_what_gains_nothing_is_sent_as_it_is() -> None:
    """And says Vary all the same (D2)."""
    noise = random.Random(7).randbytes(5000)
    made = Compression(CODER, Forms())(coming(accept_encoding="gzip"), Response(200, HTML, noise))
    assert (made.body, made.field("content-encoding"), made.field("vary")) == (noise, None, "Accept-Encoding")


def test_d2_vary_survives_rules_that_change_it() -> None:
    keep = VaryKept(CODER)
    response = Response(200, (*HTML, ("Vary", "Origin")), SMALL)
    assert keep(coming(), response).field("vary") == "Origin, Accept-Encoding"
    picture = Response(200, (("Content-Type", "image/png"), ("Vary", "Origin")), SMALL)
    assert keep(coming(), picture) is picture
