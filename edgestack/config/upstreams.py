"""Groups of servers that requests are passed on to: `[upstream.NAME]`. Pure data, each key said once.

Words, defaults and numbers are those of nginx's ngx_http_upstream_module. Durations are seconds.
"""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

from edgestack.config.http_kinds import Template
from edgestack.config.keys import key, section
from edgestack.config.kinds import DURATION, DURATION_OR_0, SWITCH, WHOLE, Choice, Whole
from edgestack.config.nested_kinds import As, Either, ListOf, Table
from edgestack.config.peer_addresses import ServerAddress
from edgestack.config.place_kinds import FILE
from edgestack.config.positions import Origin
from edgestack.config.upstream_kinds import AUTHORITY, BALANCE, COOKIE_NAME, SERVER, STATUS_RANGES, URL_PATH

__all__ = ["Health", "Queue", "Sticky", "Upstream", "UpstreamServer"]


@section("a server of an upstream")
class UpstreamServer:
    """One server of a group. A host name that has several addresses stands for several peers."""

    to: ServerAddress = key(
        SERVER, "Where it is: `HOST:PORT`, `[V6]:PORT`, `unix:PATH`, or `https://HOST:PORT`.",
        example='"127.0.0.1:8001"', nginx="server",
    )  # fmt: skip
    weight: int = key(Whole(1, 65535), "Its share of the requests.", default=1, example="5", nginx="server … weight=")
    max_conns: int = key(
        WHOLE, "Requests that it answers at the same time; 0 for no limit.", default=0, example="100",
        nginx="server … max_conns=",
    )  # fmt: skip
    max_fails: int | None = key(
        WHOLE, "Failures within `fail_timeout` after which it is left alone; 0 never leaves it alone.", default=None,
        shown="as the group's", example="3", nginx="server … max_fails=",
    )  # fmt: skip
    fail_timeout: float | None = key(
        DURATION, "The time in which failures are counted, and for which it is then left alone.", default=None,
        shown="as the group's", example='"30s"', nginx="server … fail_timeout=",
    )  # fmt: skip
    slow_start: float | None = key(
        DURATION_OR_0, "The time in which its share grows from nothing after it has recovered; 0 for at once.",
        default=None, shown="as the group's", example='"30s"', nginx="server … slow_start=",
    )  # fmt: skip
    backup: bool = key(
        SWITCH, "Asked only when no other server can be.", default=False, example="true", nginx="server … backup"
    )
    down: bool = key(SWITCH, "Never asked.", default=False, example="true", nginx="server … down")


@section("health")
class Health:
    """Active checks: each server is asked at intervals, whether or not there are requests for it."""

    path: str = key(URL_PATH, "What is asked for.", default="/", example='"/health"', nginx="health_check uri=")
    interval: float = key(
        DURATION, "From one check to the next.", default=5.0, example='"5s"', nginx="health_check interval="
    )
    jitter: float | None = key(
        DURATION_OR_0, "Each interval is longer by up to this, so that servers are not all asked at once.",
        default=None, shown="a tenth of the interval", example='"500ms"', nginx="health_check jitter=",
    )  # fmt: skip
    timeout: float = key(DURATION, "For one check in all.", default=5.0, example='"2s"', nginx="proxy_read_timeout")
    fails: int = key(
        Whole(1), "Failed checks in a row after which a server is left alone.", default=1, example="3",
        nginx="health_check fails=",
    )  # fmt: skip
    passes: int = key(
        Whole(1), "Passed checks in a row after which it is asked again.", default=1, example="2",
        nginx="health_check passes=",
    )  # fmt: skip
    expect: tuple[tuple[int, int], ...] = key(
        STATUS_RANGES, "Statuses of a healthy server.", default=((200, 399),), shown='"2xx-3xx"',
        example='"200-299 401"', nginx="match … status",
    )  # fmt: skip
    """Ranges of statuses, both ends included."""
    host: str = key(
        AUTHORITY, "The Host of the request.", default="", shown="the server's own", example='"example.com"'
    )


@section("queue")
class Queue:
    """Requests that wait while no server can be asked; first in, first out."""

    size: int = key(Whole(1), "How many may wait; beyond it 502.", example="100", nginx="queue")
    timeout: float = key(
        DURATION, "How long one waits; then 502.", default=60.0, example='"10s"', nginx="queue … timeout="
    )


