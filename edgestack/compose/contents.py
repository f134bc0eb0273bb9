"""What answers in a route: its content, the rewriting before it, and the pages of its errors.

    static | app | both (file first, C9) | try | redirect | respond        `strip = false`: mounted at the root instead

A route for one path (`= /favicon.ico`) with a folder is mounted where that path's own folder is: stripping all of it
would leave no name to look for. Regexes and named routes are mounted at the root; they strip nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from edgestack.asgi import Asgi, AsgiApplication
from edgestack.codecs import Coder
from edgestack.compose.hosting import hosted_content
from edgestack.compose.resources import Resources
from edgestack.config.matching import choose, compiled
from edgestack.config.model import App, Rewrite, Route, Server
from edgestack.content.fixed import Fails, RedirectTo, Respond, RespondWith
from edgestack.content.static import Static
from edgestack.content.trying import Last, Step, Try
from edgestack.content.wsgi import Wsgi
from edgestack.errors import Disconnected, EdgeError
from edgestack.http.inside import Goal, inner_path
from edgestack.http.jumps import Jump
from edgestack.http.messages import Answer, Check, Exchange, Handler, Response, Wrap
from edgestack.http.variables import Constant, Scope, compile_template
from edgestack.phases.body_limit import most_body
from edgestack.phases.error_pages import ErrorPages
from edgestack.routing import nothing
from edgestack.upstream.hosted import Hosted, HostedContent

__all__ = ["Application", "Behind", "FileFirst", "Rewriting", "content", "error_pages", "pages", "rewriting"]

ELSEWHERE = ("http://", "https://")

Application: TypeAlias = "Wsgi | Asgi | HostedContent"


def mount(route: Route) -> str:
    """Where its content is mounted, without a slash at the end."""
    if not route.strip:
        return ""
    if route.match.kind == "exact" and route.static is not None and route.app is None:
        return route.match.pattern.rpartition("/")[0]
    return route.prefix.rstrip("/")


def content(
    route: Route, scope: Scope, server: Server, resources: Resources, coder: Coder | None = None,
    undoing: Check | None = None, kept: Wrap | None = None,
) -> Handler:  # fmt: skip
    """The handler of a route.

    :param coder: makes files in content codings.
    :param undoing: comes before an application that stands behind files.
    :param kept: keeps what an application behind files answers.
    """
    if route.redirect is not None:
        return RedirectTo(compile_template(route.redirect.to, "content", scope, use="url"), route.redirect.status)
    if route.respond is not None:
        return _respond(route, scope)
    files: Static | None = None
    application: Application | None = None
    behind: Handler | None = None
    if route.static is not None:
        files = Static(route.static, mount(route), dev=server.dev, private=resources.private, coder=coder)
    if route.app is not None:
        application = _application(route, route.app, server, resources)
        behind = application if undoing is None and kept is None else Behind(application, undoing, kept)
    if files is not None and route.try_:
        return _try(route, files, behind, scope)
    if files is not None and behind is not None:
        return FileFirst(files, behind)
    return files or application or nothing


def _application(route: Route, app: App, server: Server, resources: Resources) -> Application:
    found, limit = resources.applications[app], most_body(route.limit)
    limit = server.limits.body if limit is None else limit
    if isinstance(found, Hosted):
        return hosted_content(found, mount(route), limit, server, resources)
    if isinstance(found, AsgiApplication):
        return Asgi(found, mount(route), limit=limit, dev=server.dev, timeout=server.processes.timeout)
    return Wsgi(
        found, mount(route), limit=limit, dev=server.dev, multithread=server.threads > 1,
        multiprocess=resources.processes > 1,
    )  # fmt: skip


def _respond(route: Route, scope: Scope) -> Handler:
    section = route.respond
    assert section is not None
    if section.status >= 400 and not section.body:
        return Fails(section.status)
    body = compile_template(section.body, "content", scope)
    fields = (("Content-Type", section.type),) if section.body else ()
    if type(body) is Constant:
        return Respond(section.status, fields, body.text.encode("utf-8", "surrogateescape"))
    return RespondWith(section.status, body, fields)


def _try(route: Route, files: Static, application: Handler | None, scope: Scope) -> Handler:
    """With an application everything in `try` is a file, and the application comes last, unless `try` says who does."""
    *tried, final = route.try_
    last: Handler
    if final.startswith("="):
        last = Fails(int(final[1:]))
    elif application is not None and not final.startswith("@"):
        tried.append(final)
        last = application
    else:
        last = Last(Goal(final, scope))
    steps = [_step(text, files, mount(route), scope) for text in tried]
    return Try(steps, last, yields=application is not None)


def _step(text: str, files: Static, mounted: str, scope: Scope) -> Step:
    own = text in ("$uri", "$uri/", "${uri}", "${uri}/")
    return Step(files, text, None if own else Goal(text, scope).path, mounted)


class FileFirst:
    """C9: a regular file, or a folder with an index, for GET and HEAD; anything else is the application's."""

    __slots__ = ("_find", "behind", "files")

    def __init__(self, files: Static, behind: Handler) -> None:
        """:param behind: the application, or what stands before it (`Behind`)."""
        self.files = files
        self.behind = behind
        self._find = files.try_

    def __call__(self, exchange: Exchange) -> Any:
        """The answer of either."""
        return self._find(exchange) or self.behind(exchange)


