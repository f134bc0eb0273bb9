"""A copy of an answer keeps what is not said about it."""

from __future__ import annotations

import pytest

from edgestack.http.messages import Response


def unmeasured() -> Response:
    """The answer to a HEAD, of which nobody knows how long GET's would be."""
    response = Response(200, (("A", "1"),))
    response.length, response.at_once = None, False
    return response


@pytest.mark.parametrize(
    ("response", "changes", "length", "at_once"),
    [
        (Response(200, (), b"abc"), {"fields": ()}, 3, True),
        (Response(200, (), b"abc"), {"body": b"abcde", "length": None}, 5, True),
        (Response(200, (), b"", 9), {"fields": ()}, 9, False),
        (unmeasured(), {"fields": (("Vary", "Accept-Encoding"),)}, None, False),
        (unmeasured(), {"status": 404}, None, False),
        (unmeasured(), {"length": 7}, 7, False),
        (unmeasured(), {"body": b"page"}, 4, True),
    ],
)
def test_the_length_of_a_copy(response: Response, changes: dict[str, object], length: int, at_once: bool) -> None:
    """A length that is not known stays so: a HEAD must not say 0 where GET says something else (C6)."""
    made = response.with_(**changes)
    assert (made.length, made.at_once) == (length, at_once)
