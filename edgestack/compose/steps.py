"""`explain`: what would become of a request, in order. It walks the chain that would run, link by link, by the same
choices and jumps, and stops before content acts: no file is opened, no application called, nobody is asked.

    client -> site -> route -> rewrite, checks, wraps -> content -> (errors, jumps: another route) -> filters -> answer
    -> ends: what is given back, and the line in the access log

Checks are called: they wait for nothing, and what they count is counted in counters that nobody else has. Wraps may
wait, so they only tell (`describe`), and refuse what needs no waiting (`foresee`). Filters are applied to an answer of
the status and type that content would give.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn, TypeAlias, cast

from edgestack.compose.asking import asked
from edgestack.compose.contents import Behind, FileFirst
from edgestack.config.model import Config, Site
from edgestack.config.positions import Origin
from edgestack.content.files import Place
from edgestack.content.static import READS, Static
from edgestack.content.trying import Last, Try
from edgestack.content.wsgi import Wsgi
from edgestack.errors import ClientError, EdgeError
from edgestack.http.forwarding import TrustedProxies
from edgestack.http.jumps import Jump
from edgestack.http.media_types import media_type
from edgestack.http.messages import AppCall, Exchange, Handler, Response
from edgestack.http.variables import Scope
from edgestack.phases.compression import Compression, Undoing
from edgestack.routing import Chain, Choice, Hosts, Link, Locations, nothing, onward
from edgestack.upstream.proxy import Proxy, ProxyAnywhere

__all__ = ["Called", "Sites", "Step", "Unwritten", "explain"]


End: TypeAlias = "Response | Jump"


class Step(NamedTuple):
    """One thing that happens."""

    name: str
    """"client", "site", "route", the name of a link, "content", "errors", "jump", "answer", "end", "log"."""
    says: str
    """What it does with this request."""
    origin: Origin | None = None
    """Where that is written."""

    def __str__(self) -> str:
        place = f"  ({self.origin})" if self.origin is not None else ""
        return f"{self.name}: {self.says}{place}"


class Sites(NamedTuple):
    """The sites of a plan, ready."""

    sites: Sequence[Site]
    locations: Sequence[Locations]
    """Of each site."""
    hosts: Hosts | None
    """None where one site has every host."""
    handle: Handler
    ends: Sequence[Callable[[Exchange], None]]
    """Of what no site answers."""


class Called:
    """Stands for an application that is not loaded."""

    __slots__ = ("target",)

    def __init__(self, target: str) -> None:
        self.target = target

    def __call__(self, *whatever: object, **more: object) -> NoReturn:
        """Nothing here is called."""
        raise AssertionError(f"{self.target} was called")


class Unwritten:
    """Stands for an access log that is not open."""

    __slots__ = ("target",)

    def __init__(self, target: str) -> None:
        self.target = "standard output" if target == "-" else target

    def ending(self, name: str, formats: Mapping[str, str] | None = None, scope: Scope | None = None) -> Line:
        """The end that tells of a line (`AccessLog.ending`)."""
        return Line(f"{name} to {self.target}")


class Line:
    """An end: a line that is not written."""

    __slots__ = ("_says",)

    def __init__(self, says: str) -> None:
        self._says = says

    def __call__(self, exchange: Exchange) -> None:
        """Nothing is written."""

    def describe(self, exchange: Exchange) -> str:
        """Its form, and where it would go."""
        return self._says


def explain(
    config: Config, sites: Sites, proxies: TrustedProxies | None, method: str, url: str,
    fields: Sequence[tuple[str, str]], address: str,
) -> list[Step]:  # fmt: skip
    """The steps; see `Plan.explain`."""
    exchange = asked(config, method, url, fields, address)
    steps: list[Step] = []
    if proxies is not None:
        exchange.facts = proxies.facts(exchange.facts, exchange.request.fields)
        facts = exchange.facts
        steps.append(Step("client", f"{facts.remote_addr}, over {facts.scheme}, as trusted proxies tell"))
    at, moved = _site(sites, exchange, steps)
    if at < 0 or moved:
        return [*steps, *_over(exchange, sites.ends if at < 0 else sites.locations[at].fallback.ends)]
    steps += Walk(exchange).through(sites.locations[at])
    route = next((one for one in sites.sites[at].routes if one.origin == exchange.chain.origin), None)
    return [*steps, *_over(exchange, exchange.ends, route.origins.get("log") if route is not None else None)]


def _over(
    exchange: Exchange, ends: Sequence[Callable[[Exchange], None]], origin: Origin | None = None
) -> Iterator[Step]:
    """What is done when it is over.

    :param origin: where the form of its line is written.
    """
    for end in ends:
        describe = getattr(end, "describe", None)
        if describe is not None and type(end) is not Line:
            yield Step("end", describe(exchange))
    line = next((end for end in ends if type(end) is Line), None)
    yield Step("log", line.describe(exchange) if line is not None else "off", origin)


def _site(sites: Sites, exchange: Exchange, steps: list[Step]) -> tuple[int, bool]:
    """Which site, -1 for none; and whether it sends its client to another host."""
    if sites.hosts is None:
        site = sites.sites[0]
        if site.origin is not None:
            steps.append(Step("site", ", ".join(site.hosts) or "every host", site.origin))
        return 0, False
    place = sites.hosts.place(exchange)
    host = exchange.request.host
    if place is sites.hosts.misdirected:
        said = f"421: the connection was made to {exchange.facts.sni}, which is another site than {host}"
        steps.append(Step("site", said))
        return -1, False
    if place.site < 0:
        steps.append(Step("site", f"421: no site has the host {host!r}, and none is the default"))
        return -1, False
    site = sites.sites[place.site]
    steps.append(Step("site", f"{', '.join(site.hosts) or 'every other host'}, for {host!r}", site.origin))
    if place.moved is not None:
        steps.append(Step("canonical", place.moved.plan(exchange), site.origin))
    return place.site, place.moved is not None


class Walk:
    """The way of one exchange through chains."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def through(self, locations: Locations) -> Iterator[Step]:
        """From the first route to the answer."""
        chain = locations.outside[self.exchange.request.path]
        if type(chain.content) is Choice:
            chain = chain.content.chosen(self.exchange)
        self.exchange.ends = chain.ends
        while True:
            yield _route(chain, locations)
            self.exchange.chain = chain
            end = yield from self._along(chain)
            if isinstance(end, Response):
                break
            try:
                chain = onward(self.exchange, chain, end)
            except EdgeError as error:
                yield Step("jump", f"500: {error}")
                break
            where = end.target if isinstance(end.target, str) else self.exchange.request.path
            yield Step("jump", f"to @{where}" if isinstance(where, str) else f"to {where.normal}")

    def _along(self, chain: Chain) -> Generator[Step, None, End]:
        """The links of one chain; returns the answer, or where to go on."""
        exchange = self.exchange
        try:
            end = (yield from self._guards(chain)) or (yield from _content(chain, exchange))
        except EdgeError as error:
            yield Step("refused" if error.status < 404 else "error", f"{error.status}: {error}")
            end = yield from self._error(chain, error)
        if isinstance(end, Response):
            end = yield from self._filters(chain, end)
            yield Step("answer", str(end.status))
        return end

    def _guards(self, chain: Chain) -> Generator[Step, None, End | None]:
        """What stands before the content."""
        exchange = self.exchange
        met = exchange.journey.met if exchange.journey is not None else ()
        for link in chain.links:
            if link.kind in ("filter", "content", "told", "behind") or link.act in met or type(link.act) is Undoing:
                continue
            yield Step(link.name, _described(link, exchange), link.origin)
            if link.kind == "wrap":
                getattr(link.act, "foresee", _unknown)(exchange)
            else:
                answer = link.act(exchange)
                if answer is not None:
                    return cast("End", answer)
        return None

    def _error(self, chain: Chain, error: EdgeError) -> Generator[Step, None, End]:
        """The page of an error: a jump, or an answer."""
        exchange = self.exchange
        page = None
        if chain.pages is not None and (exchange.journey is None or exchange.journey.error is None):
            page = chain.pages(exchange, error)
        if page is not None:
            yield Step("errors", f"a page for {error.status}")
            return cast("End", page)
        return chain.errors(exchange, error)

    def _filters(self, chain: Chain, response: Response) -> Generator[Step, None, Response]:
        """What becomes of the fields."""
        names = {link.act: link for link in chain.links if link.kind == "filter"}
        for apply in chain.filters:
            before, response = response, apply(self.exchange, response)
            link = names.get(apply)
            if link is not None:
                says = apply.describe(self.exchange) if type(apply) is Compression else _changes(before, response)
                yield Step(link.name, says, link.origin)
        for link in chain.links:
            if link.kind == "told" and response.status == 200:
                yield Step(link.name, _described(link, self.exchange), link.origin)
        return response


