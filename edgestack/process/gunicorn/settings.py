"""Every setting of gunicorn, and what becomes of it: a key that says the same, a hook, nothing that is missed, or a
warning.

    SETTINGS["timeout"].read(30)    {"timeout": 30}
    SETTINGS["statsd_host"].lost    why it is not there: told in a warning where somebody says it

The table of the guide's page "Coming from gunicorn" is held to this one by a test, and this one to gunicorn's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from edgestack.process.gunicorn import values
from edgestack.process.gunicorn.values import Read
from edgestack.process.hooks import HOOKS

__all__ = ["DAEMON", "SETTINGS", "Setting", "option_of"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    name: str
    default: Any = None
    """gunicorn's."""
    read: Read = values.nothing
    """Its value in keys of ours."""
    flags: tuple[str, ...] = ()
    """How gunicorn's command line spells it."""
    lost: str = ""
    """Why it does nothing here: a warning, where it is said. "" where nothing is missed."""
    moot: str = ""
    """Why it need not do anything."""
    held: tuple[Any, ...] = ()
    """Values that say what holds here: nothing is lost with them."""
    takes: str = "text"
    """What its option takes: "text", "several" or "switch"."""


DAEMON = (
    "edgestack stays in the foreground",
    "let systemd start it (`edgestack systemd run …` prints a unit), or a container; in a shell: nohup edgestack … &",
)
"""Why `--daemon` is refused, and what to do."""

