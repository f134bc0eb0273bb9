"""The process: `[server]` with its timeouts and limits, `[[listen]]`, and `[tls]`. Pure data, each key said once.

Durations are seconds (float), sizes are bytes (int), paths are `pathlib.Path`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgestack.config.host_kinds import TRUSTED
from edgestack.config.keys import holding, key, section
from edgestack.config.kinds import DURATION, DURATION_OR_0, SIZE, SWITCH, TEXT, Choice, Whole
from edgestack.config.nested_kinds import As, Either, OneOrMany, Table
from edgestack.config.place_kinds import ADDRESS, FILE, FILES, NEW_FILE, LogTarget
from edgestack.config.processes import Processes

__all__ = ["LOG_LEVELS", "Limits", "Listen", "Log", "Server", "Timeouts", "Tls", "TlsTable"]

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


@section("[server.timeouts]")
class Timeouts:
    """How long each side may take."""

    handshake: float = key(
        DURATION, "The whole TLS handshake.", default=10.0, example='"10s"', nginx="client_header_timeout"
    )
    head: float = key(
        DURATION, "From the first byte of a request's head to its last.", default=10.0, example='"10s"',
        nginx="client_header_timeout",
    )  # fmt: skip
    body_gap: float = key(
        DURATION, "Between two pieces of a request's body.", default=60.0, example='"1m"', nginx="client_body_timeout"
    )
    send_gap: float = key(
        DURATION, "Between two pieces of an answer that the client accepts.", default=60.0, example='"1m"',
        nginx="send_timeout",
    )  # fmt: skip
    keepalive: float = key(
        DURATION_OR_0, "How long an idle connection stays open between two requests; 0 closes it after each answer.",
        default=75.0, example='"75s"', nginx="keepalive_timeout", lifted=True, flag=True,
    )  # fmt: skip
    linger: float = key(
        DURATION_OR_0, "Reading on after an early error, so that the client sees the answer and not a reset.",
        default=2.0, example='"2s"', nginx="lingering_time",
    )  # fmt: skip
    graceful: float = key(
        DURATION_OR_0, "From the order to stop until what still runs is cancelled.", name="graceful_timeout",
        default=30.0, example='"30s"', nginx="worker_shutdown_timeout", lifted=True, flag=True,
    )  # fmt: skip


@section("[server.limits]")
class Limits:
    """What a request and this process may weigh."""

    request_line: int = key(
        SIZE, "Of the request line; beyond it 414.", default=8 * 1024, example='"8KiB"',
        nginx="large_client_header_buffers", flag="limit_request_line",
    )  # fmt: skip
    head: int = key(
        SIZE, "Of a request's whole head; beyond it 431.", default=32 * 1024, example='"32KiB"',
        nginx="large_client_header_buffers", flag="limit_request_head",
    )  # fmt: skip
    fields: int = key(
        Whole(1), "Fields in a head; beyond it 431.", default=100, example="100", nginx="max_headers",
        flag="limit_request_fields",
    )  # fmt: skip
    body: int = key(
        SIZE, "The largest request body; beyond it 413. Routes may set their own with `limit.body`.", name="max_body",
        default=100 * 1000 * 1000, example='"100MB"', nginx="client_max_body_size", lifted=True, flag=True,
    )  # fmt: skip
    body_rate: int = key(
        Whole(0), "Bytes a second that a request body must reach after its first five seconds; below it 408.",
        default=240, example="240",
    )  # fmt: skip
    linger: int = key(
        SIZE, "Bytes read and dropped of a body that nobody wanted, before the connection is closed.",
        default=256 * 1024, example='"256KiB"', nginx="lingering_close",
    )  # fmt: skip
    connections: int = key(
        Whole(1), "Open client connections; beyond it 503.", name="max_connections", default=0,
        shown="0.9 of the open files that the system allows", example="10000", nginx="worker_connections",
        lifted=True, flag=True,
    )  # fmt: skip
    spool: int = key(
        SIZE, "Of one application's answer that may wait on disk for a slow client.", default=1 << 30, example='"1GiB"',
        nginx="proxy_max_temp_file_size",
    )  # fmt: skip
    spools: int = key(
        SIZE,
        "The same for all answers of the process together, and at most half of what the disk has free at start.",
        default=16 << 30, example='"16GiB"',
    )  # fmt: skip


@section("[server]")
class Log:
    """Where the lines go. All its keys stand in `[server]`."""

    access: str = key(
        LogTarget("-", "off"), "A line for each request, in this file; \"-\" is standard output.", name="access_log",
        default="-", example='"/var/log/edgestack/access.log"', nginx="access_log", lifted=True, flag=True,
    )  # fmt: skip
    format: str = key(
        TEXT, "The form of the access log: `combined`, `json`, or one of `[log_formats]`.", name="log_format",
        default="combined", example='"json"', nginx="access_log", lifted=True, flag=True,
    )  # fmt: skip
    error: str = key(
        LogTarget("-"), "What went wrong, in this file; \"-\" is standard error.", name="error_log",
        default="-", example='"/var/log/edgestack/error.log"', nginx="error_log", lifted=True, flag=True,
    )  # fmt: skip
    level: str = key(
        Choice(*LOG_LEVELS), "The least that is worth a line of the error log.", name="log_level", default="info",
        example='"warning"', nginx="error_log", lifted=True, flag=True,
    )  # fmt: skip
    config: Path | None = key(
        FILE, "A file of Python's logging.config, `.ini` or `.json`: where lines go is its business then. The logger "
        "`gunicorn.error` gets the error log, `gunicorn.access` the access log.",
        name="log_config", default=None, shown="none", example='"logging.ini"', lifted=True, flag=True,
    )  # fmt: skip
    capture_output: bool = key(
        SWITCH, "What applications print goes into the error log's file as well.", default=False, example="true",
        lifted=True, flag=True,
    )  # fmt: skip


@section("[server]")
class Server:
    """What holds for the process."""

    bind: tuple[str, ...] = key(
        OneOrMany(ADDRESS, "an address, or an array of addresses"),
        "Where to listen: `HOST:PORT`, `:PORT`, `[V6]:PORT`, `unix:PATH`, `fd://N`. The short form of `[[listen]]`.",
        default=(), shown="127.0.0.1:8443, or 8000 without TLS", example='["127.0.0.1:8443"]', nginx="listen",
        flag=True,
    )  # fmt: skip
    tls: bool = key(
        SWITCH, "HTTPS; `false` for plain HTTP.", default=True, example="false", nginx="listen … ssl", flag=True
    )
    threads: int = key(Whole(1), "Threads that call the applications.", default=8, example="16", nginx="", flag=True)
    queue: int = key(
        Whole(1),
        "Requests that may wait for such a thread; beyond it 503 with Retry-After.",
        default=1024,
        example="512",
    )
    dev: bool = key(
        SWITCH, "Development: tracebacks for clients on this machine, logs at once, files not cached.", default=False,
        example="true", flag=True,
    )  # fmt: skip
    open: bool = key(
        SWITCH, "Show the first URL in the browser once it answers.", default=False, example="true", flag=True
    )
    ready_file: Path | None = key(
        NEW_FILE, "A JSON list of the URLs is written here once they accept.", default=None, shown="none",
        example='"/run/edgestack/ready.json"', flag=True,
    )  # fmt: skip
    pid: Path | None = key(
        NEW_FILE, "The process id is written here.", default=None, shown="none",
        example='"/run/edgestack/edgestack.pid"', nginx="pid", flag=True,
    )  # fmt: skip
    trusted_proxies: tuple[str, ...] = key(
        Either(As(Whole(1, 100), lambda hops: (str(hops),)), OneOrMany(TRUSTED)),
        "Whose `Forwarded` and `X-Forwarded-*` fields are believed: networks, `unix:` for peers on unix sockets, or "
        "the "
        "number of proxies in front.",
        default=(), shown="nobody", example='["10.0.0.0/8"]', nginx="set_real_ip_from", flag=True,
    )  # fmt: skip
    proxy_protocol: bool = key(
        SWITCH, "Every connection of the listeners in `bind` begins with a header of the PROXY protocol, as with "
        "`proxy_protocol` in a `[[listen]]`.",
        default=False, example="true", nginx="listen … proxy_protocol", flag=True,
    )  # fmt: skip
    proxy_protocol_from: tuple[str, ...] = key(
        OneOrMany(TRUSTED), "Whose PROXY header is believed: networks, and `unix:` for peers on unix sockets.",
        default=(), shown="`trusted_proxies`", example='["10.0.0.0/8"]', nginx="set_real_ip_from", flag=True,
    )  # fmt: skip
    timeouts: Timeouts = key(
        Table(Timeouts), "How long each side may take.", default=Timeouts(), example='{ head = "10s" }'
    )
    limits: Limits = key(
        Table(Limits), "What a request and this process may weigh.", default=Limits(), example='{ head = "32KiB" }'
    )
    log: Log = holding(default=Log())
    processes: Processes = holding(default=Processes())
    private_paths: tuple[Path, ...] = ()
    """Files that the server itself opens and therefore never serves (C15)."""


@section("a listener")
class Listen:
    """One listener, where listeners differ; `server.bind` is the short form."""

    at: str = key(ADDRESS, "The address, as in `server.bind`.", example='":80"', nginx="listen")
    tls: bool | None = key(
        SWITCH, "Whether it speaks TLS.", default=None, shown="as `server.tls`", example="false", nginx="listen … ssl"
    )
    redirect: bool = key(
        SWITCH,
        "Answer everything with a redirect to https.",
        default=False,
        example="true",
        nginx="return 301 https://…",
    )
    max_connections: int = key(
        Whole(1), "Open connections of this listener; beyond it 503.", default=0, shown="no limit but the server's",
        example="1000",
    )  # fmt: skip
    proxy_protocol: bool = key(
        SWITCH,
        "Every connection begins with a header of the PROXY protocol (version 1 or 2), which `server.trusted_proxies` "
        "are believed, or `server.proxy_protocol_from`.",
        default=False, example="true", nginx="listen … proxy_protocol",
    )  # fmt: skip


@section("[tls]")
class TlsTable:
    """Certificates, and what clients must bring. Without a certificate one for development is made."""

    cert: tuple[Path, ...] = key(
        FILES, "The certificate chain, PEM. Several serve several names (SNI); the first serves all others.",
        default=(), shown="one for development", example='"/etc/ssl/example.com.pem"', nginx="ssl_certificate",
        flag=True,
    )  # fmt: skip
    key_: tuple[Path, ...] = key(
        FILES, "The key of the certificate, PEM; of several, in the same order.", default=(), shown="none",
        example='"/etc/ssl/example.com.key"', nginx="ssl_certificate_key", flag=True,
    )  # fmt: skip
    minimum: str = key(
        Choice("1.2", "1.3"), "The oldest TLS version that is spoken.", default="1.2", example='"1.3"',
        nginx="ssl_protocols",
    )  # fmt: skip
    client_ca: Path | None = key(
        FILE, "Clients must bring a certificate that this authority issued (mutual TLS). PEM.", default=None,
        shown="none", example='"/etc/ssl/clients-ca.pem"', nginx="ssl_client_certificate, ssl_verify_client",
        flag=True,
    )  # fmt: skip
    redirect_http: str = key(
        ADDRESS, "Listen here too, in plain HTTP, and redirect to https.", default="", shown="none", example='":80"',
        nginx="return 301 https://…", flag=True,
    )  # fmt: skip
    redirect_plain: bool = key(
        SWITCH, "Redirect plain HTTP that comes to a TLS port to https; else it gets a 400 that says so.",
        default=False, example="true", nginx="error_page 497", flag=True,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tls:
    """What the TLS listeners share."""

    certificates: tuple[tuple[Path, Path], ...] = ()
    """Pairs of (certificate chain, key), PEM files. The first serves clients that name no known host."""
    minimum: str = "1.2"
    """The oldest version spoken: "1.2" or "1.3"."""
    client_ca: Path | None = None
    """Whose certificates clients must bring; None when they need not bring any."""
