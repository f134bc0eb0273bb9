"""Kinds of values that stand in `[upstream.NAME]` alone: servers, ways to balance, ranges of statuses, cookie names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgestack.config.kinds import Choice, Kind
from edgestack.config.peer_addresses import ServerAddress, parse_server
from edgestack.errors import ConfigError
from edgestack.http.fields import is_token
from edgestack.http.target import is_authority

if TYPE_CHECKING:
    from edgestack.config.reading import Spot

__all__ = ["AUTHORITY", "BALANCE", "COOKIE_NAME", "GROUP_NAME", "METHODS", "SERVER", "STATUS_RANGES", "URL_PATH"]

METHODS = ("round_robin", "least_conn", "ip_hash", "random", "random two", "least_time")

STATUS_RANGE = re.compile(r"(?:([1-5])xx|([1-5]\d\d))(?:-(?:([1-5])xx|([1-5]\d\d)))?", re.ASCII | re.IGNORECASE)

PATH_LETTERS = re.compile(r"/[!$-:<-~]*", re.ASCII)
"""Visible ASCII without `"`, `#` and `;`, which would end a cookie's attribute."""

NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?", re.ASCII)


class Server(Kind):
    """Where a server is."""

    words = "the address of a server"

    def read(self, value: Any, spot: Spot) -> ServerAddress:
        """In parts."""
        return parse_server(value)


class Balance(Choice):
    """One of the ways to choose a server."""

    def read(self, value: Any, spot: Spot) -> str:
        """Spaces count once; `hash` needs a key of its own."""
        if value == "hash":
            raise ConfigError("`hash` is a key of its own", hint='write `hash = "$request_uri"` instead of `balance`')
        return super().read(" ".join(value.split()), spot)


class StatusRanges(Kind):
    """Statuses in one text: "2xx-3xx", "200 301-303"; gives a tuple of (least, most)."""

    words = "statuses"

    def read(self, value: Any, spot: Spot) -> tuple[tuple[int, int], ...]:
        """In the order in which they are written."""
        found = tuple(map(_range, value.replace(",", " ").split()))
        if not found:
            raise ConfigError("no status is expected", hint='for instance "2xx-3xx"')
        return found


def _range(word: str) -> tuple[int, int]:
    match = STATUS_RANGE.fullmatch(word)
    if match is None:
        raise ConfigError(f"{word!r} is neither a status nor a range of them", hint='for instance "2xx-3xx" or "200"')
    least = int(match[2] or f"{match[1]}00")
    most = int(match[4] or (f"{match[3]}99" if match[3] else match[2] or f"{match[1]}99"))
    if most < least:
        raise ConfigError(f"the range {word!r} is empty")
    return least, most


class CookieName(Kind):
    """The name of a cookie: a token (RFC 6265 §4.1.1)."""

    words = "a cookie's name"

    def read(self, value: Any, spot: Spot) -> str:
        """A token."""
        if not is_token(value):
            raise ConfigError(f"{value!r} is not a cookie's name")
        return str(value)


class UrlPath(Kind):
    """The path of a URL, as it is sent (RFC 9112 §3.2.1); a query may follow."""

    words = "a path"

    def read(self, value: Any, spot: Spot) -> str:
        """As it is written."""
        if not value.startswith("/"):
            raise ConfigError(f"{value!r} is not a path", hint=f'did you mean "/{value}"?' if value else "")
        if not PATH_LETTERS.fullmatch(value):
            raise ConfigError(f"{value!r} cannot be sent as it is", hint="percent-encode what a URL cannot hold")
        return str(value)


class Authority(Kind):
    """A host, with a port or without, as it stands in a Host field."""

    words = "a host"

    def read(self, value: Any, spot: Spot) -> str:
        """As it is written."""
        if not value or not is_authority(value):
            raise ConfigError(f"{value!r} is not a host", hint='for instance "example.com" or "example.com:8080"')
        return str(value)


class GroupName(Kind):
    """What a group is called: as a host in the URL of `proxy`."""

    words = "a name"

    def read(self, value: Any, spot: Spot) -> str:
        """Lower-case letters, digits, `_`, `-` and dots: hosts are compared without regard to case."""
        if not NAME.fullmatch(value):
            meant = f'did you mean "{value.lower()}"?' if NAME.fullmatch(value.lower()) else ""
            raise ConfigError(
                f"{value!r} cannot be the name of an upstream", hint=meant or "a-z, 0-9, `_`, `-` and `.`"
            )
        return str(value)


SERVER = Server()
URL_PATH = UrlPath()
BALANCE = Balance(*METHODS)
STATUS_RANGES = StatusRanges()
COOKIE_NAME = CookieName()
AUTHORITY = Authority()
GROUP_NAME = GroupName()
