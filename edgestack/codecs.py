"""Codecs: gzip, br and zstd behind one face, with what is installed (extra `compress`).

    codec(coding, level)    -> Codec: `whole(data)`, `stream(…)` a Transform that withholds nothing (D6), `quick`
    inflater(codings)       -> Inflater: the way back, in bounded pieces (D7)

gzip is isal's where that is installed (at level 2 it makes the same from 16 KiB in 36 µs that zlib's level 1 makes in
144 and its level 6 in 808), else the standard library's. zstd is the standard library's from Python 3.14 on. What is
not installed is not offered. A codec is imported when it is first asked for. On any thread; it knows no HTTP beyond
names. RFC 1952, RFC 7932, RFC 8878, RFC 9659.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from edgestack.http.content_coding import LEAST, PREFERENCE, TYPES, Policy

__all__ = ["AT_ONCE", "LEVELS", "MOST", "Codec", "Coder", "Inflater", "Stream", "available", "codec", "coder"]

AT_ONCE = 16 * 1024
"""Bytes that may be coded on the loop at a quick level: a third of a millisecond at most (D5)."""

LEVELS = {"gzip": 2, "br": 4, "zstd": 3}
"""As they are made while somebody waits."""
MOST = {"gzip": 9, "br": 11, "zstd": 19}
"""The highest levels. Above 19, zstd's window outgrows what clients must accept (RFC 9659 §3)."""
QUICK = {"gzip": 3, "br": 4, "zstd": 3}
"""Levels up to which 16 KiB take less than a third of a millisecond."""

PIECE = 64 * 1024
"""Bytes of an inflated piece."""
WINDOW = 23
"""A frame of zstd may ask for a window of 2 ** 31 bytes; one that is sent over HTTP needs 2 ** 23 (RFC 9659 §3)."""
GZIP = 31
"""zlib's wbits for gzip's format, with its largest window."""

Work = Callable[[bytes], bytes]
Finish = Callable[..., bytes]
Started = tuple[Work, Callable[[], bytes], Finish]
"""compress, flush and finish of one stream."""


class Stream:
    """A `Transform` (`http/bodies.py`): one body's way through a codec."""

    __slots__ = ("_compress", "_flush", "finish", "plain")

    def __init__(self, compress: Work, flush: Callable[[], bytes], finish: Finish, plain: Any = None) -> None:
        self._compress = compress
        self._flush = flush
        self.finish = finish
        self.plain = plain

    def feed(self, piece: bytes) -> bytes:
        """`piece`, coded; all of it can be decoded by whoever gets this (D6)."""
        return self._compress(piece) + self._flush()


class Codec(NamedTuple):
    """One coding at one level."""

    coding: str
    level: int
    whole: Work
    """Code all of some data."""
    start: Callable[[], Started]
    """Begin a stream."""
    quick: bool
    """Whether `AT_ONCE` bytes may be coded on the loop."""

    def stream(self, plain: Any = None) -> Stream:
        """A stream.

        :param plain: the Response as it was before it was coded.
        """
        return Stream(*self.start(), plain)


class Coder(NamedTuple):
    """Which answers are coded, and by what."""

    policy: Policy
    codecs: Mapping[str, Codec]


def coder(
    codings: Sequence[str] = (),
    levels: Mapping[str, int] | None = None,
    types: Sequence[str] = TYPES,
    least: int = LEAST,
) -> Coder | None:
    """What a section asks for, as far as it is to be had; None where that is nothing.

    :param codings: the best first; without any, all that are installed.
    """
    here = available()
    offered = tuple(coding for coding in codings or here if coding in here)
    made = {coding: codec(coding, (levels or {}).get(coding)) for coding in offered}
    return Coder(Policy(offered, types, least), made) if made else None


def available() -> tuple[str, ...]:
    """The codings that can be made here, the server's favourite first."""
    return tuple(coding for coding in PREFERENCE if coding == "gzip" or _module(coding) is not None)


def codec(coding: str, level: int | None = None) -> Codec:
    """The codec of an available coding.

    :param level: None for a quick one (`LEVELS`).
    """
    level = LEVELS[coding] if level is None else level
    make = {"gzip": _gzip, "br": _brotli, "zstd": _zstd}[coding]
    return make(level)


