"""Request heads: the bytes of one complete head in, a `Request` out, or the `ClientError` it deserves.

    head ── known_heads.read_known ─────────────────────────────────────► Request     what came like this before
              └─ None ─► read_ordinary ─────────────────────────────────► Request     the fast road: what browsers send
                           └─ None ─► read_extraordinary ─ judge ─ h11 ─► Request     the slow road: everything else

The law: **whatever the fast road accepts, h11 accepts, and reads the same**; `tests/wire/test_h1_property.py` and the
corpus beside it hold it. The fast road only ever says yes. It looks each field line up whole in a bounded table of
lines seen before, checks and remembers the new ones, and gives up (None) at anything out of the ordinary: HTTP/1.0, a
method or target of another form, Transfer-Encoding, Expect, Upgrade, a repeated Host, any byte out of place. Lines that
could be extraordinary are never remembered, so a line found in the table needs no second look.

The slow road owns every refusal. h11 is the authority on the grammar; `judge` is the policy above it, for what h11 lets
through and a second server might read otherwise (criteria E1–E3, RFC 9112 §2.2, §3.2, §5.1, §6.1, §6.3, §11.2). The
outcome never depends on how the bytes were cut into reads: `early_error` gives what is wrong *first* in the stream.

No I/O and no connection: bodies and buffers are `h1.py`'s.
"""

from __future__ import annotations

import re

import h11

from edgestack.config.model import Limits
from edgestack.errors import ClientError
from edgestack.http.conditional import CONDITIONAL
from edgestack.http.fields import FORBIDDEN, TCHAR, fold, tokens
from edgestack.http.messages import Request
from edgestack.http.remembered import Remembered
from edgestack.http.target import ASTERISK, Path, is_authority, read_path, split_absolute

__all__ = [
    "FORGOTTEN", "Block", "early_error", "read_block", "read_extraordinary", "read_field", "read_ordinary",
    "read_request_line",
]  # fmt: skip

CRLF = b"\r\n"
END = b"\r\n\r\n"

LINES_BUDGET = 1 << 19
"""Bytes of one generation of remembered lines; with the blocks of `known_heads.py`, in two generations each, they make
the 2 MiB of design.md §4 rule 3."""
LONGEST_LINE = 512
"""Bytes of a line worth remembering; User-Agent and client hints stay below 300."""
ENTRY = 33 + 49 + 56 + 110
"""Bytes that an entry costs beyond its text: bytes and str headers, the pair, its share of the dict (CPython 3.11)."""
LENGTH_DIGITS = 20
"""Digits of a Content-Length; as many as h11 reads."""

ORDINARY_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
EXTRAORDINARY = frozenset(("transfer-encoding", "expect", "upgrade"))
FORGOTTEN = frozenset(("cookie", "authorization", "proxy-authorization", "content-length"))
"""Secrets, and what changes with each request."""
CHANGING = {
    name.encode(): name.lower()
    for name in ("Cookie", "Content-Length", "Referer", "If-None-Match", "If-Modified-Since", "Range", "Authorization")
}
"""Names of lines that are new again and again, as browsers spell them: known to be tokens."""