class Behind:
    """An application behind files, and what stands before it alone: a file is looked at each time (C14)."""

    __slots__ = ("_handler", "_undoing", "application")

    def __init__(self, application: Application, undoing: Check | None = None, kept: Wrap | None = None) -> None:
        self.application = application
        self._undoing = undoing
        self._handler = application if kept is None else kept(application)

    def __call__(self, exchange: Exchange) -> Any:
        """The application's answer, or what is kept of it."""
        if self._undoing is not None:
            self._undoing(exchange)
        return self._handler(exchange)


# --- rewriting --------------------------------------------------------------------------------------------------------


class Rewriting:
    """The rewrites of a route, in order (nginx: ngx_http_rewrite_module)."""

    __slots__ = ("_rules",)

    def __init__(self, rules: tuple[Rewrite, ...], scope: Scope) -> None:
        """:param scope: the route's; each rule has the groups of its own regex instead."""
        self._rules = [(rule, *_rewrite(rule, scope)) for rule in rules]

    def __call__(self, exchange: Exchange) -> Response | Jump | None:
        """A jump, a redirect, or None after whatever `break` changed."""
        for rule, own, act in self._rules:
            if own.match(exchange) is None:
                continue
            if type(act) is RedirectTo:
                return act(exchange)
            assert type(act) is Goal
            jump = act.jump(exchange, fresh=True)
            if rule.flag == "last":
                return jump
            request, query = exchange.request, jump.query
            request.path = jump.target  # type: ignore[assignment] # rewrites lead to paths
            if query is not None:
                request.query = query
            return None
        return None

    def describe(self, exchange: Exchange) -> str:
        """The rule that fits."""
        for rule, own, act in self._rules:
            if own.match(exchange) is not None:
                there = act.plan(exchange) if type(act) is RedirectTo else act.path(exchange).normal  # type: ignore[union-attr]
                return f"{rule.from_} fits: {there} ({rule.flag})"
        return "no regex fits"


def _rewrite(rule: Rewrite, scope: Scope) -> tuple[Scope, Goal | RedirectTo]:
    own = Scope(compiled(rule.from_, False), scope.maps, scope.server_name, scope.clock, scope.wall)
    if rule.flag in ("redirect", "permanent") or rule.to.startswith(ELSEWHERE):
        to = compile_template(rule.to, "request", own, use="url")
        return own, RedirectTo(to, 301 if rule.flag == "permanent" else 302)
    return own, Goal(rule.to, own, appends=True)


def rewriting(route: Route, scope: Scope) -> Check | None:
    """What comes before a route's checks; None without rewrites."""
    return Rewriting(route.rewrite, scope) if route.rewrite else None


# --- pages of errors --------------------------------------------------------------------------------------------------


def pages(errors: tuple[tuple[tuple[int, ...], str], ...], scope: Scope) -> Callable[..., Answer | None] | None:
    """From an error to the page that `errors` names for it; None without any."""
    table: dict[int, Callable[[Exchange, EdgeError], Answer]] = {}
    for statuses, text in errors:
        table |= dict.fromkeys(statuses, _page(text, scope))
    if not table:
        return None

    def page(exchange: Exchange, error: EdgeError) -> Answer | None:
        made = table.get(error.status) or table.get(error.status // 100)
        return None if made is None or isinstance(error, Disconnected) else made(exchange, error)

    return page


def _page(text: str, scope: Scope) -> Callable[[Exchange, EdgeError], Answer]:
    status, target = _override(text)
    if target.startswith(ELSEWHERE):
        redirect = RedirectTo(compile_template(target, "request", scope, use="url"))
        return lambda exchange, error: redirect(exchange)
    goal = Goal(target, scope)
    return lambda exchange, error: goal.jump(exchange, error=error, status=status)


def _override(text: str) -> tuple[int, str]:
    """`=200 /x` is the page with another status (nginx: `error_page 404 =200 /x`)."""
    if not text.startswith("="):
        return 0, text
    status, _, target = text[1:].partition(" ")
    return int(status), target.strip()


def error_pages(
    route: Route | None, errors: tuple[tuple[tuple[int, ...], str], ...], routes: tuple[Route, ...], dev: bool
) -> ErrorPages:
    """The pages that can be made anywhere, on application threads too: files of the site, and the built-in ones.

    :param route: whose folder may have a 404.html and a 50x.html.
    :param errors: of these the ones that lead to a file are used; the others need the loop (`pages`).
    """
    own: dict[int, Path] = {}
    matches = [one.match for one in routes]
    for statuses, text in errors:
        target = _override(text)[1]
        at = choose(matches, target) if target.startswith("/") and "$" not in target else None
        file = _file(routes[at], target) if at is not None else None
        if file is not None:
            own |= dict.fromkeys(statuses, file)
    return ErrorPages(route.static.root if route is not None and route.static else None, dev=dev, own=own)


def _file(route: Route, target: str) -> Path | None:
    """The file that a path leads to in a route, as far as that is certain."""
    if route.static is None or route.match.conditional or route.rewrite:
        return None
    path = inner_path(target.partition("?")[0]).normal
    below = path[len(mount(route)) :].lstrip("/")
    return route.static.root / below if below and not below.endswith("/") else None


def applications(routes: tuple[Route, ...]) -> Mapping[Any, None]:
    """Every application of some routes, each once."""
    return dict.fromkeys(route.app for route in routes if route.app is not None)
