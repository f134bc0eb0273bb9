"""Idle connections: what each of them weighs in the server, and whether those who are active notice.

A client in the background opens them one by one, asks once on each, and holds them; at the end it looks whether the
server has kept every one. Memory is Pss over the server's processes before and after, per connection.
"""

from __future__ import annotations

import resource
import ssl
from multiprocessing.connection import Connection
from pathlib import Path

from background import Background
from cases import STATIC_1K, IdleCase
from client import Asker, client_tls, request
from latency import allowed_rise
from load import drive
from running import Live
from servers import Server
from workshop import Absent, Failed, Row, Workshop

__all__ = ["hold", "run"]


def hold(channel: Connection, address: tuple[str, int], authority: Path | None, count: int, path: str) -> int:
    """The background client; gives how many connections the server has closed in the meantime."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tls = client_tls(authority) if authority else None
    askers = []
    for number in range(count):
        askers.append(Asker(address, tls))
        askers[-1].ask(request(address, path, number % 1000))
    channel.send("held")
    channel.poll(None)
    lost = sum(gone(asker) for asker in askers)
    for asker in askers:
        asker.close()
    return lost


def gone(asker: Asker) -> bool:
    """Whether the server has closed this connection."""
    asker.sock.setblocking(False)
    try:
        return not asker.sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True


def feasible(count: int) -> int:
    """`count`, or what the hard limit of descriptors allows a server that keeps a tenth back."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return count if hard == resource.RLIM_INFINITY else min(count, int(hard * 0.9) - 200)


def run(shop: Workshop, case: IdleCase) -> None:
    """Measure `case` on each of its servers; only the first is held to the limits."""
    shop.need_wrk()
    for server in case.servers:
        try:
            with shop.running(case.name, server) as live:
                shop.rows += measure(shop, case, live, judged=server is case.servers[0])
        except (Absent, Failed) as reason:
            shop.skip(f"{case.name}: {server.name}", reason)
            excused = isinstance(reason, Absent) or server is not case.servers[0]
            shop.rows.append(Row(case.name, case.title, None, "KiB", problem=str(reason), excused=excused))


def measure(shop: Workshop, case: IdleCase, live: Live, judged: bool) -> list[Row]:
    """Memory per connection, and the p99 of others without and with them."""
    server = live.server
    if problem := shop.check(live, STATIC_1K):
        raise Failed(problem)
    drive(live.address, STATIC_1K, 1.0, shop.folder, tls=server.tls)
    without = p99(shop, live)
    count = feasible(case.count)
    authority = shop.authority if server.tls else None
    before = live.memory_bytes()
    with Background(hold, live.address, authority, count, STATIC_1K.path) as others:
        weight = (live.memory_bytes() - before) / count / 1024
        beside = p99(shop, live)
        lost = others.stop()
    problem = f"{lost} of {count} connections were closed" if lost else ""
    return rows(case, server, count, weight, (without, beside), problem, judged)


def p99(shop: Workshop, live: Live) -> float:
    """Milliseconds under full load, over the window.

    :raises Failed: wrk saw errors.
    """
    hits = drive(live.address, STATIC_1K, shop.window, shop.folder, tls=live.server.tls)
    if hits.problem:
        raise Failed(hits.problem)
    return hits.p99


def rows(
    case: IdleCase, server: Server, count: int, weight: float, waits: tuple[float, float], problem: str, judged: bool
) -> list[Row]:
    """The two lines of one server."""
    must = case.kibibytes if judged else None
    rise = allowed_rise(waits[0]) if judged else None
    few = "" if count == case.count else f", not {case.count:,}: RLIMIT_NOFILE"
    detail = f"{count:,} held{few}"
    waited = f"p99 {waits[0]:.2f} ms without, {waits[1]:.2f} ms with"
    return [
        Row(case.name, f"{server.name}: memory of an idle connection", weight, "KiB", must, None, detail, problem),
        Row(case.name, f"{server.name}: rise of p99 beside them", waits[1] - waits[0], "ms", rise, None, waited),
    ]
