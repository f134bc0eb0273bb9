"""Criterion C5: parts of files, small and large."""

from __future__ import annotations

import os
from email import message_from_bytes
from pathlib import Path

import pytest
from static_kit import body, descriptors, exchange, get, refusal, static, write

from edgestack.content import representation
from edgestack.errors import Refused

LARGE = representation.KEPT + 1


@pytest.mark.parametrize("size", [1000, LARGE])
@pytest.mark.parametrize(
    ("value", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=-3", -3, -1), ("bytes=500-", 500, -1), ("bytes=7-99", 7, 99)],
)
def test_one_range(tmp_path: Path, size: int, value: str, first: int, last: int) -> None:
    """C5"""
    content = os.urandom(size)
    write(tmp_path / "a.bin", content)
    response = get(static(tmp_path), "/a.bin", range=value)
    first, last = first % size, last % size
    assert response.status == 206
    assert response.field("content-range") == f"bytes {first}-{last}/{size}"
    assert response.field("etag")
    assert body(response) == content[first : last + 1]


@pytest.mark.parametrize(
    ("size", "spans"),
    [
        (1000, [(0, 9), (990, 999), (500, 500)]),
        (LARGE, [(0, 9), (LARGE - 9, LARGE - 1)]),  # little of a large file: read at once
        (2 * LARGE, [(0, LARGE), (LARGE + 7, 2 * LARGE - 1)]),  # much of it: sent from the file
    ],
)
def test_several_ranges(tmp_path: Path, size: int, spans: list[tuple[int, int]]) -> None:
    """C5: multipart/byteranges, read by the mail parser of the standard library."""
    content = os.urandom(size).replace(b"\r", b"-").replace(b"\n", b"-")
    write(tmp_path / "a.png", content)
    value = "bytes=" + ",".join(f"{first}-{last}" for first, last in spans)
    response = get(static(tmp_path), "/a.png", range=value)
    kind = response.field("content-type") or ""
    assert (response.status, response.field("content-range")) == (206, None)
    message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body(response))
    parts = message.get_payload()
    assert len(parts) == len(spans)
    for part, (first, last) in zip(parts, spans, strict=True):
        assert part["content-type"] == "image/png"
        assert part["content-range"] == f"bytes {first}-{last}/{size}"
        assert part.get_payload(decode=True) == content[first : last + 1]


@pytest.mark.parametrize("size", [0, 10, LARGE])
def test_a_range_beyond_the_end(tmp_path: Path, size: int) -> None:
    """C5"""
    write(tmp_path / "a.bin", b"x" * size)
    error = refusal(static(tmp_path), "/a.bin", range=f"bytes={size}-")
    assert (error.status, error.fields) == (416, (("Content-Range", f"bytes */{size}"),))


@pytest.mark.parametrize("value", ["bytes=a", "lines=0-1", "bytes=0-,0-,0-", "bytes=" + "0-0," * 99])
def test_ranges_that_are_ignored(tmp_path: Path, value: str) -> None:
    """C5"""
    write(tmp_path / "a.txt", b"x" * 1000)
    assert get(static(tmp_path), "/a.txt", range=value).status == 200


@pytest.mark.parametrize("spare", [0, 1])
def test_out_of_descriptors(tmp_path: Path, spare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """C5: several ranges take one descriptor; without that one it is 503, and none is lost on the way."""
    monkeypatch.setattr(representation, "HELD", 0)
    write(tmp_path / "a.bin", b"x" * 2 * LARGE)
    handler = static(tmp_path)
    get(handler, "/a.bin", "HEAD")
    before = len(os.listdir("/proc/self/fd"))
    asked = exchange("/a.bin", range=f"bytes=0-{LARGE},{LARGE + 1}-{2 * LARGE - 1}")
    with descriptors(spare):
        if spare:
            assert len(body(handler(asked))) > 2 * LARGE
        else:
            with pytest.raises(Refused) as caught:
                handler(asked)
            assert caught.value.status == 503
    assert len(os.listdir("/proc/self/fd")) == before
