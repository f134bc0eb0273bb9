"""Content negotiation (RFC 9110 §12; criterion D4)."""

from __future__ import annotations

import pytest

from edgestack.http.negotiation import choose_coding, choose_type, prefers_json

ALL = ("zstd", "br", "gzip")

CODINGS = [
    # Accept-Encoding, offered, chosen; RFC 9110 §12.5.3
    ("", ALL, None),
    (",", ALL, None),
    ("gzip, deflate, br, zstd", ALL, "zstd"),
    ("gzip, deflate, br", ALL, "br"),
    ("gzip, deflate", ALL, "gzip"),
    ("deflate", ALL, None),
    ("GZIP", ALL, "gzip"),
    ("x-gzip", ALL, "gzip"),
    ("gzip;q=0", ALL, None),
    ("gzip;q=0.000", ALL, None),
    ("gzip;q=1.000", ALL, "gzip"),
    ("br;q=0.5, gzip;q=0.8", ALL, "gzip"),
    ("br;q=0.5, gzip;q=0.5", ALL, "br"),  # ties go to the server's order
    ("gzip ; Q=0.5", ALL, "gzip"),
    ("*", ALL, "zstd"),
    ("*;q=0", ALL, None),
    ("gzip, *;q=0", ALL, "gzip"),
    ("*, zstd;q=0", ALL, "br"),
    ("br;q=0.2, *;q=0.5", ALL, "zstd"),
    ("identity", ALL, None),
    ("identity;q=1, gzip;q=0.5", ALL, None),
    ("identity;q=0.5, gzip;q=1", ALL, "gzip"),
    ("identity;q=0.5, gzip;q=0.5", ALL, "gzip"),
    ("identity;q=0", ALL, None),  # nothing is acceptable: an answer without coding is better than none
    ("identity;q=0, gzip;q=0.1", ALL, "gzip"),
    ("identity;q=0, *;q=0.1", ALL, "zstd"),
    ("xgzip", ALL, None),  # no substring match
    ("gzipx, notbr", ALL, None),
    ("bro, zstdd", ALL, None),
    ("gzip;q=2", ALL, None),  # a malformed weight: as if it were not there
    ("gzip;q=-1, br;q=0.1", ALL, "br"),
    ("gzip;q=0.1234", ALL, None),
    ("gzip;q=nan", ALL, None),
    ("gzip;q=", ALL, None),
    ("gzip;q=0, gzip", ALL, None),  # the first of a repeated one holds
    ("gzip, br", (), None),
    ("gzip, br", ("gzip",), "gzip"),
]


@pytest.mark.parametrize(("value", "offered", "chosen"), CODINGS)
def test_content_codings(value: str, offered: tuple[str, ...], chosen: str | None) -> None:
    """D4."""
    for _ in range(2):  # worked out, then remembered
        assert choose_coding(value, offered) == chosen


HTML, JSON, TEXT = "text/html", "application/json", "text/plain"
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

TYPES = [
    # Accept, offered, chosen; RFC 9110 §12.5.1
    ("", (HTML, JSON), HTML),
    (" ,", (HTML, JSON), HTML),
    ("*/*", (HTML, JSON), HTML),
    (CHROME, (HTML, JSON), HTML),
    (CHROME, (JSON, HTML), HTML),
    (CHROME, (JSON, TEXT), JSON),
    ("application/json", (HTML, JSON), JSON),
    ("APPLICATION/JSON", (HTML, JSON), JSON),
    ("application/json; charset=utf-8", (HTML, JSON), JSON),
    ("application/json, text/plain, */*", (HTML, JSON), HTML),  # all at q=1: the server's order
    ("application/json, */*;q=0.5", (HTML, JSON), JSON),
    ("text/*", (JSON, HTML), HTML),
    ("text/*;q=0.3, text/html;q=0.7, */*;q=0.5", (TEXT, HTML, JSON), HTML),
    ("text/*;q=0.3, */*;q=0.5", (TEXT, JSON), JSON),  # the most specific range decides, not the largest weight
    ("text/html;q=0, */*", (HTML, JSON), JSON),
    ("text/html;level=1", (HTML,), None),
    ("image/png", (HTML, JSON), None),
    ("text/html;q=0", (HTML,), None),
    ("*/*;q=0", (HTML, JSON), None),
    ("nonsense, application/json", (HTML, JSON), JSON),
    ("text/html;q=x, application/json;q=0.1", (HTML, JSON), JSON),
    ("xtext/html", (HTML,), None),
    ("*/*", (), None),
    ("", (), None),
]


@pytest.mark.parametrize(("value", "offered", "chosen"), TYPES)
def test_media_types(value: str, offered: tuple[str, ...], chosen: str | None) -> None:
    for _ in range(2):
        assert choose_type(value, offered) == chosen


@pytest.mark.parametrize(
    ("value", "expected"), [("", False), (CHROME, False), ("application/json", True), ("*/*", False)]
)
def test_prefers_json(value: str, expected: bool) -> None:
    assert prefers_json(value) is expected
