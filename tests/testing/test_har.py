"""Recording and replaying: a cassette of a test, sent again to the same edge, and to one that answers differently."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from trio.testing import MockClock

from edgestack.cli import main
from edgestack.testing.fixtures import AsyncEdges, Edges
from edgestack.testing.har import read_har

BINARY = bytes(range(256)) * 4


def shop(price: int, *more: tuple[str, str]) -> Callable[..., Iterable[bytes]]:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        kind = "image/png" if path == "/photo" else "application/json"
        start_response("200 OK", [("Content-Type", kind), ("X-Path", path), *more])
        if path == "/photo":
            return [BINARY]
        return [json.dumps({"price": price, "body": environ["wsgi.input"].read().decode()}).encode()]

    return app


@pytest.fixture
def cassette(edge: Edges, tmp_path: Path) -> Path:
    """What a client did with one version of the shop."""
    site = edge(app=shop(5))
    site.get("/before")
    with site.record(tmp_path / "cassette.har"):
        with site.client() as client:
            client.get("/item?id=1&id=2")
            client.post("/order", content="größe=3".encode())
        site.get("/photo")
        site.request("HEAD", "/item")
    site.get("/after")
    return tmp_path / "cassette.har"


def test_what_is_recorded(cassette: Path) -> None:
    log = json.loads(cassette.read_bytes())["log"]
    assert (log["version"], log["creator"]["name"]) == ("1.2", "edgestack")
    item, order, photo, head = log["entries"]
    assert item["request"]["url"].startswith("https://localhost:")
    assert item["request"]["queryString"] == [{"name": "id", "value": "1"}, {"name": "id", "value": "2"}]
    assert order["request"]["postData"]["text"] == "größe=3"
    assert (item["response"]["status"], json.loads(item["response"]["content"]["text"])["price"]) == (200, 5)
    assert photo["response"]["content"]["encoding"] == "base64"
    assert head["response"]["bodySize"] == 0
    assert item["time"] >= 0
    assert item["startedDateTime"].endswith("+00:00")


def test_what_is_read_again(cassette: Path) -> None:
    item, order, photo, _ = read_har(cassette)
    assert (item.method, item.body, item.status) == ("GET", None, 200)
    assert order.body == "größe=3".encode()
    assert photo.answer == BINARY


def replayed(cassette: Path, url: str, *words: str) -> Result:
    return CliRunner().invoke(main, ["replay", str(cassette), url, *words], standalone_mode=True)


def test_the_same_again(cassette: Path, edge: Edges) -> None:
    site = edge(app=shop(5))
    result = replayed(cassette, site.url(""), "--cacert", str(site.ca_file))
    assert result.output.splitlines() == [
        "GET /item?id=1&id=2: as before", "POST /order: as before", "GET /photo: as before", "HEAD /item: as before",
        "4 exchanges, none of them different",
    ]  # fmt: skip
    assert result.exit_code == 0
    assert [record.target for record in site.log] == ["/item?id=1&id=2", "/order", "/photo", "/item"]


def test_what_differs(cassette: Path, edge: Edges) -> None:
    """Fields that are gone, new and other ones; the body from the first byte that differs."""
    site = edge(app=shop(6, ("X-New", "1")), tls=False)
    result = replayed(cassette, site.url(""))
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[:3] == [
        "GET /item?id=1&id=2: differs",
        "    x-new is new: '1'",
        '    the body differs from byte 10 on: b\'6, "body": ""}\', and was b\'5, "body": ""}\'',
    ]
    assert lines[-1] == "4 exchanges, 4 of them different"
    ignoring = replayed(cassette, site.url(""), "--ignore", "X-New")
    assert "GET /photo: as before" in ignoring.output


def test_nobody_answers(cassette: Path) -> None:
    result = replayed(cassette, "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "no answer came" in result.output


WRONG = {
    "no JSON": ("{", "http://localhost:1", "Expecting"),
    "no HAR": ("[]", "http://localhost:1", "is no HAR"),
    "no URL": ('{"log": {"entries": []}}', "localhost", "is no URL of a server"),
}


@pytest.mark.parametrize(("text", "url", "words"), WRONG.values(), ids=WRONG)
def test_wrong_use(tmp_path: Path, text: str, url: str, words: str) -> None:
    """One line, and status 2."""
    path = tmp_path / "cassette.har"
    path.write_text(text)
    result = replayed(path, url)
    assert result.exit_code == 2
    assert words in result.output


def test_a_browsers_recording(tmp_path: Path) -> None:
    """Pseudo fields of HTTP/2 are left out; an answer without its text is not compared."""
    entry = {
        "request": {"method": "GET", "url": "https://a/x", "headers": [{"name": ":method", "value": "GET"}]},
        "response": {"status": 304, "headers": [], "content": {"size": 0}},
    }
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [entry]}}))
    (recorded,) = read_har(tmp_path / "a.har")
    assert (recorded.fields, recorded.answer) == ((), None)


async def test_in_memory(edge_memory: AsyncEdges, mock_clock: MockClock, tmp_path: Path) -> None:
    """Written when the site ends, where nothing ends it before."""
    site = await edge_memory(app=shop(1))
    recording = site.record(tmp_path / "memory.har")
    connection = await site.connect()
    for number in range(3):
        await connection.request("GET", f"/{number}")
    recording.save()
    assert [one.url for one in read_har(tmp_path / "memory.har")] == [f"https://localhost/{at}" for at in range(3)]
