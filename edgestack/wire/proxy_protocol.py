"""The PROXY protocol: who the client is, said by a proxy before the first byte of the connection. Versions 1 and 2.

    version 1    "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\\r\\n"                     at most 107 bytes
    version 2    signature | version, command | family | length | addresses | TLVs     16 bytes and more

    read_header(data) -> Told, or None while it is not complete          encode(version, facts) -> bytes

Pure: no socket. Whom to believe is the listener's to know (`accepting.py`). What comes is held for hostile: bounded,
and everything that the specification does not allow is a `ClientError`. TLVs are skipped.

Source: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt; nginx's `listen … proxy_protocol` and (of its
stream module) `proxy_protocol on`.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from edgestack.errors import ClientError
from edgestack.http.facts import Facts

__all__ = ["LONGEST", "Told", "encode", "read_header"]

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1_LONGEST = 107
"""Bytes of a line of version 1, CRLF included: the specification's own worst case."""
LONGEST = 4096
"""Bytes of a header of version 2 with its TLVs; as much as nginx reads."""
LOCAL, PROXY = 0x20, 0x21
"""Version 2 and its command: the proxy speaks for itself (a health check), or for a client."""

_LENGTHS = {0x11: 12, 0x21: 36, 0x31: 216}
"""Bytes of the addresses by family and transport: TCP over IPv4, IPv6, and unix streams."""


class Told(NamedTuple):
    """What a header says."""

    size: int
    """Its bytes: the connection's own begin after them."""
    client: tuple[str, int] | None = None
    """Address and port; "unix:" and a path with port 0. None: the proxy speaks for itself, or does not know."""
    server: tuple[str, int] = ("", 0)
    """Where the client connected to."""


def read_header(data: bytes) -> Told | None:
    """Read the header at the front of `data`; None while it is not complete.

    :raises ClientError: 400, there is none.
    """
    if data[:12] == SIGNATURE[: len(data)]:
        return _read_v2(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return _read_v1(data)
    raise _bad("the connection does not begin with a PROXY header")


def _read_v1(data: bytes) -> Told | None:
    end = data.find(b"\r\n", 0, V1_LONGEST)
    if end < 0:
        if len(data) >= V1_LONGEST or b"\n" in data:
            raise _bad("the line of the PROXY header does not end")
        return None
    words = data[:end].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return Told(end + 2)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise _bad("the PROXY header is malformed")
    kind = IPv4Address if words[1] == "TCP4" else IPv6Address
    client, server = (_plain(_parse(kind, word)) for word in words[2:4])
    return Told(end + 2, (client, _port(words[4])), (server, _port(words[5])))


def _read_v2(data: bytes) -> Told | None:
    if len(data) < 16:
        return None
    command, family, length = struct.unpack_from(">BBH", data, 12)
    if command not in (LOCAL, PROXY):
        raise _bad("the PROXY header has an unknown version or command")
    if length > LONGEST - 16:
        raise _bad("the PROXY header is too large")
    if len(data) < 16 + length:
        return None
    if command == LOCAL or family not in _LENGTHS:
        return Told(16 + length)  # the specification: accept, and take the connection's own addresses
    if length < _LENGTHS[family]:
        raise _bad("the PROXY header is shorter than its addresses")
    client, server = _addresses(family, data[16 : 16 + _LENGTHS[family]])
    return Told(16 + length, client, server)


def _addresses(family: int, data: bytes) -> tuple[tuple[str, int], tuple[str, int]]:
    if family == 0x31:
        paths = (path.partition(b"\0")[0].decode("utf-8", "replace") for path in (data[:108], data[108:]))
        client, server = (("unix:" + ("".join(filter(str.isprintable, path))), 0) for path in paths)
        return client, server
    size = 4 if family == 0x11 else 16
    kind = IPv4Address if family == 0x11 else IPv6Address
    ports = struct.unpack_from(">HH", data, 2 * size)
    return (_plain(kind(data[:size])), ports[0]), (_plain(kind(data[size : 2 * size])), ports[1])


def _parse(kind: type[IPv4Address] | type[IPv6Address], word: str) -> IPv4Address | IPv6Address:
    try:
        if word.isascii() and "%" not in word:  # `ipaddress` takes zones, which mean nothing here
            return kind(word)
    except ValueError:
        pass  # said below, as of a zone
    raise _bad("the PROXY header has a malformed address")


def _port(word: str) -> int:
    plain = word.isascii() and word.isdigit() and len(word) <= 5 and (word == "0" or word[0] != "0")
    if not plain or int(word) > 65535:
        raise _bad("the PROXY header has a malformed port")
    return int(word)


def _plain(address: IPv4Address | IPv6Address) -> str:
    """As text; IPv4 in IPv6's clothes is IPv4."""
    return str(getattr(address, "ipv4_mapped", None) or address)


def _bad(detail: str) -> ClientError:
    return ClientError("The connection does not begin as this listener wants it.", 400, detail=detail)


# --- out --------------------------------------------------------------------------------------------------------------


def encode(version: int, facts: Facts) -> bytes:
    """The header that says of a client what is known of it here.

    :param version: 1 or 2.
    """
    addresses = _known(facts)
    if version == 1:
        if addresses is None:
            return b"PROXY UNKNOWN\r\n"
        client, server = addresses
        return f"PROXY TCP{client.version} {client} {server} {facts.remote_port} {facts.local_port}\r\n".encode()
    if addresses is None:
        return SIGNATURE + struct.pack(">BBH", PROXY, 0, 0)
    client, server = addresses
    family, size = (0x11, 12) if client.version == 4 else (0x21, 36)
    ports = struct.pack(">HH", facts.remote_port, facts.local_port)
    return SIGNATURE + struct.pack(">BBH", PROXY, family, size) + client.packed + server.packed + ports


def _known(facts: Facts) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address] | None:
    """Both addresses, of one family; None where one is no IP address (a unix socket, a hidden client)."""
    try:
        client, server = ip_address(facts.remote_addr.partition("%")[0]), ip_address(facts.local_addr.partition("%")[0])
    except ValueError:
        return None
    if client.version == server.version:
        return client, server
    return _wide(client), _wide(server)


def _wide(address: IPv4Address | IPv6Address) -> IPv6Address:
    return address if isinstance(address, IPv6Address) else IPv6Address(f"::ffff:{address}")
