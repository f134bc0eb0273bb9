"""Criterion C5: ranges as RFC 9110 §14 has them, and what is abuse."""

from __future__ import annotations

import pytest

from edgestack.http.ranges import MOST_RANGES, content_range, multipart, partial_content, read_ranges, unsatisfied


@pytest.mark.parametrize(
    ("value", "size", "expected"),
    [
        ("bytes=0-0", 10, [(0, 0)]),
        ("bytes=0-499", 1000, [(0, 499)]),
        ("bytes=500-", 1000, [(500, 999)]),
        ("bytes=-1", 10, [(9, 9)]),
        ("bytes=-10", 10, [(0, 9)]),
        ("bytes=-11", 10, [(0, 9)]),  # a suffix longer than the file is the whole
        ("bytes=9-", 10, [(9, 9)]),
        ("bytes=9-99", 10, [(9, 9)]),
        ("BYTES=0-1", 10, [(0, 1)]),  # units are case-insensitive
        ("bytes = 0-1", 10, [(0, 1)]),
        ("bytes=0-1, 3-4", 10, [(0, 1), (3, 4)]),
        ("bytes=3-4,0-1", 10, [(3, 4), (0, 1)]),  # in the order asked for
        ("bytes= , 0-1,,", 10, [(0, 1)]),
        ("bytes=0-1,20-30", 10, [(0, 1)]),
        ("bytes=000000000000000000000000000001-2", 10, [(1, 2)]),
        ("bytes=0-" + "9" * 5000, 10, [(0, 9)]),
        ("bytes=0-5,3-6", 10, [(0, 5), (3, 6)]),  # they overlap, but ask for no more than there is
        # nothing of it exists: 416
        ("bytes=10-", 10, []),
        ("bytes=10-10", 10, []),
        ("bytes=11-", 10, []),
        ("bytes=-0", 10, []),
        ("bytes=20-30,40-", 10, []),
        ("bytes=" + "9" * 5000 + "-", 10, []),
        ("bytes=0-", 0, []),
        ("bytes=-0", 0, []),
        # ignored: 200
        ("bytes=-5", 0, None),
        ("bytes=5-4", 10, None),
        ("bytes=0-1,5-4", 10, None),
        ("bytes=", 10, None),
        ("bytes=,", 10, None),
        ("bytes=-", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=0-1-2", 10, None),
        ("bytes=0 - 1", 10, None),
        ("bytes=+0-1", 10, None),
        ("bytes=²-3", 10, None),
        ("bytes 0-1", 10, None),
        ("bytes", 10, None),
        ("", 10, None),
        ("lines=0-1", 10, None),
        # abuse: more than there is
        ("bytes=0-9,0-0", 10, None),
        ("bytes=0-5,4-8", 10, None),
        ("bytes=0-,0-,0-", 10, None),
    ],
)
def test_read(value: str, size: int, expected: list[tuple[int, int]] | None) -> None:
    """C5"""
    assert read_ranges(value, size) == expected


@pytest.mark.parametrize(("extra", "usable"), [(-1, True), (0, True), (1, False)])
def test_so_many_and_no_more(extra: int, usable: bool) -> None:
    """C5: too many ranges are as none."""
    number = MOST_RANGES + extra
    ranges = read_ranges("bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(number)), 1000)
    assert (ranges is not None and len(ranges) == number) is usable


def test_sum_at_its_limit() -> None:
    """C5: together exactly as long as the file, and one more."""
    assert read_ranges("bytes=0-4,5-9", 10) == [(0, 4), (5, 9)]
    assert read_ranges("bytes=0-4,4-9", 10) is None


def test_content_range() -> None:
    """C5: RFC 9110 §14.4"""
    assert content_range(0, 499, 1234) == "bytes 0-499/1234"
    assert unsatisfied(1234) == "bytes */1234"


def test_one_range() -> None:
    """C5"""
    response = partial_content((("Content-Type", "text/plain"),), "text/plain", 10, [(2, 4)], [b"cde"])
    assert (response.status, response.length, response.body) == (206, 3, b"cde")
    assert response.fields == (("Content-Type", "text/plain"), ("Content-Range", "bytes 2-4/10"))


def test_several_ranges() -> None:
    """C5: RFC 9110 §14.6, each part with its type and place, and no Content-Range outside."""
    fields = (("Content-Type", "text/plain"), ("ETag", '"a"'))
    response = partial_content(fields, "text/plain", 10, [(0, 1), (8, 9)], [b"ab", b"ij"])
    kind = response.field("content-type") or ""
    boundary = kind.removeprefix("multipart/byteranges; boundary=")
    assert isinstance(response.body, tuple)
    whole = b"".join(piece for piece in response.body if isinstance(piece, bytes))
    assert whole.decode() == (
        f"--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\nab"
        f"\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\nij"
        f"\r\n--{boundary}--\r\n"
    )
    assert response.length == len(whole)
    assert response.field("content-range") is None
    assert response.field("etag") == '"a"'


def test_the_length_is_known_beforehand() -> None:
    heads, tail, length = multipart([(0, 9), (90, 99)], 100, "text/plain", "frontier")
    assert length == sum(map(len, heads)) + len(tail) + 20
