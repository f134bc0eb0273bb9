"""Response heads: the bytes of one complete head in, an `UpstreamHead` out, or the `UpstreamError` it deserves.

    head ── read_known ────────────────────────────────► UpstreamHead      what came like this before, but for its Date
              └─ a new one ─ line by line, looked up ───► UpstreamHead      the fast road: what servers send
                   └─ None ─► read_extraordinary ─ judge ─ h11 ─► the same  the slow road: everything else

The law is that of `h1_head.py`: **whatever the fast road accepts, h11 accepts, and reads the same**; the property test
beside this file's holds it. A block of lines is looked up whole; its Date, which changes each second, is cut out before
and put back only for who asks. Lines with a cookie are never remembered. Bounded tables: design, engine, rule 3.

The slow road owns every refusal. `_judge` stands above h11, for what h11 lets through and a client behind us might read
otherwise: a response that could be split in two is nobody's answer (RFC 9112 §5.2, §6.1, §6.3, §11.1).
"""

from __future__ import annotations

from typing import Any, Final

import h11

from edgestack.errors import ClientError
from edgestack.http.fields import FORBIDDEN, fold, tokens
from edgestack.http.remembered import Remembered
from edgestack.wire.h1_client_bodies import bad
from edgestack.wire.h1_head import read_field

__all__ = ["BODILESS", "HEAD", "KnownHead", "UpstreamHead", "early_error", "read_extraordinary", "read_known"]

CRLF = b"\r\n"
END = b"\r\n\r\n"

HEAD = 64 * 1024
"""Bytes of a response's head; nginx's proxy_buffer_size is 4k or 8k, and cookies of applications outgrow that."""
FIELDS = 200
"""Fields of a head: twice as many as a client may send, because it is our own server."""
LENGTH_DIGITS = 20
"""Digits of a Content-Length; as many as h11 reads."""

DATE_LINE = 8 + 29
"""Bytes of CRLF, the name, a colon, a space and an IMF-fixdate (RFC 9110 §5.6.7)."""

DATES = 16
"""Dates of one generation: servers whose clocks differ by some seconds."""
LINES_BUDGET = 1 << 18
BLOCKS_BUDGET = 1 << 19
"""Bytes of one generation of remembered lines and blocks; there are two of each."""
LONGEST_LINE = 512
LONGEST_BLOCK = 2048
"""Bytes worth remembering; a head of a web application has 200 to 800."""
LINE_COST = 33 + 49 + 56 + 110
BLOCK_COST = 33 + 144 + 48 + 640
"""Bytes that an entry costs beyond its text (CPython 3.11)."""
FORGOTTEN = frozenset(("set-cookie", "set-cookie2", "authentication-info", "proxy-authentication-info"))
"""Secrets."""

BODILESS: Final = frozenset((204, 304))


class KnownHead:
    """A head without its Date, and what follows from it. Shared between responses: never to be changed.

    Equal heads that were remembered are the same object, so what is made of them is made once (`derived`).
    """

    __slots__ = (
        "again", "chunked", "derived", "fields", "latest", "length", "pairs", "persistent", "reason", "status",
        "version", "whole",
    )  # fmt: skip

    def __init__(self, status: int, reason: str, version: str, pairs: list[tuple[str, str]]) -> None:
        self.status = status
        self.reason = reason
        self.version = version
        self.pairs = pairs
        self.fields = fields = fold(pairs)
        self.chunked = "transfer-encoding" in fields
        length = fields.get("content-length")
        self.length = None if length is None else int(length)
        named = tokens(fields["connection"]) if "connection" in fields else ()
        self.persistent = "close" not in named and (version == "HTTP/1.1" or "keep-alive" in named)
        self.whole = self.length if self.persistent and status not in BODILESS else None
        """Bytes of a body after which the link may go on; None where there is none, or only reading tells."""
        self.again = False
        """Whether it was looked up before: only one that is remembered ever is."""
        self.latest: UpstreamHead | None = None
        """Of one that did: with the latest Date, for all that come in this second."""
        self.derived: dict[Any, Any] | None = None
        """What others have made of this head, by who made it; weighed at twice the head's text."""


