"""The control socket: JSON lines, bounded, private, removed at the end, a stale one replaced."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from edgestack.errors import ConfigError
from edgestack.process import control, control_place
from edgestack.process.control import REQUEST, ask, folders, sockets_here
from edgestack.process.control_server import Control


async def hello(request: dict[str, Any]) -> dict[str, Any]:
    return {"hello": request.get("to", "nobody")}


async def refuse(request: dict[str, Any]) -> dict[str, Any]:
    raise ConfigError("this cannot be served", file="edgestack.toml", line=3, column=1)


async def break_down(request: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("a bug")


async def much(request: dict[str, Any]) -> dict[str, Any]:
    return {"text": "x" * control.ANSWER}


VERBS = {"hello": hello, "refuse": refuse, "break": break_down, "much": much}


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A runtime folder of its own, with a short name: a socket's path has 108 bytes."""
    short = Path(os.path.realpath("/tmp")) / f"edge-{os.getpid()}-{abs(hash(tmp_path)) % 10**6}"
    short.mkdir(mode=0o700)
    yield {"XDG_RUNTIME_DIR": str(short)}
    for left in (*short.glob("*/*"), *short.glob("*")):
        left.rmdir() if left.is_dir() else left.unlink()
    short.rmdir()


@asynccontextmanager
async def opened(environ: dict[str, str]) -> AsyncIterator[Control]:
    server = Control(VERBS)
    server.open(environ)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            yield server
            nursery.cancel_scope.cancel()
    finally:
        server.close()


async def asked(server: Control, request: dict[str, Any]) -> dict[str, Any]:
    assert server.path is not None
    return await trio.to_thread.run_sync(ask, server.path, request, 10.0)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ({"verb": "hello", "to": "you"}, {"ok": True, "hello": "you"}),
        ({"verb": "refuse"}, {"ok": False, "errors": ["edgestack.toml:3:1: this cannot be served"]}),
        ({"verb": "break"}, {"ok": False, "errors": ["the server failed: a bug"]}),
        ({"verb": "much"}, {"ok": False, "errors": ["the answer is too long"]}),
        ({"verb": "nothing"}, {"ok": False, "errors": ["there is no such verb; there are break, hello, much, refuse"]}),
        ({"verb": 1}, {"ok": False, "errors": ['a request is a JSON object with a "verb"']}),
        ({}, {"ok": False, "errors": ['a request is a JSON object with a "verb"']}),
    ],
)
async def test_a_request_and_its_answer(
    environ: dict[str, str], request_: dict[str, Any], answer: dict[str, Any]
) -> None:
    async with opened(environ) as server:
        assert await asked(server, request_) == answer


async def test_lines_follow_each_other_on_one_connection(environ: dict[str, str]) -> None:
    async with opened(environ) as server:
        stream = await trio.open_unix_socket(str(server.path))
        async with stream:
            await stream.send_all(b'{"verb": "hello"}\nno json\n[[[[\n{"verb": "hel')
            await stream.send_all(b'lo", "to": "me"}\n')
            received = b""
            while received.count(b"\n") < 4:
                received += await stream.receive_some()
    said = [json.loads(line) for line in received.splitlines()]
    assert [one["ok"] for one in said] == [True, False, False, True]
    assert said[-1]["hello"] == "me"


@pytest.mark.parametrize(("size", "ok"), [(REQUEST - 1, True), (REQUEST, True), (REQUEST + 1, False)])
async def test_a_request_is_bounded(environ: dict[str, str], size: int, ok: bool) -> None:
    line = b'{"verb": "hello", "pad": "' + b"x" * (size - 29) + b'"}\n'
    assert len(line) == size
    async with (
        opened(environ) as server,
        await trio.open_unix_socket(str(server.path)) as stream,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_send, stream, line)
        answer = json.loads(await stream.receive_some(100_000))
        nursery.cancel_scope.cancel()
    assert answer["ok"] is ok


async def _send(stream: trio.abc.SendStream, data: bytes) -> None:
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError:
        pass  # it answered, and closed, before it had read everything


async def test_who_only_stands_there_makes_room(
    environ: dict[str, str], autojump_clock: trio.testing.MockClock
) -> None:
    async with opened(environ) as server, AsyncExitStack() as stack:
        for _ in range(control_place.PEERS):
            await stack.enter_async_context(await trio.open_unix_socket(str(server.path)))
        last = await stack.enter_async_context(await trio.open_unix_socket(str(server.path)))
        await last.send_all(b'{"verb": "hello"}\n')
        assert json.loads(await last.receive_some())["ok"]
        assert trio.current_time() >= control_place.SILENCE


