"""The servers that are compared: command line and configuration of each, as a user would write them.

Starts nothing, and knows nothing of loads and figures. A `Server` is data and one function that turns a `Place`
(folders, port, keys) into a `Launch` (files to write, commands to run).

Every peer gets the settings that its own guide recommends for speed, one worker, and no log unless the case says so.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

__all__ = [
    "Address",
    "Command",
    "Launch",
    "Place",
    "Server",
    "edgestack",
    "edgestack_apart",
    "edgestack_cache",
    "edgestack_proxy_cache",
    "edgestack_workers",
    "granian",
    "missing",
    "nginx",
    "nginx_gunicorn",
    "nginx_launch",
    "nginx_proxy_cache",
    "waitress",
]

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent.parent
APPS = BENCH / "apps"
PEERS = ROOT / ".venv-bench" / "bin"
EDGESTACK = Path(sys.executable).parent / "edgestack"
Address = tuple[str, int] | str
"""A TCP address, or the path of a unix socket."""


@dataclass(frozen=True)
class Place:
    """Where one server lives while it is measured."""

    folder: Path
    """Its own folder: configuration, logs, sockets, pid files."""
    site: Path
    """The static files."""
    certificate: Path
    key: Path
    port: int
    behind: int
    """Another port, for what stands behind a proxy."""

    @property
    def address(self) -> tuple[str, int]:
        """Where clients find it."""
        return ("127.0.0.1", self.port)


@dataclass(frozen=True)
class Command:
    """One process to start, and where it accepts once it is ready."""

    argv: tuple[str, ...]
    ready: Address
    cwd: Path = BENCH
    aside: bool = False
    """It belongs to the load: it runs on the load's core, and what it costs is not counted."""


@dataclass(frozen=True)
class Launch:
    """Everything that makes a server run: started in this order, stopped in the other."""

    commands: tuple[Command, ...]
    files: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """A server in one configuration."""

    name: str
    """As the table and the chart show it."""
    needs: tuple[str, ...]
    """Programs without which it is skipped."""
    launch: Callable[[Place], Launch]
    tls: bool = False


def edgestack(*options: str, static: bool = False, app: str = "", tls: bool = False, log: bool = False) -> Server:
    """edgestack by its own command line."""

    def launch(place: Place) -> Launch:
        argv = [str(EDGESTACK), "serve", "--bind", f"127.0.0.1:{place.port}"]
        argv += ["--static", str(place.site)] if static else []
        argv += ["--app", app, "--threads", "8"] if app else []
        argv += ["--tls", "--cert", str(place.certificate), "--key", str(place.key)] if tls else ["--no-tls"]
        argv += ["--access-log", str(place.folder / "access.log") if log else "off"]
        argv += ["--ready-file", str(place.folder / "ready.json"), *options]
        return Launch((Command(tuple(argv), place.address, APPS),))

    parts = ("static" if static else "", "app" if app else "", "TLS" if tls else "", "log on" if log else "log off")
    return Server(f"edgestack ({', '.join(filter(None, parts))})", (str(EDGESTACK),), launch, tls)


WORKERS = """\
[server]
bind = "127.0.0.1:{port}"
tls = false
workers = {workers}
threads = 4
access_log = "off"
ready_file = "{folder}/ready.json"
max_requests = 1000000000

[[route]]
app = "{app}"
"""


ALL_CORES = ("taskset", "-c", ",".join(map(str, range(os.cpu_count() or 1))))
"""Before a command: for servers that are several processes."""


def edgestack_apart(app: str) -> Server:
    """edgestack with files, and its application in a process of its own; on all cores."""
    inside = edgestack("-k", "process", static=True, app=app, log=True)

    def launch(place: Place) -> Launch:
        (command,) = inside.launch(place).commands
        return Launch((replace(command, argv=(*ALL_CORES, *command.argv)),))

    return Server("edgestack (static, -k process, log on)", inside.needs, launch)


