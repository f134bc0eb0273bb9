"""Routes: when one is chosen, what answers, and the rules about it. Pure data, each key said once.

A route has one content: `static`, `app` (or both: file first, criterion C9), `proxy`, `redirect` or `respond`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgestack.config.caching import VALID_ALONE, RouteCache
from edgestack.config.field_kinds import FIELD_TEXT
from edgestack.config.http_kinds import (
    FIELD_CONDITION,
    MATCH,
    METHOD,
    PATTERN,
    QUERY_CONDITION,
    REQUEST_FIELD,
    STATUS,
    TRY,
    Status,
    Template,
)  # fmt: skip
from edgestack.config.keys import key, section
from edgestack.config.kinds import DURATION, SWITCH, TEXT, Choice
from edgestack.config.matching import Condition, Match
from edgestack.config.nested_kinds import As, Either, OneOrMany, Pairs, Table
from edgestack.config.place_kinds import APPLICATION, FOLDER
from edgestack.config.positions import Origin
from edgestack.config.proxying import PROXY_TARGET, Proxy
from edgestack.config.rules import Rules

__all__ = ["CONTENT", "App", "Redirect", "Respond", "Rewrite", "Route", "Static"]

CONTENT = ("static", "app", "proxy", "redirect", "respond")
"""The keys that say what answers."""


@section("static")
class Static:
    """Files served from a folder."""

    root: Path = key(FOLDER, "The folder.", example='"site/"', nginx="alias, root")
    index: tuple[str, ...] = key(
        OneOrMany(TEXT), "Files tried, in order, for a path that ends in a slash.", default=("index.html",),
        example='["index.html"]', nginx="index",
    )  # fmt: skip
    listing: bool = key(SWITCH, "Show a folder that has no index.", default=False, example="true", nginx="autoindex")
    follow_symlinks: bool = key(
        SWITCH, "Serve what a symlink inside the folder shows outside of it.", default=False, example="true",
        nginx="disable_symlinks",
    )  # fmt: skip
    cache_control: str = ""
    """The Cache-Control of every file; "" for none. (Routes have rules of their own; this one is for development.)"""


@dataclass(frozen=True, slots=True)
class App:
    """A WSGI application, by name (criterion F15)."""

    target: str
    """`module:name`, `module:factory()`, `module:object.attribute`."""
    folder: Path | None = None
    """Comes first on sys.path when it is loaded: the folder of the file that names it. None for the current one."""


@section("redirect")
class Redirect:
    """Sends the client elsewhere."""

    to: str = key(
        Template("content", "url"),
        "Where to, with variables.",
        example='"https://example.com$request_uri"',
        nginx="return",
    )
    status: int = key(
        Status(301, 302, 303, 307, 308), "301 and 308 are for ever, and 307 and 308 keep the method.", default=302,
        example="301", nginx="return",
    )  # fmt: skip


@section("respond")
class Respond:
    """The same answer to everybody."""

    status: int = key(STATUS, "The status.", default=200, example="204", nginx="return")
    body: str = key(Template("content"), "The body, with variables.", default="", example='"pong\\n"', nginx="return")
    type: str = key(
        FIELD_TEXT,
        "Its media type.",
        default="text/plain; charset=utf-8",
        example='"application/json"',
        nginx="default_type",
    )


@section("a rewrite", scoped=True)
class Rewrite:
    """Changes the path before anything looks at it."""

    from_: str = key(
        PATTERN, "A regex that is searched in the path; its groups are `$1` … `$9`.", example='"^/old/(.*)$"',
        nginx="rewrite",
    )  # fmt: skip
    to: str = key(
        Template("request"), "The path, and query, that takes its place.", example='"/new/$1"', nginx="rewrite"
    )
    flag: str = key(
        Choice("last", "break", "redirect", "permanent"),
        "`last` chooses a route anew, `break` stays in this one, `redirect` and `permanent` tell the client (302, "
        "301).",
        default="last", example='"break"', nginx="rewrite",
    )  # fmt: skip


@section("match")
class MatchTable:
    """A path and conditions; all of them must hold."""

    path: Match = key(
        MATCH, "The path, as in the short form.", default=Match(), shown='"/"', example='"/api/"', nginx="location"
    )
    methods: tuple[str, ...] = key(
        OneOrMany(METHOD),
        "The methods it is for.",
        default=(),
        shown="all",
        example='["GET", "HEAD"]',
        nginx="limit_except",
    )
    query: tuple[tuple[str, Condition], ...] = key(
        Pairs("a table of parameters", TEXT, QUERY_CONDITION),
        "Parameters of the query: a text, `true` (there), `false` (not there), or `~ regex`.", default=(), shown="any",
        example='{ preview = true }', nginx="if ($arg_…)",
    )  # fmt: skip
    header: tuple[tuple[str, Condition], ...] = key(
        Pairs("a table of fields", REQUEST_FIELD, FIELD_CONDITION), "Fields of the request, in the same way.",
        default=(), shown="any", example='{ Accept = "~ json" }', nginx="if ($http_…)",
    )  # fmt: skip

    def match(self) -> Match:
        """All of it as one value."""
        path = self.path
        query = tuple(condition for _, condition in self.query)
        header = tuple(condition for _, condition in self.header)
        return Match(path.kind, path.pattern, path.ignore_case, self.methods, query, header)


def _match(table: MatchTable) -> Match:
    return table.match()


def _app(found: tuple[str, Path]) -> App:
    return App(*found)


def _respond(said: Any) -> Respond:
    return Respond(said) if isinstance(said, int) else Respond(body=said)


@section(
    "a route", scoped=True,
    first=("match", *CONTENT, "cache", "try", "rewrite", "strip", "internal", "preset", "cache_control", "headers"),
)  # fmt: skip
class Route(Rules):
    """What answers a part of the site."""

    prefix: str = "/"
    """The path that it is mounted at: that of its match; "" for a regex and for a named route, which strip nothing."""
    static: Static | None = key(
        Either(As(FOLDER, lambda root: Static(root)), Table(Static)), "Files from this folder.", default=None,
        shown="none", example='"site/"', nginx="alias, root",
    )  # fmt: skip
    app: App | None = key(
        As(APPLICATION, _app), "A WSGI application; with `static`, for all that is no file.", default=None,
        shown="none", example='"src.main:app"', nginx="uwsgi_pass",
    )  # fmt: skip
    match: Match = key(
        Either(MATCH, As(Table(MatchTable), _match)),
        '`"/x/"` a prefix, `"= /x"` one path, `"^~ /x/"` a prefix that no regex overtakes, `"~ regex"`, `"~* regex"` '
        'in '
        'any case, `"@name"`; or a table with conditions.',
        default=Match(), shown='"/"', example='"/static/"', nginx="location",
    )  # fmt: skip
    proxy: Proxy | None = key(
        Either(As(PROXY_TARGET, lambda to: Proxy(to)), Table(Proxy)), "Another server, or a group of them.",
        default=None, shown="none", example='"http://backend/"', nginx="proxy_pass",
    )  # fmt: skip
    redirect: Redirect | None = key(
        Either(As(Template("content", "url"), lambda to: Redirect(to)), Table(Redirect)), "Elsewhere, with 302.",
        default=None, shown="none", example='"https://example.com$request_uri"', nginx="return",
    )  # fmt: skip
    respond: Respond | None = key(
        Either(As(STATUS, _respond), As(Template("content"), _respond), Table(Respond)),
        "The same answer to everybody: a status, a text, or both.", default=None, shown="none",
        example='{ status = 200, body = "pong\\n" }', nginx="return",
    )  # fmt: skip
    try_: tuple[str, ...] = key(
        OneOrMany(TRY, "a path, or an array of paths"),
        "Files and folders (with a slash) that are tried in order; the last is where the request goes if none is "
        "there: "
        "a path, `@name` or `=404`.",
        default=(), shown="the path itself", example='["$uri", "$uri/", "/index.html"]', nginx="try_files",
    )  # fmt: skip
    rewrite: tuple[Rewrite, ...] = key(
        OneOrMany(Table(Rewrite)), "Other paths for some; in order.", default=(), shown="none",
        example='{ from = "^/old/(.*)$", to = "/new/$1" }', nginx="rewrite",
    )  # fmt: skip
    cache: RouteCache | None = key(
        Either(As(DURATION, lambda seconds: RouteCache(valid=((VALID_ALONE, seconds),))), Table(RouteCache)),
        "Answers of an application or a proxied server are kept and given again; a duration alone is how long those "
        "of 200, 301 and 302 are fresh that do not say so themselves.",
        default=None, shown="none", example='"1s"', nginx="proxy_cache, proxy_cache_valid",
    )  # fmt: skip
    strip: bool = key(
        SWITCH, "Whether the content sees the path without the matched prefix; `false` is nginx's `root`.",
        default=True, example="false", nginx="alias, root",
    )  # fmt: skip
    internal: bool = key(
        SWITCH, "Only for redirects inside the server (`errors`, `try`, `rewrite`); else 404.", default=False,
        example="true", nginx="internal",
    )  # fmt: skip
    origin: Origin | None = field(default=None, compare=False, repr=False, kw_only=True)
    """Where it is written."""
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False, repr=False, kw_only=True)
    """Where each of its keys is written, those of its site included."""

    def origin_of(self, name: str) -> Origin | None:
        """Where a key of it is written; the route itself where it is not."""
        return self.origins.get(name, self.origin)
