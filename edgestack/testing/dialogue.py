"""A dialogue: what a client says, byte for byte, and what the server must answer; where it does not, the difference.

    >> GET / HTTP/1.1
    >> Host: a
    >>
    << HTTP/1.1 200 OK
    << Server: edgestack
    << Content-Length: 5
    << {end}
    <| hello

    >> line        the client sends it, with CRLF      << line        the server must say it, with CRLF
    >| text        without CRLF; \\r \\n \\x.. are escapes  <| text        without CRLF
    >!             the client sends no more            <!             the server closes, having said nothing else
    == 9.5         so many seconds pass                <~ 404         any whole answer of that status
    -- remark                                          <- nothing has been said so far

In an expected line `{date}` stands for a Date field, `{id}` for X-Request-Id, `{end}` for both and the empty line that
ends the head, and `{any}` for anything. Sans I/O: `hold` is a generator that says what is to be done, so that one
dialogue is held over sockets, over trio's streams, and in virtual time.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Generator
from itertools import zip_longest
from typing import Any, TypeAlias

from edgestack.testing.messages import Replies

__all__ = ["Dialogue", "DialogueError", "Wish", "shown", "steps"]

PLACEHOLDERS = {
    "{date}": r"Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
    "{id}": r"X-Request-Id: [0-9a-f]{32}",
    "{any}": r"(?s:.*?)",
}
PLACEHOLDERS["{end}"] = PLACEHOLDERS["{date}"] + "\r\n" + PLACEHOLDERS["{id}"] + "\r\n"
RESET = b"<reset>"
"""What stands for a reset in what was received."""
MOST_SHOWN = 800
"""Bytes of what was received that an error shows."""

Wish: TypeAlias = "tuple[str, Any]"
"""("send", bytes), ("eof", None), ("pass", seconds), ("receive", None): some bytes, b"" at the end; ("silent", None):
what has come without waiting."""


class DialogueError(AssertionError):
    """The server said something else."""


class Dialogue:
    """A dialogue, taken apart.

    :raises ValueError: a line of it means nothing.
    """

    def __init__(self, text: str) -> None:
        self.text = textwrap.dedent(text).strip("\n")
        self.steps = steps(self.text)
        self._lines = _expected(self.text)

    def hold(self) -> Generator[Wish, Any, None]:
        """What is to be done, one thing after the other; "receive" and "silent" are answered by what came.

        :raises DialogueError: something else came.
        """
        talk = _Talk()
        expected = iter(self._lines)
        for kind, what in self.steps:
            if kind == ">>":
                talk.said(what)
                yield "send", what
            elif kind == ">!":
                yield "eof", None
            elif kind == "==":
                yield "pass", float(what)
            elif kind == "<<":
                yield from talk.until(what, next(expected))
            elif kind == "<!":
                yield from talk.end(what, next(expected) if what else [])
            elif kind == "<~":
                yield from talk.answer(int(what))
            else:
                talk.received += yield "silent", None
                if talk.received:
                    raise DialogueError(f"nothing was to be said so far, and this was:\n{shown(talk.received)}")


class _Talk:
    """What was received so far and not yet expected."""

    def __init__(self) -> None:
        self.received = b""
        self.ended = False
        self._method = "GET"

    def said(self, data: bytes) -> None:
        """The client's word: how the next answer ends depends on it."""
        self._method = data.split(b" ", 1)[0].decode("latin-1") or self._method

    def more(self) -> Generator[Wish, Any, None]:
        """Take what comes next."""
        data = yield "receive", None
        self.received += data
        self.ended = data in (b"", RESET)

    def until(self, pattern: bytes, lines: list[str]) -> Generator[Wish, Any, None]:
        """Receive until what came begins with the pattern, which is taken off."""
        while (match := re.match(pattern, self.received)) is None:
            if self.ended or _is_lost(pattern, self.received):
                why = "the server closed after" if self.ended else "the server said"
                raise DialogueError(difference(why, lines, self.received))
            try:
                yield from self.more()
            except TimeoutError:
                raise DialogueError(difference("nothing more came after", lines, self.received)) from None
        self.received = self.received[match.end() :]

    def end(self, pattern: bytes, lines: list[str]) -> Generator[Wish, Any, None]:
        """Receive until the server closes; all of it fits the pattern."""
        while not self.ended:
            try:
                yield from self.more()
            except TimeoutError:
                raise DialogueError(difference("the server did not close after", lines, self.received)) from None
        if not re.fullmatch(pattern, self.received):
            raise DialogueError(difference("the server closed after", lines, self.received))
        self.received = b""

    def answer(self, status: int) -> Generator[Wish, Any, None]:
        """Any whole answer of a status."""
        reader = Replies()
        reader.expect(self._method)
        if self.received:
            reader.feed(self.received)
        try:
            while (reply := reader.next()) is None:
                before = len(self.received)
                yield from self.more()
                reader.feed(b"" if self.ended else self.received[before:])
        except (TimeoutError, ConnectionError):
            raise DialogueError(f"no answer of status {status} came:\n{shown(self.received)}") from None
        self.received = reader.buffer
        if reply.status != status:
            raise DialogueError(f"an answer of status {status} was to come, and this did:\n{shown(reply.raw)}")


