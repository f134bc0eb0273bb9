"""ASGI applications as their users have them: a bare one and Starlette, on trio's loop and on asyncio's."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import IncompleteRead
from pathlib import Path

import pytest
from server_kit import APPS, ROOT, Server, environment, running
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

LOOPS = ("trio", "asyncio")
LARGE = 160 * 65536
MESSAGE_MOST = 16 * 1024 * 1024


@pytest.fixture(scope="module", params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def configured(folder: Path, app: str, loop: str, more: str = "") -> tuple[str, ...]:
    """The words that serve an application on a loop."""
    folder.mkdir(exist_ok=True)
    file = folder / "edgestack.toml"
    file.write_text(f'[server]\nasgi_loop = "{loop}"\n{more}\n[[route]]\nmatch = "/"\napp = "{app}"\n')
    return ("-c", str(file))


@pytest.fixture(scope="module")
def bare(loop: str, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(f"asgi-{loop}")
    words = configured(folder, "asgi_bare:app", loop)
    with running(folder, *words, data=data, env={"PYTHONPATH": f"{ROOT}:{APPS}"}) as server:
        yield server
    assert "the lifespan has ended" in server.out.lines


@pytest.fixture(scope="module")
def starlette(loop: str, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("starlette")
    folder = tmp_path_factory.mktemp(f"starlette-{loop}")
    words = configured(folder, "starlette_app:app", loop)
    with running(folder, *words, data=data, env={"PYTHONPATH": f"{ROOT}:{APPS}"}) as server:
        yield server
    assert "the lifespan has ended" in server.out.lines


@pytest.fixture
def talk(bare: Server) -> Callable[..., ClientConnection]:
    return lambda path, **more: websocket(bare, path, **more)


def websocket(server: Server, path: str, **more: object) -> ClientConnection:
    """A client of the websockets library."""
    url = f"ws{server.url.removeprefix('http')}{path}"
    context: ssl.SSLContext | None = server.tls() if server.secure else None
    return connect(url, ssl=context, proxy=None, **more)  # type: ignore[arg-type]


def poll(found: Callable[[], bool], tries: int = 2000) -> None:
    """Ask until it is so; each question is a round trip."""
    for _ in range(tries):
        if found():
            return
    raise AssertionError("it never came to be")


# --- HTTP -------------------------------------------------------------------------------------------------------------


def test_what_the_scope_says(bare: Server) -> None:
    """Path decoded and raw, query, fields, both ends, and the lifespan's state."""
    scope = bare.request(
        "GET", "/show/caf%C3%A9?a=%20", fields={"X-Two": "2", "X_Under": "no", "X-Forwarded-For": "6.6.6.6"}
    )
    told = scope.json()
    fields = dict(told["headers"])  # type: ignore[call-overload]
    assert (told["path"], told["raw_path"], told["query_string"]) == ("/show/café", "/show/caf%C3%A9", "a=%20")
    assert (told["type"], told["method"], told["scheme"], told["http_version"]) == ("http", "GET", "https", "1.1")
    assert told["client"][0] == "127.0.0.1"  # type: ignore[index]
    assert told["server"] == ["127.0.0.1", bare.port]
    assert told["state"] == {"begun": "begun"}
    assert told["edgestack.request_id"] == scope["X-Request-Id"]
    assert fields["x-two"] == "2"
    assert fields["host"] == f"localhost:{bare.port}"
    assert not fields.keys() & {"x_under", "x-forwarded-for"}


@pytest.mark.parametrize("body", [b"", b"abc", b"y" * 300_000], ids=len)
def test_a_body_goes_in_and_out(bare: Server, body: bytes) -> None:
    assert bare.request("POST", "/echo", body).body == body
    assert bare.request("POST", "/echo", iter([body[:2], body[2:]] if body else [])).body == body


@pytest.mark.parametrize("size", [0, 3, 70_000, 900_000])
def test_who_is_impatient_loses_nothing(bare: Server, size: int) -> None:
    """Asking can be given up; what was on its way comes with the next question."""
    body = os.urandom(size)
    pieces = [body[at : at + 50_000] for at in range(0, size, 50_000)]
    expected = hashlib.sha256(body).hexdigest()
    assert bare.request("POST", "/impatient", body).text == expected
    assert bare.request("POST", "/impatient", iter(pieces)).text == expected


def test_a_large_answer_and_its_head(bare: Server) -> None:
    assert len(bare.get("/large").body) == LARGE
    head = bare.request("HEAD", "/large")
    assert (head.status, head.body, head.all("Content-Length")) == (200, b"", [])
    small, head = bare.get("/seen"), bare.request("HEAD", "/seen")
    assert head.all("Content-Length") == ([small["Content-Length"]] if small.body else [])


def test_who_leaves_is_told(bare: Server) -> None:
    """The application hears of it, and its next piece raises an OSError."""
    with bare.socket() as sock:
        sock.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while b"data: 1" not in received:
            received += sock.recv(65536)
    poll(lambda: "http.disconnect ClientLeft" in bare.get("/seen").text)


