"""Exchanges as HAR 1.2 (w3c.github.io/web-performance/specs/HAR/Overview.html): written while a test runs, read again.

    with site.record("cassette.har"): …       Recording: every exchange in the block
    read_har(path) -> [Recorded, …]           what can be sent again, and what came then

Bodies that are text stand there as text, others as base64. What passed through a tunnel after a 101 is not recorded.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import h11

from edgestack import __version__
from edgestack.testing.messages import Fields, Replies, Reply, Requests, SeenRequest

if TYPE_CHECKING:
    from edgestack.testing.running import Running
    from edgestack.testing.tapping import Turn

__all__ = ["Recorded", "Recording", "read_har"]


class Recording:
    """A cassette that is being recorded. Its file is written at the end of the block, or of the site."""

    def __init__(self, path: Path, running: Running, rest: Callable[[], None]) -> None:
        """:param rest: waits until what was answered is noted."""
        self.path = path
        self._running = running
        self._rest = rest
        self._turns, self._stop = running.tap.recording()
        self._over = False

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.save()

    def save(self) -> None:
        """Stop recording, and write the file. Twice does no harm.

        :raises OSError: it cannot be written.
        """
        if self._over:
            return
        self._over = True
        self._rest()
        self._stop()
        entries = [entry for turn in self._turns for entry in _entries(turn, self._running)]
        creator = {"name": "edgestack", "version": __version__}
        log = {"log": {"version": "1.2", "creator": creator, "entries": entries}}
        self.path.write_text(json.dumps(log, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _entries(turn: Turn, running: Running) -> Iterator[dict[str, Any]]:
    """The exchanges of one turn: as many as have answers."""
    requests, replies = Requests(), Replies()
    requests.feed(bytes(turn.request))
    pairs: list[SeenRequest] = []
    try:
        while (request := requests.next()) is not None:
            pairs.append(request)
            replies.expect(request.method, upgrade="upgrade" in request)
        replies.feed(bytes(turn.answer))
        replies.feed(b"")
        for request in pairs:
            reply = replies.next()
            assert reply is not None
            yield _entry(request, reply, turn, running)
    except (h11.RemoteProtocolError, ConnectionError):
        return  # what was refused as no request, or broken off, cannot be sent again as one


def _entry(request: SeenRequest, reply: Reply, turn: Turn, running: Running) -> dict[str, Any]:
    spent = round((turn.ended - turn.began) * 1000, 3)
    host = request.get("host") or "localhost"
    scheme = running.url("", "a").partition(":")[0]
    url = f"{scheme}://{host}{request.target}"
    said: dict[str, Any] = {
        "method": request.method,
        "url": url,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _named(request.fields),
        "queryString": [{"name": name, "value": value} for name, value in parse_qsl(urlsplit(url).query, True)],
        "headersSize": -1,
        "bodySize": len(request.body),
    }
    if request.body:
        content = _content(request.body)
        said["postData"] = {"mimeType": request.get("content-type", ""), **content}
    return {
        "startedDateTime": datetime.fromtimestamp(turn.wall, UTC).isoformat(timespec="milliseconds"),
        "time": spent,
        "request": said,
        "response": {
            "status": reply.status,
            "statusText": reply.reason,
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _named(reply.fields),
            "content": {"size": len(reply.body), "mimeType": reply.get("content-type", ""), **_content(reply.body)},
            "redirectURL": reply.get("location", ""),
            "headersSize": -1,
            "bodySize": len(reply.body),
        },
        "cache": {},
        "timings": {"send": 0, "wait": spent, "receive": 0},
    }


def _named(fields: Fields) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in fields]


def _content(body: bytes) -> dict[str, str]:
    try:
        return {"text": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"text": b64encode(body).decode(), "encoding": "base64"}


@dataclass(frozen=True)
class Recorded:
    """An exchange of a cassette."""

    method: str
    url: str
    fields: Fields
    body: bytes | None
    status: int
    answer_fields: Fields
    answer: bytes | None
    """None where the cassette does not have it."""


def read_har(path: Path) -> list[Recorded]:
    """The exchanges of a cassette: one of ours, or of a browser.

    :raises OSError: it cannot be read.
    :raises ValueError: it is no HAR.
    """
    try:
        entries = json.loads(path.read_bytes())["log"]["entries"]
        return [_recorded(entry) for entry in entries]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no HAR: {error!r}") from None


def _recorded(entry: Any) -> Recorded:
    request, response = entry["request"], entry["response"]
    return Recorded(
        request["method"], request["url"], _pairs(request["headers"]), _bytes(request.get("postData")),
        response["status"], _pairs(response["headers"]), _bytes(response.get("content")),
    )  # fmt: skip


def _pairs(named: Any) -> Fields:
    """Fields; HTTP/2's pseudo fields, which browsers record, are none."""
    return tuple((one["name"], one["value"]) for one in named if not one["name"].startswith(":"))


def _bytes(content: Any) -> bytes | None:
    if not content or "text" not in content:
        return None
    text: str = content["text"]
    return b64decode(text) if content.get("encoding") == "base64" else text.encode()