def steps(dialogue: str) -> list[tuple[str, bytes]]:
    """The dialogue's actions, lines that follow each other joined.

    :raises ValueError: a line of it means nothing.
    """
    found: list[tuple[str, bytes]] = []
    for line in textwrap.dedent(dialogue).strip("\n").split("\n"):
        kind, text = line[:2], line[3:]
        if not line.strip() or kind == "--":
            continue
        if kind in (">>", ">|"):
            data = text.encode("latin-1").decode("unicode_escape").encode("latin-1")
            data += b"\r\n" if kind == ">>" else b""
            kind = ">>"
        elif kind in ("<<", "<|"):
            data = _pattern(text) + (b"\r\n" if kind == "<<" else b"")
            kind = "<<"
        elif kind in (">!", "<!", "<~", "==", "<-"):
            data = text.encode("latin-1")
        else:
            raise ValueError(f"what does {line!r} mean in a dialogue?")
        if kind in (">>", "<<") and found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + data)
        elif kind == "<!" and found and found[-1][0] == "<<":
            found[-1] = ("<!", found[-1][1])
        else:
            found.append((kind, data))
    return found


def _is_lost(pattern: bytes, received: bytes) -> bool:
    """Whether a whole line came that is another one than was expected: nothing that comes later can mend that."""
    if PLACEHOLDERS["{any}"].encode() in pattern:
        return False
    lines = zip(pattern.split(b"\r\n")[:-1], received.split(b"\r\n")[:-1], strict=False)
    return any(not re.fullmatch(wanted, came) for wanted, came in lines)


def _expected(text: str) -> list[list[str]]:
    """The expected lines of each step that has some, as they are written."""
    groups: list[list[str]] = []
    before = ""
    for line in text.split("\n"):
        kind = line[:2]
        if not line.strip() or kind == "--":
            continue
        if kind in ("<<", "<|"):
            if before not in ("<<", "<|"):
                groups.append([])
            groups[-1].append(line[3:])
        before = kind
    return groups


def _pattern(text: str) -> bytes:
    parts = re.split(r"(\{(?:date|id|end|any)\})", text.encode("latin-1").decode("unicode_escape"))
    return "".join(PLACEHOLDERS.get(part) or re.escape(part) for part in parts).encode("latin-1")


def difference(why: str, lines: list[str], received: bytes) -> str:
    """Line by line: "-" what was expected, "+" what came instead.

    :param why: how the sentence begins.
    """
    came = received[:MOST_SHOWN].decode("latin-1").split("\r\n")
    expected = [line for one in lines for line in (["{date}", "{id}", ""] if one == "{end}" else [one])]
    told = []
    for wanted, got in zip_longest(expected, came[:-1] if came[-1] == "" else came):
        if wanted is not None and got is not None and re.fullmatch(_pattern(wanted), got.encode("latin-1")):
            told.append(f"  {got}")
            continue
        told += [f"{sign} {line}" for sign, line in (("-", wanted), ("+", got)) if line is not None]
    return f"{why} (- expected, + received):\n" + "\n".join(told)


def shown(data: bytes) -> str:
    """Bytes for an error."""
    return data[:MOST_SHOWN].decode("latin-1").replace("\\", "").replace("\r\n", "\n") or "nothing"
