"""What a person sees at start, gathered from what is served: `banner.py` makes the text of it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from edgestack import __version__
from edgestack.certs.authority import Development
from edgestack.config.model import Config, Server
from edgestack.content.files import hidden_names
from edgestack.process.banner import Scene, banner, friendly, wants_colour
from edgestack.process.options import Options
from edgestack.process.proxied import proxied
from edgestack.process.sockets import Sockets
from edgestack.process.supervised import worker_count
from edgestack.wire.x509 import read_certificate

__all__ = ["first_page", "program_name", "show_banner"]


def show_banner(
    config: Config, options: Options, sockets: Sockets, development: Development | None, workers: int = 1
) -> None:
    """Write it on standard error."""
    scene = _scene(config, options, sockets, development, workers)
    sys.stderr.write(banner(scene, colour=wants_colour(sys.stderr, os.environ)) + "\n")
    sys.stderr.flush()


def first_page(urls: list[str]) -> str | None:
    """What a browser is shown."""
    return next((friendly(url) for url in urls if url.startswith("http")), None)


def _scene(config: Config, options: Options, sockets: Sockets, development: Development | None, workers: int) -> Scene:
    sites = config.all_sites()
    routes = [route for site in sites for route in site.routes]
    roots = dict.fromkeys(route.static.root for route in routes if route.static is not None)
    hidden = (name for root in roots for name in hidden_names(root))
    return Scene(
        version=__version__,
        urls=tuple(sockets.urls()),
        file="" if options.file is None else _shown(options.file),
        found=options.found,
        sites=tuple(", ".join(site.hosts) or "every other host" for site in sites) if config.sites else (),
        static=", ".join(_shown(root) + "/" for root in roots),
        hidden=tuple(dict.fromkeys(hidden)),
        app=", ".join(dict.fromkeys(route.app.target for route in routes if route.app is not None)),
        files_first=any(route.static is not None and route.app is not None for route in routes),
        threads=config.server.threads,
        workers=workers,
        hosting=_hosting(config.server),
        proxies=proxied(config),
        certificate="" if development is None else _shown(development.ca),
        trusted=development is not None and _trusted(development),
        redirects=tuple(map(str, sockets.redirect_ports())),
        program=program_name(),
        dev=config.server.dev,
        notes=options.notes,
    )


def _hosting(server: Server) -> str:
    """How applications are hosted by processes of their own, if they are."""
    processes = server.processes
    if not processes.hosting:
        return ""
    count = worker_count(processes)
    where = "a process of its own" if count == 1 else f"{count} processes of its own"
    return f"in {where}, " + (f"{server.threads} threads" if processes.hosting == "process" else processes.hosting)


def _trusted(development: Development) -> bool:
    """Whether a store of this machine is known to hold the development authority; runs no command."""
    from edgestack.certs.running import describe_machine
    from edgestack.certs.trust import Authority, trust_steps

    authority = Authority(development.ca, read_certificate(development.ca.read_bytes()))
    return any(step.present for step in trust_steps(describe_machine(), authority))


def program_name() -> str:
    """What one types to run this program again: not every environment is on the PATH."""
    if shutil.which("edgestack"):
        return "edgestack"
    return sys.argv[0] if Path(sys.argv[0]).name == "edgestack" else f"{_shown(Path(sys.executable))} -m edgestack"


def _shown(path: Path) -> str:
    """A path as short as it can be said here."""
    return os.path.relpath(path) if path.absolute().is_relative_to(Path.cwd()) else str(path)
