"""Where an upstream server is, as a value and as people write it. Pure: nothing is resolved or opened here.

    HOST:PORT, HOST, [V6]:PORT        port 80, as in nginx
    http://HOST[:PORT]                the same
    https://HOST[:PORT]               TLS; port 443
    unix:PATH                         a unix socket; also http+unix:PATH and https+unix:PATH

`PeerAddress` is what a connection is opened to. `ServerAddress` is what was written; a host name in it may stand for
several peers (A7).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from edgestack.config.addresses import UNIX_PATH_LIMIT, parse_address
from edgestack.errors import ConfigError

__all__ = ["PeerAddress", "ServerAddress", "check_socket_path", "parse_server"]

FORMS = "write HOST:PORT, [IPV6]:PORT, unix:PATH, or https:// before it"

SCHEME = re.compile(r"(?:(https?)://(?!unix:)|(https?)(?:\+|://)(?=unix:))", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where one peer listens: an IP address and a port, or a unix socket."""

    host: str = ""
    """An IPv4 or IPv6 address, without brackets."""
    port: int = 0
    path: str = ""
    """Of a unix socket; then there is neither host nor port."""
    called: str = field(default="", compare=False)
    """What people know it by, where the address only stands for it; "" where that is the address."""

    def __str__(self) -> str:
        """As nginx logs it in `$upstream_addr`."""
        if self.called:
            return self.called
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server of a group, as it is written."""

    host: str = ""
    """A name or an address, without brackets."""
    port: int = 0
    path: str = ""
    """Of a unix socket; then there is neither host nor port."""
    tls: bool = False
    """Whether it speaks HTTPS."""
    text: str = ""
    """As it is written, without the scheme: the ketama ring is laid out by it, as nginx does (A13)."""
    called: str = field(default="", compare=False)
    """See `PeerAddress`."""

    @property
    def is_name(self) -> bool:
        """Whether it must be resolved before there is anything to connect to."""
        return not self.path and not is_address(self.host)

    def at(self, host: str = "") -> PeerAddress:
        """The peer at an address of its name; without one, the peer that it names itself."""
        return PeerAddress(host or self.host, self.port, self.path, self.called)

    def __str__(self) -> str:
        """As it is written, its scheme where that matters."""
        return f"https+{self.text}" if self.tls and self.path else f"https://{self.text}" if self.tls else self.text


def parse_server(text: str) -> ServerAddress:
    """The server that `text` describes.

    :raises ConfigError: it is none of the forms above.
    """
    text = text.strip()
    scheme = SCHEME.match(text)
    tls = scheme is not None and (scheme[1] or scheme[2]).lower() == "https"
    bare = text[scheme.end() :] if scheme else text
    if "://" in bare and not bare.startswith("unix:"):
        raise ConfigError(f"there is no proxying to {bare.partition('://')[0]}://", hint=FORMS)
    if bare.startswith("unix:"):
        check_socket_path(bare.removeprefix("unix:"))
    else:
        bare = _without_path(bare, text)
    if bare.isascii() and bare.isdigit():
        raise ConfigError(f"{text!r} is a port without a host", hint=f'did you mean "127.0.0.1:{bare}"?')
    try:
        place = parse_address(bare, tls=tls, default_port=443 if tls else 80)
    except ConfigError as error:
        raise ConfigError(f"{text!r} is not the address of a server", hint=FORMS) from error
    if not place.path and not place.host:
        raise ConfigError(f"{text!r} names no host", hint=FORMS)
    if not place.path and place.port == 0:
        raise ConfigError(f"{text!r} has no port that could be connected to")
    return ServerAddress(place.host, place.port, place.path, tls, bare)


def check_socket_path(path: str) -> None:
    """Whether the system takes it.

    :raises ConfigError: it is too long.
    """
    length = len(path.encode("utf-8", "surrogateescape"))
    if length > UNIX_PATH_LIMIT:
        why = f"the path of this socket has {length} bytes, and the system takes {UNIX_PATH_LIMIT}"
        raise ConfigError(why, hint="a link in /run or /tmp makes it shorter")


def _without_path(bare: str, text: str) -> str:
    """A URL's authority; a path belongs to the route, which says what is asked for."""
    authority, slash, path = bare.partition("/")
    if slash and path:
        raise ConfigError(f"{text!r} has a path", hint="a path stands in the route's `proxy`")
    return authority


def is_address(host: str) -> bool:
    """Whether it is an IP address and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
