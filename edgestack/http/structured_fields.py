"""Structured fields: values that parse in one way only (RFC 9651, which is RFC 8941 with dates and display strings).

    dictionary      `a=1, b;x=y`  ->  {"a": 1, "b": True}     §4.2.2; what cache rules are written in (RFC 9213)
    string          text -> what may stand in one                 §4.1.6

A value that breaks a rule anywhere is no value (§4.2: parsing fails as a whole). Parameters are read, and left out;
inner lists too, since nothing in this house has a use for either. Pure; runs in time linear in the text.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TypeAlias

__all__ = ["BareItem", "dictionary", "string"]

BareItem: TypeAlias = "int | float | bool | str | bytes | None"
"""What a member is; None for what has no use here: an inner list, a date, a display string."""

_key = re.compile(r"[a-z*][a-z0-9_\-.*]*")
_number = re.compile(r"-?[0-9]+(?:\.[0-9]*)?")
_string = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_token = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
_binary = re.compile(r":([A-Za-z0-9+/=]*):")
_boolean = re.compile(r"\?([01])")
_date = re.compile(r"@-?[0-9]{1,15}(?![0-9.])")
_display = re.compile(r'%"(?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*"')
_space = re.compile(r" *")
_comma = re.compile(r"[ \t]*,[ \t]*")
_end = re.compile(r"[ \t]*\Z")


class Malformed(ValueError):
    """The text breaks a rule."""


def dictionary(text: str) -> dict[str, BareItem] | None:
    """The members of a dictionary in the order of their first appearance; None where the text is not one.

    Of a repeated key the last value holds (§4.2.2). An empty text is an empty dictionary. Tokens come as `str`, as
    strings do.
    """
    at = _skip(_space, text, 0)
    members: dict[str, BareItem] = {}
    try:
        while at < len(text):
            key, at = _take(_key, text, at)
            value: BareItem = True
            if text[at : at + 1] == "=":
                value, at = _member(text, at + 1)
            at = _parameters(text, at)
            members[key] = value
            if _end.match(text, at):
                break
            at = _take(_comma, text, at)[1]
            if at == len(text):
                return None  # a comma at the end
    except Malformed:
        return None
    return members


def string(text: str) -> str:
    """`text` as a string (§4.1.6); what is not printable ASCII becomes "?"."""
    plain = "".join([letter if " " <= letter <= "~" else "?" for letter in text])
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found is not None else at


def _take(pattern: re.Pattern[str], text: str, at: int) -> tuple[str, int]:
    found = pattern.match(text, at)
    if found is None:
        raise Malformed(text)
    return found[0], found.end()


def _member(text: str, at: int) -> tuple[BareItem, int]:
    if text[at : at + 1] != "(":
        return _item(text, at)
    at = _skip(_space, text, at + 1)
    while text[at : at + 1] != ")":
        at = _parameters(text, _item(text, at)[1])
        if text[at : at + 1] not in (" ", ")"):
            raise Malformed(text)
        at = _skip(_space, text, at)
    return None, at + 1


def _parameters(text: str, at: int) -> int:
    """Where the parameters that begin at `at` end."""
    while text[at : at + 1] == ";":
        at = _take(_key, text, _skip(_space, text, at + 1))[1]
        if text[at : at + 1] == "=":
            at = _item(text, at + 1)[1]
    return at


def _item(text: str, at: int) -> tuple[BareItem, int]:
    """A bare item (§4.2.3.1): its first character says of which kind it is."""
    first = text[at : at + 1]
    if first == '"':
        found, end = _take(_string, text, at)
        return re.sub(r"\\(.)", r"\1", found[1:-1]), end
    if first == "?":
        found, end = _take(_boolean, text, at)
        return found == "?1", end
    if first == ":":
        return _bytes(*_take(_binary, text, at))
    if first == "@":
        return None, _take(_date, text, at)[1]
    if first == "%":
        return None, _take(_display, text, at)[1]
    if first == "-" or "0" <= first <= "9":
        return _numeral(*_take(_number, text, at))
    return _take(_token, text, at)


def _numeral(digits: str, end: int) -> tuple[BareItem, int]:
    """An integer of at most 15 digits, or a decimal of at most 12 and 3 (§4.2.4)."""
    whole, dot, part = digits.removeprefix("-").partition(".")
    if not dot:
        if len(whole) > 15:
            raise Malformed(digits)
        return int(digits), end
    if len(whole) > 12 or not 1 <= len(part) <= 3:
        raise Malformed(digits)
    return float(digits), end


def _bytes(found: str, end: int) -> tuple[BareItem, int]:
    try:
        return base64.b64decode(found[1:-1] + "=" * (-len(found[1:-1]) % 4), validate=True), end
    except binascii.Error:
        raise Malformed(found) from None
