"""Whether an answer is coded, and what becomes of its fields (criteria D1 to D3)."""

from __future__ import annotations

from typing import Any

import pytest

from edgestack.http.content_coding import Policy, coded_fields, coded_tag, may_code, retagged, undone, with_vary
from edgestack.http.messages import Response

HTML = ("Content-Type", "text/html; charset=utf-8")
POLICY = Policy()

CODED: list[tuple[str, int, tuple[tuple[str, str], ...], int | None, bool]] = [
    ("text", 200, (HTML,), 5000, True),
    ("unknown length", 200, (HTML,), None, True),
    ("at the bound", 200, (HTML,), 1400, True),
    ("below the bound", 200, (HTML,), 1399, False),
    ("403", 403, (HTML,), 5000, True),
    ("404", 404, (HTML,), 5000, True),
    ("201", 201, (HTML,), 5000, False),
    ("206 is never coded", 206, (HTML,), 5000, False),
    ("500", 500, (HTML,), 5000, False),
    ("a picture", 200, (("Content-Type", "image/png"),), 5000, False),
    ("svg", 200, (("content-type", "IMAGE/SVG+XML"),), 5000, True),
    ("problem+json", 200, (("Content-Type", "application/problem+json"),), 5000, True),
    ("no type", 200, (), 5000, False),
    ("coded already", 200, (HTML, ("Content-Encoding", "br")), 5000, False),
    ("no-transform", 200, (HTML, ("Cache-Control", "max-age=5, No-Transform")), 5000, False),
    ("another directive", 200, (HTML, ("Cache-Control", "max-age=5")), 5000, True),
]


@pytest.mark.parametrize(("what", "status", "fields", "length", "expected"), CODED, ids=[one[0] for one in CODED])
def test_d1_which_answers_are_coded(what: str, status: int, fields: Any, length: int | None, expected: bool) -> None:
    """D1; no-transform is RFC 9111 §5.2.2.6."""
    response = Response(status, fields, (), length)
    assert may_code(POLICY, response) is expected


VARIED = [
    ((), (("Vary", "Accept-Encoding"),)),
    ((("Vary", "Accept"),), (("Vary", "Accept, Accept-Encoding"),)),
    ((("vary", "accept-encoding"),), (("vary", "accept-encoding"),)),
    ((("Vary", "*"),), (("Vary", "*"),)),
    ((("Vary", "Cookie"), ("Vary", "Accept-Encoding")), (("Vary", "Cookie"), ("Vary", "Accept-Encoding"))),
    ((("Vary", ""),), (("Vary", "Accept-Encoding"),)),
    ((("Vary", "X-Accept-Encoding"),), (("Vary", "X-Accept-Encoding, Accept-Encoding"),)),
]


@pytest.mark.parametrize(("fields", "expected"), VARIED)
def test_d2_vary_is_merged_and_not_doubled(fields: Any, expected: Any) -> None:
    """D2; RFC 9110 §12.5.5."""
    assert with_vary(fields) == expected
    assert with_vary(expected) == expected


def test_d3_fields_of_a_coded_answer() -> None:
    """D1 and D3: the tag changes, ranges are not promised."""
    fields = (HTML, ("ETag", '"x"'), ("Accept-Ranges", "bytes"))
    assert coded_fields(fields, "gzip") == (
        HTML, ("ETag", '"x-gzip"'), ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")
    )  # fmt: skip


def test_d3_weak_tags_stay() -> None:
    """A weak tag promises the same meaning in every coding (RFC 9110 §8.8.1)."""
    assert coded_tag('W/"x"', "br") == 'W/"x"'
    assert undone('W/"x-br"') == 'W/"x-br"'


UNDONE = [
    ('"x-gzip"', '"x-gzip", "x"'),
    ('"x-br", "y-zstd"', '"x-br", "y-zstd", "x", "y"'),
    ('"x"', '"x"'),
    ("*", "*"),
    ('"a,b-gzip"', '"a,b-gzip", "a,b"'),
    ('"-gzip"', '"-gzip"'),
    ('"x-gzipped"', '"x-gzipped"'),
]


@pytest.mark.parametrize(("value", "expected"), UNDONE)
def test_d3_suffixes_are_undone(value: str, expected: str) -> None:
    """D3: both forms, since an application may have such tags of its own."""
    assert undone(value) == expected


def test_d3_a_304_names_the_tag_that_was_asked_about() -> None:
    """RFC 9110 §15.4.5: the ETag that a 200 would have had."""
    fields = (("ETag", '"x"'),)
    assert retagged(fields, {"if-none-match": '"x-br", "x"'}) == (("ETag", '"x-br"'), ("Vary", "Accept-Encoding"))
    assert retagged(fields, {"if-none-match": '"x"'}) is fields
    assert retagged(fields, {}) is fields
