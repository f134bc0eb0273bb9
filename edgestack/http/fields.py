"""Fields: what a name and a value may consist of, and how the common kinds of value are taken apart.

Text is latin-1, names are lower case unless said otherwise. Pure functions; nothing here knows a connection. RFC 9110
§5.5 (field values), §5.6.1 (lists), §5.6.2 (tokens), §5.6.4 (quoted strings), §5.6.6 (parameters), §7.6.1 (hop by hop).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = [
    "FORBIDDEN",
    "HOP_BY_HOP",
    "TCHAR",
    "fold",
    "is_field_value",
    "is_token",
    "parameters",
    "split_list",
    "tokens",
    "unquote",
]

TCHAR = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""The bytes of a token (RFC 9110 §5.6.2)."""

FORBIDDEN = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])
"""The bytes that no field value has: every control byte but HTAB (RFC 9110 §5.5)."""

HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade")
)  # fmt: skip
"""Fields that mean one connection only (RFC 9110 §7.6.1; WSGI applications may not send them, PEP 3333)."""

_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_value = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_quoted = r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'  # one that is never closed runs to the end, so that matching stays linear
_element = re.compile(rf'(?:[^",]++|{_quoted})++', re.DOTALL)
_parameter = re.compile(rf'(?:[^";]++|{_quoted})++', re.DOTALL)
_escaped = re.compile(r"\\(.)", re.DOTALL)


def is_token(text: str) -> bool:
    """Whether `text` is a token, as methods, field names and parameter names are (RFC 9110 §5.6.2)."""
    return _token.fullmatch(text) is not None


def is_field_value(text: str) -> bool:
    """Whether `text` may stand as a field's value: latin-1, no control characters but HTAB (RFC 9110 §5.5)."""
    return _value.fullmatch(text) is not None and (text.isascii() or max(text) <= "\xff")


def fold(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """One value a name: repeated fields are joined with "," (RFC 9110 §5.3), Cookie with "; " (RFC 6265 §5.4).

    :param pairs: names in lower case, in the order received.
    """
    fields: dict[str, str] = {}
    for name, value in pairs:
        before = fields.get(name)
        if before is None:
            fields[name] = value
        else:
            fields[name] = before + ("; " if name == "cookie" else ",") + value
    return fields


def tokens(value: str) -> list[str]:
    """The elements of a list of tokens (Connection, Upgrade, Vary …) in lower case; empty elements are dropped."""
    return [element for part in value.lower().split(",") if (element := part.strip(" \t"))]


def split_list(value: str) -> list[str]:
    """The elements of a list, trimmed, empty ones dropped; a comma inside a quoted string divides nothing (§5.6.1)."""
    return [element for part in _element.findall(value) if (element := part.strip(" \t"))]


def unquote(text: str) -> str:
    """The content of a quoted string (§5.6.4); anything else as it is."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _escaped.sub(r"\1", text[1:-1])
    return text


def parameters(element: str) -> tuple[str, dict[str, str]]:
    """Split `value; name=value; …` into the value and its parameters (RFC 9110 §5.6.6).

    Names are lower-cased, quoted values unquoted, the first of a repeated name holds. What is no parameter is ignored.
    """
    value, _, rest = element.partition(";")
    found: dict[str, str] = {}
    for part in _parameter.findall(rest):
        name, equals, text = part.partition("=")
        name = name.strip(" \t").lower()
        if equals and name:
            found.setdefault(name, unquote(text.strip(" \t")))
    return value.strip(" \t"), found
