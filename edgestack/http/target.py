"""The request-target: what was asked for, brought into the two forms that the rest of the house uses.

    /a%20b//c/../d?x=1      as sent, origin-form (RFC 9112 §3.2.1)
      raw        /a%20b//c/../d     the path byte for byte
      normal     /a b/d             decoded once as UTF-8, slashes merged, dots resolved: routing, limits, $uri, files
      path_info  /a b//d            decoded once as latin-1 (PEP 3333), dots resolved, slashes kept: applications
    http://host/path        absolute-form (§3.2.2): an authority that overrides Host, and a path
    *                       asterisk-form (§3.2.4)

Pure functions over text, and one bounded table of paths seen before. Merging the slashes of `path_info` always gives
`normal`: where `..` would step over an empty segment the two would part, and the request is refused (400), as is what
climbs above the root, an escape that is none, and %00. A slash that came as %2F is a slash in both forms; whoever maps
paths to files looks at `encoded_slash` and refuses (C8). Authorities: RFC 3986 §3.2, RFC 9110 §4.2 and §7.2.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import unquote_to_bytes

from edgestack.errors import ClientError
from edgestack.http.remembered import Remembered

__all__ = ["ASTERISK", "Path", "host_name", "is_authority", "normalize", "read_path", "split_absolute"]

REMEMBERED_PATHS = 4096
"""Paths in one generation; there are two (design.md: a bounded table of known paths)."""
LONGEST_REMEMBERED = 256
"""Characters; a longer path is worked out each time, so that the table stays below some 9 MB even under attack."""


class Path:
    """The path of a request-target in its forms. Never changed once made, and shared between requests."""

    __slots__ = ("encoded_slash", "normal", "path_info", "raw", "same")

    def __init__(self, raw: str, normal: str, path_info: str, same: bool = True, encoded_slash: bool = False) -> None:
        """
        :param raw: as sent, without the query (visible ASCII).
        :param normal: decoded once as UTF-8 (what is not UTF-8 as surrogates), slashes merged, dots resolved.
        :param path_info: decoded once as latin-1 text, dots resolved, slashes kept.
        :param same: whether both forms have the same segments; if not, a router must see that both choose one route.
        :param encoded_slash: whether a slash or backslash stood in it as %2F or %5C.
        """
        self.raw = raw
        self.normal = normal
        self.path_info = path_info
        self.same = same
        self.encoded_slash = encoded_slash

    def __repr__(self) -> str:
        return f"Path({self.raw!r}, normal={self.normal!r}, path_info={self.path_info!r})"


ASTERISK = Path("*", "*", "*")
"""The path of `OPTIONS *`: the server as a whole, and no resource of it (RFC 9112 §3.2.4)."""

_bad_escape = re.compile(r"%(?![0-9A-Fa-f]{2})")
_encoded_slash = re.compile(r"%2f|%5c", re.IGNORECASE)
_slashes = re.compile(rb"//+")


def _without_dots(path: bytes) -> bytes:
    """Resolve "." and ".." (RFC 3986 §5.2.4), except that climbing above the root is an error (400)."""
    if b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments[1:]:
        if segment == b"..":
            if not kept:
                raise ClientError("The path leads above the root.", 400)
            kept.pop()
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def _merge(path: bytes) -> bytes:
    return _slashes.sub(b"/", path) if b"//" in path else path


def _work_out(raw: str) -> Path:
    if raw[:1] != "/":
        raise ClientError("The path does not begin with a slash.", 400)
    if "#" in raw:
        raise ClientError("A request-target has no fragment.", 400)
    if _bad_escape.search(raw):
        raise ClientError("The path has a percent sign that is no escape.", 400)
    sent = unquote_to_bytes(raw)
    if b"\0" in sent:
        raise ClientError("The path has a NUL byte.", 400)
    normal = _without_dots(_merge(sent))
    path_info = _without_dots(sent)
    if _merge(path_info) != normal:
        raise ClientError("The path has two readings.", 400)
    if raw.isascii() and normal == raw.encode("ascii"):
        return Path(raw, raw, raw)
    return Path(
        raw,
        normal.decode("utf-8", "surrogateescape"),
        path_info.decode("latin-1"),
        normal == path_info,
        _encoded_slash.search(raw) is not None,
    )


class _Paths(Remembered[str, Path]):
    __slots__ = ()

    def make(self, key: str) -> Path:
        return _work_out(key)

    def weigh(self, key: str, value: Path) -> int:
        return 1 if len(key) <= LONGEST_REMEMBERED else 0


_paths = _Paths(REMEMBERED_PATHS)

read_path = _paths.__getitem__
"""`read_path(raw) -> Path`: the forms of a path as sent, without its query, from the table when it was seen before.

Raises `ClientError` 400: no leading slash, a fragment, %00, a percent sign that is no escape, climbing above the root,
two readings. A C-level call: the hot path pays one dict lookup.
"""


def normalize(path: str) -> str:
    """The normal form of a path written by hand, such as a route's prefix in a configuration: slashes merged, dots
    resolved, nothing decoded. Raises `ClientError` when it climbs above the root."""
    return _without_dots(_merge(path.encode("utf-8", "surrogateescape"))).decode("utf-8", "surrogateescape")


# --- authorities ----------------------------------------------------------------------------------------------------

_authority = re.compile(
    r"(?:(?P<name>(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{0,5}))?"
)
_absolute = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\??)([^#]*)", re.IGNORECASE)


def is_authority(text: str) -> bool:
    """Whether `text` is `host [":" port]` with a host that is not empty and without user information.

    Host is a reg-name, an IPv4 address, or an IPv6 address in brackets (RFC 3986 §3.2.2); a port is at most 65535. No
    zone identifiers, no IPvFuture: no client means anything by them towards a server.
    """
    match = _authority.fullmatch(text)
    if match is None:
        return False
    if match["v6"] is not None:
        try:
            IPv6Address(match["v6"])
        except AddressValueError:
            return False
    return int(match["port"] or 0) <= 65535


def split_absolute(target: str) -> tuple[str, str, str, str]:
    """Split an absolute-form target (RFC 9112 §3.2.2): scheme in lower case, authority, path ("/" when empty), query.

    Raises `ClientError` 400 for another scheme than http and https, for user information (RFC 9110 §4.2.4), for an
    empty or malformed authority and for a fragment.
    """
    match = _absolute.fullmatch(target)
    if match is None or not is_authority(match[2]):
        raise ClientError("The request-target is malformed.", 400)
    return match[1].lower(), match[2], match[3] or "/", match[5]


class _Names(Remembered[str, str]):
    __slots__ = ()

    def make(self, key: str) -> str:
        host = key if key.endswith("]") else key.partition("]")[0] + "]" if key[:1] == "[" else key.partition(":")[0]
        return host.lower().removesuffix(".")

    def weigh(self, key: str, value: str) -> int:
        return 1 if len(key) <= LONGEST_REMEMBERED else 0


_names = _Names(1024)

host_name = _names.__getitem__
"""`host_name(authority) -> str`: the host of a valid authority in lower case, without port and trailing dot; an IPv6
address keeps its brackets. "" gives ""."""
