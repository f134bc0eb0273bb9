"""`compress`: which answers are sent in a content coding, and in which. Pure data, each key said once."""

from __future__ import annotations

from edgestack.config.keys import key, section
from edgestack.config.kinds import SIZE, TEXT, Choice, Whole
from edgestack.config.nested_kinds import OneOrMany
from edgestack.http.content_coding import LEAST, PREFERENCE, TYPES

__all__ = ["Compress"]


@section("compress")
class Compress:
    """Text is sent in a coding that the client takes: zstd, br or gzip."""

    types: tuple[str, ...] = key(
        OneOrMany(TEXT, "a media type, or an array of them"),
        "Media types that are coded; `*` stands for anything.", default=TYPES, shown="text, and what is like text",
        example='["text/*", "application/json"]', nginx="gzip_types",
    )  # fmt: skip
    min_size: int = key(
        SIZE, "Bytes that an answer has at least; what fits into one packet gains nothing.", default=LEAST,
        example="256", nginx="gzip_min_length",
    )  # fmt: skip
    codings: tuple[str, ...] = key(
        OneOrMany(Choice(*PREFERENCE), "a coding, or an array of them"),
        "Codings, the best first; those that are not installed (extra `compress`) are left out.", default=(),
        shown='["zstd", "br", "gzip"]', example='["br", "gzip"]', nginx="gzip, brotli",
    )  # fmt: skip
    gzip: int = key(Whole(1, 9), "The level of gzip.", default=2, example="5", nginx="gzip_comp_level")
    br: int = key(Whole(0, 11), "The quality of brotli.", default=4, example="5", nginx="brotli_comp_level")
    zstd: int = key(Whole(1, 19), "The level of zstd.", default=3, example="6")
    off: bool = False
    """Nothing is coded."""
