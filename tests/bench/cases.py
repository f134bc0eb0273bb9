"""What is measured, against whom, and what it may be: the table of the bench, as data.

`must` is what a release has to hold, `aim` is where we want to be; both say "at most". Figures are medians. Processor
time and not speed is compared: a server that is cheap leaves the core to the application, whatever the load.

The access log is on, as users have it, unless a case says otherwise. waitress has none, granian's is off by its
default.
"""

from __future__ import annotations

from dataclasses import dataclass

from load import Load
from proxies import edgestack_proxy, edgestack_tunnel, nginx_proxy, nginx_tunnel
from servers import (
    Server,
    edgestack,
    edgestack_apart,
    edgestack_cache,
    edgestack_proxy_cache,
    edgestack_workers,
    granian,
    nginx,
    nginx_gunicorn,
    nginx_proxy_cache,
    waitress,
)

__all__ = [
    "CASES",
    "HELLO",
    "STATIC_1K",
    "Case",
    "CpuCase",
    "CrowdCase",
    "FixtureCase",
    "GilCase",
    "HupCase",
    "IdleCase",
    "Ratio",
    "RoutingCase",
    "StartCase",
    "TunnelCase",
    "WorkersCase",
]


@dataclass(frozen=True)
class Ratio:
    """Processor time per answer of one server, divided by another's in the same round."""

    title: str
    over: Server
    under: Server
    must: float
    aim: float


@dataclass(frozen=True)
class CpuCase:
    """Servers under the same full load."""

    name: str
    title: str
    load: Load
    servers: tuple[Server, ...]
    ratios: tuple[Ratio, ...]


@dataclass(frozen=True)
class TunnelCase:
    """Servers between WebSocket clients and an echo, which are one process on the load's core."""

    name: str
    title: str
    connections: int
    size: int
    """Bytes of a message."""
    servers: tuple[Server, ...]
    ratios: tuple[Ratio, ...]


@dataclass(frozen=True)
class IdleCase:
    """Connections that are held and do nothing; the first server is judged, the others are there to compare."""

    name: str
    title: str
    count: int
    kibibytes: float
    """Process memory that one of them may take."""
    servers: tuple[Server, ...]


@dataclass(frozen=True)
class GilCase:
    """One client's latency beside computing threads: (must, aim) for each percentile, in milliseconds."""

    name: str
    title: str
    server: Server
    p50: tuple[float, float]
    p99: tuple[float, float]


@dataclass(frozen=True)
class CrowdCase:
    """One fast client's latency beside slow ones; what it may rise by is in `latency.py`."""

    name: str
    title: str
    server: Server
    count: int


@dataclass(frozen=True)
class StartCase:
    """Seconds from the command to the first answer."""

    name: str
    title: str
    must: float


@dataclass(frozen=True)
class RoutingCase:
    """Many routes, in one process."""

    name: str
    title: str
    load: tuple[str, float]
    """Title, and the milliseconds that loading and checking may take."""
    matching: tuple[tuple[str, str, float], ...]
    """The probe's kinds of paths, titles, and the microseconds that they may cost more than with one route."""


@dataclass(frozen=True)
class WorkersCase:
    """The time for an answer with two workers, divided by that with one."""

    name: str
    title: str
    load: Load
    one: Server
    two: Server
    must: float
    aim: float


@dataclass(frozen=True)
class HupCase:
    """What visitors feel of a reload under load."""

    name: str
    title: str
    load: Load
    server: Server
    seconds: float
    """For how long p99 may be raised."""
    slowest: float
    """Milliseconds that anybody may wait."""


@dataclass(frozen=True)
class FixtureCase:
    """A hundred edges inside tests, each with one request."""

    name: str
    title: str
    costs: tuple[tuple[str, str, float], ...]
    """The probe's kinds, titles, and the milliseconds that one may cost."""
    figures: tuple[tuple[str, str, float], ...]
    """The same, and the seconds that a hundred may take together."""


Case = (
    WorkersCase
    | HupCase
    | CpuCase
    | TunnelCase
    | IdleCase
    | GilCase
    | CrowdCase
    | StartCase
    | RoutingCase
    | FixtureCase
)

