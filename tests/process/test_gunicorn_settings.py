"""gunicorn's settings in our keys: every one is known, each value says what gunicorn means (oracle: gunicorn itself).

A setting is a key, a hook, needs nothing, or is told in a warning; there is no fifth.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from gunicorn.config import KNOWN_SETTINGS

from edgestack.config.overrides import FLAGS, FORM
from edgestack.errors import ConfigError
from edgestack.process.gunicorn.log_atoms import template_of
from edgestack.process.gunicorn.reading import remarks
from edgestack.process.gunicorn.said import hook
from edgestack.process.gunicorn.settings import SETTINGS, option_of
from edgestack.process.gunicorn.values import nothing
from edgestack.process.hooks import HOOKS

OF_THIS_MACHINE = ("chdir", "user", "group", "control_socket")
"""Settings whose defaults are where and who one is."""


def test_every_setting_of_gunicorn_is_known_and_no_other() -> None:
    assert {one.name for one in KNOWN_SETTINGS} == set(SETTINGS)


@pytest.mark.parametrize("theirs", KNOWN_SETTINGS, ids=lambda one: str(one.name))
def test_flags_and_defaults_are_gunicorns(theirs: Any) -> None:
    ours = SETTINGS[theirs.name]
    assert ours.flags == tuple(theirs.cli or ())
    assert (ours.takes == "switch") == (theirs.action in ("store_true", "store_const") or theirs.nargs == "?")
    if not callable(theirs.default) and theirs.name not in OF_THIS_MACHINE:
        assert ours.default == theirs.default


@pytest.mark.parametrize("name", SETTINGS)
def test_each_has_one_fate(name: str) -> None:
    one = SETTINGS[name]
    assert (one.read is not nothing) + bool(one.moot) + bool(one.lost) == 1
    assert (name in HOOKS or name == "ssl_context") == (one.moot == "a hook")


VALUES: list[tuple[str, Any, dict[str, Any]]] = [
    ("bind", "0.0.0.0:80", {"bind": ["0.0.0.0:80"]}),
    ("bind", ["127.0.0.1:1", "[::1]:2"], {"bind": ["127.0.0.1:1", "[::1]:2"]}),
    ("bind", "a:1,b:2", {"bind": ["a:1", "b:2"]}),
    ("bind", "unix:/run/a.sock", {"bind": ["unix:/run/a.sock"]}),
    ("bind", "unix:///run/a.sock", {"bind": ["unix:/run/a.sock"]}),
    ("bind", "http+unix://%2Frun%2Fa.sock", {"bind": ["unix:/run/a.sock"]}),
    ("bind", "tcp://localhost:1", {"bind": ["localhost:1"]}),
    ("bind", "0.0.0.0", {"bind": ["0.0.0.0:8000"]}),
    ("bind", "[::]", {"bind": ["[::]:8000"]}),
    ("bind", ":9000", {"bind": [":9000"]}),
    ("bind", "fd://3", {"bind": ["fd://3"]}),
    ("workers", "3", {"workers": 3}),
    ("threads", 4, {"threads": 4}),
    ("timeout", "0x10", {"timeout": 16}),
    ("timeout", "soon", {"timeout": "soon"}),
    ("worker_class", "sync", {"worker_class": "sync"}),
    ("worker_class", "gunicorn.workers.gthread.ThreadWorker", {"worker_class": "gthread"}),
    ("worker_class", "gunicorn.workers.ggevent.GeventWorker", {"worker_class": "gevent"}),
    ("worker_class", "uvicorn.workers.UvicornWorker", {"worker_class": "asgi"}),
    ("worker_class", "uvicorn_worker.UvicornH11Worker", {"worker_class": "asgi"}),
    ("worker_class", "eventlet", {"worker_class": "eventlet"}),
    ("worker_class", "gunicorn.workers.gtornado.TornadoWorker", {"worker_class": "tornado"}),
    ("asgi_loop", "auto", {"asgi_loop": "auto"}),
    ("asgi_loop", "asyncio", {"asgi_loop": "asyncio"}),
    ("asgi_loop", "uvloop", {"asgi_loop": "asyncio"}),
    ("asgi_loop", None, {"asgi_loop": "auto"}),
    ("proxy_protocol", "off", {"proxy_protocol": False}),
    ("proxy_protocol", False, {"proxy_protocol": False}),
    ("proxy_protocol", True, {"proxy_protocol": True}),
    ("proxy_protocol", "auto", {"proxy_protocol": True}),
    ("proxy_protocol", "V1", {"proxy_protocol": True}),
    ("proxy_protocol", "v2", {"proxy_protocol": True}),
    ("proxy_allow_ips", "10.0.0.0/8, ::1", {"proxy_protocol_from": ["10.0.0.0/8", "::1", "unix:"]}),
    ("proxy_allow_ips", "*", {"proxy_protocol_from": ["0.0.0.0/0", "::/0", "unix:"]}),
    ("keepalive", 5, {"keepalive": 5}),
    ("worker_connections", 10, {"max_connections": 10}),
    ("limit_request_line", 0, {"limit_request_line": 1 << 20}),
    ("limit_request_line", 4094, {"limit_request_line": 4094}),
    ("limit_request_fields", 0, {"limit_request_fields": 32768}),
    ("limit_request_field_size", 100, {"limit_request_head": 32768}),
    ("limit_request_field_size", 65536, {"limit_request_head": 65536 + 16384}),
    ("limit_request_field_size", 0, {"limit_request_head": 1 << 20}),
    ("preload_app", True, {"preload": True}),
    ("reload", "true", {"reload": True}),
    ("reload_extra_files", "a.html", {"reload_extra_files": ["a.html"]}),
    ("raw_env", ["A=1", "B=x=y"], {"env": {"A": "1", "B": "x=y"}}),
    ("raw_env", "A=1", {"env": {"A": "1"}}),
    ("pidfile", "a.pid", {"pid": "a.pid"}),
    ("pidfile", None, {}),
    ("user", 33, {"user": "33"}),
    ("user", None, {}),
    ("group", None, {}),
    ("group", "www-data", {"group": "www-data"}),
    ("umask", 0o027, {"umask": "027"}),
    ("umask", "0o27", {"umask": "0o27"}),
    ("forwarded_allow_ips", "10.0.0.1,10.1.0.0/16", {"trusted_proxies": ["10.0.0.1", "10.1.0.0/16", "unix:"]}),
    ("forwarded_allow_ips", "*", {"trusted_proxies": ["0.0.0.0/0", "::/0", "unix:"]}),
    ("accesslog", None, {"access_log": "off"}),
    ("accesslog", "-", {"access_log": "-"}),
    ("errorlog", "e.log", {"error_log": "e.log"}),
    ("loglevel", "DEBUG", {"log_level": "debug"}),
    ("logconfig", "l.ini", {"log_config": "l.ini"}),
    ("logconfig_json", "l.json", {"log_config": "l.json"}),
    ("access_log_format", SETTINGS["access_log_format"].default, {"log_format": "combined"}),
    ("access_log_format", "%(h)s", {FORM: "${remote_addr}"}),
    ("proc_name", "shop", {"name": "shop"}),
    ("pythonpath", "lib,more", {"pythonpath": ["lib", "more"]}),
    ("certfile", "c.pem", {"cert": ["c.pem"], "tls": True}),
    ("keyfile", "k.pem", {"key": ["k.pem"]}),
    ("backlog", 9, {"backlog": 9}),
    ("capture_output", True, {"capture_output": True}),
    ("max_requests", 5, {"max_requests": 5}),
    ("max_requests_jitter", 5, {"max_requests_jitter": 5}),
    ("graceful_timeout", 5, {"graceful_timeout": 5}),
    ("ca_certs", "ca.pem", {"client_ca": "ca.pem"}),
    ("chdir", "/srv", {"chdir": "/srv"}),
]


@pytest.mark.parametrize(("name", "value", "keys"), VALUES)
def test_what_a_value_says(name: str, value: Any, keys: dict[str, Any]) -> None:
    assert SETTINGS[name].read(value) == keys
    assert set(keys) <= {*FLAGS, FORM}


def test_every_key_of_a_setting_is_in_that_table() -> None:
    keyed = {name for name, one in SETTINGS.items() if one.read is not nothing}
    assert keyed == {name for name, _, _ in VALUES}


def test_a_class_counts_as_its_name() -> None:
    kind = type("GeventWorker", (), {"__module__": "gunicorn.workers.ggevent"})
    assert SETTINGS["worker_class"].read(kind) == {"worker_class": "gevent"}
    with pytest.raises(ConfigError, match=r"there is no worker class 'shop\.Own'"):
        SETTINGS["worker_class"].read("shop.Own")


def test_an_environment_setting_has_a_name_and_a_value() -> None:
    with pytest.raises(ConfigError, match="'A' is not NAME=VALUE"):
        SETTINGS["raw_env"].read(["A"])


def test_what_is_lost_is_told_where_it_is_not_the_default() -> None:
    assert list(remarks(SETTINGS["statsd_host"], None)) == []
    (told,) = remarks(SETTINGS["statsd_host"], "localhost:8125")
    assert told.startswith("gunicorn's `statsd_host` does nothing here: ")
    assert list(remarks(SETTINGS["worker_tmp_dir"], "/dev/shm")) == []
    assert list(remarks(SETTINGS["secure_scheme_headers"], {"X-FORWARDED-PROTO": "https"})) == []
    assert len(list(remarks(SETTINGS["secure_scheme_headers"], {"X-FORWARDED-SSL": "on"}))) == 1


def test_flags_find_their_settings() -> None:
    assert option_of("--worker-tmp-dir") is SETTINGS["worker_tmp_dir"]
    assert option_of("--static") is None


# --- log formats ------------------------------------------------------------------------------------------------------

FORMATS: list[tuple[str, str, list[str]]] = [
    ('%(h)s "%(r)s" %(s)s %(b)s', '${remote_addr} "${request}" ${status} ${body_bytes_sent}', []),
    ("%(t)s %(l)s %(u)s", "[${time_local}] - ${remote_user}", []),
    ("%(T)s %(D)s %(M)s %(L)s", "${request_sec} ${request_usec} ${request_msec} ${request_time}", []),
    ("%({X-Plan}i)s %({content-type}o)s", "${http_x_plan} ${sent_http_content_type}", []),
    ("%({HTTP_HOST}e)s %({REMOTE_ADDR}e)s", "${http_host} ${remote_addr}", []),
    ("%({wsgi.url_scheme}e)s", "${scheme}", []),
    ("%(p)s%(m)s%(U)s?%(q)s %(H)s", "<${pid}>${request_method}${uri}?${args} ${server_protocol}", []),
    ("100%% $5", "100% $$5", []),
    ("%(z)s %({MY}e)s", "- -", ["%(z)s", "%({MY}e)s"]),
    ("%(s)5s", "${status}", ["%(s)5s"]),
]


@pytest.mark.parametrize(("form", "template", "unknown"), FORMATS)
def test_formats_become_templates(form: str, template: str, unknown: list[str]) -> None:
    assert template_of(form) == (template, unknown)


def test_every_atom_of_gunicorn_has_a_word() -> None:
    """Oracle: the atoms that gunicorn's own logger makes."""
    from gunicorn.config import Config
    from gunicorn.glogging import Logger

    environ = {"REQUEST_METHOD": "GET", "RAW_URI": "/", "SERVER_PROTOCOL": "HTTP/1.1"}
    response = type("Response", (), {"status": "200 OK", "headers": [], "sent": 1})()
    seconds = type("Delta", (), {"seconds": 1, "microseconds": 2})()
    logger = Logger.__new__(Logger)
    logger.cfg, logger.lock = Config(), threading.Lock()
    atoms = Logger.atoms(logger, response, [], environ, seconds)
    for atom in atoms:
        assert template_of(f"%({atom})s")[1] == [], atom


# --- hooks ------------------------------------------------------------------------------------------------------------


def test_hooks_take_what_gunicorn_gives() -> None:
    assert hook("post_fork", lambda server, worker: (server, worker))(1, 2) == (1, 2)
    assert hook("post_request", lambda worker, req: (worker, req))(1, 2, 3, 4) == (1, 2)
    assert hook("post_request", lambda worker, req, environ: environ)(1, 2, 3, 4) == 3
    assert hook("on_exit", "math.sqrt")(9) == 3


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("post_fork", lambda server: None, "`post_fork` is called with 2 arguments"),
        ("on_starting", 3, "`on_starting` is a function, not 3"),
        ("on_starting", "math.nothing", "'math.nothing' names no function"),
        ("on_starting", "nothing", "'nothing' names no function"),
        ("ssl_context", lambda: None, "`ssl_context` is called with 2 arguments"),
    ],
)
def test_what_cannot_be_called_so_is_told(name: str, value: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        hook(name, value)
