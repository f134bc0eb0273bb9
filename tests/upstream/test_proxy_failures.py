"""What goes wrong upstream, phase by phase: the attempts, and what the client sees (A15–A23). Time is virtual."""

from __future__ import annotations

import pytest
import trio
from scripted import (
    OK,
    Behind,
    Body,
    Script,
    Section,
    Wire,
    breaks_off,
    drips,
    hangs,
    no_connection,
    refuse,
    says,
)
from trio.testing import MockClock

GROUP = "http://group"


ALONE: list[tuple[str, Script, int, str]] = [
    ("refused", refuse, 502, "connection refused"),
    ("closed before the head", breaks_off(), 502, "closed before it answered"),
    ("closed within the head", breaks_off(b"HTTP/1.1 200 OK\r\nA: b"), 502, "in the midst of its head"),
    ("no HTTP", breaks_off(b"SSH-2.0-OpenSSH_9\r\n"), 502, "no answer in HTTP/1"),
    ("two lengths", says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 502, "Length"),
    ("1xx storm", says(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40), 502, "interim"),
    ("101 unasked", says(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), 502, "101"),
    ("no connection", no_connection, 504, "no connection within 60 s"),
    ("silent before the head", hangs(), 504, "nothing came for 60 s"),
    ("silent within the head", hangs(b"HTTP/1.1 200 OK\r\n"), 504, "nothing came for 60 s"),
]


@pytest.mark.parametrize(("script", "status", "detail"), [row[1:] for row in ALONE], ids=[row[0] for row in ALONE])
async def test_one_server_that_fails(
    nursery: trio.Nursery, autojump_clock: MockClock, script: Script, status: int, detail: str
) -> None:
    """A22: 502 for connect errors, resets, bad heads; 504 for timeouts."""
    behind = Behind(nursery, {8001: [script]})
    got = await behind.ask()
    assert (got.status, got.attempts) == (status, [("8001", status)])
    assert detail in str(got.error)
    assert behind.peer(8001).conns == 0


@pytest.mark.parametrize("script", [row[1] for row in ALONE], ids=[row[0] for row in ALONE])
async def test_the_next_server_is_tried(nursery: trio.Nursery, autojump_clock: MockClock, script: Script) -> None:
    """A15, A16: error, timeout and invalid_header count as failures; the first two are reasons to go on."""
    section = Section(GROUP, next_upstream=("error", "timeout", "invalid_header"))
    behind = Behind(nursery, {8001: [script], 8002: [says(OK)]}, section)
    got = await behind.ask()
    assert (got.status, got.body, [port for port, _ in got.attempts]) == (200, b"ok", ["8001", "8002"])
    first = behind.peer(8001)
    assert (first.fails, first.failures, first.conns) == (1, 1, 0)
    assert first.banned(trio.current_time())


async def test_invalid_header_is_no_reason_by_default(nursery: trio.Nursery) -> None:
    behind = Behind(nursery, {8001: [breaks_off(b"nonsense\r\n\r\n")], 8002: [says(OK)]})
    got = await behind.ask()
    assert (got.status, got.attempts) == (502, [("8001", 502)])
    assert behind.peer(8001).fails == 1


@pytest.mark.parametrize(
    ("phase", "script", "at"),
    [
        ("connect_timeout", no_connection, 3.0),
        ("read_timeout", hangs(), 3.0),
        ("read_timeout", drips(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5, 2.0), 2.0 * 24 + 3.0),
    ],
)
async def test_timeouts_bound_gaps(
    nursery: trio.Nursery, autojump_clock: MockClock, phase: str, script: Script, at: float
) -> None:
    """A23: the gap between two operations, not the total."""
    behind = Behind(nursery, {8001: [script]}, Section(GROUP, **{phase: 3.0}))
    began = trio.current_time()
    got = await behind.ask()
    assert got.status == 504
    assert trio.current_time() - began == pytest.approx(at, abs=0.01)


async def test_a_slow_drip_is_an_answer(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A23: each gap is short enough, and so the whole may take its time."""
    behind = Behind(nursery, {8001: [drips(OK, 2.0)]}, Section(GROUP, read_timeout=3.0))
    got = await behind.ask()
    assert (got.status, got.body, got.broken) == (200, b"ok", None)
    assert trio.current_time() > 60


async def test_send_timeout(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A23: an upstream that takes nothing of the body."""

    async def takes_nothing(wire: Wire) -> None:
        await trio.sleep_forever()

    section = Section(GROUP, send_timeout=5.0, read_timeout=1.0)
    behind = Behind(nursery, {8001: [takes_nothing]}, section, narrow=True)
    got = await behind.ask("PUT", "/", body=Body(b"x" * 200_000, length=200_000))
    assert got.status == 504
    assert "took nothing of the request for 5 s" in str(got.error)


async def test_ban_and_probe(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A3, A4: left alone for fail_timeout, then one probe; its success clears the failures."""
    behind = Behind(nursery, {8001: [refuse, refuse, says(OK, OK)], 8002: [says(*[OK] * 20)]})

    async def ports() -> list[str]:
        return [port for port, _ in (await behind.ask()).attempts]

    assert await ports() == ["8001", "8002"]
    assert [await ports() for _ in range(3)] == [["8002"]] * 3
    await trio.sleep(10.01)
    asked = [await ports() for _ in range(3)]
    assert asked.count(["8001", "8002"]) == 1  # the probe failed: banned again
    await trio.sleep(10.01)
    asked = [await ports() for _ in range(4)]
    assert ["8001"] in asked
    assert behind.peer(8001).fails == 0
