"""Criteria C7 and C8: what a request-target comes to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from static_kit import exchange, get, refusal, static, write

from edgestack.content import representation
from edgestack.errors import ClientError

LARGE = representation.KEPT + 1


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/docs", "/docs/"),
        ("/docs?a=1&b=%20", "/docs/?a=1&b=%20"),
        ("/docs?", "/docs/?"),
        ("//docs", "/docs/"),
        ("/x/../docs", "/docs/"),
        ("/evil.example", "/evil.example/"),
        ("//evil.example", "/evil.example/"),
        ("///evil.example?//x", "/evil.example/?//x"),
        ("/%2e//evil.example", "/evil.example/"),
        ("/gr%C3%BC%C3%9Fe%20%3F%23%25", "/gr%C3%BC%C3%9Fe%20%3F%23%25/"),
        ("/%0d%0aSet-Cookie:x", "/%0D%0ASet-Cookie:x/"),
        ("/%ff", "/%FF/"),
    ],
)
def test_redirect_to_the_slash(tmp_path: Path, target: str, location: str) -> None:
    """C7: a path from the root, whatever was asked, with the query kept."""
    for name in ("docs", "evil.example", "grüße ?#%", "\r\nSet-Cookie:x", "\udcff"):
        (tmp_path / name).mkdir()
    response = get(static(tmp_path), target)
    assert (response.status, response.field("location")) == (301, location)


def test_redirect_below_a_prefix(tmp_path: Path) -> None:
    """C7: the mount, and a folder in it."""
    (tmp_path / "docs").mkdir()
    for prefix in ("/static", "/static/"):
        handler = static(tmp_path, prefix)
        assert get(handler, "/static/docs?x").field("location") == "/static/docs/?x"
        assert get(handler, "/static").field("location") == "/static/"
    assert get(static(tmp_path, dev=True), "/docs").field("cache-control") == "no-store"


def test_a_prefix_is_stripped(tmp_path: Path) -> None:
    write(tmp_path / "site/a.txt")
    write(tmp_path / "site-two/a.txt")
    handler = static(tmp_path / "site", "/s", follow_symlinks=True)
    assert get(handler, "/s/a.txt").status == 200
    assert refusal(handler, "/s-two/a.txt").status == 404  # no folder beside the root, should a router be careless


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/", 403), ("/docs/", 403), ("/none", 404), ("/a.txt/", 404), ("/pipe", 404), ("/.env", 404),
        ("/docs%2fa.txt", 404), ("/docs%2Fa.txt", 404), ("/..%5ca.txt", 404), ("/a%5Ctxt", 404),
    ],
)  # fmt: skip
def test_errors(tmp_path: Path, target: str, status: int) -> None:
    """C7 C8: encoded slashes and backslashes name no file, though their decoded form would."""
    for name in ("a.txt", "docs/a.txt", ".env"):
        write(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    handler = static(tmp_path)
    assert get(handler, "/docs/a.txt").status == 200
    assert refusal(handler, target).status == status
    assert handler.try_(exchange(target)) is None


@pytest.mark.parametrize("target", ["/a%00.txt", "/../a.txt", "/%2e%2e/a.txt"])
def test_targets_that_never_come_so_far(target: str) -> None:
    """C8: %00 and climbing above the root are 400 where the path is read."""
    with pytest.raises(ClientError) as caught:
        exchange(target)
    assert caught.value.status == 400


def test_an_escape_is_decoded_once(tmp_path: Path) -> None:
    """C8"""
    write(tmp_path / "a%41.txt")
    assert get(static(tmp_path), "/a%2541.txt").status == 200
    assert refusal(static(tmp_path), "/a%41.txt").status == 404


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    """C8: names are bytes."""
    write(tmp_path / "caf\udce9.txt")
    assert get(static(tmp_path), "/caf%e9.txt").status == 200


def test_plan_opens_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.txt").chmod(0)
    handler = static(tmp_path)
    place = handler.plan(exchange("/a.txt"))
    assert (place.kind, place.filename) == ("file", os.fsencode(tmp_path / "a.txt"))
    assert handler.plan(exchange("/b%2fa.txt")).why == "an encoded slash or backslash"
    assert len(handler._files) == 0
