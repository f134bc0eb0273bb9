"""A chain: everything that answers one route, put together once.

    rewrite -> checks -> wraps( content ) -> filters          errors: the pages; ends: the exchange's

For running it is flat: `handle` is the content itself where nothing stands before it. For explaining the same functions
stand in `links`, each with its name and its place in the file. After a jump inside the server what was met already is
not met again: `remaining` leaves it out, by identity. So `compose.py` makes one function for one rule, however many
routes inherit it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from edgestack.config.matching import Match
from edgestack.config.positions import Origin
from edgestack.errors import ClientError, EdgeError
from edgestack.http.messages import Answer, AppCall, Check, End, Exchange, Filter, Handler, Request, Response, Wrap

if TYPE_CHECKING:
    from edgestack.routing.locations import Locations

__all__ = ["Chain", "ErrorPage", "Link", "nothing"]

ErrorPage = Callable[[Exchange, EdgeError], Response]
Pages = Callable[[Exchange, EdgeError], "Answer | None"]
Recover = Callable[[Exchange, EdgeError], "Response | AppCall | None"]
Condition = Callable[[Request], bool]


class Link(NamedTuple):
    """One function of a chain, as `explain` names it."""

    name: str
    """The rule: "rewrite", "access", "headers"."""
    origin: Origin | None
    """Where it is written; None for what nobody wrote."""
    act: Callable[..., Any]
    """The very function that runs. It may have `describe(exchange) -> str`: what it would say, without doing it.
    A wrap may have `foresee(exchange)`, which raises the EdgeError that is certain without waiting."""
    kind: str = "check"
    """What it is: "rewrite", "check", "wrap", "behind" (before what files leave over), "content", "filter", "told"."""


class Chain:
    """What answers one route."""

    __slots__ = (
        "checks", "content", "ends", "errors", "filters", "handle", "holds", "internal", "last", "links", "locations",
        "match", "on_threads", "origin", "paged", "pages", "recover", "rewrite", "site", "unfiltered", "wraps",
    )  # fmt: skip

    def __init__(
        self,
        match: Match | str,
        content: Handler,
        errors: ErrorPage,
        *,
        rewrite: Check | None = None,
        checks: Sequence[Check] = (),
        wraps: Sequence[Wrap] = (),
        filters: Sequence[Filter] = (),
        last: Sequence[Filter] = (),
        ends: Sequence[End] = (),
        pages: Pages | None = None,
        recover: Recover | None = None,
        holds: Condition | None = None,
        internal: bool = False,
        links: Sequence[Link] = (),
        origin: Origin | None = None,
        site: str = "",
    ) -> None:
        """
        :param match: the paths that it answers; a text is a prefix.
        :param errors: makes the answer for an error raised on this road, on any thread.
        :param rewrite: comes before the checks; what it jumps from was not checked yet.
        :param last: further filters for what application threads answer; what content answers on the loop has what
            they do done already.
        :param pages: asked first, on the loop only: a jump to a page of the user's own, or None.
        :param recover: on application threads, for errors there: has the loop go on to such a page, and waits for its
            answer, filtered; None where there is none to be had.
        :param holds: the conditions besides the path; None where there are none.
        :param internal: only jumps lead to it.
        :param site: the first host of its site, for people.
        """
        self.match = Match(pattern=match) if isinstance(match, str) else match
        self.content = content
        self.errors = errors
        self.rewrite = rewrite
        self.checks = tuple(checks)
        self.wraps = tuple(wraps)
        self.filters = tuple(filters)
        self.last = tuple(last)
        self.on_threads = (*self.filters, *self.last)
        self.ends = tuple(ends)
        self.pages = pages
        self.recover = recover
        self.holds = holds
        self.internal = internal
        self.links = tuple(links)
        self.origin = origin
        self.site = site
        self.locations: Locations | None = None
        """Where jumps from here lead; set when the chains of a site are put together."""
        self.paged: Chain | None = None
        """The same as a page for an error, once it was needed."""
        self.unfiltered: Chain | None = None
        """The same for a cache, which has what content gives, once it was needed."""
        self.handle = self.remaining(())

    def remaining(self, met: Collection[object]) -> Handler:
        """The content with what must be met before it, but for what was met already."""
        handler = self.content
        for wrap in reversed(self.wraps):
            if wrap not in met:
                handler = wrap(handler)
        guards = [check for check in self.checks if check not in met]
        if self.rewrite is not None:
            guards.insert(0, self.rewrite)
        return _guarded(tuple(guards), handler) if guards else handler

    def varied(self, **changes: Any) -> Chain:
        """A copy with some of the arguments of `Chain(…)` replaced."""
        names = (
            "rewrite", "checks", "wraps", "filters", "last", "ends", "pages", "recover", "holds", "internal", "links",
            "origin", "site",
        )  # fmt: skip
        values = {name: getattr(self, name) for name in names} | changes
        match, content = values.pop("match", self.match), values.pop("content", self.content)
        made = Chain(match, content, values.pop("errors", self.errors), **values)
        made.locations = self.locations
        return made

    def __repr__(self) -> str:
        return f"Chain({str(self.match)!r})"


def _guarded(guards: tuple[Check, ...], handler: Handler) -> Handler:
    def handle(exchange: Exchange) -> Answer:
        for guard in guards:
            answer = guard(exchange)
            if answer is not None:
                return answer
        return handler(exchange)

    return handle


def nothing(exchange: Exchange) -> Response:
    """The content where there is none."""
    raise ClientError("There is nothing at this address.", 404)