STATIC_1K = Load("/1k.html", "1k.html")
STATIC_100K = Load("/100k.jpg", "100k.jpg", large=True, tries=10)
STATIC_10M = Load("/10m.bin", "10m.bin", large=True, tries=2)
STATIC_GZIP = Load("/60k.html", "60k.html", accept="gzip")
HELLO = Load("/hello", "hello")


def against_nginx(name: str, title: str, load: Load, *, tls: bool, log: bool, must: float, aim: float) -> CpuCase:
    """A file from edgestack and from nginx."""
    ours, theirs = edgestack(static=True, tls=tls, log=log), nginx(tls=tls, log=log)
    return CpuCase(name, title, load, (ours, theirs), (Ratio(f"{title} / nginx", ours, theirs, must, aim),))


def small_plain() -> CpuCase:
    """One KiB on plain connections; the price of the access log is measured beside it."""
    quiet, logged, theirs = edgestack(static=True), edgestack(static=True, log=True), nginx()
    return CpuCase(
        "static-1k",
        "static 1 KiB",
        STATIC_1K,
        (quiet, theirs, logged),
        (
            Ratio("static 1 KiB, log off / nginx", quiet, theirs, 1.25, 0.95),
            Ratio("static 1 KiB, access log on / off", logged, quiet, 1.12, 1.05),
        ),
    )


def hello() -> CpuCase:
    """The smallest application under every WSGI server."""
    quiet, logged = edgestack(app="hello:app"), edgestack(app="hello:app", log=True)
    both = edgestack(static=True, app="hello:app", log=True)
    fast, pure, pair = granian(), waitress(), nginx_gunicorn(log=True)
    return CpuCase(
        "wsgi-hello",
        "WSGI hello, 8 threads",
        HELLO,
        (quiet, fast, logged, both, pure, pair),
        (
            Ratio("WSGI hello, log off / granian", quiet, fast, 1.2, 0.95),
            Ratio("WSGI hello / waitress", logged, pure, 0.25, 0.15),
            Ratio("WSGI hello / nginx + gunicorn gthread", logged, pair, 0.12, 0.08),
            Ratio("WSGI hello, --static and --app / --app alone", both, logged, 1.15, 1.05),
        ),
    )


def proxied(name: str, title: str, load: Load, *, must: float, aim: float) -> CpuCase:
    """A file of an nginx that stands behind, through edgestack and through another nginx; connections are kept."""
    ours, theirs = edgestack_proxy(), nginx_proxy()
    return CpuCase(name, title, load, (ours, theirs), (Ratio(f"{title} / nginx", ours, theirs, must, aim),))


def websocket(connections: int, size: int) -> TunnelCase:
    """Messages to an echo and back; one is under way on each connection."""
    ours, theirs = edgestack_tunnel(), nginx_tunnel()
    title = f"WebSocket echo of {size} bytes through the proxy"
    ratio = Ratio(f"{title} / nginx", ours, theirs, 1.7, 1.2)
    return TunnelCase("websocket", title, connections, size, (ours, theirs), (ratio,))


def cache_hit() -> CpuCase:
    """What is stored, from both caches."""
    ours, theirs = edgestack_proxy_cache(), nginx_proxy_cache()
    ratio = Ratio("cache hit 1 KiB / nginx proxy_cache", ours, theirs, 1.25, 0.9)
    return CpuCase("cache-1k", "cache hit 1 KiB", STATIC_1K, (ours, theirs), (ratio,))


def cached_application(name: str, title: str, app: str, must: float, aim: float) -> CpuCase:
    """An application's page, stored and not."""
    kept, called = edgestack_cache(app), edgestack(app=app)
    return CpuCase(name, title, HELLO, (kept, called), (Ratio(f"{title}, cached / uncached", kept, called, must, aim),))


