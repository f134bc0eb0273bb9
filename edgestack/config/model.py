"""What the user wants, as frozen values: one dataclass per section, each key documented once, at its definition.

Pure data. Nothing here opens a file, a socket or a module; `compose.py` turns it into a `Plan`, and each part of the
house gets its own section, never the whole. Equal sections mean "unchanged": what outlives a reload is kept under them.
Durations are seconds (float), sizes are bytes (int), paths are `pathlib.Path`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["App", "Config", "Limits", "Listener", "Log", "Route", "Server", "Static", "Timeouts", "Tls"]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each side may take, in seconds (criterion E7; nginx's client_header_timeout and its kin)."""

    handshake: float = 10.0
    """The whole TLS handshake."""
    head: float = 10.0
    """From a head's first byte to its last."""
    body_gap: float = 60.0
    """Between two pieces of a request body."""
    send_gap: float = 60.0
    """Between two pieces of an answer that the client accepts."""
    keepalive: float = 75.0
    """An idle connection between two requests; 0 closes after each answer."""
    linger: float = 2.0
    """Reading on after an early error, so that the client sees the answer and not a reset."""
    graceful: float = 30.0
    """From the order to stop until what still runs is cancelled."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request and this process may weigh."""

    request_line: int = 8 * 1024
    """Bytes of the request line; beyond it 414 (RFC 9112 §3)."""
    head: int = 32 * 1024
    """Bytes of the whole head; beyond it 431 (RFC 6585 §5)."""
    fields: int = 100
    """Fields in a head; beyond it 431."""
    body: int = 100 * 1000 * 1000
    """Bytes of a request body; beyond it 413."""
    body_rate: int = 240
    """Bytes a second that a request body must reach after its first five seconds; beyond it 408."""
    linger: int = 256 * 1024
    """Bytes read and dropped of a body that nobody wanted, before the connection is closed."""
    connections: int = 0
    """Open client connections; beyond it 503. 0 means 0.9 of RLIMIT_NOFILE."""
    spool: int = 1 << 30
    """Bytes of one application answer that may wait on disk for a slow client."""
    spools: int = 16 << 30
    """The same for all answers of the process together, and never more than half of what the disk has free at start."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One place where connections are accepted.

    Exactly one of the kinds: a TCP address (`host`, `port`), a unix socket (`path`), an inherited descriptor (`fd`).
    """

    host: str = ""
    """Address or name to bind; "" for every address of the machine."""
    port: int = 0
    """TCP port; 0 lets the system pick one."""
    path: str = ""
    """Path of a unix socket."""
    fd: int = -1
    """An inherited listening descriptor (`fd://N`, systemd's LISTEN_FDS)."""
    tls: bool = False
    """Whether connections speak TLS."""
    redirect: bool = False
    """Answer everything with a redirect to https (`--redirect-http`)."""
    redirect_port: int = 443
    """The port that such a redirect names."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates: pairs of (certificate chain, key), PEM files. The first serves clients that name no known host."""

    certificates: tuple[tuple[Path, Path], ...] = ()


@dataclass(frozen=True, slots=True)
class Static:
    """Files served from a folder (criteria C)."""

    root: Path
    index: tuple[str, ...] = ("index.html",)
    """Files tried, in order, for a path that ends in a slash."""
    listing: bool = False
    """Show a folder that has no index."""
    follow_symlinks: bool = False
    """Serve what a symlink inside the root shows outside of it."""
    cache_control: str = ""
    """The Cache-Control of every file; "" for none."""


@dataclass(frozen=True, slots=True)
class App:
    """A WSGI application, by name (criterion F15)."""

    target: str
    """`module:name`, `module:factory()`, `module:object.attribute`."""


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a part of the path. With both `static` and `app`: file first, application for the rest (C9)."""

    prefix: str = "/"
    static: Static | None = None
    app: App | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """Where the lines go."""

    access: str = "-"
    """A file's path, "-" for standard output, "off"."""
    format: str = "combined"
    """"combined" or "json"."""
    error: str = "-"
    """A file's path, or "-" for standard error."""


@dataclass(frozen=True, slots=True)
class Server:
    """What holds for the process."""

    threads: int = 8
    """Application threads."""
    queue: int = 1024
    """Requests that may wait for an application thread; beyond it 503 with Retry-After (F14)."""
    dev: bool = False
    """Development: tracebacks to loopback clients, log at once, no-store on static files."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    log: Log = field(default_factory=Log)
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) whose X-Forwarded-* and Forwarded fields are believed (F3)."""
    private_paths: tuple[Path, ...] = ()
    """Files that the server itself opens and therefore never serves (C15)."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole of it."""

    server: Server = field(default_factory=Server)
    listeners: tuple[Listener, ...] = ()
    tls: Tls = field(default_factory=Tls)
    routes: tuple[Route, ...] = ()