ALLOW = (("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),)


def read_field(line: bytes) -> tuple[str, str]:
    """One field line (RFC 9112 §5): the name in lower case and the value trimmed of spaces and tabs, as latin-1 text.

    Raises `ClientError` 400: no colon, a name that is no token (white space before the colon, a folded line's leading
    space), a control byte in the value (bare CR and LF included).
    """
    raw, colon, value = line.partition(b":")
    name = CHANGING.get(raw) or ("" if raw.translate(None, TCHAR) else raw.lower().decode("ascii"))
    if not colon or not name:
        if line[:1] in (b" ", b"\t"):
            raise ClientError("A field is folded over several lines.", 400)
        raise ClientError("A field line is malformed.", 400)
    if len(value.translate(None, FORBIDDEN)) != len(value):
        raise ClientError("A field value has a control character.", 400)
    return name, value.strip(b" \t").decode("latin-1")


class _Extraordinary(ClientError):
    """Not an error: the head has to take the slow road."""


class _Lines(Remembered[bytes, tuple[str, str]]):
    """Field lines, whole, with what they mean. Only ordinary ones get in."""

    __slots__ = ()

    def make(self, key: bytes) -> tuple[str, str]:
        pair = name, value = read_field(key)
        if (
            name in EXTRAORDINARY
            or (name == "host" and not is_authority(value))
            or (name == "content-length" and not _is_length(value))
        ):
            raise _Extraordinary
        return pair

    def weigh(self, key: bytes, value: tuple[str, str]) -> int:
        size = len(key)
        return 0 if size > LONGEST_LINE or value[0] in FORGOTTEN else ENTRY + 2 * size + 49


_lines = _Lines(LINES_BUDGET)
_recall = _lines.__getitem__


class Block:
    """Field lines that stand together, and what follows from all of them."""

    __slots__ = ("conditional", "fields", "host", "pairs", "persistent", "place")

    def __init__(self, pairs: list[tuple[str, str]], fields: dict[str, str], host: str, persistent: bool) -> None:
        self.pairs = pairs
        self.fields = fields
        self.host = host
        self.persistent = persistent
        self.conditional = not CONDITIONAL.isdisjoint(fields)
        self.place = -1
        """Where among `pairs` a cookie stood that was cut out, for whom it was; -1 for nowhere."""


def read_block(lines: list[bytes]) -> Block | None:
    """The field lines of an ordinary head; None where the slow road has to decide."""
    try:
        pairs = list(map(_recall, lines))
        fields = dict(pairs)
        host = fields["host"]
    except (KeyError, ClientError):
        return None
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        if names.count("host") > 1 or names.count("content-length") > 1:
            return None
        fields = fold(pairs)
    connection = fields.get("connection")
    persistent = connection is None or connection == "keep-alive" or "close" not in tokens(connection)
    return Block(pairs, fields, host, persistent)


def read_request_line(line: bytes) -> tuple[str, str, Path, str] | None:
    """Method, target, path and query of an ordinary request line; None where the slow road has to decide."""
    try:
        method, target, version = line.decode("ascii").split(" ")
        raw, _, query = target.partition("?")
        path = read_path(raw)
    except (ValueError, ClientError):
        return None
    if version != "HTTP/1.1" or method not in ORDINARY_METHODS or not target.isprintable() or "#" in query:
        return None
    return method, target, path, query


def read_ordinary(head: bytes, limits: Limits) -> Request | None:
    """The fast road: the request, or None when the slow road has to decide.

    :param head: everything before the blank line, without the CRLFCRLF.
    """
    lines = head.split(CRLF)
    first = lines.pop(0)
    if len(lines) > limits.fields or len(first) > limits.request_line or len(head) > limits.head - 4:
        return None
    line = read_request_line(first)
    block = read_block(lines) if line is not None else None
    if line is None or block is None:
        return None
    method, target, path, query = line
    return Request(
        method, target, "HTTP/1.1", block.pairs, block.fields, path, query, block.host, block.persistent, -1,
        block.conditional,
    )  # fmt: skip


# --- the slow road --------------------------------------------------------------------------------------------------


def read_extraordinary(head: bytes, limits: Limits) -> tuple[Request, h11.Connection]:
    """The slow road: the request as h11 reads it, and the h11 connection, which is ready to decode a chunked body.

    Raises `ClientError`: 400, 405, 414, 431, 501, 505.
    """
    wrong = early_error(head + END, limits)
    if wrong is not None:
        raise wrong
    first, *lines = head.split(CRLF)
    method, target, version = _read_request_line(first)
    _judge(method, version, [read_field(line) for line in lines])
    connection = h11.Connection(h11.SERVER)  # its own limit is on what is incomplete: no head here, and no trailers
    connection.receive_data(head + END)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise ClientError("The request is malformed.", error.error_status_hint, detail=str(error)) from error
    assert type(event) is h11.Request
    pairs = [(name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers]
    fields = fold(pairs)
    path, query, authority = _read_target(method, target)
    if authority:
        fields["host"] = authority
    named = tokens(fields.get("connection", ""))
    persistent = "close" not in named and (version == "HTTP/1.1" or "keep-alive" in named)
    return Request(method, target, version, pairs, fields, path, query, fields.get("host", ""), persistent), connection


def early_error(data: bytes, limits: Limits) -> ClientError | None:
    """What is wrong with the beginning of a head, by the first byte that shows it; None when nothing is wrong yet.

    It also bounds what an unfinished head may hold. The answer for some bytes holds for everything that begins with
    them, so it does not matter whether they came at once.

    :param data: a head not complete yet, or a complete one with its CRLFCRLF. Not empty.
    """
    if data[0] not in TCHAR:
        if data[0] == 0x16:
            return ClientError("This port speaks plain HTTP, and the request came in TLS. Use http:// here.", 400)
        return ClientError("This is no HTTP request.", 400)
    complete = data.endswith(END)
    found: list[tuple[int, str, int]] = []
    feeds = data.count(b"\n")
    if feeds != data.count(CRLF):
        bare = next(i for i, byte in enumerate(data) if byte == 10 and data[i - 1] != 13)
        found.append((bare, "A line ends in a bare line feed.", 400))
    if len(data) >= limits.request_line + 2 and data.find(CRLF, 0, limits.request_line + 2) < 0:
        found.append((limits.request_line + 1, "The request line is too long.", 414))
    if len(data) > limits.head or (len(data) == limits.head and not complete):
        found.append((limits.head - 1, "The head is too large.", 431))
    if feeds - complete > limits.fields + 1:
        last = -1
        for _ in range(limits.fields + 2):
            last = data.find(b"\n", last + 1)
        found.append((last, "There are too many fields.", 431))
    if not found:
        return None
    _, public, status = min(found)
    return ClientError(public, status)


_version = re.compile(r"HTTP/[0-9]+(?:\.[0-9]+)?")


def _read_request_line(line: bytes) -> tuple[str, str, str]:
    """Method, target and version (RFC 9112 §3). Raises `ClientError` 400, and 505 for a version not spoken here."""
    text = line.decode("latin-1")
    parts = text.split(" ")
    if len(parts) != 3 or not (text.isascii() and text.isprintable()):
        raise ClientError("The request line is malformed.", 400)
    method, target, version = parts
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        if method == "PRI" and version == "HTTP/2.0":
            raise ClientError("This port speaks HTTP/1.1; HTTP/2 without its negotiation is not served here.", 505)
        if _version.fullmatch(version):
            raise ClientError("This server speaks HTTP/1.1 and HTTP/1.0.", 505)
        raise ClientError("The request line is malformed.", 400)
    if not method or not target or method.encode("ascii").translate(None, TCHAR):
        raise ClientError("The request line is malformed.", 400)
    return method, target, version


def _judge(method: str, version: str, pairs: list[tuple[str, str]]) -> None:
    """The policy above h11 (E1, E3): refuse what two servers might read in two ways.

    :param pairs: every field line as it came, before h11 merges repeated ones.
    """
    lengths = [value for name, value in pairs if name == "content-length"]
    codings = [value for name, value in pairs if name == "transfer-encoding"]
    hosts = [value for name, value in pairs if name == "host"]
    if codings:
        _judge_codings(version, codings, lengths)
    if len(lengths) > 1 or not all(map(_is_length, lengths)):
        raise ClientError("Content-Length is repeated or is no number.", 400)
    if len(hosts) > 1:
        raise ClientError("There is more than one Host field.", 400)
    if not hosts and version == "HTTP/1.1":
        raise ClientError("There is no Host field.", 400)
    if hosts and not is_authority(hosts[0]) and (hosts[0] or version == "HTTP/1.1"):
        raise ClientError("The Host field is malformed.", 400)
    if method in ("CONNECT", "TRACE"):
        raise ClientError(f"{method} is not served here.", 405, fields=ALLOW)


def _judge_codings(version: str, codings: list[str], lengths: list[str]) -> None:
    """Transfer-Encoding (RFC 9112 §6.1, §6.3): `chunked` once, on HTTP/1.1, without Content-Length, nothing else."""
    if version == "HTTP/1.0":
        raise ClientError("HTTP/1.0 has no Transfer-Encoding.", 400)
    if lengths:
        raise ClientError("Content-Length and Transfer-Encoding exclude each other.", 400)
    named = [coding for value in codings for coding in tokens(value)]
    if not named or "chunked" in named[:-1]:
        raise ClientError("Transfer-Encoding is empty, or chunked is not its last element.", 400)
    if len(codings) > 1 or codings[0].lower() != "chunked":
        raise ClientError("The only transfer coding known here is chunked.", 501)


def _is_length(value: str) -> bool:
    """Whether a latin-1 text is 1*DIGIT of bearable size: no sign, no list, no superscripts (RFC 9110 §8.6)."""
    return value.isdecimal() and len(value) <= LENGTH_DIGITS


def _read_target(method: str, target: str) -> tuple[Path, str, str]:
    """Path, query, and the authority of an absolute-form target, else "" (RFC 9112 §3.2)."""
    if target[0] == "/":
        raw, _, query = target.partition("?")
        if "#" in query:
            raise ClientError("A request-target has no fragment.", 400)
        return read_path(raw), query, ""
    if target == "*":
        if method != "OPTIONS":
            raise ClientError("The target * is for OPTIONS only.", 400)
        return ASTERISK, "", ""
    _, authority, raw, query = split_absolute(target)
    return read_path(raw), query, authority
