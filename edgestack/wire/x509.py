"""What a certificate says about itself: names, dates and key identifiers, read from its DER (X.690, RFC 5280).

The server must know which names each certificate bears (SNI) and until when it holds, before any handshake. The `ssl`
module has no public reader for a file, and `cryptography` costs 90 ms at start; what is wanted lies at fixed places of
one structure, so it is walked to here:

    Certificate ─ tbsCertificate ─ validity                notBefore, notAfter          RFC 5280 §4.1.2.5
                                 └ extensions [3] ─ 2.5.29.17 subjectAltName              §4.2.1.6
                                                  ├ 2.5.29.14 subjectKeyIdentifier        §4.2.1.2
                                                  └ 2.5.29.35 authorityKeyIdentifier      §4.2.1.1

Nothing is verified: that is OpenSSL's work. This file knows no socket and no other file of the house.
"""

from __future__ import annotations

import calendar
import hashlib
import re
import socket
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Certificate", "read_certificate"]

Element: TypeAlias = tuple[int, bytes]
"""A DER element: its tag byte and its contents."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)

_UTC_TIME = 0x17
_VERSION, _EXTENSIONS = 0xA0, 0xA3  # context tags [0] and [3] of tbsCertificate
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87  # context tags [2] and [7] of GeneralName
_KEY_IDENTIFIER = 0x80  # context tag [0] of AuthorityKeyIdentifier

_ALT_NAMES, _KEY_ID, _AUTHORITY_ID = b"\x55\x1d\x11", b"\x55\x1d\x0e", b"\x55\x1d\x23"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is read of one certificate."""

    der: bytes
    """The whole of it."""
    names: tuple[str, ...]
    """subjectAltName: host names in lower case, wildcards as they are, addresses as text."""
    not_before: int
    """Seconds since the epoch from which it holds."""
    not_after: int
    """Seconds since the epoch until which it holds, inclusive."""
    key_id: bytes
    """Identifies its key; b"" when it does not say."""
    authority_key_id: bytes
    """Identifies the key that signed it; b"" when it does not say."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the DER, as `openssl x509 -fingerprint -sha256` writes it."""
        return hashlib.sha256(self.der).digest().hex(":").upper()


def read_certificate(pem: bytes) -> Certificate:
    """The first certificate of a PEM file (RFC 7468), which in a chain is the server's own.

    :raises ValueError: there is no certificate in it, or its DER is damaged.
    """
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("no BEGIN CERTIFICATE in it")
    try:
        der = b64decode(found[1])
        return _read(der)
    except (Base64Error, IndexError, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"damaged certificate: {error}") from error


def _read(der: bytes) -> Certificate:
    fields = _inside(_inside(_only(der))[0][1])
    if fields[0][0] == _VERSION:
        del fields[0]
    _serial, _algorithm, _issuer, validity, _subject, _key, *rest = fields
    not_before, not_after = map(_epoch, _inside(validity[1]))
    extensions = _extensions(next((body for tag, body in rest if tag == _EXTENSIONS), b""))
    authority = _inside(_only(extensions.get(_AUTHORITY_ID, b"\x30\x00")))
    return Certificate(
        der,
        tuple(filter(None, map(_name, _inside(_only(extensions.get(_ALT_NAMES, b"\x30\x00")))))),
        not_before,
        not_after,
        _only(extensions.get(_KEY_ID, b"\x04\x00")),
        next((body for tag, body in authority if tag == _KEY_IDENTIFIER), b""),
    )


def _inside(data: bytes) -> list[Element]:
    """The elements that follow each other in `data` (X.690 §8.1: tag, length, contents)."""
    elements = []
    at, end = 0, len(data)
    while at < end:
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            octets = length & 0x7F
            length = int.from_bytes(data[at : at + octets], "big")
            at += octets
        if at + length > end:
            raise ValueError("damaged certificate: an element is cut short")
        elements.append((tag, data[at : at + length]))
        at += length
    return elements


def _only(data: bytes) -> bytes:
    """The contents of the one element that `data` is."""
    return _inside(data)[0][1]


def _extensions(body: bytes) -> dict[bytes, bytes]:
    """Extension values by object identifier; `critical`, where it stands between them, is not our business."""
    found = {}
    for _tag, extension in _inside(_only(body)) if body else ():
        parts = _inside(extension)
        found[parts[0][1]] = parts[-1][1]
    return found


def _name(element: Element) -> str:
    tag, body = element
    if tag == _DNS_NAME:
        return body.decode("ascii").lower()
    if tag == _IP_ADDRESS:
        return socket.inet_ntop(socket.AF_INET if len(body) == 4 else socket.AF_INET6, body)
    return ""


def _epoch(element: Element) -> int:
    """Seconds since the epoch of a UTCTime or GeneralizedTime (RFC 5280 §4.1.2.5.1 and §4.1.2.5.2)."""
    tag, body = element
    text = body.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    if len(text) != 15 or text[14] != "Z":
        raise ValueError(f"damaged certificate: {text!r} is no date")
    year, *rest = int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2))
    return calendar.timegm((year, rest[0], rest[1], rest[2], rest[3], rest[4]))