def edgestack_workers(workers: int, app: str) -> Server:
    """edgestack with a supervisor, on all cores: `max_requests` has one for a single worker too."""

    def launch(place: Place) -> Launch:
        file = place.folder / "edgestack.toml"
        text = WORKERS.format(port=place.port, workers=workers, folder=place.folder, app=app)
        argv = (*ALL_CORES, str(EDGESTACK), "serve", "-c", str(file))
        return Launch((Command(argv, place.address, APPS),), {file: text})

    return Server(f"edgestack ({workers} {'worker' if workers == 1 else 'workers'})", (str(EDGESTACK),), launch)


NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 16384; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    sendfile on;
    access_log {log};
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {upstream}
    server {{
        listen 127.0.0.1:{port}{ssl};
        {tls}
        root {site};
        {gzip}
        {location}
    }}
}}
"""
NGINX_TLS = "ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;"
NGINX_UPSTREAM = "upstream application {{ server {server}; keepalive 32; }}"
NGINX_LOCATION = (
    'location / { proxy_pass http://application; proxy_http_version 1.1; proxy_set_header Connection ""; '
    "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; "
    "proxy_set_header X-Forwarded-Proto $scheme; }"
)


def nginx_launch(
    place: Place, *, tls: bool, log: bool, upstream: str = "", location: str = NGINX_LOCATION, aside: bool = False,
    gzip: bool = False,
) -> Launch:  # fmt: skip
    """nginx with its configuration in a file; `upstream` is the server that it proxies to, in nginx's words."""
    folder = place.folder
    text = NGINX.format(
        folder=folder,
        site=place.site,
        port=place.port,
        user="user root;" if os.geteuid() == 0 else "",  # as root it would become a user that cannot read our folder
        log=f"{folder}/access.log combined" if log else "off",
        ssl=" ssl" if tls else "",
        tls=NGINX_TLS.format(certificate=place.certificate, key=place.key) if tls else "",
        upstream=NGINX_UPSTREAM.format(server=upstream) if upstream else "",
        location=location if upstream else "",
        gzip="gzip on; gzip_comp_level 1;" if gzip else "",
    )
    conf = folder / "nginx.conf"
    argv = ("nginx", "-e", f"{folder}/error.log", "-p", str(folder), "-c", str(conf))
    return Launch((Command(argv, place.address, aside=aside),), {conf: text})


CACHED = """\
[server]
bind = ["127.0.0.1:{port}"]
tls = false
threads = 8
access_log = "off"

[[route]]
{content}
cache = {{ valid = "1h", key = "$uri", cookies = true }}
"""
"""The load has a thousand queries and cookies, and one page: so both caches are told that neither means anything."""

NGINX_CACHE = (
    "proxy_cache_path {folder}/cache keys_zone=bench:8m; server {{ listen unix:{folder}/behind.sock; root {site}; }}"
)
NGINX_CACHE_LOCATION = (
    "location / {{ proxy_pass http://unix:{folder}/behind.sock:; proxy_cache bench; proxy_cache_valid 1h; "
    "proxy_cache_key $uri; }}"
)


def _cached(place: Place, content: str) -> tuple[Command, dict[Path, str]]:
    """edgestack with the configuration above."""
    conf = place.folder / "edgestack.toml"
    argv = (str(EDGESTACK), "serve", "-c", str(conf))
    return Command(argv, place.address, APPS), {conf: CACHED.format(port=place.port, content=content)}


def edgestack_cache(app: str) -> Server:
    """edgestack with a cache before an application."""

    def launch(place: Place) -> Launch:
        command, files = _cached(place, f'app = "{app}"')
        return Launch((command,), files)

    return Server("edgestack (app, cache, log off)", (str(EDGESTACK),), launch)