@pytest.mark.parametrize(
    ("path", "said"), [("/fail", "ValueError: as it was asked to"), ("/silent", "without an answer")]
)
def test_what_goes_wrong_is_a_500(bare: Server, path: str, said: str) -> None:
    reply = bare.get(path)
    bare.logged(reply, said)
    assert reply.status == 500
    assert "ValueError" not in reply.text


def test_what_goes_wrong_within_an_answer(bare: Server) -> None:
    """The connection is broken, so that the client sees the truncation."""
    with pytest.raises(IncompleteRead) as cut:
        bare.get("/half")
    bare.logged(None, "ValueError: in the middle")
    assert 0 < len(cut.value.partial) <= 100_000


def test_a_body_over_the_limit(data: Path, tmp_path: Path) -> None:
    """413, announced or not; the application is not called for the first, and hears of the end in the second."""
    words = configured(tmp_path, "asgi_bare:app", "trio", 'max_body = "1KB"')
    with running(tmp_path, *words, data=data, env={"PYTHONPATH": f"{ROOT}:{APPS}"}) as server:
        statuses = [server.request("POST", "/echo", b"x" * size).status for size in (999, 1000, 1001)]
        assert statuses == [200, 200, 413]


def test_an_answer_that_does_not_begin(loop: str, data: Path, tmp_path: Path) -> None:
    """504 after `timeout`, and the call is cancelled."""
    words = configured(tmp_path, "asgi_bare:app", loop, 'timeout = "200ms"')
    with running(tmp_path, *words, data=data, env={"PYTHONPATH": f"{ROOT}:{APPS}"}) as server:
        reply = server.get("/never")
        assert reply.status == 504
        server.logged(reply, "the application began no answer within 0.2 s")
        poll(lambda: server.get("/seen").text == "given up")


# --- WebSockets -------------------------------------------------------------------------------------------------------


def test_text_and_bytes_come_back(talk: Callable[..., ClientConnection]) -> None:
    with talk("/chat") as client:
        for message in ("hello", "é" * 70_000, b"\0\1\2", b"", "", b"z" * 1_000_000):
            client.send(message)
            assert client.recv() == message
        assert client.ping().wait(10)


def test_a_message_in_fragments(talk: Callable[..., ClientConnection]) -> None:
    with talk("/chat") as client:
        client.send(["one ", "message ", "of three"])
        assert client.recv() == "one message of three"


def test_the_last_subprotocol_is_chosen(talk: Callable[..., ClientConnection]) -> None:
    with talk("/chat", subprotocols=["first", "second"]) as client:
        assert client.subprotocol == "second"


def test_the_application_closes(talk: Callable[..., ClientConnection]) -> None:
    with talk("/chat") as client:
        client.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")  # type: ignore[union-attr]


def test_the_client_closes(bare: Server, talk: Callable[..., ClientConnection]) -> None:
    with talk("/chat") as client:
        client.close(4002, "enough")
    poll(lambda: "websocket.disconnect 4002" in bare.get("/seen").text)


def test_a_client_that_vanishes(bare: Server, talk: Callable[..., ClientConnection]) -> None:
    with talk("/chat") as client:
        client.send("still here")
        client.recv()
        client.socket.shutdown(2)
    poll(lambda: "websocket.disconnect 1006" in bare.get("/seen").text)


def test_an_application_that_raises_within(bare: Server, talk: Callable[..., ClientConnection]) -> None:
    with talk("/chat") as client:
        client.send("raise")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
    bare.logged(None, "ValueError: within a talk")
    bare.claimed.append("ValueError: within a talk")
    assert closed.value.rcvd.code == 1011  # type: ignore[union-attr]


def test_a_refused_handshake(talk: Callable[..., ClientConnection]) -> None:
    with pytest.raises(InvalidStatus) as refused, talk("/refuse"):
        pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "12"}, 426),
        ({"Sec-WebSocket-Key": "short", "Sec-WebSocket-Version": "13"}, 400),
    ],
)
def test_a_handshake_that_is_none(bare: Server, fields: dict[str, str], status: int) -> None:
    reply = bare.request("GET", "/chat", fields={"Upgrade": "websocket", "Connection": "Upgrade", **fields})
    assert reply.status == status


def test_a_message_too_large(talk: Callable[..., ClientConnection]) -> None:
    """One byte over 16 MiB closes with 1009."""
    with talk("/chat", max_size=None) as client:
        client.send(b"x" * MESSAGE_MOST)
        assert len(client.recv()) == MESSAGE_MOST
        client.send(b"x" * (MESSAGE_MOST + 1))
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
    assert closed.value.rcvd.code == 1009  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [100_000, 4_000_000])
def test_large_messages_at_once(talk: Callable[..., ClientConnection], size: int) -> None:
    """Several clients, whose messages are compressed on threads: each gets its own back, in order."""
    texts = [chr(97 + at) * size for at in range(3)]
    with talk("/chat", max_size=None) as one, talk("/chat", max_size=None) as other:
        for client in (one, other):
            assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"]
            for text in texts:
                client.send(text)
        assert [[client.recv() for _ in texts] for client in (other, one)] == [texts, texts]


