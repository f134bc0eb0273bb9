"""What a dialogue says: lines that a client sends, lines that the server must answer, and what happens in between.

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
ends the head, and `{any}` for anything.
"""

from __future__ import annotations

import re
import textwrap

__all__ = ["shown", "steps"]

PLACEHOLDERS = {
    "{date}": r"Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
    "{id}": r"X-Request-Id: [0-9a-f]{32}",
    "{any}": r"(?s:.*?)",
}
PLACEHOLDERS["{end}"] = PLACEHOLDERS["{date}"] + "\r\n" + PLACEHOLDERS["{id}"] + "\r\n"


def steps(dialogue: str) -> list[tuple[str, bytes]]:
    """The dialogue's actions, lines that follow each other joined."""
    steps: list[tuple[str, bytes]] = []
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
        else:
            assert kind in (">!", "<!", "<~", "==", "<-"), f"what does {line!r} mean?"
            data = text.encode("latin-1")
        if kind in (">>", "<<") and steps and steps[-1][0] == kind:
            steps[-1] = (kind, steps[-1][1] + data)
        elif kind == "<!" and steps and steps[-1][0] == "<<":
            steps[-1] = ("<!", steps[-1][1])
        else:
            steps.append((kind, data))
    return steps


def _pattern(text: str) -> bytes:
    parts = re.split(r"(\{(?:date|id|end|any)\})", text.encode("latin-1").decode("unicode_escape"))
    return "".join(PLACEHOLDERS.get(part) or re.escape(part) for part in parts).encode("latin-1")


def shown(data: bytes) -> str:
    return data[:800].decode("latin-1").replace("\\", "").replace("\r\n", "\n") or "nothing"