async def test_servers_that_start_at_the_same_time(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one sweeps when this one's socket is there and does not listen yet."""

    def swept(path: Path, mode: int) -> None:
        control_place._sweep(path.parent)
        os.chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", swept)
    async with opened(environ) as server:
        assert (await asked(server, {"verb": "hello"}))["ok"]


async def test_only_its_user_may_enter(environ: dict[str, str]) -> None:
    async with opened(environ) as server:
        assert server.path is not None
        assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(server.path.parent.stat().st_mode) == 0o700
        assert server.path.name == f"{os.getpid()}.sock"
        assert server.path in sockets_here(environ)
        path = server.path
    assert not path.exists()


async def test_others_are_turned_away(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """unix(7): the kernel says who connected."""
    async with opened(environ) as server:
        monkeypatch.setattr(control_place.struct, "unpack", lambda *_: (1, 4711, 4711))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # it may be gone before it was asked
            await asked(server, {"verb": "hello"})
        monkeypatch.undo()
        assert (await asked(server, {"verb": "hello"}))["ok"]
    assert "user 4711 was turned away" in caplog.text


async def test_what_a_killed_server_left_is_removed_and_what_lives_stays(environ: dict[str, str]) -> None:
    folder = folders(environ)[0]
    folder.mkdir(mode=0o700)
    own, other, living = (folder / name for name in (f"{os.getpid()}.sock", "1.sock", "2.sock"))
    for path in (own, other):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(living))
        alive.listen()
        async with opened(environ) as server:
            assert server.path == own
            assert (await asked(server, {"verb": "hello"}))["ok"]
            assert not other.exists()
            assert living.exists()


@pytest.mark.parametrize("spoil", ["shared", "file", "link"])
async def test_a_folder_of_somebody_else_is_not_used(environ: dict[str, str], spoil: str) -> None:
    folder = folders(environ)[0]
    if spoil == "shared":
        folder.mkdir()
        folder.chmod(0o777)
    elif spoil == "file":
        folder.write_text("")
    else:
        folder.symlink_to("/tmp")
    async with opened(environ) as server:
        assert server.path is None or server.path.parent != folder
    if spoil == "link":
        folder.unlink()


async def test_without_a_place_the_server_goes_on_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(control_place, "folders", lambda environ: [tmp_path / ("x" * 120), tmp_path / "a" / "b"])
    async with opened({}) as server:
        assert server.path is None
    assert "there is no control socket" in caplog.text


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(control.tempfile, "gettempdir", lambda: "/tmp")
    assert folders({"XDG_RUNTIME_DIR": "/run/user/1000"}) == [
        Path("/run/user/1000/edgestack"), Path("/tmp/edgestack-1000"),
    ]  # fmt: skip
    assert folders({}) == [Path("/tmp/edgestack-1000")]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert folders({}) == [Path("/run/edgestack"), Path("/tmp/edgestack-0")]


FORKING = """
import json, os, sys, trio
from edgestack.process.control_server import Control

async def hello(request):
    return {"hello": "you"}

def sockets():
    paths = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    found = {os.readlink(path) for path in paths if os.path.lexists(path)}  # the listing's own is gone
    return {name for name in found if name.startswith("socket:")}

async def main():
    control = Control({"hello": hello})
    before = sockets()
    control.open({"XDG_RUNTIME_DIR": sys.argv[1]})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(control.run)
        peer = await trio.open_unix_socket(str(control.path))
        await peer.send_all(b'{"verb": "hello"}\\n')
        answer = json.loads(await peer.receive_some())
        ours = sockets() - before
        told_reader, told = os.pipe()
        child = os.fork()
        if child == 0:
            left = sorted(sockets() & ours)
            control.close()
            os.write(told, json.dumps(left).encode())
            os._exit(0)
        os.waitpid(child, 0)
        left = json.loads(os.read(told_reader, 10000))
        still = control.path.exists()
        async with await trio.open_unix_socket(str(control.path)) as other:
            await other.send_all(b'{"verb": "hello"}\\n')
            again = json.loads(await other.receive_some())
        nursery.cancel_scope.cancel()
    control.close()
    print(json.dumps([answer["ok"], len(ours), len(left), still, again["ok"]]))

trio.run(main)
"""


def test_a_child_that_an_application_forks_holds_nothing_of_it(environ: dict[str, str]) -> None:
    """Of listener, connection and the test's own end of it only the last is left; the path stays the parent's."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKING, environ["XDG_RUNTIME_DIR"]],
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr.decode()
    assert json.loads(ran.stdout) == [True, 3, 1, True, True]