@cache
def _module(coding: str) -> Any:
    """The library; None where it is not installed."""
    names = {"gzip": ("isal.isal_zlib",), "br": ("brotli",), "zstd": ("compression.zstd", "backports.zstd")}[coding]
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


def _gzip(level: int) -> Codec:
    """isal knows four levels; what asks for zlib's best, gets zlib."""
    isal = _module("gzip") if level < MOST["gzip"] else None
    library: Any = isal or zlib
    effort = min(level, 3) if isal is not None else level

    def start() -> Started:
        made = library.compressobj(effort, zlib.DEFLATED, GZIP)
        return (
            made.compress,
            lambda: made.flush(zlib.Z_SYNC_FLUSH),
            _finish(made),
        )

    return Codec(
        "gzip", level, lambda data: library.compress(data, effort, GZIP), start,
        isal is not None or level <= QUICK["gzip"],
    )  # fmt: skip


def _finish(made: Any) -> Finish:
    def finish(piece: bytes = b"") -> bytes:
        data: bytes = made.compress(piece) + made.flush()
        return data

    return finish


def _brotli(level: int) -> Codec:
    library = _module("br")

    def start() -> Started:
        made = library.Compressor(quality=level)
        return made.process, made.flush, lambda piece=b"": made.process(piece) + made.finish()

    return Codec("br", level, lambda data: library.compress(data, quality=level), start, level <= QUICK["br"])


def _zstd(level: int) -> Codec:
    library = _module("zstd")

    def start() -> Started:
        made = library.ZstdCompressor(level=level)
        return (
            made.compress,
            lambda: made.flush(made.FLUSH_BLOCK),
            _finish(made),
        )

    return Codec("zstd", level, lambda data: library.compress(data, level), start, level <= QUICK["zstd"])


# --- the way back -----------------------------------------------------------------------------------------------------


class Inflater:
    """Decodes one body, in pieces of some `PIECE` bytes, so that a small bomb never becomes a large one at once."""

    __slots__ = ("_ended", "_errors", "_rest", "_step")

    def __init__(self, coding: str) -> None:
        """:param coding: an available one."""
        self._step, self._ended, self._rest, self._errors = {"gzip": _gunzip, "br": _unbrotli, "zstd": _unzstd}[
            coding
        ]()

    @property
    def complete(self) -> bool:
        """Whether the end of what was coded has come."""
        return self._ended()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces that `data` makes.

        :raises ValueError: it is not what it says it is, or goes on behind its end.
        """
        if self.complete:
            raise ValueError("bytes follow the end of what was coded")
        try:
            piece = self._step(data)
            while piece:
                yield piece
                piece = b"" if self.complete else self._step(b"")
        except self._errors as error:
            raise ValueError(str(error)) from None
        if self._rest():
            raise ValueError("bytes follow the end of what was coded")


Steps = tuple[Work, Callable[[], bool], Callable[[], bytes], tuple[type[Exception], ...]]
"""How a piece is decoded, whether the end was seen, what came behind it, and what may be raised."""


def _gunzip() -> Steps:
    made = zlib.decompressobj(GZIP)

    def step(data: bytes) -> bytes:
        return made.decompress(made.unconsumed_tail + data, PIECE)

    return step, lambda: made.eof, lambda: made.unused_data, (zlib.error,)


def _unbrotli() -> Steps:
    """Of this library, what comes behind the end is an error."""
    library = _module("br")
    made = library.Decompressor()

    def step(data: bytes) -> bytes:
        piece: bytes = made.process(data, output_buffer_limit=PIECE)
        return piece

    return step, made.is_finished, bytes, (library.error,)


def _unzstd() -> Steps:
    library = _module("zstd")
    made = library.ZstdDecompressor(options={library.DecompressionParameter.window_log_max: WINDOW})

    def step(data: bytes) -> bytes:
        piece: bytes = made.decompress(data, PIECE)
        return piece

    return step, lambda: made.eof, lambda: made.unused_data, (library.ZstdError,)
