"""The page of development mode for a server that did not answer: in three forms, without a hole for markup."""

from __future__ import annotations

import json

import pytest

from edgestack.errors import UpstreamError
from edgestack.http.attempts import Attempt, Attempts
from edgestack.http.unanswered import CHECKS, OTHERWISE, unanswered


def tried(*said: tuple[str, str, float, int]) -> Attempts:
    """Attempts: address, error, seconds, status."""
    attempts = Attempts()
    for address, error, seconds, status in said:
        attempt = Attempt()
        attempt.address = address
        attempt.error, attempt.response_time, attempt.status = error, seconds, status
        attempts.append(attempt)
    return attempts


REFUSED = "127.0.0.1:2: connecting: refused: nobody listens there"
TRIED = tried(("127.0.0.1:1", "", 0.25, 503), ("127.0.0.1:2", REFUSED, 0.0014, 502))


def page(form: str, attempts: Attempts | None = TRIED, why: str = REFUSED, line: str = "GET /x") -> str:
    return unanswered(UpstreamError(detail=why), attempts, line, "id7", form).decode()


def test_html_has_the_address_the_attempts_and_what_to_check() -> None:
    text = page("html")
    assert "<title>127.0.0.1:2 does not answer</title>" in text
    assert "<tr><td><code>127.0.0.1:1</code></td><td>answered 503</td><td>250 ms</td></tr>" in text
    assert "<td>connecting: refused: nobody listens there</td><td>1 ms</td>" in text
    assert all(advice.split(".")[0] in text for advice in CHECKS[0].advice)
    assert "<code>id7</code>" in text


def test_html_escapes_what_strangers_say() -> None:
    text = page("html", tried(("a", "a: <script>`", 0.0, 0)), "<script>`", "GET /<script>")
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 3


def test_json_says_the_same() -> None:
    told = json.loads(page("json"))
    assert told["error"] == "127.0.0.1:2 does not answer"
    assert told["detail"] == REFUSED
    assert told["attempts"] == [
        {"address": "127.0.0.1:1", "said": "answered 503", "seconds": 0.25},
        {"address": "127.0.0.1:2", "said": "connecting: refused: nobody listens there", "seconds": 0.001},
    ]
    assert told["check"] == list(CHECKS[0].advice)


def test_text_says_the_same() -> None:
    lines = page("plain").splitlines()
    assert lines[:3] == ["502 Bad Gateway", "127.0.0.1:2 does not answer", "GET /x"]
    assert "  127.0.0.1:2  connecting: refused: nobody listens there  1 ms" in lines
    assert lines[-1] == "Request id: id7"


@pytest.mark.parametrize("attempts", [None, Attempts()])
def test_where_nobody_could_be_asked_there_is_no_table(attempts: Attempts | None) -> None:
    text = page("html", attempts, 'no live upstreams in "backend": 127.0.0.1:1: down')
    assert "What was tried" not in text
    assert "down" in text
    assert "does not answer</h1>" in text


@pytest.mark.parametrize(
    ("why", "begins"),
    [
        ("a: connecting: there is no such socket", "Is the server running, and is this the path"),
        ("a: no connection within 5 s", "Is the machine up"),
        ("a: nothing came for 60 s", "The server took the request"),
        ("a: shaking hands: what came is not TLS: is https meant here?", "Does the server speak HTTPS"),
        ("a: shaking hands: its certificate does not hold: self-signed", "Is the certificate from an authority"),
        ('no live upstreams in "b": c has no address', "Is the name spelled"),
        ('no live upstreams in "b"', "Every server of the group"),
        ("the server closed before the head", "The server ended the connection"),
        ("a: something else", OTHERWISE[0]),
    ],
)
def test_what_to_check_depends_on_what_went_wrong(why: str, begins: str) -> None:
    assert json.loads(page("json", why=why))["check"][0].startswith(begins)
