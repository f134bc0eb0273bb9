"""The handshake's say about compressed messages: permessage-deflate, its four parameters (RFC 7692 §5, §7.1).

    agreed("permessage-deflate; client_max_window_bits, …") -> Terms | None

The client offers, the best first; the first offer that can be kept is accepted, and one with a parameter that is not
known, said twice or out of range is declined, as the RFC has it. Pure. RFC 6455 §9.1 (the field).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from edgestack.errors import ClientError
from edgestack.http.fields import is_token, split_list, unquote

__all__ = ["NAME", "Terms", "agreed"]

NAME = "permessage-deflate"
OUR_BITS = 12
"""The window that is asked for on both sides, as its binary logarithm: 4 KiB. websockets' choice too, who measured a
tenth of the memory at 15 for nearly the same size (its documentation, "Compression")."""
WIDEST, NARROWEST = 15, 9
"""zlib writes no raw stream with a window of 8 bits (its deflateInit2), though the RFC has one."""

_bits = re.compile("[89]|1[0-5]")
"""RFC 7692 §7.1.2: no leading zero."""


class Terms(NamedTuple):
    """What both sides keep to."""

    server_bits: int = OUR_BITS
    """The window of what is sent, as its binary logarithm."""
    client_bits: int = WIDEST
    """The window of what comes."""
    server_forgets: bool = False
    """Each message that is sent stands for itself: no context takeover."""
    client_forgets: bool = False
    """So does each that comes."""

    def said(self) -> str:
        """As the answer says it (§7.1)."""
        parts = [NAME]
        if self.server_forgets:
            parts.append("server_no_context_takeover")
        if self.client_forgets:
            parts.append("client_no_context_takeover")
        parts.append(f"server_max_window_bits={self.server_bits}")
        if self.client_bits != WIDEST:
            parts.append(f"client_max_window_bits={self.client_bits}")
        return "; ".join(parts)


def agreed(offers: str) -> Terms | None:
    """What is made of the offers; None: messages pass as they are.

    :param offers: `Sec-WebSocket-Extensions`.
    :raises ClientError: 400, it is no list of extensions (RFC 6455 §9.1).
    """
    found: Terms | None = None
    for offer in split_list(offers):
        name, *parameters = (part.strip(" \t") for part in offer.split(";"))
        read = [_parameter(part) for part in parameters]
        if not is_token(name):
            raise ClientError("Sec-WebSocket-Extensions is no list of extensions.", 400)
        if name.lower() == NAME and found is None:
            found = _terms(read)
    return found


def _parameter(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    value = unquote(value.strip(" \t"))
    if not is_token(name.rstrip(" \t")) or (equals and not is_token(value)):
        raise ClientError("Sec-WebSocket-Extensions is no list of extensions.", 400)
    return name.rstrip(" \t").lower(), value if equals else None


def _terms(read: list[tuple[str, str | None]]) -> Terms | None:
    """What an offer comes to; None: it is declined."""
    said = dict(read)
    if len(said) < len(read):
        return None
    server_forgets = _flag(said, "server_no_context_takeover")
    client_forgets = _flag(said, "client_no_context_takeover")
    server_bits, client_bits = OUR_BITS, WIDEST
    if "server_max_window_bits" in said:
        server_bits = min(OUR_BITS, _window(said.pop("server_max_window_bits")))
    if "client_max_window_bits" in said:  # it can be asked to narrow its own; without this word it cannot
        value = said.pop("client_max_window_bits")
        client_bits = min(OUR_BITS, WIDEST if value is None else _window(value))
    if said or server_forgets is None or client_forgets is None or server_bits < NARROWEST or not client_bits:
        return None
    return Terms(server_bits, client_bits, server_forgets, client_forgets)


def _flag(said: dict[str, str | None], name: str) -> bool | None:
    """Whether it is there; None: with a value, which it may not have."""
    return False if name not in said else said.pop(name) is None or None


def _window(value: str | None) -> int:
    """8 to 15, or 0 for what is none."""
    return int(value) if value is not None and _bits.fullmatch(value) else 0