def _route(chain: Chain, locations: Locations) -> Step:
    if chain is locations.fallback:
        return Step("route", "none fits")
    if chain is locations.ambiguous:
        return Step("route", "400: the path has two readings, which lead to two routes")
    closed = ", which only jumps inside the server lead to" if chain.internal and chain.content is nothing else ""
    return Step("route", f"{chain.match}{closed}", chain.origin)


def _unknown(exchange: Exchange) -> None:
    """What comes of a wrap that must wait to know."""


def _described(link: Link, exchange: Exchange) -> str:
    describe = getattr(link.act, "describe", None)
    return str(describe(exchange)) if describe is not None else "asked"


def _changes(before: Response, after: Response) -> str:
    gone = [f"- {name}: {value}" for name, value in before.fields if (name, value) not in after.fields]
    come = [f"+ {name}: {value}" for name, value in after.fields if (name, value) not in before.fields]
    status = [f"status {after.status}"] if after.status != before.status else []
    return ", ".join((*status, *gone, *come)) or "changes nothing"


# --- what content would do --------------------------------------------------------------------------------------------


def _content(chain: Chain, exchange: Exchange) -> Generator[Step, None, End]:
    """What content would give: an answer of that status and type, or a jump."""
    content = chain.content
    if type(content) is Try:
        return (yield from _tried(content, exchange, chain))
    origin = _written(chain, content)
    if type(content) is FileFirst:
        place = content.files.plan(exchange)
        if place.kind == "file" and exchange.request.method in READS:
            yield Step("content", _told(place), origin)
            return _answer(place)
        content = yield from _behind(content.behind, chain, exchange)
        origin = _written(chain, content)
    if isinstance(content, Static):
        if exchange.request.method not in READS:
            raise ClientError("This address can only be read.", 405)
        place = content.plan(exchange)
        yield Step("content", _told(place), origin)
        return _answer(place)
    if isinstance(content, Wsgi):
        return (yield from _applied(content, exchange, origin))
    if isinstance(content, Proxy | ProxyAnywhere):
        for name, says, where in content.explain(exchange):
            yield Step(name, says, where or (origin if name == "content" else None))
        return Response(200)
    plan = getattr(content, "plan", None)
    if plan is not None:
        yield Step("content", plan(exchange), origin)
    return cast("End", content(exchange))  # what the configuration says itself: nothing is opened, nobody waits


