"""What a person sees at start: where to go, what is served from where, what to do about the certificate. Pure text.

    banner(scene, colour=...) -> the lines, for standard error
    painter(colour) -> paint(text, CYAN)
    wants_colour(stream, environ): only on a terminal, and not with NO_COLOR (no-color.org) or TERM=dumb

It knows neither sockets nor files: `scene.py` tells it what there is, as a `Scene`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO, TypeAlias

__all__ = ["BOLD", "CYAN", "DIM", "GREEN", "RED", "YELLOW", "Paint", "Scene", "banner", "painter", "wants_colour"]

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"

LABEL_WIDTH = 13
"""Of most labels; a longer one makes all of them wider."""

FEW = 6
"""Sites, and routes that proxy, that are named."""


@dataclass(frozen=True, slots=True)
class Scene:
    """All that the banner tells."""

    version: str
    urls: tuple[str, ...]
    file: str = ""
    """The configuration file; "" for none."""
    found: bool = False
    """Whether nobody named that file."""
    sites: tuple[str, ...] = ()
    """The hosts of each site; none where routes stand without one."""
    static: str = ""
    """The folders that are served; "" for none."""
    hidden: tuple[str, ...] = ()
    """Names in them that are not shown to anybody (C15)."""
    app: str = ""
    """The applications' names; "" for none."""
    files_first: bool = True
    """Whether a route has both, a folder and an application."""
    threads: int = 0
    workers: int = 1
    hosting: str = ""
    """How applications live in processes of their own, for a reader."""
    proxies: tuple[str, ...] = ()
    """Each route that another server answers, and which."""
    certificate: str = ""
    """The development authority's certificate; "" when the user's own is served, or none."""
    trusted: bool = False
    """Whether this machine trusts that authority already."""
    redirects: tuple[str, ...] = ()
    """Ports that redirect to https."""
    program: str = "edgestack"
    """What one types to run it again."""
    dev: bool = False
    notes: tuple[str, ...] = ()


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `stream` is a terminal and nobody asked for plain text."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


Paint: TypeAlias = "Callable[[str, str], str]"
"""Gives a text a colour, where colours are wanted."""


def painter(colour: bool) -> Paint:
    """What gives a text one of the colours above; without `colour`, what gives it as it is."""

    def paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour else text

    return paint


def banner(scene: Scene, *, colour: bool = False) -> str:
    """The text, with a newline at its end."""
    paint = painter(colour)
    lines = [f"{paint('edgestack', BOLD)} {paint(scene.version, DIM)}", ""]
    lines += [f"  {paint('→', GREEN)} {paint(friendly(url), CYAN)}" for url in friendly_first(scene.urls)]
    lines.append("")
    facts = _facts(scene)
    width = max([LABEL_WIDTH, *(len(label) + 2 for label, _ in facts)])
    lines += [f"  {paint(label.ljust(width), DIM)}{text}" for label, text in facts]
    lines += [f"  {paint(note, YELLOW)}" for note in _notes(scene)]
    lines += ["", f"  {paint('Ctrl-C stops.', DIM)}", ""]
    return "\n".join(lines)


def friendly(url: str) -> str:
    """The loopback addresses by the name that people know."""
    scheme, colon, rest = url.partition("://")
    for address in ("127.0.0.1", "[::1]"):
        if rest.startswith(address + ":"):
            return f"{scheme}{colon}localhost{rest[len(address) :]}"
    return url


def friendly_first(urls: tuple[str, ...]) -> list[str]:
    """Each URL once: 127.0.0.1 and ::1 are the same place to a reader."""
    return list({friendly(url): url for url in reversed(urls)}.values())[::-1]


def _facts(scene: Scene) -> list[tuple[str, str]]:
    facts = []
    if scene.file:
        facts.append(("configuration", scene.file + ("  (found here)" if scene.found else "")))
    facts += [("site" if at == 0 else "", hosts) for at, hosts in enumerate(_few(scene.sites))]
    if scene.static:
        hidden = f"  (hidden: {', '.join(scene.hidden)})" if scene.hidden else ""
        facts.append(("files", scene.static + hidden))
    if scene.app:
        first = "after the files, " if scene.static and scene.files_first else ""
        facts.append(("application", f"{scene.app}  ({first}{scene.hosting or f'{scene.threads} threads'})"))
    if scene.workers > 1:
        facts.append(("processes", f"{scene.workers} workers and their supervisor"))
    facts += [("proxy" if at == 0 else "", told) for at, told in enumerate(_few(scene.proxies))]
    if scene.redirects:
        facts.append(("redirect", f"port {', '.join(scene.redirects)} to https"))
    if scene.certificate:
        facts.append(("certificate", f"for development, signed by {scene.certificate}"))
    return facts


def _few(sites: tuple[str, ...]) -> list[str]:
    """The first of many: the banner is no directory."""
    rest = len(sites) - FEW
    return list(sites) if rest <= 0 else [*sites[: FEW - 1], f"and {rest + 1} more"]


def _notes(scene: Scene) -> list[str]:
    notes = list(scene.notes)
    if scene.certificate and not scene.trusted:
        notes.append(f"Browsers warn until you run, once: {scene.program} certs trust")
    if scene.dev:
        told = "what goes wrong is told" if scene.proxies and not scene.app else "tracebacks"
        notes.append(f"Development: {told} in the browser (on this machine only), nothing is cached.")
    return notes