class UpstreamHead:
    """The head of one response, interim ones included (RFC 9112 §4)."""

    __slots__ = ("_cut", "date", "known", "status")

    def __init__(self, known: KnownHead, date: str, cut: bool) -> None:
        """
        :param date: the value of its Date; "" without one.
        :param cut: whether the Date is missing among the fields of `known`.
        """
        self.status = known.status
        self.known = known
        self.date = date
        self._cut = cut

    @property
    def reason(self) -> str:
        """Latin-1 text; may be empty."""
        return self.known.reason

    @property
    def version(self) -> str:
        """ "HTTP/1.1" or "HTTP/1.0"."""
        return self.known.version

    @property
    def persistent(self) -> bool:
        """Whether the server would go on with the link."""
        return self.known.persistent

    @property
    def fields(self) -> dict[str, str]:
        """One value a name (repeated ones joined, so of no use for Set-Cookie). Date may be missing: see `date`."""
        return self.known.fields

    @property
    def length(self) -> int | None:
        """Content-Length as the server said it, also where there is no body (HEAD, 304); None without."""
        return self.known.length

    @property
    def framing(self) -> str:
        """ "length", "chunked" or "close": what the fields say of a body, if there may be one."""
        if self.known.chunked:
            return "chunked"
        return "close" if self.known.length is None else "length"

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The fields in order (Date may have come to the front), names in lower case, values latin-1 text, trimmed. Not
        to be changed."""
        return [("date", self.date), *self.known.pairs] if self._cut else self.known.pairs


class _Extraordinary(ClientError):
    """Not an error: the head has to take the slow road."""


class _Lines(Remembered[bytes, tuple[str, str]]):
    """Field lines, whole, with what they mean. Only ordinary ones get in."""

    __slots__ = ()

    def make(self, key: bytes) -> tuple[str, str]:
        pair = name, value = read_field(key)
        if (name == "content-length" and not _is_length(value)) or (name == "transfer-encoding" and value != "chunked"):
            raise _Extraordinary
        return pair

    def weigh(self, key: bytes, value: tuple[str, str]) -> int:
        size = len(key)
        return 0 if size > LONGEST_LINE or value[0] in FORGOTTEN else LINE_COST + 2 * size + 49


class _Heads(Remembered[bytes, "KnownHead | None"]):
    """Heads without their Date."""

    __slots__ = ()

    def make(self, key: bytes) -> KnownHead | None:
        first, *lines = key.split(CRLF)
        if first[:9] != b"HTTP/1.1 " or len(lines) >= FIELDS:
            return None
        try:
            status, reason = _read_status(first)
            pairs = list(map(_recall, lines))
        except ClientError:
            return None
        names = [name for name, _ in pairs]
        if status < 200 or names.count("content-length") + names.count("transfer-encoding") > 1:
            return None
        return KnownHead(status, reason, "HTTP/1.1", pairs)

    def weigh(self, key: bytes, value: KnownHead | None) -> int:
        if value is None or len(key) > LONGEST_BLOCK or not FORGOTTEN.isdisjoint(value.fields):
            return 0
        return BLOCK_COST + 3 * len(key)


class _Dates(Remembered[bytes, str]):
    """Dates of the last seconds, each with the CRLF behind it; "" for what is none of its length."""

    __slots__ = ()

    def make(self, key: bytes) -> str:
        text = key[:-2].decode("latin-1")
        return text if key[-2:] == CRLF and text.isprintable() and text.strip(" ") == text else ""

    def weigh(self, key: bytes, value: str) -> int:
        return 1 if value else 0


_dates = _Dates(DATES)
_lines = _Lines(LINES_BUDGET)
_recall = _lines.__getitem__
_heads = _Heads(BLOCKS_BUDGET)


def read_known(data: bytes, end: int) -> UpstreamHead | None:
    """The fast road; None when the slow road has to decide.

    :param data: what was received, from the head's first byte.
    :param end: where its CRLFCRLF begins; within the limit of `HEAD`.
    """
    at = data.find(b"\r\nDate: ", 0, end)
    if at < 0:
        at = data.find(b"\r\ndate: ", 0, end)
        if at < 0:
            known = _heads[data[:end]]
            return None if known is None else UpstreamHead(known, known.fields.get("date", ""), False)
    date = _dates[data[at + 8 : at + DATE_LINE + 2]]
    known = _heads[data[:at] + data[at + DATE_LINE : end]]
    if not date or known is None or "date" in known.fields:
        return None
    latest = known.latest
    if latest is None or latest.date is not date:
        latest = UpstreamHead(known, date, True)
        if known.again:
            known.latest = latest
        else:  # of one that comes once, as with an ETag of its own, it would be a ring that nobody needs
            known.again = True
    return latest


# --- the slow road --------------------------------------------------------------------------------------------------


def read_extraordinary(head: bytes) -> UpstreamHead:
    """The slow road: the head as h11 reads it.

    :raises UpstreamError: 502, it is none.
    """
    wrong = early_error(head + END)
    if wrong:
        raise bad(wrong)
    first, *lines = head.split(CRLF)
    try:
        status, _ = _read_status(first)
        pairs = [read_field(line) for line in lines]
    except ClientError as error:
        raise bad(f"in the head of its answer: {error.public}") from None
    version = first[:8].decode("ascii")
    _judge(status, version, pairs)
    try:
        event = _as_h11_reads(head, status)
    except h11.ProtocolError as error:
        raise bad(f"in the head of its answer: {error}") from error
    pairs = [(name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers]
    known = KnownHead(event.status_code, event.reason.decode("latin-1"), version, pairs)
    return UpstreamHead(known, known.fields.get("date", ""), False)


def _as_h11_reads(head: bytes, status: int) -> h11.Response | h11.InformationalResponse:
    connection = h11.Connection(h11.CLIENT)
    asked = [("Host", "h")]
    if status == 101:  # h11 takes it only from a server that was asked; whether it was is the proxy's to know
        asked += [("Connection", "upgrade"), ("Upgrade", "any")]
    connection.send(h11.Request(method="GET", target="/", headers=asked))
    connection.send(h11.EndOfMessage())
    connection.receive_data(head + END)
    event = connection.next_event()
    assert isinstance(event, h11.Response | h11.InformationalResponse)
    return event


def early_error(data: bytes) -> str:
    """What is wrong with the beginning of a head, "" when nothing is yet; it bounds unfinished ones too.

    What holds for some bytes holds for everything that begins with them: it does not matter whether they came at once.

    :param data: a head not complete yet, or a complete one with its CRLFCRLF. Not empty.
    """
    if data[:7] != b"HTTP/1."[: len(data)]:
        if data[0] in (0x15, 0x16):
            return "what came is TLS: is https meant?"
        return f"what came is no answer in HTTP/1: it begins with {data[:16]!r}"
    complete = data.endswith(END)
    if len(data) > HEAD or (len(data) == HEAD and not complete):
        return f"the head of its answer is larger than {HEAD} bytes"
    feeds = data.count(b"\n")
    if feeds != data.count(CRLF):
        return "a line of its head ends in a bare line feed"
    if feeds - complete > FIELDS + 1:
        return f"its answer has more than {FIELDS} fields"
    return ""


def _read_status(line: bytes) -> tuple[int, str]:
    """Status and reason (RFC 9112 §4). Raises `ClientError`. Servers leave the reason out, the space before it too."""
    code, reason = line[9:12], line[12:]
    if (
        line[:9] not in (b"HTTP/1.1 ", b"HTTP/1.0 ")
        or len(code) != 3
        or not code.isdigit()
        or code < b"100"
        or (reason and reason[:1] != b" ")
        or len(reason.translate(None, FORBIDDEN)) != len(reason)
    ):
        raise ClientError("The status line is malformed.")
    return int(code), reason[1:].decode("latin-1")


def _judge(status: int, version: str, pairs: list[tuple[str, str]]) -> None:
    """The policy above h11: refuse what two readers might understand in two ways (RFC 9112 §6.1, §6.3).

    :param pairs: every field line as it came, before h11 merges repeated ones.
    """
    lengths = [value for name, value in pairs if name == "content-length"]
    codings = [value for name, value in pairs if name == "transfer-encoding"]
    if codings and version == "HTTP/1.0":
        raise bad("an answer in HTTP/1.0 has no Transfer-Encoding")
    if codings and lengths:
        raise bad("its answer has both Content-Length and Transfer-Encoding")
    if codings and (len(codings) > 1 or codings[0].lower() != "chunked"):
        raise bad(f"the transfer coding {codings[0][:40]!r} is not known here")
    if len(lengths) > 1 or not all(map(_is_length, lengths)):
        raise bad("its Content-Length is repeated, or is no number")


def _is_length(value: str) -> bool:
    """Whether a latin-1 text is 1*DIGIT of bearable size (RFC 9110 §8.6)."""
    return value.isdecimal() and len(value) <= LENGTH_DIGITS