SCHEMES = {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"}
"""gunicorn's default for `secure_scheme_headers`."""

STRICT = "a request that two servers might read in two ways is refused (RFC 9112)"
SYSLOG = "name a `logging.handlers.SysLogHandler` in a `log_config`, or leave the output to journald"
DIRTY = "there are no dirty arbiters"
HTTP2 = "HTTP/1.1 is what is spoken"
STATSD = "counts are in `edgestack ctl status`, and each request is in the access log"
CONTROL = "`edgestack ctl status` and its like find the control socket by themselves"


def _keyed() -> Iterator[Setting]:
    """Those that are keys here."""
    yield Setting("wsgi_app", read=values.nothing, moot="the application, where the command line names none")
    yield Setting("bind", ["127.0.0.1:8000"], values.bind, ("-b", "--bind"), takes="several")
    yield Setting("backlog", 2048, values.number("backlog"), ("--backlog",))
    yield Setting("workers", 1, values.number("workers"), ("-w", "--workers"))
    yield Setting("worker_class", "sync", values.worker_class, ("-k", "--worker-class"))
    yield Setting("asgi_loop", "auto", values.asgi_loop, ("--asgi-loop",))
    yield Setting("threads", 1, values.number("threads"), ("--threads",))
    yield Setting("worker_connections", 1000, values.number("max_connections"), ("--worker-connections",))
    yield Setting("max_requests", 0, values.number("max_requests"), ("--max-requests",))
    yield Setting("max_requests_jitter", 0, values.number("max_requests_jitter"), ("--max-requests-jitter",))
    yield Setting("timeout", 30, values.number("timeout"), ("-t", "--timeout"))
    yield Setting("graceful_timeout", 30, values.number("graceful_timeout"), ("--graceful-timeout",))
    yield Setting("keepalive", 2, values.number("keepalive"), ("--keep-alive",))
    yield Setting("limit_request_line", 4094, values.request_line, ("--limit-request-line",))
    yield Setting("limit_request_fields", 100, values.request_fields, ("--limit-request-fields",))
    yield Setting("limit_request_field_size", 8190, values.field_size, ("--limit-request-field_size",))
    yield Setting("reload", False, values.switch("reload"), ("--reload",), takes="switch")
    yield Setting(
        "reload_extra_files", [], values.several("reload_extra_files"), ("--reload-extra-file",), takes="several"
    )
    yield Setting("preload_app", False, values.switch("preload"), ("--preload",), takes="switch")
    yield Setting("chdir", "", values.chdir, ("--chdir",))
    yield Setting("raw_env", [], values.environment, ("-e", "--env"), takes="several")
    yield Setting("pidfile", None, values.path("pid"), ("-p", "--pid"))
    yield Setting("user", 0, values.person("user"), ("-u", "--user"))
    yield Setting("group", 0, values.person("group"), ("-g", "--group"))
    yield Setting("umask", 0, values.umask, ("-m", "--umask"))
    yield Setting("forwarded_allow_ips", "127.0.0.1,::1", values.trusted("trusted_proxies"), ("--forwarded-allow-ips",))
    yield Setting("proxy_protocol", "off", values.proxy_protocol, ("--proxy-protocol",), takes="switch")
    yield Setting("proxy_allow_ips", "127.0.0.1,::1", values.trusted("proxy_protocol_from"), ("--proxy-allow-from",))
    yield Setting("accesslog", None, values.path("access_log", off="off"), ("--access-logfile",))
    yield Setting("access_log_format", values.DEFAULT_FORM, values.form, ("--access-logformat",))
    yield Setting("errorlog", "-", values.path("error_log"), ("--error-logfile", "--log-file"))
    yield Setting("loglevel", "info", values.level, ("--log-level",))
    yield Setting("capture_output", False, values.switch("capture_output"), ("--capture-output",), takes="switch")
    yield Setting("logconfig", None, values.path("log_config"), ("--log-config",))
    yield Setting("logconfig_json", None, values.path("log_config"), ("--log-config-json",))
    yield Setting("logconfig_dict", {}, moot="given to logging.config.dictConfig")
    yield Setting("proc_name", None, values.path("name"), ("-n", "--name"))
    yield Setting("pythonpath", None, values.folders, ("--pythonpath",))
    yield Setting("keyfile", None, values.key, ("--keyfile",))
    yield Setting("certfile", None, values.certificate, ("--certfile",))
    yield Setting("ca_certs", None, values.path("client_ca"), ("--ca-certs",))


def _moot() -> Iterator[Setting]:
    """Those that need not do anything here."""
    yield Setting("config", "./gunicorn.conf.py", flags=("-c", "--config"), moot="the file itself")
    yield Setting("check_config", False, flags=("--check-config",), moot="an option", takes="switch")
    yield Setting("print_config", False, flags=("--print-config",), moot="an option", takes="switch")
    yield Setting("reload_engine", "auto", flags=("--reload-engine",), moot="watchfiles where it is installed")
    yield Setting("reuse_port", False, flags=("--reuse-port",), takes="switch", moot="workers share their listeners")
    yield Setting("daemon", False, flags=("-D", "--daemon"), takes="switch", moot="refused: " + DAEMON[0])
    yield Setting("worker_tmp_dir", None, flags=("--worker-tmp-dir",), moot="signs of life need no file")
    yield Setting("initgroups", False, flags=("--initgroups",), takes="switch", moot="always, with `user`")
    yield Setting(
        "enable_stdio_inheritance", False, flags=("-R", "--enable-stdio-inheritance"), takes="switch", moot="always"
    )
    yield Setting("default_proc_name", "gunicorn", moot="the application's name is the default")
    yield Setting("ssl_version", 2, flags=("--ssl-version",), moot="TLS 1.2 and 1.3; gunicorn ignores it too")
    yield Setting(
        "suppress_ragged_eofs", True, flags=("--suppress-ragged-eofs",), takes="switch", moot="such an end is an end"
    )
    yield Setting(
        "do_handshake_on_connect", False, flags=("--do-handshake-on-connect",), takes="switch",
        moot="handshakes never wait for one another",
    )  # fmt: skip
    yield Setting("cert_reqs", 0, flags=("--cert-reqs",), moot="2 makes `ca_certs` a demand, else it is not looked at")
    yield Setting("http_parser", "auto", flags=("--http-parser",), moot="there is one, checked against h11")
    yield Setting("asgi_disconnect_grace_period", 3, flags=("--asgi-disconnect-grace-period",), moot="as the drain")


def _lost() -> Iterator[Setting]:
    """Those that somebody may miss."""
    yield Setting(
        "secure_scheme_headers", SCHEMES, lost="X-Forwarded-Proto and Forwarded are what is read",
        held=({"X-FORWARDED-PROTO": "https"},),
    )  # fmt: skip
    for name, default, flags, takes, lost in (
        ("spew", False, "--spew", "switch", "a profiler such as py-spy shows what runs"),
        ("sendfile", None, "--no-sendfile", "switch", "files leave by sendfile where the system has it"),
        ("tmp_upload_dir", None, "", "text", "uploads wait in the folder that TMPDIR names"),
        ("disable_redirect_access_to_syslog", False, "--disable-redirect-access-to-syslog", "switch", SYSLOG),
        ("logger_class", "gunicorn.glogging.Logger", "--logger-class", "text", "a `log_config` says where lines go"),
        ("syslog_addr", "udp://localhost:514", "--log-syslog-to", "text", SYSLOG),
        ("syslog", False, "--log-syslog", "switch", SYSLOG),
        ("syslog_prefix", None, "--log-syslog-prefix", "text", SYSLOG),
        ("syslog_facility", "user", "--log-syslog-facility", "text", SYSLOG),
        ("statsd_host", None, "--statsd-host", "text", STATSD),
        ("dogstatsd_tags", "", "--dogstatsd-tags", "text", STATSD),
        ("statsd_prefix", "", "--statsd-prefix", "text", STATSD),
        ("enable_backlog_metric", False, "--enable-backlog-metric", "switch", STATSD),
        ("paste", None, "--paste --paster", "text", "name the application as MODULE:NAME"),
        ("raw_paste_global_conf", [], "--paste-global", "several", "name the application as MODULE:NAME"),
        ("protocol", "http", "--protocol", "text", "HTTP is what is spoken; nginx: proxy_pass instead of uwsgi_pass"),
        ("uwsgi_allow_ips", "127.0.0.1,::1", "--uwsgi-allow-from", "text", "HTTP is what is spoken"),
        ("ciphers", None, "--ciphers", "text", "the hook `ssl_context` may choose them"),
        ("http_protocols", "h1", "--http-protocols", "text", HTTP2),
        ("http2_cleartext", "off", "--http2-cleartext", "text", HTTP2),
        ("http2_max_concurrent_streams", 100, "--http2-max-concurrent-streams", "text", HTTP2),
        ("http2_initial_window_size", 65535, "--http2-initial-window-size", "text", HTTP2),
        ("http2_max_frame_size", 16384, "--http2-max-frame-size", "text", HTTP2),
        ("http2_max_header_list_size", 65536, "--http2-max-header-list-size", "text", HTTP2),
        ("permit_obsolete_folding", False, "--permit-obsolete-folding", "switch", STRICT),
        ("strip_header_spaces", False, "--strip-header-spaces", "switch", STRICT),
        ("permit_unconventional_http_method", False, "--permit-unconventional-http-method", "switch", STRICT),
        ("permit_unconventional_http_version", False, "--permit-unconventional-http-version", "switch", STRICT),
        ("casefold_http_method", False, "--casefold-http-method", "switch", STRICT),
        ("forwarder_headers", "SCRIPT_NAME,PATH_INFO", "--forwarder-headers", "text",
         "a route's `match` makes SCRIPT_NAME; no field of a request does"),
        ("header_map", "drop", "--header-map", "text", "names with `_` are dropped"),
        ("asgi_lifespan", "auto", "--asgi-lifespan", "text", "lifespan is offered, and may be refused"),
        ("websocket_max_message_size", 1 << 24, "--websocket-max-message-size", "text", "there is one bound for all"),
        ("root_path", "", "--root-path", "text", "a route's `match` makes SCRIPT_NAME and root_path"),
        ("dirty_apps", [], "--dirty-app", "several", DIRTY),
        ("dirty_workers", 0, "--dirty-workers", "text", DIRTY),
        ("dirty_timeout", 300, "--dirty-timeout", "text", DIRTY),
        ("dirty_threads", 1, "--dirty-threads", "text", DIRTY),
        ("dirty_graceful_timeout", 30, "--dirty-graceful-timeout", "text", DIRTY),
        ("on_dirty_starting", None, "", "text", DIRTY),
        ("dirty_post_fork", None, "", "text", DIRTY),
        ("dirty_worker_init", None, "", "text", DIRTY),
        ("dirty_worker_exit", None, "", "text", DIRTY),
        ("control_socket", None, "--control-socket", "text", CONTROL),
        ("control_socket_mode", 0o600, "--control-socket-mode", "text", CONTROL),
        ("control_socket_disable", False, "--no-control-socket", "switch", CONTROL),
    ):  # fmt: skip
        yield Setting(name, default, flags=tuple(flags.split()), takes=takes, lost=lost)


def _all() -> Iterable[Setting]:
    yield from _keyed()
    yield from (Setting(name, moot="a hook") for name in (*HOOKS, "ssl_context"))
    yield from _moot()
    yield from _lost()


SETTINGS: dict[str, Setting] = {one.name: one for one in _all()}
"""By name; gunicorn 27 has no other."""


def option_of(flag: str) -> Setting | None:
    """The setting that gunicorn's command line spells so."""
    return next((one for one in SETTINGS.values() if flag in one.flags), None)
