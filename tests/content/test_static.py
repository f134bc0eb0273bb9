"""Criteria C1, C2, C3, C4, C6, C10, C12: a file as an answer, and its validators."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from static_kit import LONG_AGO, body, exchange, get, refusal, static, waited, write

from edgestack.content import representation
from edgestack.http.bodies import FileSegment
from edgestack.http.dates import http_date

LARGE = representation.KEPT + 1


def test_a_small_file(tmp_path: Path) -> None:
    """C1 C12: all that a 200 carries."""
    write(tmp_path / "a.html", "hello")
    response = get(static(tmp_path), "/a.html")
    assert (response.status, body(response)) == (200, b"hello")
    assert response.fields == (
        ("Content-Type", "text/html; charset=utf-8"),
        ("ETag", f'"{LONG_AGO * 10**9:x}-5"'),
        ("Last-Modified", "Sun, 13 Sep 2020 12:26:40 GMT"),
        ("Accept-Ranges", "bytes"),
    )


def test_an_empty_file(tmp_path: Path) -> None:
    write(tmp_path / "a", b"")
    response = get(static(tmp_path), "/a")
    assert (response.status, response.length, body(response)) == (200, 0, b"")


@pytest.mark.parametrize("size", [representation.SMALL, representation.SMALL + 1, representation.KEPT, LARGE])
def test_size_decides_the_road_and_not_the_answer(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    write(tmp_path / "a.bin", content)
    handler = static(tmp_path)
    for _ in range(2):
        response = get(handler, "/a.bin")
        assert isinstance(response.body, FileSegment) is (size > representation.SMALL)
        assert body(response) == content


def test_a_ready_answer_is_one_object(tmp_path: Path) -> None:
    """C14: what follows from the file alone is made once."""
    write(tmp_path / "a.txt")
    handler = static(tmp_path)
    browser = {"accept": "*/*", "accept_encoding": "gzip, deflate, br"}
    assert get(handler, "/a.txt") is get(handler, "/a.txt", **browser) is get(handler, "/a.txt", "HEAD")
    tag = get(handler, "/a.txt").field("etag") or ""
    assert get(handler, "/a.txt", if_none_match=tag) is get(handler, "/a.txt", "HEAD", if_none_match=tag)


def test_the_head_of_a_large_file_is_encoded_once(tmp_path: Path) -> None:
    """The wire keeps it on the answer; the file is kept open beside it, and every answer sends from that."""
    write(tmp_path / "a.bin", b"x" * LARGE)
    handler = static(tmp_path)
    response = get(handler, "/a.bin")
    assert get(handler, "/a.bin") is response
    assert body(response) == body(get(handler, "/a.bin")) == b"x" * LARGE


def test_unknown_types_are_not_guessed(tmp_path: Path) -> None:
    """C12"""
    write(tmp_path / "a.what")
    write(tmp_path / "a.gmi")
    handler = static(tmp_path, types={"gmi": "text/gemini"})
    assert get(handler, "/a.what").field("content-type") == "application/octet-stream"
    assert get(handler, "/a.what").field("x-content-type-options") == "nosniff"
    assert get(handler, "/a.gmi").field("content-type") == "text/gemini; charset=utf-8"
    assert get(handler, "/a.gmi").field("x-content-type-options") is None


def test_development_stores_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.txt")
    assert get(static(tmp_path, dev=True, cache_control="max-age=60"), "/a.txt").field("cache-control") == "no-store"
    assert get(static(tmp_path, cache_control="max-age=60"), "/a.txt").field("cache-control") == "max-age=60"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "PROPFIND"])
@pytest.mark.parametrize("target", ["/a.txt", "/", "/missing"])
def test_other_methods(tmp_path: Path, method: str, target: str) -> None:
    """C6"""
    write(tmp_path / "a.txt")
    error = refusal(static(tmp_path), target, method)
    assert (error.status, error.fields) == (405, (("Allow", "GET, HEAD"),))


@pytest.mark.parametrize("size", [5, LARGE])
@pytest.mark.parametrize("accepted", ["", "br"])
def test_head_has_the_fields_of_get(tmp_path: Path, size: int, accepted: str) -> None:
    """C6: Content-Length and Content-Encoding included; and no descriptor is opened for it."""
    write(tmp_path / "a.js", b"x" * size)
    write(tmp_path / "a.js.br", b"y" * (size - 1))
    handler = static(tmp_path)
    whole = get(handler, "/a.js", accept_encoding=accepted)
    head = get(handler, "/a.js", "HEAD", accept_encoding=accepted)
    assert (head.status, head.fields, head.length) == (200, whole.fields, whole.length)
    assert type(head.body) is bytes
    body(whole)


def test_range_means_nothing_to_head(tmp_path: Path) -> None:
    """C5 C6: RFC 9110 §14.2 defines it for GET alone."""
    write(tmp_path / "a.txt", "0123456789")
    assert get(static(tmp_path), "/a.txt", "HEAD", range="bytes=0-1").status == 200


def test_a_young_file_is_weak_and_grows_up(tmp_path: Path) -> None:
    """C1: and an entry made while it was young does not stay."""
    now = time.time()
    file = write(tmp_path / "a.txt", "content", now - 0.2)
    handler = static(tmp_path)
    assert (get(handler, "/a.txt").field("etag") or "").startswith("W/")
    assert len(handler._files) == 0
    os.utime(file, (now - 1.5, now - 1.5))
    assert (get(handler, "/a.txt").field("etag") or "").startswith('"')
    assert len(handler._files) == 1


def test_a_date_to_come_is_now(tmp_path: Path) -> None:
    """C10: Last-Modified is never later than Date (RFC 9110 §8.8.2.1), nor does it grow stale with the entry."""
    write(tmp_path / "a.txt", mtime=time.time() + 90_000)
    handler = static(tmp_path)
    earliest = int(time.time())
    first = get(handler, "/a.txt", started=0.0)
    dates = [http_date(at) for at in range(earliest, int(time.time()) + 1)]
    assert first.field("last-modified") in dates
    assert get(handler, "/a.txt", started=0.9) is first
    assert get(handler, "/a.txt", started=1.0) is not first


@pytest.mark.parametrize("mtime", [0, 1, 1.9])
def test_a_file_of_a_reproducible_build(tmp_path: Path, mtime: float) -> None:
    """C10: no Last-Modified, and a tag of its content."""
    write(tmp_path / "a.txt", "one", mtime)
    handler = static(tmp_path)
    first = get(handler, "/a.txt")
    write(tmp_path / "a.txt", "two", mtime)
    second = get(handler, "/a.txt")
    write(tmp_path / "b.txt", "two", mtime)
    assert first.field("last-modified") is None
    assert first.field("etag") != second.field("etag") == get(handler, "/b.txt").field("etag")
    assert body(second) == b"two"
    past = http_date(LONG_AGO)
    assert get(handler, "/a.txt", if_modified_since=past).status == 200
    assert get(handler, "/a.txt", if_none_match=second.field("etag") or "").status == 304


async def test_a_large_file_of_a_reproducible_build(tmp_path: Path) -> None:
    """C10: its hash is taken on a thread, once."""
    content = os.urandom(LARGE)
    write(tmp_path / "a.bin", content, 1)
    handler = static(tmp_path)
    first = await waited(handler(exchange("/a.bin")))
    second = get(handler, "/a.bin", started=5.0)
    assert first.field("etag") == second.field("etag")
    assert body(first) == body(second) == content
    assert (await waited(static(tmp_path).try_(exchange("/a.bin", "HEAD")))).field("etag") == first.field("etag")


def test_not_modified(tmp_path: Path) -> None:
    """C3: 304 has the validators, Cache-Control and Vary, and nothing that describes a body."""
    write(tmp_path / "a.css")
    write(tmp_path / "a.css.gz")
    handler = static(tmp_path, cache_control="max-age=60")
    tag = get(handler, "/a.css").field("etag") or ""
    for fields in ({"if_none_match": tag}, {"if_modified_since": http_date(LONG_AGO)}):
        response = get(handler, "/a.css", **fields)
        assert (response.status, response.body) == (304, b"")
        assert [name for name, _ in response.fields] == ["ETag", "Last-Modified", "Cache-Control", "Vary"]


def test_failed_preconditions(tmp_path: Path) -> None:
    """C2"""
    write(tmp_path / "a.css")
    handler = static(tmp_path)
    tag = get(handler, "/a.css").field("etag") or ""
    assert refusal(handler, "/a.css", if_match='"other"').status == 412
    assert refusal(handler, "/a.css", if_unmodified_since=http_date(LONG_AGO - 1)).status == 412
    assert refusal(handler, "/a.css", if_match='"other"', range="bytes=0-0").status == 412
    assert get(handler, "/a.css", if_match=tag, range="bytes=0-0").status == 206
    assert get(handler, "/a.css", if_none_match=tag, range="bytes=0-0").status == 304


@pytest.mark.parametrize(
    ("value", "status"),
    [("tag", 206), (http_date(LONG_AGO), 206), ('W/"x"', 200), ('"x"', 200), (http_date(LONG_AGO + 1), 200)],
)
def test_if_range(tmp_path: Path, value: str, status: int) -> None:
    """C4"""
    write(tmp_path / "a.css")
    handler = static(tmp_path)
    value = (get(handler, "/a.css").field("etag") or "") if value == "tag" else value
    assert get(handler, "/a.css", range="bytes=0-0", if_range=value).status == status


def test_if_range_never_takes_a_weak_tag(tmp_path: Path) -> None:
    """C1 C4"""
    write(tmp_path / "a.css", mtime=time.time() + 90_000)
    handler = static(tmp_path)
    tag = get(handler, "/a.css").field("etag") or ""
    assert get(handler, "/a.css", range="bytes=0-0", if_range=tag).status == 200