@section("sticky")
class Sticky:
    """A client stays with its server: a cookie names it, signed, without telling where it is."""

    cookie: str = key(
        COOKIE_NAME, "The cookie's name.", default="", shown="edgestack_NAME", example='"srv_id"', nginx="sticky cookie"
    )
    expires: float = key(
        DURATION_OR_0, "How long the browser keeps it; 0 until it is closed.", default=0.0, example='"1h"',
        nginx="sticky cookie … expires=",
    )  # fmt: skip
    path: str = key(
        URL_PATH, "The paths that it is sent for.", default="/", example='"/app/"', nginx="sticky cookie … path="
    )
    secret: Path | None = key(
        FILE, "A file whose content signs it, where it must hold beyond this process.", default=None,
        shown="made anew at each start", example='"/etc/edgestack/sticky.key"',
    )  # fmt: skip


@section("an upstream")
class Upstream:
    """A group of servers, one of which answers a request that is proxied to its name."""

    servers: tuple[UpstreamServer, ...] = key(
        ListOf(
            Either(
                As(SERVER, lambda to: UpstreamServer(to)), Table(UpstreamServer), words="an address, or a table"
            ),
            "an array of servers",
        ),
        "The servers: addresses, or tables with more.",
        example='["127.0.0.1:8001", { to = "127.0.0.1:8002", weight = 5 }]', nginx="server",
    )  # fmt: skip
    balance: str = key(
        BALANCE,
        "How one is chosen: `round_robin`, `least_conn`, `ip_hash`, `random`, `random two`, `least_time`; `hash` has a "
        "key of its own.",
        default="round_robin", example='"least_conn"', nginx="least_conn, ip_hash, random, least_time",
    )  # fmt: skip
    hash: str = key(
        Template("request"), "Requests for which this template gives the same go to the same server.", default="",
        shown="none", example='"$request_uri"', nginx="hash",
    )  # fmt: skip
    consistent: bool = key(
        SWITCH, "With `hash`: a server that comes or goes moves few keys (ketama).", default=False, example="true",
        nginx="hash … consistent",
    )  # fmt: skip
    keepalive: int = key(
        WHOLE, "Idle connections that are kept; 0 closes each after its answer.", default=32, example="64",
        nginx="keepalive",
    )  # fmt: skip
    keepalive_timeout: float = key(
        DURATION, "How long one is kept.", default=60.0, example='"30s"', nginx="keepalive_timeout"
    )
    keepalive_requests: int = key(
        Whole(1), "Requests after which one is closed.", default=1000, example="10000", nginx="keepalive_requests"
    )
    keepalive_time: float = key(
        DURATION, "Its age after which it is closed.", default=3600.0, example='"10m"', nginx="keepalive_time"
    )
    max_fails: int = key(
        WHOLE, "Failures within `fail_timeout` after which a server is left alone; 0 never leaves it alone.",
        default=1, example="3", nginx="server … max_fails=",
    )  # fmt: skip
    fail_timeout: float = key(
        DURATION, "The time in which failures are counted, and for which a server is then left alone.", default=10.0,
        example='"30s"', nginx="server … fail_timeout=",
    )  # fmt: skip
    slow_start: float = key(
        DURATION_OR_0, "The time in which a server's share grows from nothing after it has recovered; 0 for at once.",
        default=0.0, example='"30s"', nginx="server … slow_start=",
    )  # fmt: skip
    queue: Queue | None = key(
        Table(Queue), "Requests may wait while no server can be asked.", default=None, shown="none: 502 at once",
        example='{ size = 100, timeout = "10s" }', nginx="queue",
    )  # fmt: skip
    sticky: Sticky | None = key(
        Either(As(Choice("cookie"), lambda _: Sticky()), Table(Sticky), words='"cookie", or a table'),
        "A client stays with the server that answered it first.", default=None, shown="none", example='"cookie"',
        nginx="sticky",
    )  # fmt: skip
    resolve: float = key(
        DURATION, "From one look at a host name's addresses to the next.", default=30.0, example='"10s"',
        nginx="resolver … valid=, server … resolve",
    )  # fmt: skip
    health: Health | None = key(
        Table(Health), "Servers are asked at intervals whether they are well.", default=None, shown="none",
        example='{ path = "/health", interval = "5s" }', nginx="health_check",
    )  # fmt: skip
    name: str = ""
    """NAME, as routes write it."""
    origin: Origin | None = field(default=None, compare=False, repr=False)
    """Where it is written."""
