"""Published request-smuggling payloads and their kin, as files, each with what must become of it (E1, E2, E3, E6).

Every `corpus/NAME.raw` is what a client sends, byte for byte; `corpus/NAME.expect` is one line: what becomes of
it until the stream ends. `corpus/README.md` explains the notation. Each payload is read whole, byte by byte, and with
an ordinary request before it, and the outcome may not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from edgestack.config.model import Limits
from edgestack.errors import ClientError
from edgestack.http.messages import Request
from edgestack.wire.h1 import H1

CORPUS = Path(__file__).parent / "corpus"
PAYLOADS = sorted(CORPUS.glob("*.raw"))
ORDINARY = b"GET /before HTTP/1.1\r\nHost: example.com\r\n\r\n"


def tell(request: Request, size: int) -> str:
    text = f"{request.method} {request.target} {size}"
    if not request.persistent:
        text += " close"
    if request.host != dict(request.pairs).get("host", ""):
        text += f" host={request.host}"
    assert request.host == request.fields.get("host", "")
    return text


def outcome(pieces: Iterable[bytes]) -> str:
    """What becomes of a stream: its requests with the sizes of their bodies, then the error or the unfinished rest."""
    h1, told, request, size = H1(Limits()), [], None, 0
    for piece in pieces:
        h1.feed(piece)
        while True:
            try:
                if request is None:
                    request = h1.next_request()
                    size = 0
                    if request is None:
                        break
                while h1.framing is not None and (data := h1.framing.read()):
                    size += len(data)
            except ClientError as error:
                begun = "" if request is None else f"{request.method} {request.target} "
                return " | ".join([*told, f"{begun}{error.status}"])
            if h1.framing is not None and not h1.framing.complete:
                break
            told.append(tell(request, size))
            if not request.persistent:
                return " | ".join(told)  # the connection is closed after the answer, whatever follows
            request = None
    if h1.eof_error() is not None:
        told.append("incomplete" if request is None else f"{request.method} {request.target} incomplete")
    return " | ".join(told)


def test_the_corpus_is_whole() -> None:
    assert len(PAYLOADS) >= 60
    assert {path.stem for path in PAYLOADS} == {path.stem for path in CORPUS.glob("*.expect")}


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_payload(path: Path) -> None:
    """E1, E2, E3: one reading, however it arrives."""
    raw, expected = path.read_bytes(), path.with_suffix(".expect").read_text().rstrip("\n")
    assert outcome([raw]) == expected
    assert outcome(raw[i : i + 1] for i in range(len(raw))) == expected
    assert outcome([raw[: len(raw) // 2], raw[len(raw) // 2 :]]) == expected
    assert outcome([ORDINARY + raw]) == "GET /before 0 | " + expected
