"""Structured fields (RFC 9651): dictionaries, held against the library http-sf, which shares no code with ours."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgestack.http.structured_fields import dictionary, string


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # §3.2, §4.2.2
        ("", {}),
        ("   ", {}),
        ("a", {"a": True}),
        ("a=1, b;x=y, c=?0", {"a": 1, "b": True, "c": False}),
        ("a=1,b=2\t,\tc=3 ", {"a": 1, "b": 2, "c": 3}),
        ("a=1, b, a=2", {"a": 2, "b": True}),  # the last of a key holds, where the first stood
        ('a="x\\"\\\\y"', {"a": 'x"\\y'}),
        ("a=tok/en:*", {"a": "tok/en:*"}),
        ("*a.b-c_d=1", {"*a.b-c_d": 1}),
        ("a=:aGk=:", {"a": b"hi"}),
        ("a=(1 2);q=1, b", {"a": None, "b": True}),
        ("a=()", {"a": None}),
        ("a=@17", {"a": None}),
        ('a=%"f%c3%bc"', {"a": None}),
        ("a=-12.5", {"a": -12.5}),
        ("a=999999999999999", {"a": 999999999999999}),
        # broken anywhere, broken as a whole (§4.2)
        ("a=1,", None),
        (",a", None),
        ("a=1 b=2", None),
        ("A=1", None),
        ("a=", None),
        ("a =1", None),
        ("a= 1", None),
        ("a=1.", None),
        ("a=1.2345", None),
        ("a=1000000000000000", None),
        ("a=1234567890123.1", None),
        ("a=--1", None),
        ("a=?2", None),
        ('a="x', None),
        ('a="\\x"', None),
        ('a="é"', None),
        ("a=:?:", None),
        ("a=:a:", None),
        ("a=(1", None),
        ("a=(1,2)", None),
        ("a=@1.5", None),
        ('a=%"%C3"', None),
        ("a;=1", None),
        ("a=1 ;b", None),
        ("\ta", None),
    ],
)
def test_dictionaries(text: str, expected: dict[str, Any] | None) -> None:
    assert dictionary(text) == expected


PLAIN = {http_sf.Token: str, Decimal: float}
"""What two of its types are here."""
PIECES = [
    "a", "b", "max-age", "=", ",", ", ", ";", "1", "-", "60", ".", "?1", '"', "x y", "(", ")", " ", "\t", ":YQ==:", "*",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_what_is_a_dictionary_and_what_is_in_it_is_as_http_sf_has_it(text: str) -> None:
    try:
        theirs: dict[str, Any] | None = http_sf.parse(text.encode(), tltype="dictionary")
    except ValueError:
        theirs = None
    ours = dictionary(text)
    if theirs is None or ours is None:
        assert theirs is ours
        return
    assert list(ours) == list(theirs)
    for key, (value, _) in theirs.items():
        if not isinstance(value, list):
            assert ours[key] == PLAIN.get(type(value), lambda same: same)(value)


@pytest.mark.parametrize(
    ("text", "expected"), [("ok", '"ok"'), ('a"b\\c', '"a\\"b\\\\c"'), ("a\r\nb\x7fü", '"a??b??"'), ("", '""')]
)
def test_strings(text: str, expected: str) -> None:
    """§4.1.6: what a structured field cannot say is not let through."""
    assert string(text) == expected
    assert dictionary(f"a={string(text)}") is not None
