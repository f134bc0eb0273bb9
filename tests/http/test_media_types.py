"""Criterion C12: media types from our own pinned table."""

from __future__ import annotations

import re

import pytest

from edgestack.http.media_types import MEDIA_TYPES, UNKNOWN, media_type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("a/b.c/site.css", "text/css; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("app.mjs", "text/javascript; charset=utf-8"),
        ("README.md", "text/markdown; charset=utf-8"),
        ("notes.txt", "text/plain; charset=utf-8"),
        ("data.json", "application/json"),
        ("app.js.map", "application/json"),
        ("site.webmanifest", "application/manifest+json"),
        ("feed.xml", "application/xml"),
        ("font.woff2", "font/woff2"),
        ("photo.webp", "image/webp"),
        ("photo.avif", "image/avif"),
        ("photo.jxl", "image/jxl"),
        ("PHOTO.JPG", "image/jpeg"),
        ("logo.svg", "image/svg+xml"),
        ("favicon.ico", "image/vnd.microsoft.icon"),
        ("code.wasm", "application/wasm"),
        ("talk.opus", "audio/ogg"),
        ("film.mp4", "video/mp4"),
        ("paper.pdf", "application/pdf"),
        ("all.tar.gz", "application/gzip"),
        ("README", UNKNOWN),
        ("a.b/README", UNKNOWN),
        (".html", UNKNOWN),
        ("dir/.js", UNKNOWN),
        ("name.", UNKNOWN),
        ("name.what-is-this", UNKNOWN),
    ],
)
def test_table(name: str, expected: str) -> None:
    """C12"""
    assert media_type(name) == expected


def test_the_users_own_types_go_first() -> None:
    """C12: user-extendable, and text of the user's gets its charset too."""
    extra = {"html": "application/xhtml+xml", "gmi": "text/gemini", "koi": "text/plain; charset=koi8-r"}
    assert media_type("a.html", extra) == "application/xhtml+xml"
    assert media_type("a.GMI", extra) == "text/gemini; charset=utf-8"
    assert media_type("a.koi", extra) == "text/plain; charset=koi8-r"
    assert media_type("a.css", extra) == "text/css; charset=utf-8"


def test_the_table_is_sound() -> None:
    for extension, name in MEDIA_TYPES.items():
        assert re.fullmatch("[a-z0-9]+", extension)
        assert re.fullmatch(r"(text/[a-z0-9.+-]+; charset=utf-8|(?!text)[a-z]+/[a-z0-9.+-]+)", name)
    assert len(MEDIA_TYPES) >= 120