def _tried(content: Try, exchange: Exchange, chain: Chain) -> Generator[Step, None, End]:
    origin = _written(chain, content)
    for step in content.steps:
        place = step.plan(exchange)
        yield Step("try", f"{step.text}: {_told(place) if place is not None else 'not there'}", origin)
        if place is not None and exchange.request.method in READS:
            return _answer(place)
        if place is not None and not content.yields:
            raise ClientError("This address can only be read.", 405)
    last = yield from _behind(content.last, chain, exchange)
    if isinstance(last, Wsgi):
        return (yield from _applied(last, exchange, _written(chain, last)))
    if isinstance(last, Last):
        yield Step("try", f"goes on at {last.goal.text}", origin)
    return cast("End", last(exchange))


def _behind(handler: Handler, chain: Chain, exchange: Exchange) -> Generator[Step, None, Handler]:
    """What stands between files and the application behind them; the application."""
    if not isinstance(handler, Behind):
        return handler
    for link in chain.links:
        if link.kind == "behind":
            yield Step(link.name, _described(link, exchange), link.origin)
    return handler.application


def _written(chain: Chain, content: object) -> Origin | None:
    """Where a route says this content; for what has no line of its own, where it says any."""
    lines = {id(link.act): link.origin for link in reversed(chain.links) if link.kind == "content"}
    return lines.get(id(content), chain.origin)


def _applied(content: Wsgi, exchange: Exchange, origin: Origin | None) -> Generator[Step, None, End]:
    """An application: its call is made, unless the request is refused, and dropped."""
    call = content(exchange)
    name = getattr(content.application, "target", "")
    yield Step("content", f"the application {name}, which is not called: 200 is assumed", origin)
    assert isinstance(call, AppCall)  # what was announced is there
    call.discard()
    return Response(200)


def _told(place: Place) -> str:
    if place.kind == "file":
        return f"the file {os.fsdecode(place.real)}"
    if place.kind == "listing":
        return f"a listing of {os.fsdecode(place.real)}"
    if place.kind == "slash":
        return f"301 to the path with a slash: {os.fsdecode(place.real)} is a folder"
    return f"{place.status}: {place.why}"


def _answer(place: Place) -> Response:
    """What a place would give, as far as filters look.

    :raises ClientError: there is nothing to give.
    """
    if place.kind == "nothing":
        raise ClientError("", place.status, detail=place.why)
    if place.kind == "slash":
        return Response(301)
    name = os.fsdecode(place.filename) if place.kind == "file" else "index.html"
    return Response(200, (("Content-Type", media_type(name)),))
