"""wsgiref.validate around bare applications finds nothing to say (F16), whatever request and answer look like."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest
from wsgi_kit import FakeBody, FakeOutlet, call, get

from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange

PLAIN = [("Content-Type", "text/plain")]


def one(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", PLAIN)
    return [b"one"]


def announced(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [*PLAIN, ("Content-Length", "3")])
    return [b"one"]


def empty(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", PLAIN)
    return []


def several(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", PLAIN)
    return [b"", b"one", b"two", b""]


def generated(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", PLAIN)
    yield b""
    yield b"one"
    yield b"two"


def written(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    write = start_response("200 OK", PLAIN)
    write(b"one")
    return [b"two"]


def no_content(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("204 No Content", [])
    return []


def not_modified(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("304 Not Modified", [("ETag", '"x"')])
    return [b""]


def replaced(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", PLAIN)
    try:
        raise ValueError
    except ValueError:
        start_response("500 Oops", PLAIN, sys.exc_info())
    return [b"sorry"]


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    stream = environ["wsgi.input"]
    start_response("200 OK", PLAIN)
    return [stream.read(2), stream.readline(), *stream.readlines(3), *stream, stream.read(9)]


def complains(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    environ["wsgi.errors"].write("a line\n")
    environ["wsgi.errors"].writelines(["another\n"])
    environ["wsgi.errors"].flush()
    return one(environ, start_response)


APPLICATIONS = [
    one, announced, empty, several, generated, written, no_content, not_modified, replaced, echo, complains,
]  # fmt: skip

REQUESTS: dict[str, Callable[[], Exchange]] = {
    "GET": get,
    "HEAD": lambda: get(method="HEAD"),
    "query": lambda: get("/a%20b?x=1"),
    "POST": lambda: get(method="POST", body=b"one\ntwo\nthree\n", fields={"content-type": "text/plain"}),
    "chunked": lambda: get(method="POST", body=FakeBody(b"one\ntwo\n", announced=False)),
    "empty POST": lambda: get(method="POST", body=b""),
    "OPTIONS *": lambda: get("*", "OPTIONS"),
    "HTTP/1.0": lambda: get(version="HTTP/1.0"),
    "unix socket": lambda: get(facts=Facts("unix:", 0, "/run/edge", 0)),
    "IPv6": lambda: get(facts=Facts("::1", 1, "::1", 443, "https")),
    "odd fields": lambda: get(fields={"proxy": "x", "a_b": "c", "transfer-encoding": "chunked", "x-y": "\xe9"}),
}


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda application: application.__name__)
def test_the_validator_finds_nothing(application: Any, name: str) -> None:
    """F16. The validator refuses by AssertionError, which would be a 500 and a line in the log."""
    told = call(validator(application), REQUESTS[name]())
    assert "AssertionError" not in told.log
    assert told.end == "finish"
    assert told.status == {"no_content": 204, "not_modified": 304, "replaced": 500}.get(application.__name__, 200)


@pytest.mark.parametrize("prefix", ["", "/mount"])
@pytest.mark.parametrize("target", ["/mount", "/mount/", "/mount/x"])
def test_the_validator_finds_nothing_below_a_prefix(prefix: str, target: str) -> None:
    """F16, F1."""
    told = call(validator(one), get(target), prefix=prefix)
    assert (told.status, told.log) == (200, "")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_validator_sees_close_when_a_client_leaves(method: str) -> None:
    """F16, F8: an iterator that is not closed makes the validator complain when it is collected."""
    told = call(validator(generated), get(method=method), outlet=FakeOutlet(leaves_after=0))
    assert told.end == ("broken" if method == "GET" else "finish")
    assert told.log == ""
