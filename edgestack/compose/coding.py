"""`compress` in a chain: who codes the answers of a route, so that nobody pays who need not.

    files alone                  their entries are made with their forms; no filter. Pages of errors are coded as made
    files and an application     the same, and a filter for what application threads answer; the last filter of the
                                 chain for what the loop answers (ASGI, a cache)
    everything else              the last filter of the chain
    a redirect, a short text     nothing

A rule that sets `no-transform` on a route keeps its files as they are, and one that changes Vary is followed by a
filter that puts Accept-Encoding back (D2): a shared cache must not give coded bytes to who cannot read them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from edgestack.codecs import Coder, coder
from edgestack.compose.resources import Resources
from edgestack.config.model import Compress, Route
from edgestack.errors import EdgeError
from edgestack.http.messages import Exchange, Response
from edgestack.phases.compression import Compression, Forms, VaryKept
from edgestack.routing import ErrorPage

__all__ = ["NOTHING", "Coding", "coded_pages", "coding"]


class Coding(NamedTuple):
    """What `compress` puts into the chain of one route."""

    files: Coder | None = None
    """For the folder."""
    all: Compression | VaryKept | None = None
    """A filter for every answer."""
    threads: Compression | None = None
    """A filter for what application threads answer."""
    pages: Compression | None = None
    """For pages of errors that no filter meets."""
    told: Compression | None = None
    """Tells `explain` of it, where no filter does."""


NOTHING = Coding()


def coding(route: Route, resources: Resources) -> Coding:
    """For one route."""
    made = made_by(route.compress)
    if made is None or route.redirect is not None or _is_short(route, made):
        return NOTHING
    act = Compression(made, resources.keep("coded forms", Forms))
    if route.static is None:
        return Coding(all=act) if route.app or route.proxy or route.respond else NOTHING
    files = None if _says(route, "no-transform") else made
    if route.app is not None and (route.cache is not None or resources.on_loop(route.app)):
        return Coding(files, all=act)
    keeper = VaryKept(made) if files is not None and _says_vary(route) else None
    return Coding(files, keeper, act if route.app is not None else None, act, act if files is not None else None)


def made_by(section: Compress) -> Coder | None:
    """The coder of a section; None where it is off, or nothing of it is installed."""
    if section.off:
        return None
    levels = {"gzip": section.gzip, "br": section.br, "zstd": section.zstd}
    return coder(section.codings, levels, tuple(map(str.lower, section.types)), section.min_size)


def coded_pages(pages: ErrorPage, act: Compression | None) -> ErrorPage:
    """Pages of errors, coded where they can be at once."""
    if act is None:
        return pages

    def page(exchange: Exchange, error: EdgeError) -> Response:
        return act.page(exchange, pages(exchange, error))

    return page


def _is_short(route: Route, made: Coder) -> bool:
    """The same text for all, which is too short."""
    said = route.respond
    return said is not None and "$" not in said.body and len(said.body.encode()) < made.policy.least


def _says(route: Route, word: str) -> bool:
    texts: list[Any] = [rule.value for rule in route.cache_control]
    texts += [value for rule in route.headers for _, value in (*rule.set, *rule.add)]
    return any(word in text.lower() for text in texts)


def _says_vary(route: Route) -> bool:
    names = [name for rule in route.headers for name in (*(name for name, _ in rule.set), *rule.remove)]
    return any(name.lower() == "vary" for name in names)
