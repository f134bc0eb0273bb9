"""Criterion D8: answers made from what is stored: Age, HEAD, 304, ranges (RFC 9111 §4.3.2, §5.1; RFC 9110 §13, §14)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from caching_kit import NOW, at, request, stored

from edgestack.http.bodies import FileSegment, OpenFile
from edgestack.http.caching_answers import stored_answer

BODY = b"0123456789"
HEAD = stored(
    cache_control="max-age=60", etag='"a"', last_modified=at(-50), content_type="text/html", vary="Accept", x_more="1",
    content_language="de",
)  # fmt: skip


@pytest.mark.parametrize(("after", "age"), [(0, "0"), (0.9, "0"), (7.2, "7"), (99, "99"), (-5, "0")])
def test_the_age_goes_with_it(after: float, age: str) -> None:
    """§5.1: in whole seconds, and never below 0"""
    answer = stored_answer(request(), HEAD, BODY, NOW + after)
    assert (answer.status, answer.body, answer.length, answer.field("age")) == (200, BODY, 10, age)
    assert answer.fields[:-1] == HEAD.fields


def test_the_age_that_it_came_with_counts() -> None:
    """§4.2.3"""
    head = stored(cache_control="max-age=60", age="5", date=at(-1))
    assert stored_answer(request(), head, BODY, NOW + 2).field("age") == "7"


def test_a_head_has_the_fields_and_the_length_of_a_get() -> None:
    """D8: HEAD from a stored GET; with its body, which filters must see (D1) and the wire leaves out (E5)."""
    answer = stored_answer(request("HEAD", range="bytes=0-1"), HEAD, BODY, NOW)
    assert (answer.status, answer.body, answer.length) == (200, BODY, 10)
    assert answer.fields == stored_answer(request(), HEAD, BODY, NOW).fields


@pytest.mark.parametrize(
    ("method", "fields", "status"),
    [
        ("GET", {"if_none_match": '"a"'}, 304),
        ("HEAD", {"if_none_match": 'W/"a"'}, 304),
        ("GET", {"if_none_match": '"b"', "if_modified_since": at(0)}, 200),
        ("GET", {"if_modified_since": at(-50)}, 304),
        ("GET", {"if_modified_since": at(-51)}, 200),
        # those are for origins (RFC 9111 §4.3.2)
        ("GET", {"if_match": '"b"'}, 200),
        ("GET", {"if_unmodified_since": at(-99)}, 200),
        ("GET", {"if_match": '"b"', "if_none_match": '"a"'}, 304),
    ],
)
def test_preconditions(method: str, fields: dict[str, str], status: int) -> None:
    assert stored_answer(request(method, **fields), HEAD, BODY, NOW).status == status


def test_a_304_says_what_its_200_says_about_caching() -> None:
    """C3, RFC 9110 §15.4.5"""
    answer = stored_answer(request(if_none_match="*"), HEAD, BODY, NOW + 3)
    assert {name.lower() for name, _ in answer.fields} == {"cache-control", "etag", "last-modified", "vary", "age"}
    assert (answer.body, answer.field("age")) == (b"", "3")


def test_preconditions_are_about_a_200() -> None:
    """RFC 9110 §13.2.1"""
    head = stored(404, cache_control="max-age=60", etag='"a"')
    answer = stored_answer(request(if_none_match='"a"', range="bytes=0-1"), head, BODY, NOW)
    assert (answer.status, answer.body) == (404, BODY)


def read(body: object) -> bytes:
    """The bytes of one piece."""
    if isinstance(body, FileSegment):
        return bytes(body.read(0, body.length))
    assert isinstance(body, bytes)
    return body


@pytest.fixture(params=["memory", "file", "file in memory"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> bytes | FileSegment:
    """BODY where a store keeps it; in a file, behind something else."""
    if request.param == "memory":
        return BODY
    path = tmp_path / "stored"
    path.write_bytes(b"head" + BODY)
    file = OpenFile(os.open(path, os.O_RDONLY))
    return FileSegment(file, 4, 10, path.read_bytes() if request.param == "file in memory" else None)


@pytest.mark.parametrize(
    ("fields", "expected", "content_range"),
    [
        ({"range": "bytes=2-4"}, b"234", "bytes 2-4/10"),
        ({"range": "bytes=-2"}, b"89", "bytes 8-9/10"),
        ({"range": "bytes=9-99"}, b"9", "bytes 9-9/10"),
        ({"range": "bytes=2-4", "if_range": '"a"'}, b"234", "bytes 2-4/10"),
        ({"range": "bytes=2-4", "if_range": at(-50)}, b"234", "bytes 2-4/10"),
        ({"range": "bytes=2-4", "if_range": '"b"'}, None, None),
        ({"range": "bytes=2-4", "if_range": at(-49)}, None, None),
        ({"range": "lines=2-4"}, None, None),
        ({"range": "bytes=4-2"}, None, None),
    ],
)
def test_a_part(
    kept: bytes | FileSegment, fields: dict[str, str], expected: bytes | None, content_range: str | None
) -> None:
    """D8: ranges from a stored full body"""
    answer = stored_answer(request(**fields), HEAD, kept, NOW)
    assert answer.status == (200 if expected is None else 206)
    assert read(answer.body) == (BODY if expected is None else expected)
    assert answer.length == len(read(answer.body))
    assert answer.field("content-range") == content_range
    assert answer.field("age") == "0"


def test_several_parts(kept: bytes | FileSegment) -> None:
    answer = stored_answer(request(range="bytes=0-1,5-6"), HEAD, kept, NOW)
    assert isinstance(answer.body, tuple)
    data = b"".join(map(read, answer.body))
    assert (answer.status, len(data)) == (206, answer.length)
    assert data.count(b"Content-Type: text/html\r\n") == 2
    assert b"\r\n\r\n01\r\n" in data
    assert b"\r\n\r\n56\r\n" in data
    assert [name for name, _ in answer.fields].count("Content-Type") == 1


def test_nothing_of_it_exists() -> None:
    answer = stored_answer(request(range="bytes=10-"), HEAD, BODY, NOW)
    assert (answer.status, answer.field("content-range"), answer.body) == (416, "bytes */10", b"")


def test_an_origin_may_want_no_ranges() -> None:
    """RFC 9110 §14.3"""
    head = stored(cache_control="max-age=60", accept_ranges="none")
    assert stored_answer(request(range="bytes=0-1"), head, BODY, NOW).status == 200


def test_a_204_has_no_length() -> None:
    """E5"""
    answer = stored_answer(request(), stored(204, cache_control="max-age=60"), b"", NOW)
    assert (answer.status, answer.body) == (204, b"")
