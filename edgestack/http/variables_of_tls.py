"""What variables tell of a connection's TLS: what was agreed on, and whose the client's certificate is.

Each function gives a reader of an Exchange, for the table (`variable_table.py`). nginx: ngx_http_ssl_module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from edgestack.http.messages import Exchange

__all__ = ["agreed", "certified", "distinguished_name", "session_reused"]

Read: TypeAlias = "Callable[[Exchange], str | None]"

SHORT_NAMES = {
    "commonName": "CN", "countryName": "C", "domainComponent": "DC", "emailAddress": "emailAddress",
    "localityName": "L", "organizationName": "O", "organizationalUnitName": "OU", "serialNumber": "serialNumber",
    "stateOrProvinceName": "ST", "streetAddress": "street", "userId": "UID",
}  # fmt: skip
"""Attribute types as `ssl` spells them, and as they stand in a name written out (RFC 4514 §3)."""

_special = re.compile(r'([,+"\\<>;=]|^[# ]| $)')


def distinguished_name(part: str) -> Read:
    """A name of the client's certificate as RFC 4514 §2 writes it: `CN=alice,O=Example`."""

    def read(exchange: Exchange) -> str | None:
        certificate: Mapping[str, Any] | None = exchange.facts.client_certificate
        if not certificate:
            return None
        steps = ["+".join(map(_attribute, step)) for step in reversed(certificate.get(part, ()))]
        return ",".join(steps)

    return read


def _attribute(pair: tuple[str, str]) -> str:
    value = _special.sub(r"\\\1", pair[1])
    return f"{SHORT_NAMES.get(pair[0], pair[0])}={value}"


def certified(part: str) -> Read:
    """A plain value of the client's certificate."""
    return lambda exchange: (exchange.facts.client_certificate or {}).get(part)


def agreed(part: str) -> Read:
    """What the handshake agreed on."""
    return lambda exchange: getattr(exchange.facts.tls, part) or None if exchange.facts.tls else None


def session_reused(exchange: Exchange) -> str | None:
    """`r` for a session that went on, `.` for a new one (nginx: `$ssl_session_reused`)."""
    tls = exchange.facts.tls
    return None if tls is None else "r" if tls.reused else "."
