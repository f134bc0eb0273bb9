"""Criterion C13: precompressed neighbours, with D2, D3 and D4 where they apply to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from static_kit import LONG_AGO, body, exchange, get, static, waited, write

from edgestack.content import representation
from edgestack.content.files import PrivateFiles

LARGE = representation.KEPT + 1


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    write(tmp_path / "a.js", "identity")
    write(tmp_path / "a.js.gz", "gzipped")
    write(tmp_path / "a.js.br", "brotli", LONG_AGO + 5)
    write(tmp_path / "a.js.zst", "zstandard", LONG_AGO - 1)  # older than the original
    return tmp_path


@pytest.mark.parametrize(
    ("accepted", "coding", "content"),
    [
        (None, None, b"identity"),
        ("identity", None, b"identity"),
        ("gzip", "gzip", b"gzipped"),
        ("gzip, deflate, br, zstd", "br", b"brotli"),
        ("br;q=0.5, gzip", "gzip", b"gzipped"),
        ("br;q=0, *", "gzip", b"gzipped"),
        ("zstd", None, b"identity"),
        ("identity;q=0", None, b"identity"),
    ],
)
def test_neighbours(coded: Path, accepted: str | None, coding: str | None, content: bytes) -> None:
    """C13, D2, D4: the original's type, a tag and a date of its own, and Vary on every answer."""
    handler = static(coded)
    for _ in range(2):
        response = get(handler, "/a.js", **({} if accepted is None else {"accept_encoding": accepted}))
        assert response.field("content-encoding") == coding
        assert body(response) == content
        assert response.field("content-type") == "text/javascript; charset=utf-8"
        assert response.field("vary") == "Accept-Encoding"


def test_each_coding_has_its_own_tag(coded: Path) -> None:
    """C13, D3: validators are those of the coding that was chosen, in 304, in ranges and in If-Range."""
    handler = static(coded)
    tags = [get(handler, "/a.js", accept_encoding=coding).field("etag") or "" for coding in ("", "gzip", "br")]
    assert len(set(tags)) == 3
    assert get(handler, "/a.js", accept_encoding="br", if_none_match=tags[2]).status == 304
    assert get(handler, "/a.js", accept_encoding="gzip", if_none_match=tags[2]).status == 200
    part = get(handler, "/a.js", accept_encoding="br", range="bytes=-3", if_range=tags[2])
    assert (part.status, body(part), part.field("content-encoding")) == (206, b"tli", "br")
    assert part.field("content-range") == "bytes 3-5/6"


def test_without_neighbours_there_is_no_vary(tmp_path: Path) -> None:
    """C13, D2: the decision could not have been different."""
    write(tmp_path / "a.js")
    write(tmp_path / "a.js.br", mtime=LONG_AGO - 1)
    response = get(static(tmp_path), "/a.js", accept_encoding="br")
    assert (response.field("vary"), response.field("content-encoding")) == (None, None)


def test_a_neighbour_that_may_not_be_served(tmp_path: Path) -> None:
    """C8 C13 C15: a link out, a private file, a FIFO."""
    write(tmp_path / "outside")
    for name in ("a.js", "b.js", "c.js", "b.js.br"):
        write(tmp_path / "site" / name)
    (tmp_path / "site/a.js.br").symlink_to("../outside")
    os.mkfifo(tmp_path / "site/c.js.br")
    handler = static(tmp_path / "site", private=PrivateFiles([tmp_path / "site/b.js.br"]))
    for target in ("/a.js", "/b.js", "/c.js"):
        assert get(handler, target, accept_encoding="br").field("content-encoding") is None


def test_a_neighbour_that_changes_comes_or_goes(coded: Path) -> None:
    """C13 C14: changed or gone it is noticed at once; a new one when the entry is a second old."""
    handler = static(coded)

    def content(coding: str, started: float = 0.0) -> bytes:
        return body(get(handler, "/a.js", started=started, accept_encoding=coding))

    assert content("br") == b"brotli"
    write(coded / "a.js.br", "BROTLI", LONG_AGO + 6)
    assert content("br") == b"BROTLI"
    (coded / "a.js.br").unlink()
    assert content("br") == b"identity"
    assert content("gzip") == b"gzipped"
    write(coded / "a.js.br", "again")
    assert content("br", 0.9) == b"identity"
    assert content("br", 1.0) == b"again"
    write(coded / "a.js", "newer", LONG_AGO + 9)
    assert content("br", 1.1) == content("gzip", 1.1) == b"newer"


async def test_a_large_neighbour_of_a_reproducible_build(tmp_path: Path) -> None:
    """C10 C13"""
    write(tmp_path / "a.wasm", b"x" * LARGE, 1)
    write(tmp_path / "a.wasm.zst", b"y" * LARGE, 1)
    response = await waited(static(tmp_path)(exchange("/a.wasm", accept_encoding="zstd")))
    assert response.field("content-encoding") == "zstd"
    assert (response.field("etag") or "").endswith('-zstd"')
    assert body(response) == b"y" * LARGE