def coded() -> CpuCase:
    """A page that is compressed: here its form is made once, there for each request."""
    ours, theirs = edgestack(static=True, log=True), nginx(log=True, gzip=True)
    title = "gzip of a 60 KB static text"
    ratio = Ratio(f"{title} / nginx gzip on, level 1", ours, theirs, 0.15, 0.06)
    return CpuCase("static-gzip", title, STATIC_GZIP, (ours, theirs), (ratio,))


def workers() -> WorkersCase:
    """Two cores get nearly twice as much done as one: 1.8 times at least."""
    one, two = (edgestack_workers(count, "burning:app") for count in (1, 2))
    return WorkersCase("workers", "a page that costs 5 ms, 2 workers / 1", HELLO, one, two, 0.556, 0.52)


def idle(name: str, title: str, count: int, kibibytes: float, *, tls: bool) -> IdleCase:
    """Held connections; they outlive the measurement, so the idle limit is raised on both sides."""
    ours = edgestack("--keepalive", "300", static=True, tls=tls)
    return IdleCase(name, title, count, kibibytes, (ours, nginx(tls=tls)))


CASES: tuple[Case, ...] = (
    small_plain(),
    against_nginx("static-1k-tls", "static 1 KiB, TLS, log off", STATIC_1K, tls=True, log=False, must=1.25, aim=0.95),
    against_nginx("static-100k", "static 100 KiB", STATIC_100K, tls=False, log=True, must=1.15, aim=1.0),
    against_nginx("static-100k-tls", "static 100 KiB, TLS", STATIC_100K, tls=True, log=True, must=1.15, aim=1.0),
    against_nginx("static-10m", "static 10 MiB", STATIC_10M, tls=False, log=True, must=1.15, aim=1.0),
    against_nginx("static-10m-tls", "static 10 MiB, TLS", STATIC_10M, tls=True, log=True, must=1.15, aim=1.0),
    coded(),
    hello(),
    proxied("proxy-1k", "proxied 1 KiB, log off", STATIC_1K, must=1.7, aim=1.3),
    proxied("proxy-10m", "proxied 10 MiB, log off", STATIC_10M, must=1.3, aim=1.0),
    websocket(32, 64),
    cache_hit(),
    cached_application("cache-hello", "WSGI hello", "hello:app", must=0.9, aim=0.75),
    cached_application("cache-computing", "a page that costs 1 ms", "computing:app", must=0.05, aim=0.03),
    GilCase(
        "gil",
        "static 1 KiB beside 8 computing threads",
        edgestack(static=True, app="service:app", log=True),
        p50=(8.0, 4.0),
        p99=(60.0, 30.0),
    ),
    GilCase(
        "gil-process",
        "static 1 KiB beside 8 computing threads, -k process",
        edgestack_apart("service:app"),
        p50=(2.0, 0.5),
        p99=(5.0, 2.0),
    ),
    workers(),
    HupCase("hup", "SIGHUP under load", HELLO, edgestack_workers(2, "hello:app"), seconds=2.0, slowest=2000.0),
    idle("idle-plain", "10,000 idle connections", 10_000, 2.0, tls=False),
    idle("idle-tls", "2,000 idle TLS connections", 2_000, 22.0, tls=True),
    CrowdCase("slow", "a fast client beside slow ones", edgestack(static=True, app="service:app", log=True), 1_000),
    StartCase("start", "start to the first HTTPS answer, certificates there", 0.6),
    RoutingCase(
        "routing",
        "500 routes, 50 of them regexes",
        ("500 routes loaded and checked", 150.0),
        (
            ("prefix", "500 routes, a prefix, more than one route", 2.0),
            ("exact", "500 routes, an exact path, more than one route", 2.0),
            ("known", "500 routes, any known path, more than one route", 2.0),
            ("first", "500 routes, first fall through 50 regexes", 12.0),
        ),
    ),
    FixtureCase(
        "fixture",
        "100 edges in tests, one after the other",
        (
            ("first", "the first edge of a test session, its start and end", 15.0),
            ("next", "each further edge, its start and end", 5.0),
        ),
        (
            ("sockets", "100 edges in tests, one HTTPS request each", 3.0),
            ("memory", "100 edges in memory, one request each", 1.0),
        ),
    ),
)
