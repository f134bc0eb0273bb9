"""The sample application by itself, called as PEP 3333 says and watched by the standard library's validator (F16)."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from src.main import BLOCK, ROUTES, STREAM_DEFAULT, STREAM_MOST, app, prime_lines, stream_limit

PAYLOADS = [b"", b"x", b"\r\n", b"\r", b"--frontier", b"\r\n--not it\r\n", b"ends\r\n", bytes(range(256)) * 300]


def call(path: str, method: str = "GET", body: bytes = b"", **environ: str) -> tuple[str, dict[str, str], bytes]:
    """Status, fields and body of one request; `environ` adds to what it carries."""
    request: dict[str, Any] = {
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "REQUEST_METHOD": method,
        "QUERY_STRING": "",
        **environ,
    }
    if method == "POST":
        request["CONTENT_LENGTH"] = str(len(body))
    request["wsgi.input"] = io.BytesIO(body)
    setup_testing_defaults(request)
    seen: list[Any] = []

    def start_response(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
        seen[:] = [status, dict(fields)]
        return seen.append

    answer = validator(app)(request, start_response)
    try:
        content = b"".join(answer)
    finally:
        answer.close()  # type: ignore[attr-defined]
    return seen[0], seen[1], content


@pytest.mark.parametrize("path", ["/", "/app/", "/app/upload"])
def test_a_page_is_a_page(path: str) -> None:
    status, fields, content = call(path)
    assert status == "200 OK"
    assert fields["Content-Type"] == "text/html; charset=utf-8"
    assert content.startswith(b"<!doctype html>")


def test_every_path_named_in_the_docstring_is_there() -> None:
    import src.main

    assert src.main.__doc__ is not None
    assert all(path in src.main.__doc__ for path in ROUTES)


def test_the_time_is_json() -> None:
    status, fields, content = call("/api/time")
    assert (status, fields["Content-Type"]) == ("200 OK", "application/json")
    assert {"utc", "unix", "process"} <= json.loads(content).keys()


@pytest.mark.parametrize("payload", [*PAYLOADS, b"z" * BLOCK, b"z" * (BLOCK - 1) + b"\r\n--frontie"])
def test_a_bare_body_is_digested(payload: bytes) -> None:
    _, _, content = call("/app/upload", "POST", payload, CONTENT_TYPE="application/octet-stream")
    assert json.loads(content) == {
        "size": len(payload),
        "sha256": hashlib.sha256(payload).hexdigest(),
        "first_bytes": payload[:16].hex(" "),
    }


@pytest.mark.parametrize("payload", [*PAYLOADS, *(b"z" * (BLOCK + cut) + b"\r\n." for cut in range(-4, 3))])
def test_a_forms_file_is_digested(payload: bytes) -> None:
    """RFC 7578; lines are cut at a block's end in every place around a CR LF."""
    form = (
        b'--frontier\r\nContent-Disposition: form-data; name="note"\r\n\r\nfirst\r\n'
        b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="caf\xc3\xa9 <1>.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + payload + b"\r\n--frontier--\r\n"
    )
    status, _, content = call("/app/upload", "POST", form, CONTENT_TYPE='multipart/form-data; boundary="frontier"')
    assert status == "200 OK"
    assert f"<dd>{len(payload)}</dd>".encode() in content
    assert hashlib.sha256(payload).hexdigest().encode() in content
    assert "café &lt;1&gt;.bin".encode() in content


def test_a_form_without_a_file_is_told_so() -> None:
    form = b'--frontier\r\nContent-Disposition: form-data; name="note"\r\n\r\nfirst\r\n--frontier--\r\n'
    assert call("/app/upload", "POST", form, CONTENT_TYPE="multipart/form-data; boundary=frontier")[0][:3] == "400"


@pytest.mark.parametrize(
    ("limit", "primes"), [(0, None), (1, 0), (2, 1), (3, 2), (100, 25), (19_999, 2262), (20_000, 2262), (20_011, 2263)]
)
def test_primes_are_counted(limit: int, primes: int | None) -> None:
    last = b"".join(prime_lines(limit)).decode().splitlines()[2:-2][-1:]
    assert [line.split()[1].replace(",", "") for line in last] == ([] if primes is None else [str(primes)])


def test_the_stream_comes_in_pieces() -> None:
    pieces = list(prime_lines(100_000))
    assert len(pieces) == 2 + 5
    assert all(piece.endswith(b"\n") for piece in pieces)


@pytest.mark.parametrize(
    ("asked", "limit"),
    [
        ("1000", 1000),
        ("0", 0),
        ("-5", STREAM_DEFAULT),
        ("²", STREAM_DEFAULT),
        ("9e9", STREAM_DEFAULT),
        ("", STREAM_DEFAULT),
        (str(STREAM_MOST - 1), STREAM_MOST - 1),
        (str(STREAM_MOST), STREAM_MOST),
        (str(STREAM_MOST + 1), STREAM_MOST),
        ("1" * 5000, STREAM_MOST),
    ],
)
def test_whatever_is_asked_of_the_stream_is_bounded(asked: str, limit: int) -> None:
    assert stream_limit(f"up-to={asked}") == limit


def test_the_stream_is_plain_text_that_a_browser_shows_at_once() -> None:
    status, fields, content = call("/app/stream", QUERY_STRING="up-to=2000")
    assert (status, fields["X-Content-Type-Options"]) == ("200 OK", "nosniff")
    assert content.endswith(b"That is all.\n")


def test_boom_raises() -> None:
    with pytest.raises(RuntimeError, match="asked for"):
        call("/app/boom")


def test_a_path_nobody_knows() -> None:
    status, _, content = call("/caf\u00c3\u00a9<b>")
    assert status == "404 Not Found"
    assert "/café&lt;b&gt;".encode() in content


def test_a_method_nobody_takes() -> None:
    status, fields, _ = call("/app/upload", "DELETE")
    assert status == "405 Method Not Allowed"
    assert fields["Allow"] == "GET, HEAD, POST"


def test_a_mounted_application_still_knows_its_paths() -> None:
    """F1: SCRIPT_NAME and PATH_INFO rebuild the path."""
    assert call("/time", SCRIPT_NAME="/api")[0] == "200 OK"
