"""Where to listen, as people write it. Pure: nothing is resolved, opened or bound here.

    HOST:PORT    127.0.0.1:8443, example.org:443
    HOST         the default port
    PORT         on the loopback address: a bare number should not open a machine to the world
    :PORT        every address of the machine, IPv4 and IPv6; also *:PORT
    [V6]:PORT    [::1]:8443; [V6] and a bare V6 take the default port (RFC 3986 §3.2.2)
    unix:PATH    a unix socket
    fd://N       a listening descriptor inherited from whoever started this process

Port 0 lets the system pick one.
"""

from __future__ import annotations

import ipaddress
import re

from edgestack.config.listeners import Listener
from edgestack.errors import ConfigError

__all__ = ["DEFAULT_HOST", "DEFAULT_PLAIN_PORT", "DEFAULT_TLS_PORT", "UNIX_PATH_LIMIT", "parse_address"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_TLS_PORT = 8443
DEFAULT_PLAIN_PORT = 8000

UNIX_PATH_LIMIT = 107
"""Bytes of a unix socket's path: sockaddr_un.sun_path on Linux, less the closing NUL (unix(7))."""

HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?", re.ASCII | re.IGNORECASE)

FORMS = "write HOST:PORT, :PORT, [IPV6]:PORT, unix:PATH or fd://N"


def parse_address(text: str, *, tls: bool = False, default_port: int = 0, key: str = "bind") -> Listener:
    """The listener that `text` describes.

    :param tls: whether it speaks TLS.
    :param default_port: for an address without one; else 8443 with TLS and 8000 without.
    :param key: the option at fault, for the error.
    :raises ConfigError: when `text` is none of the forms above.
    """
    text = text.strip()
    if text.startswith("unix:"):
        return Listener(path=_unix_path(text, key), tls=tls)
    if text.startswith("fd://"):
        return Listener(fd=_descriptor(text, key), tls=tls)
    if "://" in text:
        raise ConfigError(f"{text!r} is a URL, not an address", hint=_without_scheme(text), key=key)
    host, port = _split(text, key)
    number = default_port or (DEFAULT_TLS_PORT if tls else DEFAULT_PLAIN_PORT)
    return Listener(host=host, port=number if port is None else _port(port, text, key), tls=tls)


def _unix_path(text: str, key: str) -> str:
    path = text.removeprefix("unix:")
    if path.startswith("///"):  # unix:///run/a.sock, as docker and grpc write it
        path = path[2:]
    if not path or "\0" in path:
        raise ConfigError(f"{text!r} names no unix socket", hint="for instance unix:/run/edgestack.sock", key=key)
    if len(path.encode(errors="surrogateescape")) > UNIX_PATH_LIMIT:
        raise ConfigError(f"the path of {text!r} is longer than {UNIX_PATH_LIMIT} bytes", hint="unix(7)", key=key)
    return path


def _descriptor(text: str, key: str) -> int:
    number = text.removeprefix("fd://")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise ConfigError(f"{text!r} names no descriptor", hint="for instance fd://3", key=key)
    return int(number)


def _without_scheme(text: str) -> str:
    """The hint for somebody who pasted a URL."""
    authority = text.partition("://")[2].partition("/")[0]
    return f"did you mean {authority}?" if authority else FORMS


def _split(text: str, key: str) -> tuple[str, str | None]:
    """Host ("" for every address) and port as text, None for the default one."""
    if text.isascii() and text.isdigit():
        return DEFAULT_HOST, text
    if text.startswith("["):
        inner, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or not _is_ipv6(inner):
            raise ConfigError(f"{text!r} is not an IPv6 address", hint="for instance [::1]:8443", key=key)
        return inner, rest[1:] if rest else None
    if _is_ipv6(text):
        return text, None
    host, colon, port = text.partition(":")
    if host != "*" and not (host == "" and colon) and not _is_host(host):
        raise ConfigError(f"{text!r} is not an address to listen on", hint=FORMS, key=key)
    return "" if host == "*" else host, port if colon else None


def _port(port: str, text: str, key: str) -> int:
    if not (port.isascii() and port.isdigit() and len(port) < 10 and int(port) < 65536):
        raise ConfigError(f"{text!r} has no port between 0 and 65535", hint=FORMS, key=key)
    return int(port)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    """An IPv4 address or a host name; four numbers with dots must be an address (RFC 1123 §2.1)."""
    if text and not text.strip("0123456789."):
        try:
            ipaddress.IPv4Address(text)
        except ValueError:
            return False
        return True
    return HOST_NAME.fullmatch(text) is not None and len(text) < 254
