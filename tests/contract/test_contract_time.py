"""What may take how long (criterion E7). Time is virtual; each limit is tried a second before and a second after."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio
from contract_kit import ON_TLS, Edge

Serving = Callable[..., AbstractAsyncContextManager[Edge]]


def size(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Says how much it got."""
    start_response("200 OK", [])
    return [b"%d" % len(environ["wsgi.input"].read())]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "page.txt").write_text("a page\n")
    return tmp_path


async def test_a_head_has_ten_seconds_in_all(serving: Serving) -> None:
    """E7: however the drops fall; the answer is a 408 and an orderly close."""
    async with serving(app=size) as edge:
        await edge.talk("""
            >| G
            == 5
            >| ET / HT
            == 4
            <-
            == 2
            << HTTP/1.1 408 Request Timeout
            << {any}Connection: close
            << {end}
            <| {any}
            <!
        """)
        assert [line.status for line in edge.records] == [408]


async def test_a_head_that_arrives_in_time(serving: Serving) -> None:
    """E7: 9 s for one head, and as many again for the next."""
    async with serving(app=size) as edge:
        await edge.talk("""
            >| GET / HT
            == 9
            >> TP/1.1
            >> Host: a
            >>
            <~ 200
            >| GET / HT
            == 9
            >> TP/1.1
            >> Host: a
            >>
            <~ 200
        """)


async def test_the_rest_of_a_pipeline_is_a_head_that_has_begun(serving: Serving, site: Path) -> None:
    """E7: also behind an answer that was given at once, and behind one of the application."""
    async with serving(app=size, site=site) as edge:
        for target in ("/page.txt", "/"):
            await edge.talk(f"""
                >> GET {target} HTTP/1.1
                >> Host: a
                >>
                >| GET / HT
                <~ 200
                == 9
                <-
                == 2
                <~ 408
                <!
            """)


@pytest.mark.parametrize("target", ["/page.txt", "/"], ids=["file", "application"])
async def test_keep_alive_is_75_seconds(serving: Serving, site: Path, target: str) -> None:
    """E7: after each answer anew; then the connection is closed without a word."""
    async with serving(app=size, site=site) as edge:
        await edge.talk(f"""
            == 74
            <-
            >> GET {target} HTTP/1.1
            >> Host: a
            >>
            <~ 200
            == 74
            <-
            >> GET {target} HTTP/1.1
            >> Host: a
            >>
            <~ 200
            == 74
            <-
            == 2
            <!
        """)
        assert [line.status for line in edge.records] == [200, 200]


async def test_keep_alive_shorter_than_other_limits(serving: Serving, site: Path) -> None:
    """A deadline that is earlier than the one before takes effect at once."""
    async with serving(app=size, site=site, timeouts={"keepalive": 3.0}) as edge:
        for target in ("/page.txt", "/"):
            await edge.talk(f"""
                >> GET {target} HTTP/1.1
                >> Host: a
                >>
                <~ 200
                >> POST / HTTP/1.1
                >> Host: a
                >> Content-Length: 5
                >>
                == 4.5
                >| hello
                <~ 200
                == 2
                <-
                == 2
                <!
            """)


@pytest.mark.parametrize("target", ["/page.txt", "/"], ids=["file", "application"])
async def test_without_keep_alive_each_answer_closes(serving: Serving, site: Path, target: str) -> None:
    """Timeouts.keepalive = 0."""
    async with serving(app=size, site=site, timeouts={"keepalive": 0.0}) as edge:
        await edge.talk(f"""
            >> GET {target} HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << {{any}}Connection: close
            << {{end}}
            <| {{any}}
            <!
        """)


