"""Field names, values, lists and parameters (RFC 9110 §5.5, §5.6)."""

from __future__ import annotations

import time

import pytest

from edgestack.http.fields import (
    FORBIDDEN,
    HOP_BY_HOP,
    TCHAR,
    fold,
    is_field_value,
    is_token,
    parameters,
    split_list,
    tokens,
    unquote,
)


def test_tokens_and_tchar_agree() -> None:
    """RFC 9110 §5.6.2, byte by byte."""
    expected = set("!#$%&'*+-.^_`|~") | set("0123456789") | set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert {chr(byte) for byte in TCHAR} == expected
    assert {chr(code) for code in range(0x180) if is_token(chr(code))} == expected


@pytest.mark.parametrize(
    ("text", "valid"), [("", False), ("GET", True), ("a b", False), ("a:", False), ("a\n", False), ("é", False)]
)
def test_tokens(text: str, valid: bool) -> None:
    assert is_token(text) is valid


def test_field_values() -> None:
    """RFC 9110 §5.5: visible characters, space, HTAB and obs-text; E1, F10: no CR, LF, NUL or other control bytes."""
    allowed = {chr(code) for code in range(256)} - {chr(byte) for byte in FORBIDDEN}
    assert {chr(code) for code in range(0x180) if is_field_value(chr(code))} == allowed
    assert "\t" in allowed
    assert not allowed & {"\0", "\r", "\n", "\x0b", "\x0c", "\x1f", "\x7f"}
    assert is_field_value("")
    assert not is_field_value("a\r\nb")
    assert not is_field_value("snowman ☃")
    assert not is_field_value("a\n")


@pytest.mark.parametrize(
    ("pairs", "fields"),
    [
        ([], {}),
        ([("a", "1"), ("b", "2")], {"a": "1", "b": "2"}),
        ([("a", "1"), ("b", "2"), ("a", "3"), ("a", "")], {"a": "1,3,", "b": "2"}),
        ([("cookie", "a=1"), ("cookie", "b=2")], {"cookie": "a=1; b=2"}),
        ([("a", ""), ("a", "1")], {"a": ",1"}),
    ],
)
def test_fold(pairs: list[tuple[str, str]], fields: dict[str, str]) -> None:
    """F2: repeated fields are joined with "," (RFC 9110 §5.3), Cookie with "; "."""
    assert fold(pairs) == fields


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        ("close", ["close"]),
        ("Keep-Alive, Upgrade", ["keep-alive", "upgrade"]),
        (" ,\ta ,, b\t,", ["a", "b"]),
    ],
)
def test_token_lists(value: str, expected: list[str]) -> None:
    """RFC 9110 §5.6.1.2: empty elements are ignored."""
    assert tokens(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        ("a, b ,,c", ["a", "b", "c"]),
        ('"a,b", c', ['"a,b"', "c"]),
        (r'"a\",b", c', [r'"a\",b"', "c"]),
        ('a="x,y";q=1, b', ['a="x,y";q=1', "b"]),
        ('"open, c', ['"open, c']),
        ('a, "open\\', ["a", '"open\\']),
    ],
)
def test_lists_with_quoted_strings(value: str, expected: list[str]) -> None:
    """RFC 9110 §5.6.4: a comma within quotes divides nothing; quotes that never close run to the end."""
    assert split_list(value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [('"a"', "a"), (r'"a\"\\b"', r'a"\b'), ("a", "a"), ('"', '"'), ('""', ""), ('"a', '"a')],
)
def test_unquote(text: str, expected: str) -> None:
    assert unquote(text) == expected


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ("text/html", ("text/html", {})),
        ("text/html;q=0.5", ("text/html", {"q": "0.5"})),
        (' text/html ; Charset = "a;b" ;Q=1;q=2', ("text/html", {"charset": "a;b", "q": "1"})),
        ('form-data; name="a\\"b"; x', ("form-data", {"name": 'a"b'})),
        ('a; b="open; c=d', ("a", {"b": '"open; c=d'})),
        ("a;;=x;", ("a", {})),
        ("", ("", {})),
    ],
)
def test_parameters(element: str, expected: tuple[str, dict[str, str]]) -> None:
    """RFC 9110 §5.6.6: names in any case; the first of a repeated one holds."""
    assert parameters(element) == expected


@pytest.mark.parametrize("unit", ['"\\', 'a=\\";', '"', ';a="', ",", '\\"', '"\\",'])
def test_hostile_lists_take_linear_time(unit: str) -> None:
    """32 KiB of quotes that never close must not stop the loop (design.md §4 rule 11)."""
    text = unit * (32 * 1024 // len(unit))
    started = time.process_time()
    split_list(text)
    parameters(text)
    assert time.process_time() - started < 0.25


def test_hop_by_hop() -> None:
    """RFC 9110 §7.6.1; PEP 3333 forbids them to applications (F10)."""
    assert {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"} < HOP_BY_HOP
    assert all(name == name.lower() for name in HOP_BY_HOP)