def test_tasks_that_speak_at_once(talk: Callable[..., ClientConnection]) -> None:
    """What is compressed leans on what was compressed before, whichever task of the application said it, and where."""
    with talk("/chat") as client:
        client.send("chorus")
        assert sorted(client.recv() for _ in range(40)) == sorted(f"{at} " * (at * 500 + 30) for at in range(40))


def test_a_bomb(talk: Callable[..., ClientConnection]) -> None:
    """32 KiB that would be 33 MB: 1009, as for any message of that size."""
    with talk("/chat", max_size=None) as client:
        client.send(b"\0" * (2 * MESSAGE_MOST))
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1009, "the message is too large")  # type: ignore[union-attr]


@pytest.mark.parametrize("worker_class", ["gthread", "process"])
def test_compression_that_is_switched_off(worker_class: str, data: Path, tmp_path: Path) -> None:
    """Nothing is agreed on, here and in a process of the application's own."""
    more = f'worker_class = "{worker_class}"\nwebsocket_compression = false'
    words = configured(tmp_path, "asgi_bare:app", "trio", more)
    paths = {"PYTHONPATH": f"{ROOT}:{APPS}"}
    with running(tmp_path, *words, data=data, env=paths) as server, websocket(server, "/chat") as client:
        assert client.protocol.extensions == []
        client.send("x" * 1000)
        assert client.recv() == "x" * 1000


def test_a_drain_says_goodbye(loop: str, data: Path, tmp_path: Path) -> None:
    """A talk that would go on for ever gets 1001 at SIGTERM, and the server leaves at once."""
    words = configured(tmp_path, "asgi_bare:app", loop)
    with running(tmp_path, *words, data=data, env={"PYTHONPATH": f"{ROOT}:{APPS}"}) as server:
        with websocket(server, "/chat") as client:
            client.send("here")
            client.recv()
            server.stop()
            with pytest.raises(ConnectionClosed) as closed:
                client.recv()
        assert closed.value.rcvd.code == 1001  # type: ignore[union-attr]


# --- Starlette --------------------------------------------------------------------------------------------------------


def test_starlette(starlette: Server, loop: str) -> None:
    """Its pages, on the loop that it was given; a sync endpoint has a thread."""
    assert starlette.get("/").text == f"hello {loop} /"
    assert starlette.get("/inner/page").text == f"hello {loop} /inner/page"
    assert starlette.get("/thread").text == "from a thread"
    assert starlette.get("/nowhere").status == 404
    assert starlette.request("POST", "/form", json.dumps({"a": 1}).encode()).json() == {"a": 1}
    poll(lambda: "after the answer" in starlette.get("/done").text)
    assert starlette.get("/numbers").text.split() == [str(number) for number in range(1000)]


def test_starlettes_websockets(starlette: Server) -> None:
    with websocket(starlette, "/ws") as client:
        client.send("over starlette")
        assert client.recv() == "over starlette"
    with pytest.raises(InvalidStatus) as refused, websocket(starlette, "/denied"):
        pass
    assert (refused.value.response.status_code, refused.value.response.body) == (401, b"not you")


def test_who_needs_asyncio_is_told_the_key(starlette: Server, loop: str) -> None:
    reply = starlette.get("/asyncio")
    if loop == "asyncio":
        assert reply.text == "asyncio"
    else:
        assert reply.status == 500
        starlette.logged(reply, 'set asgi_loop = "asyncio"')


# --- its start --------------------------------------------------------------------------------------------------------


def test_an_application_that_insists_on_asyncio_gets_it(data: Path, tmp_path: Path) -> None:
    """Seen at its startup, without a word in the configuration."""
    pytest.importorskip("starlette")
    with running(tmp_path, "--app", "starlette_app:insisting", data=data) as server:
        assert server.get("/").text == "hello from asyncio asyncio /"
        server.err.wait_for("needs asyncio")


def test_a_startup_that_fails_ends_the_start(data: Path, tmp_path: Path) -> None:
    """Exit status 2, its own traceback, and one line that says what it was."""
    pytest.importorskip("starlette")
    done = subprocess.run(
        [sys.executable, "-m", "edgestack", "serve", "--bind", "127.0.0.1:0", "--app", "starlette_app:failing"],
        cwd=APPS, env=environment(data, {"PYTHONPATH": str(ROOT)}), capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert done.returncode == 2
    assert "the startup of starlette_app:failing failed: LookupError: the database is not there" in done.stderr
    assert "in broken" in done.stderr


def test_behind_files_and_compressed(data: Path, tmp_path: Path) -> None:
    """Files come first; what the application answers is compressed like any other answer."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "page.txt").write_text("a file")
    words = ("--static", str(site), "--app", "asgi_bare:app")
    with running(tmp_path, *words, data=data) as server:
        assert server.get("/page.txt").text == "a file"
        reply = server.get("/show/" + "x" * 4000, accept_encoding="gzip")
        assert reply["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(reply.body))["type"] == "http"