async def test_a_gap_in_a_body(serving: Serving) -> None:
    """E7: 60 s between two pieces."""
    async with serving(app=size) as edge:
        await edge.talk("""
            >> POST / HTTP/1.1
            >> Host: a
            >> Content-Length: 100000
            >>
            >| hello
            == 59
            <-
            == 2
            << HTTP/1.1 408 Request Timeout
            << {any}Connection: close
            << {end}
            <| {any}
            <!
        """)
        assert [line.status for line in edge.records] == [408]


@pytest.mark.parametrize(("amount", "refused"), [(239 * 10, True), (240 * 10, False), (241 * 10, False)])
async def test_the_rate_of_a_body(serving: Serving, amount: int, refused: bool) -> None:
    """E7: 240 B/s, judged after five seconds: 15 s after the start ten of them count. At n-1, n, n+1."""
    async with serving(app=size) as edge:
        client = await edge.talk("""
            >> POST / HTTP/1.1
            >> Host: a
            >> Content-Length: 100000
            >>
        """)
        await edge.advance(15)
        await client.send(b"x" * amount)
        await edge.settle()
        if refused:
            assert (await client.answer()).status == 408
        else:
            await client.send(b"x" * (100_000 - amount))
            assert (await client.answer()).body == b"100000"


async def test_a_slow_start_is_no_attack(serving: Serving) -> None:
    """E7: nothing is judged in the first five seconds."""
    async with serving(app=size) as edge:
        await edge.talk("""
            >> POST / HTTP/1.1
            >> Host: a
            >> Content-Length: 2
            >>
            == 4.5
            >| a
            <-
            >| b
            <~ 200
        """)


@pytest.mark.parametrize("early", [False, True])
async def test_a_lingering_close_ends(serving: Serving, early: bool) -> None:
    """E7: 2 s after an answer that closes, the client is not waited for any more; also after a long silence before."""
    async with serving(app=size) as edge:
        client = await edge.connect()
        if early:
            await client.send(b"BROKEN\r\n\r\n")
        else:
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
            await edge.advance(61)
        assert (await client.answer()).status == (400 if early else 408)
        await edge.advance(1)
        assert edge.stack.statistics()["connections"] == 1
        await edge.advance(2.1)
        assert edge.stack.statistics()["connections"] == 0


async def test_a_lingering_close_reads_256_kib(serving: Serving) -> None:
    """E7, E8: less is dropped in silence, more ends it."""
    async with serving(app=size, limits={"body": 10}) as edge:
        client = await edge.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        assert (await client.answer()).status == 413
        await client.send(b"x" * 100_000)
        await edge.settle()
        assert edge.stack.statistics()["connections"] == 1
        try:
            await client.send(b"x" * 200_000)
        except trio.BrokenResourceError:
            pass  # a reset: there is nothing more to tell this client
        await edge.settle()
        assert edge.stack.statistics()["connections"] == 0


@pytest.mark.parametrize("driver", ON_TLS, indirect=True)
async def test_a_handshake_has_ten_seconds(serving: Serving) -> None:
    """E7: a client that says nothing, or half of its hello, on a TLS port."""
    async with serving(app=size) as edge:
        silent = await edge.connect(plain=True)
        begun = await edge.connect(plain=True)
        await begun.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        await edge.advance(9)
        assert edge.stack.statistics()["connections"] == 2
        await edge.advance(2)
        assert edge.stack.statistics()["connections"] == 0
        assert await silent.end() == b""
        assert await begun.end() == b""


async def test_an_idle_stack_sleeps(serving: Serving, site: Path) -> None:
    """Rule 13: with nothing held no task runs, however long it takes; idle connections cost what is due."""
    runs = []

    class Watch(trio.abc.Instrument):
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            runs.append(task.name)

    async with serving(site=site) as edge:
        client = await edge.talk("""
            >> GET /page.txt HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)
        await client.close()
        await edge.advance(200)
        watch = Watch()
        trio.lowlevel.add_instrument(watch)
        for _ in range(100):
            edge.clock.jump(100)
            await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(watch)
        ours = [name for name in runs if "edgestack" in name]
        assert ours == []