def edgestack_proxy_cache() -> Server:
    """edgestack with a cache before an nginx that serves files."""

    def launch(place: Place) -> Launch:
        behind = nginx_cache_launch(place, f"unix:{place.folder}/front.sock")
        command, files = _cached(place, f'proxy = "http://unix:{place.folder}/behind.sock:/"')
        return Launch((*behind.commands, command), behind.files | files)

    return Server("edgestack (proxy, cache, log off)", (str(EDGESTACK), "nginx"), launch)


def nginx_cache_launch(place: Place, listen: str) -> Launch:
    """nginx with a cache before itself; `listen` is where the cache is asked."""
    made = nginx_launch(place, tls=False, log=False)
    text = made.files[place.folder / "nginx.conf"]
    before = NGINX_CACHE.format(folder=place.folder, site=place.site)
    text = text.replace("    server {", f"    {before}\n    server {{", 1)
    text = text.replace(f"listen 127.0.0.1:{place.port};", f"listen {listen};", 1)
    end = text.rindex("    }\n}")
    text = text[:end] + "        " + NGINX_CACHE_LOCATION.format(folder=place.folder) + "\n" + text[end:]
    ready: Address = place.address if not listen.startswith("unix:") else f"{place.folder}/behind.sock"
    return Launch((Command(made.commands[0].argv, ready),), {place.folder / "nginx.conf": text})


def nginx_proxy_cache() -> Server:
    """nginx with proxy_cache, before a server of its own."""
    return Server(
        "nginx (proxy_cache, log off)", ("nginx",), lambda place: nginx_cache_launch(place, f"127.0.0.1:{place.port}")
    )


def nginx(*, tls: bool = False, log: bool = False, gzip: bool = False) -> Server:
    """nginx serving files; with `gzip` it compresses each answer, at its own level, 1."""
    name = f"nginx ({'TLS, ' if tls else ''}{'gzip, ' if gzip else ''}{'log on' if log else 'log off'})"
    return Server(name, ("nginx",), lambda place: nginx_launch(place, tls=tls, log=log, gzip=gzip), tls)


def nginx_gunicorn(*, log: bool = False) -> Server:
    """nginx in front of gunicorn's gthread worker, over a unix socket with kept connections."""
    program = str(PEERS / "gunicorn")

    def launch(place: Place) -> Launch:
        path = str(place.folder / "gunicorn.sock")
        argv = [program, "--worker-class", "gthread", "--workers", "1", "--threads", "8", "--keep-alive", "75"]
        argv += ["--log-level", "error", "--no-control-socket", "--bind", f"unix:{path}", "hello:app"]
        front = nginx_launch(place, tls=False, log=log, upstream=f"unix:{path}")
        return Launch((Command(tuple(argv), path, APPS), *front.commands), front.files)

    return Server(f"nginx + gunicorn (gthread, {'log on' if log else 'log off'})", ("nginx", program), launch)


def granian() -> Server:
    """granian's WSGI interface, eight blocking threads, HTTP/1.1 only."""
    program = str(PEERS / "granian")

    def launch(place: Place) -> Launch:
        argv = [program, "--interface", "wsgi", "--http", "1", "--no-ws", "--workers", "1", "--blocking-threads", "8"]
        argv += ["--no-log", "--no-access-log", "--host", "127.0.0.1", "--port", str(place.port), "hello:app"]
        return Launch((Command(tuple(argv), place.address, APPS),))

    return Server("granian (log off)", (program,), launch)


def waitress() -> Server:
    """waitress; it writes no access log."""
    program = str(PEERS / "waitress-serve")

    def launch(place: Place) -> Launch:
        argv = (program, "--threads=8", f"--listen=127.0.0.1:{place.port}", "hello_quiet:app")
        return Launch((Command(argv, place.address, APPS),))

    return Server("waitress (no log)", (program,), launch)


def missing(server: Server) -> list[str]:
    """The programs that `server` needs and this machine lacks."""
    return [program for program in server.needs if shutil.which(program) is None]
