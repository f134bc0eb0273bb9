"""Codecs against the libraries' own decoders: what goes in comes out, piece by piece, and bombs stay small."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgestack.codecs import LEVELS, MOST, Inflater, available, codec, coder

brotli = pytest.importorskip("brotli")
zstd = pytest.importorskip("backports.zstd")

CODINGS = ("zstd", "br", "gzip")
WHOLE: dict[str, Callable[[bytes], bytes]] = {
    "zstd": zstd.decompress, "br": brotli.decompress, "gzip": gzip.decompress
}  # fmt: skip
SO_FAR: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
    "zstd": lambda: zstd.ZstdDecompressor().decompress,
    "br": lambda: brotli.Decompressor().process,
    "gzip": lambda: zlib.decompressobj(31).decompress,
}


def test_what_is_installed_is_offered_in_the_servers_order() -> None:
    """D4."""
    assert available() == CODINGS
    made = coder(("gzip", "br"))
    assert made is not None
    assert made.policy.offered == ("gzip", "br")


@pytest.mark.parametrize("coding", CODINGS)
@given(data=st.binary(max_size=3000))
def test_whole(coding: str, data: bytes) -> None:
    assert WHOLE[coding](codec(coding).whole(data)) == data


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("best", [False, True])
@settings(max_examples=40)  # the highest levels take their time
@given(pieces=st.lists(st.binary(min_size=1, max_size=500), max_size=8))
def test_d6_each_piece_can_be_decoded_at_once(coding: str, best: bool, pieces: list[bytes]) -> None:
    """D6: nothing of a piece waits for the next one."""
    stream = codec(coding, MOST[coding] if best else None).stream()
    decode, taken = SO_FAR[coding](), b""
    for piece in pieces:
        coded = stream.feed(piece)
        taken += coded
        assert decode(coded) == piece
    taken += stream.finish()
    assert WHOLE[coding](taken) == b"".join(pieces)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
def test_d7_the_way_back(coding: str, size: int) -> None:
    """In pieces of any size; the end is seen."""
    data = bytes(range(256)) * 2000
    coded, inflater, found = codec(coding).whole(data), Inflater(coding), b""
    for at in range(0, len(coded), size):
        assert not inflater.complete
        found += b"".join(inflater.feed(coded[at : at + size]))
    assert found == data
    assert inflater.complete


@pytest.mark.parametrize("coding", CODINGS)
def test_d7_a_bomb_comes_in_small_pieces(coding: str) -> None:
    """Whoever reads can stop long before all of it is there."""
    bomb = codec(coding, MOST[coding]).whole(bytes(20_000_000))
    assert len(bomb) < 30_000
    first = next(Inflater(coding).feed(bomb))
    assert 0 < len(first) <= 1 << 18


@pytest.mark.parametrize("coding", CODINGS)
def test_d7_what_cannot_be_decoded(coding: str) -> None:
    with pytest.raises(ValueError):
        list(Inflater(coding).feed(b"this is no coded data at all, whatever it says"))
    with pytest.raises(ValueError):
        list(Inflater(coding).feed(codec(coding).whole(b"x") + b"more"))
    inflater = Inflater(coding)
    list(inflater.feed(codec(coding).whole(b"x")))
    with pytest.raises(ValueError):
        list(inflater.feed(b"more"))


def test_levels_are_those_that_may_be_said() -> None:
    assert all(LEVELS[coding] <= MOST[coding] for coding in CODINGS)


@pytest.mark.parametrize(("window", "taken"), [(23, True), (24, False)])
def test_d7_a_window_is_bounded(window: int, taken: bool) -> None:
    """D7: a frame of zstd that asks for more memory than RFC 9659 §3 lets it is refused before it gets any."""
    options = {zstd.CompressionParameter.window_log: window, zstd.CompressionParameter.content_size_flag: 0}
    made = zstd.ZstdCompressor(options=options)
    data = made.compress(b"hello") + made.flush()
    if taken:
        assert b"".join(Inflater("zstd").feed(data)) == b"hello"
    else:
        with pytest.raises(ValueError, match="too much memory"):
            list(Inflater("zstd").feed(data))
